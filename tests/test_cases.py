"""Each folder of ``tests/cases`` is one situation: the inputs, what must come out, and why (``why.md``).

Inputs are the files whose names belong to a source: ``crm_customers.csv``, ``crm_customers.json.gz``, ….
``expected/`` holds the published files that matter in the case, or ``error.txt`` where the batch must fail.
``before/`` holds a pair that was integrated first, ``between/`` one after it, ``settings.json`` the settings.
``commands.json`` holds the commands that a user gives after one of these was integrated.
``python -m tests.regenerate CASE`` writes the expected files for review; docs/specification.md decides what they must
contain.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.pipeline import extract, normalise
from service.settings import Settings
from service.sources import sources_of
from tests.case_runs import CaseRun, case_names, run_case, settings_of
from tests.regenerate import FILES_OF_A_NEW_CASE, outcome_of, stamped
from tests.small_batches import exports_in
from tests.worlds import CASES


@pytest.mark.parametrize("name", case_names())
def test_a_case_publishes_what_is_expected(name: str, case_run: Callable[[str], CaseRun]) -> None:
    files = (CASES / name / "expected").iterdir()
    expected = {path.name: stamped(path.read_bytes().decode()) for path in files}
    found = outcome_of(case_run(name))
    for file_name, text in expected.items():
        assert found.get(file_name) == text, f"{name}/expected/{file_name}"
    assert ("error.txt" in found) == ("error.txt" in expected)


@pytest.mark.large
@pytest.mark.parametrize("name", case_names())
def test_a_case_of_few_rows_is_read_as_one_of_many(
    name: str, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows go to the definitions in Python, many to the same rules in SQL."""
    read_as_few = outcome_of(case_run(name))  # before the patches: it may be made now
    for stage in (extract, normalise):
        monkeypatch.setattr(stage, "FEW_ROWS", -1)
    assert outcome_of(run_case(CASES / name, tmp_path)) == read_as_few


@pytest.mark.parametrize("name", case_names())
def test_a_case_has_all_its_inputs_and_expected_files(name: str) -> None:
    settings = Settings(**settings_of(CASES / name))
    required = [source for source in sources_of(settings.sources) if source.is_required]
    assert len(exports_in(CASES / name, settings)) >= len(required)
    expected = {path.name for path in (CASES / name / "expected").iterdir()}
    assert set(FILES_OF_A_NEW_CASE) <= expected or expected == {"error.txt", "integration_log.txt"}
