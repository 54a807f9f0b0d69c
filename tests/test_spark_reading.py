"""Tasks of Spark read of an export what the embedded engine reads, or refuse it in the same words."""

from __future__ import annotations

import gzip
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.engine.contract import Engine
from service.errors import InputError, RateLimitedError, TransientError, UnreadableFile
from service.model import CRM, ECOM, InputFile, Source
from service.readers.rows import RejectedRow
from tests.small_batches import NOON, delivered_file, small_engine
from tests.spark_runs import SparkCluster, read_by_tasks

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
    source: Source, file_name: str, contents: dict[str, bytes | str], spark: SparkCluster, tmp_path: Path
) -> None:
    with (
        read_by_tasks(),
        spark.engine_in(tmp_path / "spark") as engine,
        small_engine(tmp_path / "embedded") as embedded,
    ):
        for name, content in contents.items():
            file = delivered_file(source, tmp_path / file_name, content)
            found = what_is_read(engine, file)
            assert found == what_is_read(embedded, file), name
            if isinstance(found[0], list):
                assert bool(found[0]) == (name not in WITHOUT_ROWS), name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_plain_file_is_read_in_parts_and_its_rows_are_in_order(spark: SparkCluster, tmp_path: Path) -> None:
    with read_by_tasks(), spark.engine_in(tmp_path / "spark") as engine:
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
    spark: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    with read_by_tasks(), spark.engine_in(tmp_path / "spark") as engine:
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
    monkeypatch.setattr(exports, "_ROWS_OF_A_ROW_GROUP", 4)
    monkeypatch.setattr(exports, "_CHARACTERS_OF_A_ROW_GROUP", 60)
    rows = [(number, ("x" * (50 if number > 10 else 1), None, "")) for number in range(1, 16)]
    rejects: list[Any] = []
    groups = list(exports._row_groups(iter([*rows, RejectedRow(16, "stray_quote", "line 17")]), rejects.append))
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
