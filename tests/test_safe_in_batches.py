"""``SERVICE_MATCHING=safe`` in whole batches: reasons, the review queue, decisions, and fields that only it reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service import documents
from service.documents import Manifest
from service.errors import TooManyRecords
from service.jobs.proving import prover
from service.settings import Settings
from service.verify import VerifyReport
from service.verify.findings import Proof
from tests.small_batches import integrate_pair, published, rows_of, write_pair
from tests.test_proof import altered_parquet

HEADER = ("customer_id", "full_name", "email", "phone")
SAFE: dict[str, Any] = {"matching": "safe"}
NO_CUSTOMERS = '{"customers": []}'


def csv_of(*rows: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


OFFICE = csv_of(
    HEADER,
    ("C1", "Orla Byrne", "orla.byrne@northwind.test", "312-555-0100"),
    ("C2", "Pavel Novak", "pavel.novak@northwind.test", "312-555-0100"),
    ("C3", "Orla Byrne", "obyrne@northwind.test", "312-555-0100"),
    ("C4", "Zdenka Kowalczyk", "zdenka.kowalczyk@mail.test", ""),
    ("C5", "Zdenka Kowalcyzk", "zdenka.kowalczik@mail.test", ""),
)


def _safe(tmp_path: Path, crm: str, **settings: Any) -> Path:
    """The set that is published of one CRM export."""
    integrate_pair(write_pair(tmp_path / "in", crm, NO_CUSTOMERS), tmp_path / "out", **{"matching": "safe", **settings})
    return published(tmp_path / "out")


def _names(folder: Path) -> list[str]:
    return [row["full_name"] for row in rows_of(folder / "customer_master.csv")]


def test_people_who_share_a_number_stay_apart_and_typing_errors_are_found(tmp_path: Path) -> None:
    folder = _safe(tmp_path, OFFICE)
    assert _names(folder) == ["Orla Byrne", "Pavel Novak", "Zdenka Kowalczyk"]
    evidence = rows_of(folder / "match_evidence.csv")
    assert [(row["removed_id"], row["via_id"], row["rules"]) for row in evidence] == [
        ("C3", "C1", "phone+name"),
        ("C5", "C4", "weighed"),
    ]
    log = (folder / "integration_log.txt").read_text(encoding="utf-8")
    assert "Record C5 merged with C4 (weighed evidence)" in log
    assert "Literal matching" not in log


def test_the_review_queue_names_records_and_fields_and_no_value(tmp_path: Path) -> None:
    crm = csv_of(
        HEADER,
        ("C1", "Ada Quimby", "ada@mail.test", "212-555-0143"),
        ("C2", "Ada Quimby", "ada@mail.test", "212-555-0143"),
        ("C3", "Quimby", "", "212-555-0143"),
        ("C4", "Ben Quimby", "ben@mail.test", "212-555-0143"),
        ("C5", "Ben Quimby", "ben@mail.test", "212-555-0143"),
    )
    folder = _safe(tmp_path, crm)
    questions = rows_of(folder / "review_queue.csv")
    assert list(questions[0]) == ["left_source", "left_id", "right_source", "right_id", "weight", "evidence", "against"]
    assert [(it["left_id"], it["right_id"]) for it in questions] == [("C1", "C3"), ("C3", "C4")]
    assert {*questions[0]["evidence"].split(", ")} == {"phone same", "last same"}


def test_no_question_is_asked_about_one_customer(tmp_path: Path) -> None:
    crm = csv_of(
        HEADER,
        ("C1", "John Smith", "jsmith@mail.test", ""),
        ("C1", "John Smith", "", "212-555-0101"),
    )
    assert rows_of(_safe(tmp_path, crm) / "review_queue.csv") == []


def test_the_literal_set_has_no_review_queue(tmp_path: Path) -> None:
    assert not (_safe(tmp_path, OFFICE, matching="literal") / "review_queue.csv").exists()


def test_fields_that_only_safe_reads_part_the_twins(tmp_path: Path) -> None:
    header = ("customer_id", "name", "given", "family", "phone", "born", "street", "tax")
    crm = csv_of(
        header,
        ("C1", "Ada Marlow", "Ada", "Marlow", "617-555-0142", "1994-06-11", "77 Quay Street", "T-100-1"),
        ("C2", "Ben Marlow", "Ben", "Marlow", "617-555-0142", "1994-06-11", "77 Quay Street", "T-100-2"),
        ("C3", "Ada Marlow", "Ada", "Marlow", "", "1994-11-06", "77 Quay St", "T-100-1"),
    )
    fields = {
        "source_id": "customer_id",
        "full_name": "name",
        "phone": "phone",
        "first_name": "given",
        "last_name": "family",
        "birth_date": "born",
        "address": "street",
        "identifier.tax": "tax",
    }
    folder = _safe(tmp_path, crm, sources=[{"name": "CRM", "fields": fields}])
    assert _names(folder) == ["Ada Marlow", "Ben Marlow"]


def test_rows_of_one_id_are_one_customer_whatever_they_say(tmp_path: Path) -> None:
    crm = csv_of(HEADER, ("C1", "Ann Roe", "ann@roe.test", ""), ("C1", "Bob Sale", "bob@sale.test", ""))
    assert _names(_safe(tmp_path, crm)) == ["Ann Roe"]


def proof_of(folder: Path, archive: Path | None = None) -> Proof:
    """What is proved of a set, by its stated numbers."""
    manifest = documents.read(folder / "manifest.json", Manifest)
    return prover(Settings(**SAFE)).prove(folder, "the set", manifest, archive)


@pytest.mark.large
def test_a_set_of_weighed_evidence_is_said_to_be_not_proved(tmp_path: Path) -> None:
    proof = proof_of(_safe(tmp_path, OFFICE), tmp_path / "in")
    assert (proof.findings, proof.is_unproved) == ([], True)
    assert proof.notes == [
        "the set is not proved: weighed evidence made its customers. It was only checked that they follow from ids,"
        " decisions and the numbers `weighed`; numbers and weights are taken as stated"
    ]
    assert VerifyReport(sets=1, proved=0).sentence.startswith("ok: 1 set, 0 proved, ")


@pytest.mark.large
@pytest.mark.slow
def test_more_records_than_fit_are_refused_and_the_limit_that_is_advised_suffices(tmp_path: Path) -> None:
    people = (
        (str(number), f"Ann {chr(97 + number % 26)}{number}", f"a{number}@b.test", "") for number in range(15_000)
    )
    crm = csv_of(HEADER, *people)
    with pytest.raises(TooManyRecords) as refused:
        _safe(tmp_path, crm, memory_limit_mb=256)
    advised = int(refused.value.hint.partition("SERVICE_MEMORY_LIMIT_MB=")[2].split()[0])
    assert len(rows_of(_safe(tmp_path, crm, memory_limit_mb=advised) / "customer_master.csv")) == 15_000


@pytest.mark.parametrize(
    ("column", "row", "value", "finding"),
    [
        ("unified_id", 2, "CUST003", "has not one kept record"),
        ("unified_id", 1, "CUST002", "has no other record of its customer before it"),
        ("weighed", 1, 1, "has a weight, but another number weighed than the record before it"),
        ("weighed", 3, 4, "has a number weighed that is not the smallest ordinal with it"),
        (
            "rules",
            1,
            "name",
            "does not agree with the record before it as its rules state; rules that hold: phone+name",
        ),
        ("rules", 4, "name", "does not agree with the record before it as its rules state; rules that hold: weighed"),
        (
            "weight",
            4,
            None,
            "has a weight, but another number weighed than the record before it; or has the same, but no weight",
        ),
        ("weight", 4, 9.5, "is not as records.parquet states it: weight"),
        ("parts", 1, "email same 9.50", "is not as records.parquet states it: parts"),
        ("parts", 0, "email same 9.50", "is kept and has a weight"),
        ("full_name", 0, "Pavel Novak", "rules that hold: phone"),
        ("email", 1, "x@northwind.test", "is not what the archived input gives: email"),
    ],
)
def test_an_altered_set_of_weighed_evidence_is_found(
    office_set: Path, tmp_path: Path, column: str, row: int, value: Any, finding: str
) -> None:
    folder = altered_parquet(office_set, tmp_path / "altered", "records.parquet", column, row, value)
    found = proof_of(folder, office_set.parents[2] / "in").findings
    assert any(finding in it for it in found), found
    assert not any("northwind" in it or "Byrne" in it for it in found)


@pytest.fixture(scope="module")
def office_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that is only read."""
    return _safe(tmp_path_factory.mktemp("office"), OFFICE)
