"""Spark gives what the embedded engine gives, byte for byte; without it the setting says what to install."""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.generate import write_messy_pair
from service import engine as engines
from service.engine.components import smallest_of_component
from service.engine.contract import Engine
from service.errors import InputError, SettingsError, TransientError
from service.pipeline.fields.email import norm_email
from service.progress import Meter
from service.settings import Settings
from tests import regenerate_analytics, small_exports
from tests.case_runs import CaseRun, case_names, settings_of
from tests.regenerate import outcome_of, stamped
from tests.sizes import IS_FULL
from tests.small_batches import NOON, integrate_folder, integrate_pair, published
from tests.worlds import CASES, ROOT

CASE_NAMES = (
    *("the_sample", "merged_split_retired", "rejects", "csv_ragged_rows", "json_lines", "filled_gaps", "formula_cells"),
    *("names", "foreign_phones", "reached_over_others", "same_id_twice", "turkish_customers", "unusable_values"),
)
WHOLE_CASES = [name for name in case_names() if not (CASES / name / "expected" / "error.txt").exists()]
_MISSING = [name for name in ("pyspark", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]
MASTER = "local[2]"


@pytest.fixture(scope="module", autouse=True)
def _quick_java() -> Iterator[None]:
    """A session is short: code is compiled once, quickly, instead of often and well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell")
        yield


@pytest.fixture
def spark() -> None:
    """Skips where Spark cannot run; fails there with ``REQUIRE_SPARK=1``.

    Most users work without the extra, and ``make test`` installs nothing for it; ``make spark``, as in CI, requires it.
    """
    lacking = [f"needs the extra spark: {', '.join(_MISSING)}"] if _MISSING else []
    lacking += [] if shutil.which("java") else ["needs Java 17 or later"]
    if lacking and os.environ.get("REQUIRE_SPARK") == "1":
        pytest.fail("; ".join(lacking))
    if lacking:
        pytest.skip(f"{'; '.join(lacking)} (REQUIRE_SPARK=1 makes this a failure)")


@contextmanager
def opened(folder: Path, **_: Any) -> Iterator[Engine]:
    """Spark, for few rows, with its tables in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    prepared = engines.prepare_engine(folder, (folder.parent,), memory_limit_mb=3000, spark_master=MASTER)
    with prepared.begin(Meter(), is_small=True) as engine:
        yield engine


def distributed() -> Any:
    """The module, which cannot be imported where the extra is missing."""
    return importlib.import_module("service.engine.distributed")


def integrated_by_spark(case: Path, folder: Path) -> Path:
    """The set that Spark publishes of a case."""
    given = settings_of(case)
    for exports in filter(Path.is_dir, (case / "before", case)):
        integrate_folder(
            exports,
            folder / "outbox",
            **given,
            state=folder / "state",
            engine="spark",
            spark_master=MASTER,
            memory_limit_mb=3000,
        )
    return published(folder / "outbox")


# ------------------------------------------------------------------------------------------------- same bytes


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", WHOLE_CASES if IS_FULL else CASE_NAMES)
def test_a_case_has_the_same_files(
    name: str, spark: None, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = integrated_by_spark(CASES / name, tmp_path)
    expected = published(case_run(name).outbox)
    changing = {"manifest.json", "integration_log.txt", "integration_log.jsonl"}
    names = {path.name for path in expected.iterdir()}
    assert {path.name for path in found.iterdir()} == names
    for file_name in sorted(names - changing):
        assert (found / file_name).read_bytes() == (expected / file_name).read_bytes(), file_name
    logs = [stamped((folder / "integration_log.txt").read_text(encoding="utf-8")) for folder in (found, expected)]
    assert logs[0] == logs[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_file_that_is_refused_is_refused_in_the_same_words(
    spark: None, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        integrated_by_spark(CASES / "truncated_json", tmp_path)
    assert refused.value.message in outcome_of(case_run("truncated_json"))["error.txt"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ("the_master_fills_in", "words_of_ones_own"))
def test_an_analytics_case_has_the_same_files(
    name: str, spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = regenerate_analytics.CASES / name
    of_embedded, of_spark = tmp_path / "embedded", tmp_path / "spark"
    of_embedded.mkdir()
    of_spark.mkdir()
    expected = regenerate_analytics.outcome_of(case, of_embedded)
    monkeypatch.setattr(small_exports, "small_engine", opened)
    found = regenerate_analytics.outcome_of(case, of_spark)
    assert found.keys() == expected.keys()
    for file_name in sorted(expected.keys() - {"manifest.json", "integration_log.jsonl"}):
        assert found[file_name] == expected[file_name], file_name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_large_batch_and_the_next_have_the_same_files(
    spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of the plans and parts of large batches, and groups that are found by statements."""
    monkeypatch.setattr(distributed(), "FEW_NODES", 100)
    monkeypatch.chdir(tmp_path)
    sets: dict[str, list[Path]] = {"embedded": [], "spark": []}
    for seed in (1, 2):
        (tmp_path / f"pair_{seed}").mkdir()
        write_messy_pair(tmp_path / f"pair_{seed}", 3_000, seed=seed)
        for engine, made in sets.items():
            given = {"engine": engine, "state": tmp_path / engine / "state", "memory_limit_mb": 3000}
            now = NOON + timedelta(hours=seed)
            outbox = tmp_path / engine / "outbox"
            integrate_pair(tmp_path / f"pair_{seed}", outbox, now, spark_master=MASTER, **given)
            made.append(published(outbox).rename(tmp_path / f"{engine}_{seed}"))
    for expected, found in zip(*sets.values(), strict=True):
        for path in expected.iterdir():
            if path.name not in ("manifest.json", "integration_log.jsonl"):
                assert path.read_bytes() == (found / path.name).read_bytes(), path.name


# ------------------------------------------------------------------------------------------------- its parts


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shape", ("chain", "shuffled chain", "hub", "random", "none"))
def test_statements_find_the_components_of_any_graph(
    shape: str, spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed(), "FEW_NODES", 0)
    size, chance = 300, random.Random(shape)
    nodes = list(range(size))
    if shape == "shuffled chain":
        chance.shuffle(nodes)
    edges = {
        "chain": list(pairwise(nodes)),
        "shuffled chain": list(pairwise(nodes)),
        "hub": [(7, node) for node in nodes if node % 2],
        "random": [(chance.randrange(size), chance.randrange(size)) for _ in range(size // 2)],
        "none": [],
    }[shape]
    one, other = (np.array([edge[side] for edge in edges], dtype=np.int64) for side in (0, 1))
    with opened(tmp_path / "work") as engine:
        groups = engine.components(engine.table({"one": one, "other": other}), size)
        ordinal, group_id = groups.integers("ordinal", "group_id")
    assert ordinal.tolist() == list(range(size))
    assert group_id.tolist() == smallest_of_component(size, [(one, other)]).tolist()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_rows_keep_their_order_through_filters_joins_and_unions(spark: None, tmp_path: Path) -> None:
    with opened(tmp_path / "work") as engine:
        texts = engine.text_table(("text",), [(chr(ord("a") + it % 7),) for it in range(200)])
        kept = texts.derive("select text from this where text <> 'b'")
        both = kept.with_rows_of(texts).numbered("n", 1)
        joined = both.derive("select this.n, this.text, s.n as m from this left join this as s using (n) order by n")
        expected = [chr(ord("a") + it % 7) for it in range(200)]
        expected = [*(it for it in expected if it != "b"), *expected]
        assert both.rows("select n, text from this") == list(enumerate(expected, start=1))
        assert [row[1] for row in joined.rows()] == expected
        assert [len(part) for part in joined.parts(("n", "text"), 300)] == [300, len(expected) - 300]
        assert joined.numbered("again").rows("select again + 1, text from this") == list(enumerate(expected, start=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_function_is_called_for_each_row(spark: None, tmp_path: Path) -> None:
    with opened(tmp_path / "work") as engine:
        engine.register("norm_email", norm_email)
        texts = engine.text_table(("text",), [("Ann@Example.com",), ("no address",), ("b@example.org",)])
        called = engine.call("norm_email", texts, ("text",))
        expected = [("Ann@Example.com", "ann@example.com"), ("b@example.org", "b@example.org"), ("no address", None)]
        assert sorted(called.rows()) == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_error_of_spark_does_not_quote_a_value(spark: None, tmp_path: Path) -> None:
    with opened(tmp_path / "work") as engine:
        texts = engine.text_table(("text",), [("ann@example.com",)])
        with pytest.raises(TransientError) as failed:
            texts.derive("select text::bigint as number from this")
    assert "ann" not in failed.value.explained()


# ---------------------------------------------------------------------------------------------- without the extra


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as refused:
        engines.prepare_engine(tmp_path, memory_limit_mb=512, spark_master=MASTER)
    assert "SERVICE_ENGINE=spark" in refused.value.message
    assert "customer-integration-service[spark]" in refused.value.hint
    engines.refuse_missing("")


@pytest.mark.parametrize("master", ("spark", "local[0]", "http://host", "spark://", "local[*] --conf x=y"))
def test_a_master_is_one_that_spark_knows(master: str) -> None:
    with pytest.raises(ValueError, match="is no master of Spark"):
        Settings.model_validate({"spark_master": master})


def test_the_embedded_engine_imports_nothing_of_spark(tmp_path: Path) -> None:
    program = (
        "import sys; from tests.small_batches import integrate_folder; from pathlib import Path;"
        "integrate_folder(Path(sys.argv[1]), Path('outbox'));"
        "print(*sorted({'pyspark', 'py4j', 'pyarrow', 'pandas', 'sqlglot'} & sys.modules.keys()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(CASES / "the_sample")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == ""
