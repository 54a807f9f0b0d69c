"""``explain``: the tree of a customer, what would split it, where its values come from, and why two are one or not.

The laws compare with brute force: take a value or a record away, and group what is left by comparing each with each.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import cli
from service.errors import UsageError
from service.explanation import asked as asked_for
from service.explanation.cuts import cuts_of
from service.explanation.group import Group, SameDecision, TyingValue, closed_group_of, group_of
from service.explanation.likeness import likeness
from service.explanation.questions import explain_one, explain_two
from service.explanation.records import FIELDS, GroupRecord, RecordName, records_of_customer
from service.explanation.text import customer_text, pair_text
from service.explanation.touching import decisions_of, same_decisions
from service.explanation.walk import path_between
from service.folders import Folders
from service.history import History
from service.masters.customer_sets import ChangedSet, CustomerSets
from tests.case_runs import CaseRun, case_names
from tests.sizes import examples
from tests.small_batches import crm_text, integrate_pair, rows_of, write_pair

CaseRuns = Callable[[str], CaseRun]
Drawn = tuple[list[GroupRecord], list[SameDecision]]

# ------------------------------------------------------------------------------------------------------ brute force


def parts_by_comparing(records: Sequence[int], are_tied: Callable[[int, int], bool]) -> list[set[int]]:
    """The parts of some records, each pair of which is compared; the largest first, then by the first record."""
    parts: list[set[int]] = []
    for record in records:
        tied = [part for part in parts if any(are_tied(record, other) for other in part)]
        parts = [part for part in parts if part not in tied]
        parts.append(set().union({record}, *tied))
    return sorted(parts, key=lambda part: (-len(part), min(part)))


def cuts_by_comparing(group: Group) -> dict[tuple[str, int], list[set[int]]]:
    """Each value and record without which the group falls apart -> its parts; nothing of ``cuts_of`` is used."""
    everyone = range(len(group.records))

    def parts(without_value: int | None, without_record: int | None) -> list[set[int]]:
        def are_tied(one: int, other: int) -> bool:
            return any(
                number != without_value and one in value.sharers and other in value.sharers
                for number, value in enumerate(group.values)
            )

        return parts_by_comparing([it for it in everyone if it != without_record], are_tied)

    found = {("value", number): parts(number, None) for number in range(len(group.values))}
    found |= {("record", number): parts(None, number) for number in everyone}
    return {name: several for name, several in found.items() if len(several) > 1}


def check_cuts(group: Group) -> None:
    """Compare ``cuts_of`` with brute force: the same causes, and of each the same parts."""
    cuts = cuts_of(group)
    found = {
        ("record", cut.record) if cut.value is None else ("value", cut.value): list(map(set, cuts.parts(cut)))
        for cut in cuts.found
    }
    assert found == cuts_by_comparing(group)
    for cut in cuts.found:
        parts = cuts.parts(cut)
        assert cuts.sizes(cut) == list(map(len, parts))
        apart = cuts.apart(cut, 3)
        # Of parts of one size any may count as the largest.
        assert len(set(apart)) == min(3, sum(map(len, parts[1:])))
        assert any(set(apart) <= set().union(*parts) - set(part) for part in parts if len(part) == len(parts[0]))
        for one, other in combinations([it for it in range(len(group.records)) if it != cut.record], 2):
            in_one_part = any({one, other} <= set(part) for part in parts)
            assert cuts.parts_two(cut, one, other) == (not in_one_part)


def a_record(ordinal: int, email: str | None, phone: str | None, name: str | None, *, is_kept: bool) -> GroupRecord:
    values = {"full_name": name, "email": email, "phone": phone, "signup_date": None, "status": None}
    source_id = f"C{ordinal}"
    return GroupRecord(
        position=ordinal,
        ordinal=ordinal,
        name=RecordName(source="CRM", source_id=source_id),
        is_kept=is_kept,
        values=values,
        via=None,
        rules=(),
        key=f"CRM id:{source_id}",
    )


values = st.one_of(st.none(), st.sampled_from("abcdef"))
rows = st.lists(st.tuples(values, values, values), min_size=1, max_size=9)
pairs = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=3)


@st.composite
def groups(draw: st.DrawFn) -> Drawn:
    """The records of one customer, as literal rules and decisions group them, and any of them as the kept one."""
    drawn = [
        (email and f"{email}@x.org", phone and f"555010{ord(phone)}", name and f"Ann {name}ee")
        for email, phone, name in draw(rows)
    ]
    decided = {tuple(sorted(pair)) for pair in draw(pairs) if pair[0] != pair[1] and max(pair) < len(drawn)}

    def are_tied(one: int, other: int) -> bool:
        shared = (a is not None and a == b for a, b in zip(drawn[one], drawn[other], strict=True))
        return any(shared) or (min(one, other), max(one, other)) in decided

    members = sorted(parts_by_comparing(range(len(drawn)), are_tied)[0])
    kept = draw(st.sampled_from(members))
    records = [a_record(at, *drawn[at], is_kept=at == kept) for at in members]
    same = [SameDecision(number, f"CRM id:C{one}", f"CRM id:C{other}") for number, (one, other) in enumerate(decided)]
    return records, same


@settings(max_examples=examples(100))
@given(groups())
def test_what_would_split_a_customer_is_what_brute_force_finds(
    drawn: tuple[list[GroupRecord], list[SameDecision]],
) -> None:
    check_cuts(group_of(*drawn))


@settings(max_examples=examples(100))
@given(st.integers(1, 9), st.lists(st.sets(st.integers(0, 8), min_size=2, max_size=5), max_size=9), st.integers(0, 8))
def test_cuts_of_any_graph_are_what_brute_force_finds(size: int, drawn: list[set[int]], kept: int) -> None:
    """Also of one in which nothing connects some records: those that the kept one does not reach do not count."""
    shared = [
        TyingValue("email", str(number), tuple(sorted(it for it in of if it < size))) for number, of in enumerate(drawn)
    ]
    shared = [it for it in shared if len(it.sharers) > 1]
    everyone = range(size)
    reached = next(
        part
        for part in parts_by_comparing(everyone, lambda a, b: any({a, b} <= set(it.sharers) for it in shared))
        if kept % size in part
    )
    at = {record: position for position, record in enumerate(sorted(reached))}
    shared = [
        TyingValue(it.rule, it.compared, tuple(at[n] for n in it.sharers)) for it in shared if it.sharers[0] in at
    ]
    records = [a_record(n, None, None, None, is_kept=record == kept % size) for record, n in at.items()]
    values_of = [[number for number, it in enumerate(shared) if n in it.sharers] for n in range(len(records))]
    check_cuts(Group(records, shared, values_of))


@settings(max_examples=examples(100))
@given(groups())
def test_the_path_between_two_records_is_a_shortest_one(drawn: Drawn) -> None:
    group = closed_group_of(*drawn)
    for one, other in combinations(range(len(group.records)), 2):
        path = path_between(group, one, other)
        assert (path[0], path[-1]) == (one, other)
        assert all(group.shared(a, b) for a, b in pairwise(path))
        assert len(path) - 1 == distance(group, one, other)


def distance(group: Group, one: int, other: int) -> int:
    """The number of links between two records, by comparing each with each."""
    reached, count = {one}, 0
    while other not in reached:
        reached |= {b for a in reached for b in range(len(group.records)) if group.shared(a, b)}
        count += 1
    return count


@pytest.mark.large
def test_a_chain_of_many_records_is_explained_in_one_walk() -> None:
    """Each record shares its address with the one before it, in turn with its phone: every link is a cut."""
    count = 20_000
    chain = [
        a_record(n, f"{(n + 1) // 2}@x.org", f"555{n // 2:07}", None, is_kept=n == count // 2) for n in range(count)
    ]
    group = group_of(chain)
    cuts = cuts_of(group)
    assert len(cuts.found) == len(group.values) + count - 2 == 2 * count - 3
    assert {sum(cuts.sizes(cut)) for cut in cuts.found} == {count, count - 1}
    middle = [cuts.sizes(cut) for cut in cuts.found if cut.record == count // 2]
    assert middle == [[count // 2, count // 2 - 1]]


# ---------------------------------------------------------------------------------------- every customer of every case


def folders_of(run: CaseRun) -> Folders:
    return Folders(None, run.outbox, run.outbox / ".state")


def sets_of(folders: Folders) -> CustomerSets:
    return CustomerSets(folders, History(folders))


def newest_folder(folders: Folders) -> Path:
    found = sets_of(folders).find()
    assert found is not None
    return found.folder


def evidence_of(folder: Path) -> dict[str, list[tuple[str, str, str, str, str]]]:
    """Unified id -> the links of its removed records, as published."""
    links: dict[str, list[tuple[str, str, str, str, str]]] = defaultdict(list)
    for row in rows_of(folder / "match_evidence.csv"):
        unified_id, *link = row.values()
        links[unified_id].append((link[0], link[1], link[2], link[3], link[4]))
    return links


def customers_of(folder: Path) -> Iterator[dict[str, str]]:
    with open(folder / "customer_master.csv", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


@pytest.mark.parametrize("name", case_names())
def test_every_customer_of_a_case_is_explained_by_its_evidence(name: str, case_run: CaseRuns) -> None:
    run = case_run(name)
    folders = folders_of(run)
    sets = sets_of(folders)
    of = sets.find()
    if of is None:
        assert run.code, "only a refused pair publishes nothing"
        return
    links = evidence_of(of.folder)
    for customer in customers_of(of.folder):
        unified_id = customer["unified_id"]
        found = explain_one(unified_id, folders, sets).explained
        assert found is not None
        shown = sorted(found.records, key=lambda it: it.ordinal)
        stated = [
            (it.name.source, it.name.source_id, it.via.source, it.via.source_id, it.rules) for it in shown if it.via
        ]
        assert stated == links[unified_id]
        name_of = {it.ordinal: it.name for it in shown}
        for it in shown:
            assert it.is_kept == (it.via_ordinal is None), "each record but the kept one has a parent"
            if it.via_ordinal is not None:
                assert name_of[it.via_ordinal] == it.via
                listed = dict.fromkeys(tie.rule for tie in it.ties if tie.is_listed)
                assert "+".join(listed) == it.rules, "each rule of the reason has its value"
        records = records_of_customer(sets, of, unified_id, 1000)
        check_cuts(group_of(records, same_decisions(decisions_of(sets, of), {it.key for it in records})))


@pytest.mark.parametrize("name", case_names())
def test_the_path_from_the_kept_record_ends_in_the_published_link(name: str, case_run: CaseRuns) -> None:
    folders = folders_of(case_run(name))
    sets = sets_of(folders)
    of = sets.find()
    if of is None:
        return
    for unified_id, links in evidence_of(of.folder).items():
        names = [f"{source}:{source_id}" for source, source_id, *_ in links]
        for link, removed in zip(links, names, strict=True):
            explained = explain_one(unified_id, folders, sets).explained
            if names.count(removed) > 1 or (explained and explained.records[0].name.shown == removed):
                continue  # rows of one id: a name does not say which
            pair = explain_two((unified_id, removed), folders, sets)
            assert pair.is_one
            last = pair.steps[-1]
            assert (last.one.source, last.one.source_id, last.rules) == link[2:]


@pytest.mark.large
@pytest.mark.parametrize("name", case_names())
def test_the_golden_record_of_a_case_has_a_record_for_each_value(name: str, case_run: CaseRuns) -> None:
    folders = folders_of(case_run(name))
    sets = sets_of(folders)
    of = sets.find()
    if of is None:
        return
    for customer in customers_of(of.folder):
        found = explain_one(customer["unified_id"], folders, sets).explained
        assert found is not None
        by_name = {(it.name.source, it.name.source_id): it.values for it in reversed(found.records)}
        assert [cell.field for cell in found.golden] == list(FIELDS)
        for cell in found.golden:
            assert (cell.value is None) == (customer[cell.field] == "N/A")
            assert (cell.taken_from is None) == (cell.origin == "missing")
            held = {record.values[cell.field] for record in found.records} - {None}
            assert (
                cell.holders == [record.values[cell.field] for record in found.records].count(cell.value)
                or not cell.value
            )
            assert {it.value for it in found.alternates if it.field == cell.field} == held - {cell.value}
            if cell.taken_from and [it.name for it in found.records].count(cell.taken_from) == 1:
                assert by_name[cell.taken_from.source, cell.taken_from.source_id][cell.field] == cell.value


# -------------------------------------------------------------------------------------------------------- sentences


def of_case(case_run: CaseRuns, name: str, *asked: str) -> str:
    """What is printed."""
    folders = folders_of(case_run(name))
    if len(asked) == 1:
        return customer_text(explain_one(asked[0], folders))
    return pair_text(explain_two((asked[0], asked[1]), folders))


def published_crm(tmp_path: Path, *rows: tuple[str, str | None, str | None, str | None]) -> Folders:
    """A set of these rows of the CRM: id, name, e-mail, phone."""
    exported = [(id_, name, email, phone, "2023-01-15", "active") for id_, name, email, phone in rows]
    integrate_pair(write_pair(tmp_path / "in", crm_text(exported), "[]"), tmp_path / "out")
    return Folders(None, tmp_path / "out", tmp_path / "out" / ".state")


def test_a_customer_is_a_tree_of_links_with_their_values(case_run: CaseRuns) -> None:
    text = of_case(case_run, "reached_over_others", "CUST001")
    tree = text.partition("Records\n")[2].partition("\n\nWhat")[0]
    assert tree == (
        "  CRM:C1  kept: it has the fewest missing values\n"
        "  └─ CRM:C2  same phone 2125550001\n"
        "     ├─ CRM:C3  same e-mail bea@x.org\n"
        "     │  └─ CRM:C4  same name Bea Roy\n"
        "     │     └─ ECOM:E1  same phone 2125550004\n"
        "     └─ ECOM:E3  same name Bea Lee"
    )
    assert "  without phone 2125550001: parts of 5 and 1; apart: CRM:C1" in text
    assert "  without record CRM:C2: parts of 4 and 1; apart: CRM:C1" in text


def test_two_records_of_one_customer_are_explained_by_the_shortest_path(case_run: CaseRuns) -> None:
    text = of_case(case_run, "reached_over_others", "CRM:C1", "ECOM:E1")
    assert "CRM:C1 and ECOM:E1 are one customer, CUST001." in text
    assert "  CRM:C1 - CRM:C2: same phone 2125550001\n  CRM:C2 - CRM:C3: same e-mail bea@x.org\n" in text
    assert "they share nothing directly; 4 links are the shortest way between them" in text
    assert "  without phone 2125550001" in text
    assert "  without record CRM:C3" in text
    assert "E3" not in text


def test_values_that_were_not_kept_are_listed_with_their_records(case_run: CaseRuns) -> None:
    text = of_case(case_run, "the_sample", "CUST001")
    assert "  e-mail     j.smith@email.com  CRM:CRM005\n" in text
    assert "  no single value and no single record: each link has another beside it" in text


def test_values_that_are_written_in_other_ways_say_by_what_they_are_compared(tmp_path: Path) -> None:
    """The rules compare addresses by the domain in the DNS, names without case: never dots or tags of addresses."""
    folders = published_crm(
        tmp_path,
        ("1", "Ann Weiß", "ann@bücher.de", "+1-212-555-0101"),
        ("2", "Bea Lee", "ann@xn--bcher-kva.de", None),
        ("3", "ann weiss", None, "999 99 99 98"),
        ("4", "Cy Poe", None, "999-999-998"),
        ("5", "Dee Ray", "dee.ray@gmail.com", "2125550155"),
        ("6", "Eva Roe", "deeray@gmail.com", "2125550156"),
        ("7", "J", None, "2125550157"),
        ("8", "J", None, "2125550158"),
    )
    text = customer_text(explain_one("CRM:2", folders))
    assert "CRM:2 belongs to CUST001." in text
    assert "CRM:2  same e-mail ann@xn--bcher-kva.de (there ann@bücher.de, compared as ann@xn--bcher-kva.de)" in text
    assert "CRM:3  same name Ann Weiss (there Ann Weiß, compared as ann weiss)" in text
    assert "CRM:4  same phone 999999998 (digits as written; they are no number)" in text
    apart = pair_text(explain_two(("CRM:5", "CRM:6"), folders))
    assert "dee.ray@gmail.com (CRM:5), deeray@gmail.com (CRM:6): the same but for dots or what follows a +" in apart
    assert "phone: 2125550155 (CRM:5), 2125550156 (CRM:6): one sign differs" in apart
    one_letter = pair_text(explain_two(("CRM:7", "CRM:8"), folders))
    assert "name: J in both CRM:7 and CRM:8, but it is no evidence" in one_letter


def test_a_decision_that_parts_two_is_the_reason_why_they_are_not_one(case_run: CaseRuns) -> None:
    text = of_case(case_run, "decided_different", "CRM:C1", "CRM:C3")
    assert "are different customers." in text
    assert "name: John Fox in both CRM:C1 and CRM:C3; a decision keeps them apart" in text
    assert "phone: 5550101 in both CRM:C1 and CRM:C2; a decision keeps them apart" in text
    assert (
        "decision 1: CRM:C1 and CRM:C2 are different customers, by Kim at 2024-01-15T12:00:00Z: father and son" in text
    )
    assert "decision 1" in of_case(case_run, "decided_different", "CRM:C2")
    assert "Decisions" not in of_case(case_run, "decided_different", "CRM:C4")


def test_two_that_share_nothing_have_no_evidence(case_run: CaseRuns) -> None:
    text = of_case(case_run, "the_sample", "CUST003", "CUST005")
    assert "nothing: they share no e-mail, phone or name" not in text, "their phones differ in one digit"
    text = of_case(case_run, "the_sample", "CUST003", "CUST004")
    assert "nothing: they share no e-mail, phone or name, and none is almost the same" in text
    assert "  e-mail     bob.wilson@email.com  alice.b@email.com\n" in text


@pytest.mark.large
def test_an_alias_and_a_retired_id_say_so(case_run: CaseRuns) -> None:
    alias = of_case(case_run, "merged_split_retired", "CUST001")
    assert alias.startswith("CUST001 was merged into CUST002, and stays an alias of it.\nCUST002: 3 records")
    retired = of_case(case_run, "merged_split_retired", "cust004".upper())
    assert retired.startswith("CUST004 is retired: batch ")
    assert re.search(r"History\n(  \S+  .*\n)*  \S+  CUST004 has no records any more \(records: 1, then 0\)$", retired)
    assert "  CUST001 was merged into CUST002 with 1 of its records (records: " in alias
    assert of_case(case_run, "merged_split_retired", "CUST2") == of_case(case_run, "merged_split_retired", "CUST002")
    with pytest.raises(UsageError, match="B: customer CUST004 is retired"):
        of_case(case_run, "merged_split_retired", "CUST002", "CUST004")
    with pytest.raises(UsageError, match="both are the same record, of customer CUST002"):
        of_case(case_run, "merged_split_retired", "CUST001", "CUST002")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("CUST999", "there is no customer CUST999"),
        ("SHOP:1", "has no such source, only CRM, ECOM"),
        ("CRM:ann@x.org", "no record of CRM in batch"),
        ("ann@x.org", "is neither SOURCE:ID nor a unified id"),
    ],
)
def test_an_unknown_name_is_an_error_whose_hint_helps(case_run: CaseRuns, asked: str, message: str) -> None:
    folders = folders_of(case_run("the_sample"))
    for ask in (lambda: explain_one(asked, folders), lambda: explain_two(("CUST001", asked), folders)):
        with pytest.raises(UsageError) as raised:
            ask()
        assert message in raised.value.message
        assert "ann@x.org" not in raised.value.explained()
        crosswalk = newest_folder(folders) / "crosswalk.csv"
        assert str(crosswalk) in raised.value.hint
        assert crosswalk.exists()
        assert explain_one(raised.value.hint.partition("such as ")[2].partition(";")[0], folders).state == "live"


@pytest.mark.large
@pytest.mark.parametrize("state", ["of another outbox", "lost", "damaged"])
def test_a_record_is_found_whatever_the_register_says(tmp_path: Path, state: str) -> None:
    folders = published_crm(tmp_path, ("1", "Ann Lee", "ann@x.org", None), ("2", "Bo Kim", "bo@x.org", None))
    expected = customer_text(explain_one("CRM:2", folders))
    assert "CUST002" in expected
    [register] = folders.state.glob("register/*/records.parquet")
    match state:
        case "of another outbox":  # it gives the records other customers
            other = published_crm(tmp_path / "other", ("2", "Bo Kim", "bo@x.org", None))
            shutil.copy(next(other.state.glob("register/*/records.parquet")), register)
        case "lost":
            register.unlink()
        case _:
            register.write_bytes(b"PAR1 no more")
    assert customer_text(explain_one("CRM:2", folders)) == expected
    with pytest.raises(UsageError, match="no record of CRM"):
        explain_one("CRM:3", folders)


def test_a_set_that_lost_a_file_is_changed_and_not_gone(tmp_path: Path) -> None:
    folders = published_crm(tmp_path, ("1", "Ann Lee", "ann@x.org", None))
    (newest_folder(folders) / "records.parquet").unlink()
    with pytest.raises(ChangedSet, match=r"records\.parquet of batch .* is not as it was published"):
        explain_one("CUST001", folders)


def test_before_anything_is_published_there_is_nothing_to_explain(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no customer master is published yet"):
        explain_one("CUST001", Folders(None, tmp_path, tmp_path / ".state"))


def test_a_customer_of_too_many_records_is_refused_with_the_file_that_says_why(
    case_run: CaseRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked_for, "MOST_RECORDS", 2)
    with pytest.raises(UsageError, match="CUST001 has more than 2 records"):
        of_case(case_run, "the_sample", "CUST001")
    assert "Jane Doe" in of_case(case_run, "the_sample", "CUST002")


@pytest.mark.parametrize(
    ("field", "one", "other", "words"),
    [
        ("email", "a.b@x.org", "ab+shop@x.org", "the same but for dots or what follows a +"),
        ("email", "ann@x.org", "ann@y.org", "the same before the @, at another domain"),
        ("email", "ann.lee@x.org", "ann.lew@x.org", "one sign differs"),
        ("email", "ann@x.org", "bob@y.org", ""),
        ("phone", "2125550101", "5550101", "one is the end of the other"),
        ("phone", "2125550101", "2125550110", "two signs are swapped"),
        ("phone", "2125550101", "212555010", "one has a sign more"),
        ("phone", "2125550101", "3475550999", ""),
        ("full_name", "Zoë Lee", "Zoe Lee", "the same but for accents, case or punctuation"),
        ("full_name", "Ann Lee", "Lee, Ann", "the same words in another order"),
        ("full_name", "A. Lee", "Ann Lee", "one has an initial where the other has a name"),
        ("full_name", "Ann Lee", "Ann Mary Lee", "one has a word more"),
        ("full_name", "Jon Smith", "John Smith", "one has a sign more"),
        ("full_name", "Robert Smith", "William Smith", "the same last word"),
        ("full_name", "Ann Lee", "Bob Ray", ""),
        ("full_name", "!", "?", ""),
    ],
)
def test_likeness_is_said_in_words_in_both_directions(field: str, one: str, other: str, words: str) -> None:
    assert likeness(field, one, other) == likeness(field, other, one) == words


# ----------------------------------------------------------------------------------------------------- command line


def test_the_command_prints_for_people_and_as_json_and_logs_nothing_of_a_customer(
    case_run: CaseRuns, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = str(case_run("the_sample").outbox)
    monkeypatch.delenv("SERVICE_STATE", raising=False)
    assert cli.main(["explain", "CRM:CRM005", "--outbox", outbox]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("CRM:CRM005 belongs to CUST001.\n")
    assert captured.err == ""
    assert not any(line.startswith("{") for line in captured.out.splitlines())
    assert cli.main(["explain", "CRM:CRM005", "--outbox", outbox, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["explained"]
    assert [it["name"]["source_id"] for it in document["records"]] == ["CRM001", "CRM005", "EC1001"]
    assert document["records"][1]["ties"][0] == {
        "rule": "phone",
        "value": "5550101",
        "other": None,
        "compared": None,
        "is_listed": True,
    }
    assert cli.main(["explain", "CUST001", "CUST002", "--outbox", outbox, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_one"] is False
    assert cli.main(["explain", "CUST9999", "--outbox", outbox]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("UsageError: A: there is no customer CUST9999")
