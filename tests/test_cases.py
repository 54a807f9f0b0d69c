"""One folder, one situation: what is delivered, what must come out, and why (``why.md``).

Inputs are the files whose names belong to a source: ``crm_customers.csv``, ``crm_customers.json.gz``, ….
``expected/`` holds the published files that matter in the case, or ``error.txt`` where the batch must fail.
``before/`` holds a pair that was integrated first, ``settings.json`` what is set. Expected files are written for
review by ``python -m tests.regenerate CASE``; what stands in them is decided by the contract.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import Settings
from tests.regenerate import case_names, outcome_of, settings_of, stamped
from tests.small_batches import exports_in
from tests.worlds import CASES


@pytest.mark.parametrize("name", case_names())
def test_the_case_comes_out_as_expected(name: str, tmp_path: Path) -> None:
    files = (CASES / name / "expected").iterdir()
    expected = {path.name: stamped(path.read_bytes().decode()) for path in files}
    found = outcome_of(CASES / name, tmp_path)
    for file_name, text in expected.items():
        assert found.get(file_name) == text, f"{name}/expected/{file_name}"
    assert ("error.txt" in found) == ("error.txt" in expected)


@pytest.mark.parametrize("name", case_names())
def test_the_case_is_whole(name: str) -> None:
    settings = Settings(**settings_of(CASES / name))
    required = [source for source in settings.rules().sources if source.is_required]
    assert len(exports_in(CASES / name, settings)) >= len(required)
    expected = {path.name for path in (CASES / name / "expected").iterdir()}
    asked_for = {"customer_master.csv", "duplicate_report.csv", "integration_log.txt"}
    assert asked_for <= expected or expected == {"error.txt", "integration_log.txt"}
