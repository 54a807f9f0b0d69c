"""Spark gives what the embedded engine gives, byte for byte; without it the setting says what to install."""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.generate import write_messy_pair
from service import cli
from service import engine as engines
from service.engine.components import smallest_of_component
from service.engine.embedded_tables import EmbeddedTable
from service.errors import InputError, SettingsError
from service.folders import StateFolders
from service.pipeline.evidence import WALK, breadth_first_from
from service.pipeline.fields.email import norm_email
from service.register import history_of
from service.settings import Settings
from tests import regenerate_analytics, small_exports
from tests.case_runs import CaseRun, batches_of, case_names, commands_after, settings_of
from tests.regenerate import outcome_of
from tests.sizes import IS_FULL, SPARK_GROUPS, SPARK_IN_A_GROUP, SPARK_RECORDS
from tests.small_batches import (
    NOON,
    AnyEngine,
    integrate_folder,
    integrate_pair,
    published,
    rows_of,
    small_engine,
)
from tests.spark_runs import SparkCluster, differing
from tests.test_register import Batches
from tests.worlds import CASES, ROOT

CASE_NAMES = (
    *("the_sample", "merged_split_retired", "rejects", "csv_ragged_rows", "json_lines", "filled_gaps", "formula_cells"),
    *("names", "foreign_phones", "reached_over_others", "same_id_twice", "turkish_customers", "unusable_values"),
    # ways in which an export is written
    *("csv_undecodable_bytes", "csv_mixed_line_ends", "excel_quoted_newlines", "excel_unicode_text"),
    *("gzip_both", "json_wrong_types", "json_rows_at_of_graphql"),
    # values
    *("excel_scientific_phones", "emails_with_a_mark_at_the_end", "excel_day_month_dates"),
    *("japanese_customers", "arabic_customers", "companies_behind_a_comma", "errors_of_spreadsheets", "many_countries"),
    # groups and ids
    *("a_second_batch", "erased_customers", "no_ids", "cost_of_the_literal_rule", "unreadable_phones_meet"),
    *("decided_same", "decided_different_at_a_switchboard"),
    # other sources, and no rows
    *("sources_a_third_one", "sources_priority", "shopify_csv_export", "woocommerce_rest", "empty_exports"),
)
WHOLE_CASES = [name for name in case_names() if not (CASES / name / "expected" / "error.txt").exists()]
REFUSED_CASES = [name for name in case_names() if name not in WHOLE_CASES]


def distributed() -> Any:
    """The module, which cannot be imported where the extra is missing."""
    return importlib.import_module("service.engine.distributed")


def integrated_by_spark(spark: SparkCluster, case: Path, folder: Path) -> Path:
    """The set that Spark publishes of a case."""
    given = settings_of(case) | spark.settings | {"state": folder / "state"}
    for exports in batches_of(case):
        integrate_folder(exports, folder / "outbox", **given)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SERVICE_STATE", str(folder / "state"))
            patch.setattr(cli, "_local_now", lambda: NOON)
            for command in commands_after(exports, case):
                assert cli.main([*command, "--outbox", str(folder / "outbox")]) == 0, command
    return published(folder / "outbox")


# ------------------------------------------------------------------------------------------------- same bytes


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", WHOLE_CASES if IS_FULL else CASE_NAMES)
def test_a_case_has_the_same_files(
    name: str, spark: SparkCluster, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = integrated_by_spark(spark, CASES / name, tmp_path)
    assert differing(published(case_run(name).outbox), found) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", REFUSED_CASES if IS_FULL else ("truncated_json",))
def test_a_file_that_is_refused_is_refused_in_the_same_words(
    name: str, spark: SparkCluster, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        integrated_by_spark(spark, CASES / name, tmp_path)
    assert refused.value.message in outcome_of(case_run(name))["error.txt"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "name", regenerate_analytics.case_names() if IS_FULL else ("the_master_fills_in", "words_of_ones_own")
)
def test_an_analytics_case_has_the_same_files(
    name: str, spark: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = regenerate_analytics.CASES / name
    of_embedded, of_spark = tmp_path / "embedded", tmp_path / "spark"
    of_embedded.mkdir()
    of_spark.mkdir()
    expected = regenerate_analytics.outcome_of(case, of_embedded)
    monkeypatch.setattr(small_exports, "small_engine", spark.engine_in)
    found = regenerate_analytics.outcome_of(case, of_spark)
    assert found.keys() == expected.keys()
    for file_name in sorted(expected.keys() - {"manifest.json", "integration_log.jsonl"}):
        assert found[file_name] == expected[file_name], file_name


def by_both(spark: SparkCluster, exports: Path, folder: Path, batch: int = 1) -> tuple[Path, Path]:
    """The sets of the embedded engine and of Spark, each in the next batch of its own register, in ``folder``."""
    sets: dict[str, Path] = {}
    for engine in ("embedded", "spark"):
        given = spark.settings | {"engine": engine, "state": folder / engine / "state"}
        outbox = folder / engine / "outbox"
        integrate_pair(exports, outbox, NOON + timedelta(hours=batch), **given)
        sets[engine] = published(outbox).rename(folder / f"{engine}_{batch}")
    return sets["embedded"], sets["spark"]


def add_customers(crm: Path, contacts: Iterable[tuple[int, int]]) -> None:
    """Add a customer for each pair of an e-mail address and a phone number."""
    with crm.open("a", encoding="utf-8") as file:
        file.writelines(
            f"K{number},Kim {number},kim{email}@example.net,+1212{2_000_000 + phone},,active\n"
            for number, (email, phone) in enumerate(contacts)
        )


def chain(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Contacts of customers, each of whom shares the e-mail address with one neighbour and the phone with the other."""
    return [(number // 2, (number + 1) // 2) for number in numbers]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_batch_of_many_records_has_the_same_files(
    spark: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_messy_pair(tmp_path, SPARK_RECORDS, seed=3)
    assert differing(*by_both(spark, tmp_path, tmp_path)) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_large_batch_and_the_next_have_the_same_files(
    spark: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of the plans and parts of large batches; and nothing comes to the driver that grows with them."""
    monkeypatch.setattr(distributed(), "FEW_NODES", 0)
    monkeypatch.chdir(tmp_path)
    collected = rows_collected(monkeypatch)
    # Chains of three customers and then of five: most groups of the next batch are of several former customers.
    for batch, length in ((1, 3), (2, 5)):
        exports = tmp_path / f"pair_{batch}"
        exports.mkdir()
        crm, _ = write_messy_pair(exports, 2_000 * batch, seed=batch)
        add_customers(crm, chain(n // length * 10 + n % length for n in range(1_000 * batch)))
        expected, found = by_both(spark, exports, tmp_path, batch)
        assert differing(expected, found) == []
    changes = [row["change"] for row in rows_of(expected / "id_changes.csv")]
    assert min(changes.count("merged"), changes.count("split")) > 100
    assert max(collected) < 20, "counts by source, rule and word"


def rows_collected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows that statements of Spark bring to the driver from now on."""
    session = importlib.import_module("service.engine.spark_session").Session
    original, counts = session.collected, []

    def counted(self: Any, query: str) -> list[Any]:
        rows: list[Any] = original(self, query)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(session, "collected", counted)
    return counts


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shape", SPARK_GROUPS)
def test_a_batch_that_is_one_large_group_has_the_same_files(
    shape: str, spark: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed(), "FEW_NODES", 0)
    monkeypatch.chdir(tmp_path)
    crm, _ = write_messy_pair(tmp_path, 100)
    numbers = list(range(SPARK_IN_A_GROUP))
    random.Random(1).shuffle(numbers)
    hub = [(number, number if number % 2 else 0) for number in numbers]
    add_customers(crm, chain(numbers) if shape == "shuffled chain" else hub)
    assert differing(*by_both(spark, tmp_path, tmp_path)) == []


# ------------------------------------------------------------------------------------------------- its parts


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shape", ("chain", "shuffled chain", "hub", "random", "none"))
def test_statements_find_the_components_of_any_graph(
    shape: str, spark: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    with spark.engine_in(tmp_path / "work") as engine:
        texts = engine.text_table(("one", "other"), edges)
        links = texts.derive("select one::bigint as one, other::bigint as other from this")
        found = engine.components(links, size).rows("select ordinal, group_id from this order by ordinal")
    assert found == list(enumerate(smallest_of_component(size, [(one, other)]).tolist()))


def test_a_chain_takes_few_statements_however_long_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted with the embedded engine, which runs the same statements."""
    components = pytest.importorskip("service.engine.spark_components")
    derive, derived = EmbeddedTable.derive, list[str]()

    def noted(self: EmbeddedTable, sql: str, **others: Any) -> EmbeddedTable:
        derived.append(sql)
        return derive(self, sql, **others)

    counts = []
    with small_engine(tmp_path / "engine") as engine:
        for size in (1_000, 100_000):
            nodes = list(range(size))
            random.Random(1).shuffle(nodes)
            links = engine.table({"one": np.array(nodes[:-1]), "other": np.array(nodes[1:])})
            with monkeypatch.context() as patch:
                patch.setattr(EmbeddedTable, "derive", noted)
                found = components.labels(links)
            assert found.rows("select count(*), max(label) from this") == [(size - 1, 0)]
            counts.append(len(derived))
            derived.clear()
    assert counts[1] < 2.5 * counts[0] < 250


def test_groups_are_walked_in_parts_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches end within groups, some groups are larger than a part, and ordinals of groups interleave."""
    groups = pytest.importorskip("service.engine.spark_groups")
    record_batch = importlib.import_module("pyarrow").RecordBatch
    monkeypatch.setattr(groups, "_MANY_ROWS", 10)
    chance = random.Random(7)
    kept_of = {ordinal: chance.choice((0, 1, 2, 50)) for ordinal in range(3, 100)} | {it: it for it in (0, 1, 2, 50)}
    rows = sorted({(kept_of[it], it, chance.randrange(40) * 100 + kept_of[it]) for it in range(100) for _ in "ab"})
    parts = (zip(*rows[start : start + 7], strict=True) for start in range(0, len(rows), 7))
    batches = [record_batch.from_arrays(list(map(np.array, part)), ["kept", "ordinal", "value"]) for part in parts]
    found = list(groups.GroupsOfTask(WALK).results(iter(batches)))
    kept, ordinal, value = map(np.array, zip(*sorted(rows, key=lambda row: row[1:]), strict=True))
    expected = zip(*(it.tolist() for it in breadth_first_from(np.unique(kept), ordinal, value)), strict=True)
    assert len(found) > 2
    assert sorted((row["ordinal"], row["via"]) for batch in found for row in batch.to_pylist()) == sorted(expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_rows_keep_their_order_through_filters_joins_and_unions(spark: SparkCluster, tmp_path: Path) -> None:
    with spark.engine_in(tmp_path / "work") as engine:
        texts = engine.text_table(("text",), [(chr(ord("a") + it % 7),) for it in range(200)])
        kept = texts.derive("select text from this where text <> 'b'")
        both = kept.with_rows_of(texts).numbered("n", 1)
        joined = both.derive("select this.n, this.text, s.n as m from this left join this as s using (n) order by n")
        expected = [chr(ord("a") + it % 7) for it in range(200)]
        expected = [*(it for it in expected if it != "b"), *expected]
        assert both.rows("select n, text from this") == list(enumerate(expected, start=1))
        assert [row[1] for row in joined.rows()] == expected
        assert [len(part) for part in joined.row_lists(("n", "text"), 300)] == [300, len(expected) - 300]
        assert joined.numbered("again").rows("select again + 1, text from this") == list(enumerate(expected, start=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_function_is_called_for_each_row(spark: SparkCluster, tmp_path: Path) -> None:
    with spark.engine_in(tmp_path / "work") as engine:
        engine.register("norm_email", norm_email)
        texts = engine.text_table(("text",), [("Ann@Example.com",), ("no address",), ("b@example.org",)])
        called = engine.call("norm_email", texts, ("text",))
        expected = [("Ann@Example.com", "ann@example.com"), ("b@example.org", "b@example.org"), ("no address", None)]
        assert sorted(called.rows()) == expected


VALUES = ("9000000000000000000", "1", "2.5", "-0.5", "1e16", "0.1", "nan", "-inf", "", " 7 ")
STATEMENTS = (
    "select sum(number) from (select text::bigint as number from this where text in ('9000000000000000000', '1'))",
    "select sum(try_cast(text as bigint)) as total from this where text <> '1'",
    "select text::double as number from this where text <> ''",
    "select text::double::varchar as text from this where text <> ''",
    "select text::double::bigint as number from this where text in ('2.5', '-0.5', '1', '0.1')",
    "select min(upper(text)) over (partition by length(text)) as least from this",
    "select arg_min(nullif(text, ''), length(text)) as shortest from this",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_sums_casts_and_windows_have_the_values_of_the_contract(spark: SparkCluster, tmp_path: Path) -> None:
    def values(engine: AnyEngine, sql: str) -> list[str]:
        texts = engine.text_table(("text",), [(value,) for value in (*VALUES, VALUES[0])])
        return sorted(map(str, texts.derive(sql).rows()))

    with small_engine(tmp_path / "own") as own, spark.engine_in(tmp_path / "work") as engine:
        for sql in STATEMENTS:
            assert values(engine, sql) == values(own, sql), sql


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_register_without_a_log_begins_one(spark: SparkCluster, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with spark.engine_in(tmp_path / "work") as engine:
        batches = Batches(engine, state)
        batches.next([["A", "X"], ["B"]])
        shutil.rmtree(StateFolders(state).register_events)
        batches.next([["A"]])
    assert [it.change for it in history_of("CUST001", state).events] == ["known", "shrank"]


# ---------------------------------------------------------------------------------------------- without the extra


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as refused:
        engines.prepare_engine(tmp_path, memory_limit_mb=512, spark_master="local[2]")
    assert "SERVICE_ENGINE=spark" in refused.value.message
    assert "pip install --require-hashes -r requirements/spark.txt" in refused.value.hint
    engines.refuse_missing("")


@pytest.mark.parametrize(
    "master", ("spark", "local[0]", "http://host", "spark://", "spark://host", "local[*] --conf x=y")
)
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
