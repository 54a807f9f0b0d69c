"""Spark gives what the embedded engine gives, byte for byte; without it the setting says what to install."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.generate import write_messy_pair
from service import engine as engines
from service.engine import plain_files
from service.engine.components import smallest_of_component
from service.engine.contract import Engine
from service.errors import InputError, RateLimitedError, SettingsError, TransientError, UnreadableFile
from service.model import CRM, ECOM, InputFile, Source
from service.pipeline.evidence import WALK, breadth_first_from
from service.pipeline.fields.email import norm_email
from service.progress import Meter
from service.readers import csv_sniff, json_window
from service.readers import rows as readers_rows
from service.readers.rows import RejectedRow
from service.settings import Settings
from tests import regenerate_analytics, small_exports
from tests.case_runs import CaseRun, case_names, settings_of
from tests.regenerate import outcome_of, stamped
from tests.sizes import IS_FULL
from tests.small_batches import (
    NOON,
    delivered_file,
    integrate_folder,
    integrate_pair,
    published,
    rows_of,
    small_engine,
)
from tests.worlds import CASES, ROOT

CASE_NAMES = (
    *("the_sample", "merged_split_retired", "rejects", "csv_ragged_rows", "json_lines", "filled_gaps", "formula_cells"),
    *("names", "foreign_phones", "reached_over_others", "same_id_twice", "turkish_customers", "unusable_values"),
)
WHOLE_CASES = [name for name in case_names() if not (CASES / name / "expected" / "error.txt").exists()]
_MISSING = [name for name in ("pyspark", "pyarrow", "pandas") if importlib.util.find_spec(name) is None]
MASTER = "local[2]"
IN_A_GROUP = 20_000
"""Customers of one large group."""


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


def by_both(exports: Path, folder: Path, batch: int = 1) -> tuple[Path, Path]:
    """The sets of the embedded engine and of Spark, each in the next batch of its own register, in ``folder``."""
    sets: dict[str, Path] = {}
    for engine in ("embedded", "spark"):
        given = {"engine": engine, "state": folder / engine / "state", "memory_limit_mb": 3000}
        outbox = folder / engine / "outbox"
        integrate_pair(exports, outbox, NOON + timedelta(hours=batch), spark_master=MASTER, **given)
        sets[engine] = published(outbox).rename(folder / f"{engine}_{batch}")
    return sets["embedded"], sets["spark"]


def assert_same_files(expected: Path, found: Path) -> None:
    for path in expected.iterdir():
        if path.name not in ("manifest.json", "integration_log.jsonl"):
            assert path.read_bytes() == (found / path.name).read_bytes(), path.name


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
def test_a_large_batch_and_the_next_have_the_same_files(
    spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        expected, found = by_both(exports, tmp_path, batch)
        assert_same_files(expected, found)
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
@pytest.mark.parametrize("shape", ("one phone number of half of all", "shuffled chain"))
def test_a_batch_that_is_one_large_group_has_the_same_files(
    shape: str, spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed(), "FEW_NODES", 0)
    monkeypatch.chdir(tmp_path)
    crm, _ = write_messy_pair(tmp_path, 100)
    numbers = list(range(IN_A_GROUP))
    random.Random(1).shuffle(numbers)
    hub = [(number, number if number % 2 else 0) for number in numbers]
    add_customers(crm, chain(numbers) if shape == "shuffled chain" else hub)
    assert_same_files(*by_both(tmp_path, tmp_path))


# ------------------------------------------------------------------------------------------------- exports

HEAD = "customer_id,full_name,email,phone,signup_date,status\n"
ROWS = [f'C{it},"Ann {it}\nRoe",ann{it}@x.example,,,\n' for it in range(30)]
LATIN = "".join(ROWS).replace("Ann", "Ren\xe9").encode("cp1252")
CSV_FILES: dict[str, bytes | str] = {
    "quoted line breaks": HEAD + "".join(ROWS),
    "\\r\\n": (HEAD + "".join(ROWS)).replace("\n", "\r\n"),
    "several kinds of line breaks": HEAD + "\n\r".join(ROWS),
    "\\r alone": (HEAD + "".join(ROWS)).replace("\n", "\r"),
    "blank lines": HEAD + "\n , , , , , \n\n".join(ROWS) + "\n\n",
    "a row over several parts": HEAD + "".join(ROWS) + f'C,"{"long, " * 90}\n""\n",,,,\n' + "".join(ROWS),
    "no line break at the end, after a byte order mark": "\ufeff" + HEAD + "".join(ROWS).rstrip("\n"),
    "Ctrl-Z at the end": HEAD + "".join(ROWS) + "\x1a\x1a",
    "a quote that misleads the cuts": HEAD + 'C,5" Ann,,,,\n' + "".join(ROWS),
    "ragged": HEAD + "".join(ROWS[:20]) + "C,Ann,,,,,,too,many\n" * 4 + "C,short\n" + "".join(ROWS[20:]),
    "a stray quote": HEAD + "".join(ROWS[:20]) + 'C,"Ann" Roe,,,,\n' + "".join(ROWS[20:]),
    "many columns": HEAD.replace("\n", ",b,c,d\n") + "".join(ROWS).replace(",,,\n", ',,,,,""\n'),
    "many columns and a blank row": HEAD.replace("\n", ",b,c,d\n") + ",,,,,,,,x\n,,,,,,,,\n" + ",,,\n".join(ROWS),
    "Windows-1252": HEAD.encode() + LATIN,
    "Windows-1252 behind the head": HEAD.encode() + "".join(ROWS).encode() + LATIN,
    "a byte that is not UTF-8": (HEAD + "é\n" * 9 + "".join(ROWS)).encode() + b"C,\xff,,,,\n",
    "UTF-16": (HEAD + "".join(ROWS)).encode("utf-16"),
    "NUL bytes": HEAD + "".join(ROWS) + "C,\0,,,,\n",
    "a NUL byte in a ragged file": HEAD + "too,many,,,,,,cells\n" + "".join(ROWS) + "C,\0,,,,\n",
    "a quote that is never closed": HEAD + "".join(ROWS) + 'C,"Ann,,,,\n' + "C,Ann,,,,\n" * 9,
    "a header alone": HEAD + "\n" * 70,
}
ELEMENTS = [{"id": it, "name": {"first": "Ann", "last": f"Roe {it}"}} for it in range(30)]
NESTED = [{"id": it, "tags": [{"id": 1}, {"id": 2}], "name": {"first": "Ann"}} for it in range(30)]
JSON_FILES: dict[str, bytes | str] = {
    "an array": json.dumps(ELEMENTS),
    "members before the array": json.dumps({"count": 30, "customers": ELEMENTS}, indent=2),
    "no customer": '{"customers": []}' + " " * 70,
    "a number as text in the last part": json.dumps([*ELEMENTS, {"id": 7.50, "name": {"first": "Ann"}}]),
    "an odd element in the last part": json.dumps([*ELEMENTS, "Ann", None, {"id": {"n": 1}}, {"id": "\ud800"}]),
    "another type in the last part": json.dumps([*ELEMENTS, {"id": 7, "name": "Ann Lee"}]),
    "objects inside that mislead the cuts": json.dumps({"customers": NESTED}, separators=(",", ":")),
    "JSON Lines": "\n".join(map(json.dumps, ELEMENTS)),
    "members after the array": json.dumps({"customers": ELEMENTS, "next": None}),
    "NaN": json.dumps([*ELEMENTS, {"id": float("nan")}]),
    "truncated": json.dumps({"customers": ELEMENTS})[:-40],
    "malformed": json.dumps(ELEMENTS).replace('"Roe 20"', "Roe"),
    "NUL bytes": json.dumps(ELEMENTS).replace("Roe 20", "\0"),
    "an escaped NUL": json.dumps(ELEMENTS).replace("Roe 20", "\\u0000"),
}
PACKED = {"packed": gzip.compress((HEAD + "".join(ROWS)).encode())}
WITHOUT_ROWS = {"a header alone", "no customer"}


@contextmanager
def read_by_tasks() -> Iterator[None]:
    """Files of any size are read by tasks, in parts of a few rows."""
    reading = importlib.import_module("service.engine.spark_reading")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PART_BYTES", 200)
        patch.setattr(json_window, "_SMALLEST_PART_BYTES", 1)
        patch.setattr(json_window, "_HEAD_BYTES", 1 << 10)
        patch.setattr(csv_sniff, "HEAD_BYTES", 256)
        patch.setattr(plain_files, "_MANY_COLUMNS", 8)
        patch.setattr(readers_rows, "REJECTS_IN_MEMORY", 3)
        yield


def what_is_read(engine: Engine, file: InputFile) -> Any:
    """Rows, rejects and report of a file, or why it is refused."""
    try:
        table, report = engine.read(file)
    except InputError as error:
        return type(error), error.message, error.where, error.found, error.hint
    return table.rows("from this order by row_number"), list(report.rejects), replace(report, rejects=())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("source", "file_name", "contents"),
    [
        (CRM, "crm_customers.csv", CSV_FILES),
        (CRM, "crm_customers.csv.gz", PACKED),
        (ECOM, "ecommerce_customers.json", JSON_FILES),
    ],
)
def test_tasks_read_what_the_embedded_engine_reads(
    source: Source, file_name: str, contents: dict[str, bytes | str], spark: None, tmp_path: Path
) -> None:
    with read_by_tasks(), opened(tmp_path / "spark") as engine, small_engine(tmp_path / "embedded") as embedded:
        for name, content in contents.items():
            file = delivered_file(source, tmp_path / file_name, content)
            found = what_is_read(engine, file)
            assert found == what_is_read(embedded, file), name
            if isinstance(found[0], list):
                assert bool(found[0]) == (name not in WITHOUT_ROWS), name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_plain_file_is_read_in_parts_and_its_rows_are_in_order(spark: None, tmp_path: Path) -> None:
    with read_by_tasks(), opened(tmp_path / "spark") as engine:
        for source, name, content in (
            (CRM, "crm_customers.csv", HEAD + "".join(ROWS)),
            (ECOM, "ecommerce_customers.json", json.dumps(ELEMENTS)),
        ):
            before = set((tmp_path / "spark").rglob("*.parquet"))
            table, _ = engine.read(delivered_file(source, tmp_path / name, content))
            assert len(set((tmp_path / "spark").rglob("*.parquet")) - before) > 3
            numbered = table.numbered("position").rows("select position, row_number from this order by position")
            assert numbered == [(it, it + 1) for it in range(30)]
            assert table.count() == 30


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_export_that_executors_cannot_reach_is_no_fault_of_the_file(
    spark: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    with read_by_tasks(), opened(tmp_path / "spark") as engine:
        monkeypatch.chdir(tmp_path / "here")
        own = Path("/proc/self/cwd")  # of another process it is another folder
        for source, name, content in (
            (CRM, "crm_customers.csv", CSV_FILES["quoted line breaks"]),
            (CRM, "crm_customers.csv", CSV_FILES["UTF-16"]),
            (ECOM, "ecommerce_customers.json", JSON_FILES["an array"]),
        ):
            with pytest.raises(TransientError) as failed:
                engine.read(delivered_file(source, own / name, content))
            assert "SERVICE_INBOX" in failed.value.hint


def test_rows_of_any_number_and_length_are_kept_in_bounded_memory(tmp_path: Path, monkeypatch: Any) -> None:
    exports = pytest.importorskip("service.engine.spark_exports")
    monkeypatch.setattr(exports, "_ROWS_OF_A_GROUP", 4)
    monkeypatch.setattr(exports, "_CHARACTERS_OF_A_GROUP", 60)
    rows = [(number, ("x" * (50 if number > 10 else 1), None, "")) for number in range(1, 16)]
    rejects: list[Any] = []
    groups = list(exports._groups(iter([*rows, RejectedRow(16, "stray_quote", "line 17")]), rejects.append))
    assert [row for group in groups for row in group] == rows
    assert [len(group) for group in groups] == [4, 4, 4, 2, 1]
    assert [it.row_number for it in rejects] == [16]


def test_an_error_of_a_task_arrives_with_all_of_its_parts() -> None:
    error = UnreadableFile("a quote is opened and never closed", where="line 7", found="that", hint="close it")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is UnreadableFile
    assert arrived.explained() == error.explained()
    limited = RateLimitedError(NOON)
    assert pickle.loads(pickle.dumps(limited)).explained() == limited.explained()


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
        texts = engine.text_table(("one", "other"), edges)
        links = texts.derive("select one::bigint as one, other::bigint as other from this")
        found = engine.components(links, size).rows("select ordinal, group_id from this order by ordinal")
    assert found == list(enumerate(smallest_of_component(size, [(one, other)]).tolist()))


def test_groups_are_walked_in_parts_as_all_at_once(spark: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches end within groups, some groups are larger than a part, and ordinals of groups interleave."""
    groups = importlib.import_module("service.engine.spark_groups")
    record_batch = importlib.import_module("pyarrow").RecordBatch
    monkeypatch.setattr(groups, "_MANY_ROWS", 10)
    chance = random.Random(7)
    kept_of = {ordinal: chance.choice((0, 1, 2, 50)) for ordinal in range(3, 100)} | {it: it for it in (0, 1, 2, 50)}
    rows = sorted({(kept_of[it], it, chance.randrange(40) * 100 + kept_of[it]) for it in range(100) for _ in "ab"})
    parts = (zip(*rows[start : start + 7], strict=True) for start in range(0, len(rows), 7))
    batches = [record_batch.from_arrays(list(map(np.array, part)), ["kept", "ordinal", "value"]) for part in parts]
    found = list(groups.OfTask(WALK).results(iter(batches)))
    kept, ordinal, value = map(np.array, zip(*sorted(rows, key=lambda row: row[1:]), strict=True))
    expected = zip(*(it.tolist() for it in breadth_first_from(np.unique(kept), ordinal, value)), strict=True)
    assert len(found) > 2
    assert sorted((row["ordinal"], row["via"]) for batch in found for row in batch.to_pylist()) == sorted(expected)


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
