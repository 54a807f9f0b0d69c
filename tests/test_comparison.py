"""``SERVICE_COMPARE_MATCHING=safe``: a literal batch says what ``safe`` would part, and what it would join."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from service import cli, documents
from service.documents import Manifest
from service.errors import SettingsError
from service.jobs.integration import rules_of
from service.jobs.proving import prover
from service.model import Rules
from service.pipeline.difference import DifferenceCounts, difference
from service.pipeline.literal_cost import MOST_OF_A_KIND, literal_cost
from service.pipeline.matched import Matched
from service.pipeline.matching.decided import integer_table
from service.pipeline.matching.literal import LiteralMatcher
from service.pipeline.survivorship import survive
from service.settings import Settings, load
from tests.sizes import seeds
from tests.small_batches import AnyEngine, crm_text, ecom_text, integrate_pair, published, rows_of, write_pair
from tests.test_laws import Person, records_of

COMPARED: dict[str, Any] = {"compare_matching": "safe"}
NO_CUSTOMERS = ecom_text([])
OFFICE = "312-555-0100"
# A switchboard, a family phone, a typing error in name and address, and a customer about whom both agree.
STORY = (
    ("C1", "Orla Byrne", "orla.byrne@northwind.test", OFFICE, None, None),
    ("C2", "Pavel Novak", "pavel.novak@northwind.test", OFFICE, None, None),
    ("C3", "Orla Byrne", "obyrne@northwind.test", OFFICE, None, None),
    ("C4", "Zdenka Kowalczyk", "zdenka.kowalczyk@mail.test", None, None, None),
    ("C5", "Zdenka Kowalcyzk", "zdenka.kowalczik@mail.test", None, None, None),
    ("C6", "Ida Marlow", "ida.marlow@mail.test", "617-555-0142", None, None),
    ("C7", "Ben Marlow", "ben.marlow@mail.test", "617-555-0142", None, None),
    ("C8", "Ute Sand", "ute.sand@mail.test", "617-555-0177", None, None),
    ("C9", "Ute Sand", "ute.sand@mail.test", None, None, None),
)
Columns = tuple[str, ...]
Row = Sequence[str | None]


def _set_of(folder: Path, crm: Iterable[Row], ecom: Iterable[Row] = (), **settings: Any) -> Path:
    """The set that is published of these exports, in ``folder/out``."""
    pair = write_pair(folder / "in", crm_text([*crm]), ecom_text([*ecom]))
    integrate_pair(pair, folder / "out", **settings)
    return published(folder / "out")


def _cost(folder: Path) -> list[Columns]:
    return [tuple(row.values()) for row in rows_of(folder / "literal_cost.csv")]


def _report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "quality_report.json").read_text(encoding="utf-8"))
    return found


def test_who_shares_a_phone_would_be_parted_and_a_typing_error_would_be_joined(tmp_path: Path) -> None:
    folder = _set_of(tmp_path, STORY, **COMPARED)
    columns = [*rows_of(folder / "literal_cost.csv")[0]]
    assert columns == ["kind", "value", "records", "distinct_names", "unified_ids", "safe_customers"]
    assert _cost(folder) == [
        ("joined_by_safe", "Zdenka Kowalczyk", "2", "2", "CUST002,CUST003", "1"),
        ("parted_by_safe", "Orla Byrne", "3", "2", "CUST001", "2"),
        ("parted_by_safe", "Ida Marlow", "2", "2", "CUST004", "2"),
    ]


@pytest.mark.large
def test_the_counts_are_in_the_report_and_in_both_logs(tmp_path: Path) -> None:
    folder = _set_of(tmp_path, STORY, **COMPARED)
    counts = {"customers": 6, "parted_customers": 2, "joined_customers": 2, "groups_of_joined_customers": 1}
    assert list(_report(folder).items())[-1] == ("safe_matching", counts)
    text = (folder / "integration_log.txt").read_text(encoding="utf-8")
    lines = [line.partition(" - INFO - Safe matching ")[2] for line in text.splitlines() if "Safe matching" in line]
    assert lines == ["would make customers: 6", "would part customers: 2", "would join customers: 2 (in groups: 1)"]
    events = map(json.loads, (folder / "integration_log.jsonl").read_text(encoding="utf-8").splitlines())
    [found] = [event for event in events if event["event"] == "matchers.compared"]
    assert {name: found[name] for name in counts} == counts


@pytest.mark.large
def test_where_both_matchers_agree_the_counts_say_so(tmp_path: Path) -> None:
    folder = _set_of(tmp_path, STORY[-2:], **COMPARED)
    assert _cost(folder) == []
    assert [*_report(folder)["safe_matching"].values()] == [1, 0, 0, 0]
    assert "would join customers: 0\n" in (folder / "integration_log.txt").read_text(encoding="utf-8")


@pytest.mark.large
def test_the_values_of_the_literal_rule_say_how_many_customers_safe_makes_of_them(tmp_path: Path) -> None:
    names = ("Orla Byrne", "Uwe Novak", "Ben Sand", "Kit Marlow")
    clerks = [(f"C{n}", name, None, OFFICE, None, None) for n, name in enumerate(names)]
    assert _cost(_set_of(tmp_path, clerks, **COMPARED)) == [
        ("parted_by_safe", "Orla Byrne", "4", "4", "CUST001", "4"),
        ("phone", "3125550100", "4", "4", "CUST001", "4"),
    ]


@pytest.mark.large
def test_the_comparison_changes_nothing_else_of_the_set(tmp_path: Path) -> None:
    alone = _set_of(tmp_path / "alone", STORY)
    compared = _set_of(tmp_path / "compared", STORY, **COMPARED)
    names = {path.name for path in alone.iterdir()}
    assert names == {path.name for path in compared.iterdir()}
    differ = {name for name in names if (alone / name).read_bytes() != (compared / name).read_bytes()}
    logs = {"integration_log.txt", "integration_log.jsonl"}
    assert differ == logs | {"literal_cost.csv", "quality_report.json", "manifest.json"}
    assert (alone / "literal_cost.csv").read_text(encoding="utf-8") == "kind,value,records,distinct_names,unified_ids\n"
    assert _report(alone) == {name: it for name, it in _report(compared).items() if name != "safe_matching"}


@pytest.mark.large
def test_a_set_with_a_comparison_is_proved_as_one_without(tmp_path: Path) -> None:
    folder = _set_of(tmp_path, STORY, **COMPARED)
    manifest = documents.read(folder / "manifest.json", Manifest)
    without = load()[0]
    for settings in (without, Settings(**COMPARED)):
        proof = prover(settings).prove(folder, "the set", manifest, tmp_path / "in")
        assert (proof.findings, proof.notes, proof.is_unproved) == ([], [], False)
    assert manifest.rules_sha256 == rules_of(without).sha256


@pytest.mark.large
@pytest.mark.slow
def test_where_safe_has_no_room_the_batch_is_published_and_the_log_says_so(tmp_path: Path) -> None:
    people = [
        (f"C{number}", f"Ann Lee{number}", f"ann{number}@mail.test", None, None, None) for number in range(15_000)
    ]
    folder = _set_of(tmp_path, people, memory_limit_mb=256, **COMPARED)
    assert len(rows_of(folder / "customer_master.csv")) == len(people)
    log = (folder / "integration_log.txt").read_text("utf-8")
    assert re.search(
        r"WARNING.* Matchers are not compared: .* 15000 records do not fit; .*SERVICE_MEMORY_LIMIT_MB=\d+ ", log
    )
    assert "safe_matching" not in json.loads((folder / "quality_report.json").read_text("utf-8"))


@pytest.mark.large
def test_fields_that_only_safe_reads_count_in_the_comparison(tmp_path: Path) -> None:
    header = ("customer_id", "full_name", "born", "street")
    rows = [(f"C{n}", name, "1994-06-11", "77 Quay Street") for n, name in enumerate(("Ada Marlow", "Ada Marlowe"))]
    pair = write_pair(tmp_path / "in", crm_text(rows, header), NO_CUSTOMERS)
    fields = {"source_id": "customer_id", "full_name": "full_name"}
    joined = [("joined_by_safe", "Ada Marlow", "2", "2", "CUST001,CUST002", "1")]
    for more, expected in (({}, []), ({"birth_date": "born", "address": "street"}, joined)):
        integrate_pair(pair, tmp_path / "out", sources=({"name": "CRM", "fields": fields | more},), **COMPARED)
        assert _cost(published(tmp_path / "out")) == expected


# ------------------------------------------------------------------------------------------------------------- laws

_FIRST = ("Orla", "Pavel", "Greta", "Ida", "Ben", "Ute", "Kit", "Noor", "Tomas")
_LAST = ("Byrne", "Novak", "Marlow", "Sand", "Okafor", "Lindqvist", "Abernathy")


def _with_typing_error(r: random.Random, text: str) -> str:
    at = r.randrange(1, len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _record(r: random.Random, source_id: str) -> Row:
    """One of few people, with one of few phones or none, and maybe with typing errors."""
    first, last = r.choice(_FIRST), r.choice(_LAST)
    email = f"{first}.{last}@mail.test".lower()
    name = _with_typing_error(r, last) if r.random() < 0.5 else last
    phone = r.choice((*[None] * 6, OFFICE, f"617-555-01{r.randrange(20, 60)}"))
    return source_id, first, name, r.choice((None, email, _with_typing_error(r, email))), phone, None


def _random_pair(r: random.Random) -> tuple[list[Row], list[Row]]:
    """The story among records with equal values, typing errors, and shared phones."""
    crm = [_record(r, f"R{n}") for n in range(20)]
    named = [(row[0], f"{row[1]} {row[2]}", *row[3:], None) for row in crm]
    return [*named, *STORY], [_record(r, f"E{n}") for n in range(12)]


def _partition(folder: Path) -> list[str]:
    """The customer of each record, in the order of the records."""
    return [row["unified_id"] for row in rows_of(folder / "crosswalk.csv")]


def _expected(literal: Sequence[str], safe: Sequence[str]) -> dict[str, list[tuple[int, str, int]]]:
    """Kind -> records, ids and number of customers of ``safe`` of each row, by both partitions."""
    parts: dict[str, list[str]] = defaultdict(list)
    joined: dict[str, list[str]] = defaultdict(list)
    for one, other in zip(literal, safe, strict=True):
        parts[one].append(other)
        joined[other].append(one)
    return {
        "parted_by_safe": sorted((len(it), one, len({*it})) for one, it in parts.items() if len({*it}) > 1),
        "joined_by_safe": sorted((len(it), ",".join(sorted({*it})), 1) for it in joined.values() if len({*it}) > 1),
    }


def _decide(r: random.Random, outboxes: Iterable[Path]) -> None:
    """The same decisions for both outboxes; those that contradict others are refused for both."""
    records = [f"CRM:R{n}" for n in range(20)] + [f"ECOM:E{n}" for n in range(12)]
    asked = [(r.choice(("same", "different")), *r.sample(records, 2)) for _ in range(6)]
    codes = [[cli.main(["decide", *it, "--outbox", str(outbox)]) for it in asked] for outbox in outboxes]
    assert codes[0] == codes[1]
    assert 0 in codes[0]


@pytest.mark.large
@pytest.mark.parametrize("seed", seeds(4))
def test_the_comparison_is_with_what_safe_makes_of_the_same_exports_and_decisions(seed: int, tmp_path: Path) -> None:
    r = random.Random(seed)
    crm, ecom = _random_pair(r)
    pair = write_pair(tmp_path / "in", crm_text(crm), ecom_text(ecom))
    here, there = tmp_path / "compared", tmp_path / "safe"
    for is_decided in (False, True):
        if is_decided:
            _decide(r, (here, there))
        integrate_pair(pair, here, **COMPARED)
        integrate_pair(pair, there, matching="safe")
        compared = published(here)
        literal, safe = _partition(compared), _partition(published(there))
        expected = _expected(literal, safe)
        assert expected["parted_by_safe"], "the switchboard"
        for kind, rows in expected.items():
            found = [row for row in rows_of(compared / "literal_cost.csv") if row["kind"] == kind]
            assert [int(row["records"]) for row in found] == sorted((size for size, *_ in rows), reverse=True)
            assert sorted((int(it["records"]), it["unified_ids"], int(it["safe_customers"])) for it in found) == rows
        counts = _report(compared)["safe_matching"]
        joined = {unified_id for _, ids, _ in expected["joined_by_safe"] for unified_id in ids.split(",")}
        assert counts == {
            "customers": len({*safe}),
            "parted_customers": len(expected["parted_by_safe"]),
            "joined_customers": len(joined),
            "groups_of_joined_customers": len(expected["joined_by_safe"]),
        }


# --------------------------------------------------------------------------------------------------- any two partitions


def _listed(engine: AnyEngine, literal: Sequence[int], safe: Sequence[int]) -> tuple[list[Any], DifferenceCounts]:
    """Rows (kind, records, unified_ids, safe_customers) in their order, and the counts, of two partitions."""
    records = records_of(engine, [Person("CRM", None, f"name {n}", None, None) for n in range(len(literal))])
    matcher = LiteralMatcher()
    keys = matcher.compare(records, engine).keys
    groups = integer_table(("ordinal", "group_id"), enumerate(_by_smallest(literal)), engine)
    matched = Matched(matcher, records, keys, groups, survive(records, groups, Rules()), evidence=keys)
    placed = groups.derive("select ordinal, group_id as customer, group_id::varchar as unified_id from this")
    compared = difference(groups, integer_table(("ordinal", "group_id"), enumerate(_by_smallest(safe)), engine))
    nothing = engine.text_table(("kind", "key"), ()).derive("select kind, key::bigint as key from this")
    found = literal_cost(nothing, matched, placed, compared)
    in_order = "select kind, records, unified_ids, safe_customers from this order by kind, rank_in_kind"
    return found.rows(in_order), compared.counts


def _by_smallest(partition: Sequence[int]) -> list[int]:
    smallest: dict[int, int] = {}
    return [smallest.setdefault(label, ordinal) for ordinal, label in enumerate(partition)]


@pytest.mark.large
@pytest.mark.parametrize("seed", seeds(4))
def test_of_any_two_partitions_the_rows_and_counts_are_those_of_their_definition(engine: AnyEngine, seed: int) -> None:
    r = random.Random(seed)
    literal, safe = ([r.randrange(14) for _ in range(40)] for _ in range(2))
    safe = [one if r.random() < 0.8 else other for one, other in zip(literal, safe, strict=True)]
    expected = _expected([str(it) for it in _by_smallest(literal)], [str(it) for it in _by_smallest(safe)])
    assert all(expected.values())
    rows, counts = _listed(engine, literal, safe)
    for kind, rows_of_kind in expected.items():
        assert sorted(row[1:] for row in rows if row[0] == kind) == rows_of_kind
        sizes = [row[1] for row in rows if row[0] == kind]
        assert sizes == sorted(sizes, reverse=True)
    assert counts.customers == len({*safe})
    assert counts.parted_customers == len(expected["parted_by_safe"])
    assert counts.groups_of_joined_customers == len(expected["joined_by_safe"])
    assert counts.joined_customers == len({it for _, ids, _ in expected["joined_by_safe"] for it in ids.split(",")})


@pytest.mark.large
def test_of_each_kind_the_largest_are_listed_and_all_are_counted(engine: AnyEngine) -> None:
    many = MOST_OF_A_KIND + 3
    whole = [number for number in range(many) for _ in range(2)] + [many - 1]
    parts = list(range(2 * many + 1))
    for literal, safe, kind in ((whole, parts, "parted_by_safe"), (parts, whole, "joined_by_safe")):
        rows, counts = _listed(engine, literal, safe)
        assert [row[0] for row in rows] == [kind] * MOST_OF_A_KIND
        assert rows[0][1] == 3
        assert {row[1] for row in rows[1:]} == {2}
        assert many in (counts.parted_customers, counts.groups_of_joined_customers)


# --------------------------------------------------------------------------------------------------------- settings


def test_a_comparison_of_safe_with_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_COMPARE_MATCHING", "safe")
    assert load()[0].compare_matching == "safe"
    monkeypatch.setenv("SERVICE_MATCHING", "safe")
    with pytest.raises(SettingsError, match=r"SERVICE_COMPARE_MATCHING=safe compares .*: set only one"):
        load()


def test_a_comparison_is_refused_on_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_COMPARE_MATCHING", "safe")
    monkeypatch.setenv("SERVICE_ENGINE", "spark")
    with pytest.raises(SettingsError, match="SERVICE_COMPARE_MATCHING=safe compares all records in one process"):
        load()


@pytest.mark.parametrize("value", ["literal", "fuzzy"])
def test_only_safe_can_be_compared_with(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_COMPARE_MATCHING", value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert caught.value.message == "SERVICE_COMPARE_MATCHING names no matcher to compare with; there is: safe"
