"""The Parquet files of a set say what its CSV files say: the same customers, records and reasons, with types."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from service.verify.parquet_footer import row_count
from tests.case_runs import CaseRun, case_names
from tests.sizes import examples
from tests.small_batches import (
    crm_text,
    ecom_text,
    integrate_pair,
    parquet_of,
    published,
    rows_of,
    small_engine,
    write_pair,
)

MASTER_TYPES = {
    **dict.fromkeys(("unified_id", "full_name", "email", "phone"), "VARCHAR"),
    "signup_date": "DATE",
    "source_system": "VARCHAR[]",
    "status": "VARCHAR",
    "record_count": "INTEGER",
    "match_reason": "VARCHAR",
}
RECORD_TYPES = {
    "ordinal": "BIGINT",
    **dict.fromkeys(("source", "source_id", "record_key", "unified_id"), "VARCHAR"),
    "is_kept": "BOOLEAN",
    **dict.fromkeys(("full_name", "email", "phone"), "VARCHAR"),
    "signup_date": "DATE",
    **dict.fromkeys(("status", "via_source", "via_id", "rules"), "VARCHAR"),
    "via_ordinal": "BIGINT",
    "phone_key": "VARCHAR",
    "status_stated": "BOOLEAN",
}
FORMULA = re.compile(r"'\s*[=+\-@\t\r＝＋－＠]")


def text_of(cell: str) -> str | None:
    """A cell of the master as its value: without the quotes before a formula, None for N/A."""
    if cell == "N/A":
        return None
    if not FORMULA.match(cell):
        return cell
    return cell[1:-1].replace("''", "'") if cell.endswith("'") else cell[1:]


def number_of(unified_id: str) -> int:
    return int(unified_id.removeprefix("CUST"))


def customers_in_csv(folder: Path) -> list[dict[str, Any]]:
    """What ``customer_master.parquet`` must hold, from the CSV files of the same set."""
    reasons = {row["kept_id"]: row["match_reason"] for row in rows_of(folder / "duplicate_report.csv")}
    counts = Counter(row["unified_id"] for row in rows_of(folder / "crosswalk.csv"))
    found: list[dict[str, Any]] = []
    for row in rows_of(folder / "customer_master.csv"):
        values: dict[str, Any] = {name: text_of(cell) for name, cell in row.items()}
        day = values["signup_date"]
        values["signup_date"] = day and date.fromisoformat(day)
        values["source_system"] = row["source_system"].split("+")
        id_ = row["unified_id"]
        found.append(values | {"record_count": counts[id_], "match_reason": reasons.get(id_)})
    return found


def check_records(folder: Path, records: list[dict[str, Any]]) -> None:
    """Compare ``records.parquet`` with crosswalk, evidence and master of the same set."""
    assert records == sorted(records, key=lambda row: (number_of(row["unified_id"]), row["ordinal"]))
    by_ordinal = sorted(records, key=lambda row: row["ordinal"])
    assert [row["ordinal"] for row in by_ordinal] == list(range(len(records)))
    crosswalk = [tuple(row.values()) for row in rows_of(folder / "crosswalk.csv")]
    known = ("unified_id", "source", "source_id", "record_key")
    assert [tuple(row[name] for name in known) for row in by_ordinal] == crosswalk
    evidence = [tuple(row.values()) for row in rows_of(folder / "match_evidence.csv")]
    linked = ("unified_id", "source", "source_id", "via_source", "via_id", "rules")
    assert [tuple(row[name] for name in linked) for row in records if not row["is_kept"]] == evidence
    kept = [row for row in records if row["is_kept"]]
    assert {row[name] for row in kept for name in linked[3:]} <= {None}
    _, master = parquet_of(folder / "customer_master.parquet")
    assert [row["unified_id"] for row in kept] == [row["unified_id"] for row in master]
    for record, customer in zip(kept, master, strict=True):
        members = [row for row in records if row["unified_id"] == customer["unified_id"]]
        assert {row["source"] for row in members} == set(customer["source_system"])
        for name in ("full_name", "email", "phone", "signup_date", "status"):
            assert customer[name] in {row[name] for row in members} | {None}
            assert name == "status" or record[name] in (None, customer[name])


@pytest.mark.parametrize("name", case_names())
def test_the_typed_files_of_a_set_say_what_its_csv_files_say(name: str, case_run: Callable[[str], CaseRun]) -> None:
    run = case_run(name)
    sets = sorted(run.outbox.glob("batches/*"))
    assert sets or run.code
    for folder in sets:
        types, master = parquet_of(folder / "customer_master.parquet")
        assert types == MASTER_TYPES
        assert master == customers_in_csv(folder)
        types, records = parquet_of(folder / "records.parquet")
        assert types == RECORD_TYPES
        check_records(folder, records)


def test_a_formula_is_not_escaped_and_a_missing_value_is_null(tmp_path: Path) -> None:
    crm = crm_text([("1", "=Ann Lee'", "a@x.org", None, "0987-01-02", "+active"), ("2", "@b", "N/A", "", "", None)])
    integrate_pair(write_pair(tmp_path / "in", crm, "[]"), tmp_path / "out")
    folder = published(tmp_path / "out")
    _, master = parquet_of(folder / "customer_master.parquet")
    assert [tuple(row.values())[1:7] for row in master] == [
        ("=Ann Lee'", "a@x.org", None, date(987, 1, 2), ["CRM"], "+active"),
        ("@B", None, None, None, ["CRM"], None),
    ]
    assert master == customers_in_csv(folder)


def test_files_without_rows_have_the_same_columns(tmp_path: Path) -> None:
    integrate_pair(write_pair(tmp_path / "in", crm_text([]), ecom_text([])), tmp_path / "out")
    folder = published(tmp_path / "out")
    assert parquet_of(folder / "customer_master.parquet") == (MASTER_TYPES, [])
    assert parquet_of(folder / "records.parquet") == (RECORD_TYPES, [])


def test_a_removed_record_has_the_evidence_of_its_last_step_and_its_own_values(tmp_path: Path) -> None:
    rows = [
        ("1", "Ann Lee", "ann@x.org", "2125550100", "2023-01-15", "active"),
        ("2", "A. Lee", "ann@x.org", "2125550101", None, None),
        ("3", "Annie", None, "2125550101", None, None),
    ]
    integrate_pair(write_pair(tmp_path / "in", crm_text(rows), "[]"), tmp_path / "out")
    _, records = parquet_of(published(tmp_path / "out") / "records.parquet")
    assert [(row["full_name"], row["is_kept"], row["via_id"], row["rules"]) for row in records] == [
        ("Ann Lee", True, None, None),
        ("A. Lee", False, "1", "email"),
        ("Annie", False, "2", "phone"),
    ]


def test_phones_are_compared_as_the_columns_phone_and_phone_key_say(tmp_path: Path) -> None:
    """Numbers of the default region by ``phone``; foreign ones and digits that are no number by ``phone_key``."""
    rows = [(str(number), f"Ann {name}", None, phone, None, None) for number, (name, phone) in enumerate(_PHONES, 1)]
    integrate_pair(write_pair(tmp_path / "in", crm_text(rows), "[]"), tmp_path / "out")
    _, records = parquet_of(published(tmp_path / "out") / "records.parquet")
    by_id = {row["source_id"]: (row["phone"], row["phone_key"]) for row in records}
    assert list(map(by_id.get, "12345")) == [
        ("5550101", None),
        ("442079460958", "+442079460958"),
        (None, "raw:212555010177"),
        (None, None),
        ("2125550101", None),
    ]


_PHONES = (
    ("Lee", "+1-555-0101"),
    ("Moe", "+44 20 7946 0958"),
    ("Ray", "212 555 010 177"),
    ("Poe", "call me"),
    ("Roe", "+1 212 555 0101"),
)


# ---------------------------------------------------------------------------------------------------- any table


@pytest.mark.parametrize("rows", [0, 70_000])
def test_the_number_of_threads_changes_neither_schema_nor_rows_nor_order(tmp_path: Path, rows: int) -> None:
    select = (
        f"select (i * 7919) % {rows + 1} as n, [md5(i::varchar)] as text, i % 5 = 0 as flag from range({rows}) as t(i)"
    )
    found = []
    for threads in (1, 4):
        path = tmp_path / f"{threads}.parquet"
        with small_engine(tmp_path / f"work{threads}", threads=threads) as engine:
            engine.text_table(("x",), ()).derive(select).write_parquet(path, "n", ("n", "text", "flag"))
        found.append(parquet_of(path))
    assert found[0] == found[1]
    assert [row["n"] for row in found[0][1]] == sorted(row["n"] for row in found[0][1])


def write(path: Path, rows: int) -> bytes:
    columns = "i as n, [i::varchar, null] as texts, date '2024-01-15' + (i % 9)::int as day, {'a': i % 2 = 0} as inner"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select {columns} from range({rows}) as t(i)) to '{path}' (row_group_size 2048)")
    return path.read_bytes()


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 8191, 8192, 50_000])
def test_the_footer_states_the_number_of_rows(tmp_path: Path, rows: int) -> None:
    write(tmp_path / "t.parquet", rows)
    assert row_count(tmp_path / "t.parquet") == rows


def test_a_footer_that_is_damaged_or_missing_states_nothing_or_a_number(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.parquet", 3000)
    damaged = tmp_path / "damaged.parquet"
    for length in (0, 3, 4, 7, 8, 11, 12, len(whole) - 1):
        damaged.write_bytes(whole[:length])
        assert row_count(damaged) is None
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    r = random.Random(1)
    for _ in range(examples(1000)):
        changed = bytearray(whole)
        for at in r.sample(range(len(whole) - footer, len(whole)), 3):
            changed[at] = r.choice((0x00, 0xFF, 0x1C, 0x9C, 0xF9, r.randrange(256)))
        damaged.write_bytes(changed)
        assert row_count(damaged) is None or isinstance(row_count(damaged), int)
    deep = b"\x1c" * 100_000
    damaged.write_bytes(b"PAR1" + deep + len(deep).to_bytes(4, "little") + b"PAR1")
    assert row_count(damaged) is None
