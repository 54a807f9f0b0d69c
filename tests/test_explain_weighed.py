"""``explain`` in sets of ``SERVICE_MATCHING=safe``: what each link weighs, what is asked, and what is not derived."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import cli
from service.decisions import DecisionKind
from service.errors import UsageError
from service.explanation.command import explain
from service.explanation.customer import Explained, ExplainedRecord
from service.explanation.evidence import evidence_of
from service.explanation.questions import explain_one, explain_two
from service.explanation.text import customer_text, pair_text
from service.explanation.weighed_pair import WeighedPairExplanation
from service.folders import Folders
from service.history import History
from service.jobs import decide
from service.masters.customer_sets import ChangedSet, CustomerSets
from service.pipeline.matching.safe.matcher import match
from tests.sizes import examples
from tests.small_batches import NOON, integrate_pair, parquet_of, published, rows_of, write_pair
from tests.test_safe_in_batches import HEADER, NO_CUSTOMERS, OFFICE, csv_of, proof_of

KIM = decide.Author("Kim", "2024-01-15T12:00:00Z")
LEGEND = "bits: log2 of the odds that the two are one customer"
NOT_DERIVED = "  not derived for what weighed evidence joins: the mean weight of all pairs of a group decides"
ROUNDED = 0.005
"""The most by which a weight, and each of its parts, differs from what was weighed."""


class Office:
    """A place where exports are integrated by weighed evidence, and people decide."""

    def __init__(self, root: Path, crm: str = OFFICE) -> None:
        self.root, self.crm, self._batches = root, crm, 0
        self.folders = Folders(None, root / "out", root / "out" / ".state")
        self.publish()

    def publish(self) -> None:
        """The same exports once more, a minute later."""
        pair = write_pair(self.root / "in", self.crm, NO_CUSTOMERS)
        integrate_pair(pair, self.root / "out", NOON + timedelta(minutes=self._batches), matching="safe")
        self._batches += 1
        self.sets = CustomerSets(self.folders, History(self.folders))

    def decide(self, kind: DecisionKind, one: str, other: str) -> None:
        """Decide about two records, and publish again."""
        decide.decide(kind, (f"CRM:{one}", f"CRM:{other}"), "", KIM, self.folders)
        self.publish()

    @property
    def folder(self) -> Path:
        """The newest set."""
        return published(self.root / "out")

    def text(self, *asked: str) -> str:
        """What is printed for one name, or for two."""
        if len(asked) == 1:
            return customer_text(explain_one(asked[0], self.folders, self.sets))
        return pair_text(explain_two((asked[0], asked[1]), self.folders, self.sets))

    def explained(self, asked: str) -> Explained:
        """What the records of a customer explain."""
        found = explain_one(asked, self.folders, self.sets).explained
        assert found is not None
        return found

    def pair(self, one: str, other: str) -> WeighedPairExplanation:
        """The explanation of two records of the CRM."""
        found = explain_two((f"CRM:{one}", f"CRM:{other}"), self.folders, self.sets)
        assert isinstance(found, WeighedPairExplanation)
        return found

    def customers(self) -> set[frozenset[str]]:
        """The ids of the records of each customer."""
        members: dict[str, set[str]] = defaultdict(set)
        for row in rows_of(self.folder / "crosswalk.csv"):
            members[row["unified_id"]].add(row["source_id"])
        return set(map(frozenset, members.values()))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Customers as weighed evidence makes them; only read."""
    return Office(tmp_path_factory.mktemp("office"))


# ------------------------------------------------------------------------------------------------------- one customer


def test_a_link_says_what_its_evidence_weighs_for_and_against(office: Office) -> None:
    text = office.text("CRM:C5")
    assert "CUST003: 2 records, one customer by weighed evidence\n" in text
    assert re.search(
        r"Records\n  CRM:C4  kept: it has the fewest missing values\n"
        r"  └─ CRM:C5  weighed evidence, \d+\.\d\d bits; for: e-mail a variant \d+\.\d\d,"
        r" first name the same \d+\.\d\d, last name a variant \d+\.\d\d;"
        r" against: prior -\d+\.\d\d, relatives -\d+\.\d\d\n",
        text,
    )
    assert LEGEND in text
    assert f"What would split it\n{NOT_DERIVED}" in text
    assert "no single value and no single record" not in text


@pytest.mark.large
def test_a_link_by_shared_values_shows_them_and_what_all_evidence_weighs(office: Office) -> None:
    text = office.text("CRM:C1")
    assert "CUST001: 2 records, one customer by weighed evidence (they share phone and name)\n" in text
    assert "  └─ CRM:C3  same phone 3125550100 and same name Orla Byrne, " in text
    assert re.search(r"; against: prior -[\d.]+, relatives -[\d.]+, e-mail different -[\d.]+\n", text)


@pytest.mark.large
def test_the_golden_record_and_the_history_are_explained_as_in_any_set(office: Office) -> None:
    text = office.text("CRM:C3")
    assert "  e-mail     orla.byrne@northwind.test  of the kept record, CRM:C1\n" in text
    assert "Values that were not kept\n  e-mail  obyrne@northwind.test  CRM:C3\n" in text
    assert "CUST001 is new (records: 0, then 2)" in text
    assert office.text("CRM:C2").startswith("CRM:C2 belongs to CUST002.\nCUST002: one record; nothing was merged\n")


@pytest.mark.large
def test_a_link_that_is_weak_alone_says_that_the_mean_of_its_group_decides(tmp_path: Path) -> None:
    crm = csv_of(
        HEADER,
        ("C1", "Zdenka Kowalczyk", "zk@a.test", "646-555-0100"),
        ("C2", "Zdenka Kowalczyk", "zk@a.test", "312-555-0177"),
        ("C3", "Zdenka Kowalska", "zdenka.kowal@c.test", "312-555-0177"),
    )
    office = Office(tmp_path, crm)
    text = office.text("CUST001")
    assert re.search(
        r"  └─ CRM:C3  weighed evidence, -\d\.\d\d bits; for: .*; this pair is below the limit, the mean of its group"
        r" is above it; it shares phone 3125550177 with CRM:C2\n",
        text,
    )
    assert re.search(
        r"  ├─ CRM:C2  same e-mail zk@a.test and same name Zdenka Kowalczyk, \d\.\d\d bits; [^;]*; [^;]*\n", text
    )


@pytest.mark.large
def test_rows_of_one_id_are_parted_by_nothing_but_their_id(tmp_path: Path) -> None:
    crm = csv_of(HEADER, ("C1", "Ann Roe", "ann@roe.test", ""), ("C1", "Bob Sale", "bob@sale.test", ""))
    text = Office(tmp_path, crm).text("CUST001")
    assert "2 records, one customer by the same id\n" in text
    assert "  └─ CRM:C1  same id C1\n" in text
    assert "What would split it\n  without id C1: parts of 1 and 1; apart: CRM:C1\n" in text
    assert "bits" not in text
    assert "not derived" not in text


# ---------------------------------------------------------------------------------------------------------- decisions


@pytest.mark.large
def test_what_a_decision_is_said_to_hold_together_falls_apart_when_it_is_undone(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.decide("same", "C1", "C4")
    text = office.text("CRM:C5")
    assert "4 records, one customer by weighed evidence and a decision (they share phone and name)\n" in text
    assert "  ├─ CRM:C3  same phone 3125550100 and same name Orla Byrne, " in text
    assert "  └─ CRM:C4  decision 1\n     └─ CRM:C5  weighed evidence, " in text
    assert "  without decision 1: parts of 2 and 2; apart: CRM:C4, CRM:C5\n" in text
    assert NOT_DERIVED in text
    assert "decision 1: CRM:C1 and CRM:C4 are the same customer, by Kim" in text
    path = office.text("CRM:C3", "CRM:C5")
    assert "these 3 links of the set lead from the one to the other" in path
    assert "  without decision 1\n" in path
    assert "weighed evidence makes both one customer" not in path
    decide.undo([1], KIM, office.folders)
    office.publish()
    assert {frozenset({"C1", "C3"}), frozenset({"C4", "C5"})} < office.customers()


@pytest.mark.large
def test_two_that_a_decision_keeps_apart_are_said_to_be_linked_otherwise(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.decide("different", "C1", "C3")
    assert frozenset({"C1"}) in office.customers()
    found = office.pair("C1", "C3")
    assert (found.is_one, found.weighed.is_kept_apart) == (False, True)
    text = office.text("CRM:C1", "CRM:C3")
    assert "links lead from the one customer to the other; decisions keep them apart" in text
    assert "decision 1: CRM:C1 and CRM:C3 are different customers, by Kim" in text
    assert not office.pair("C1", "C2").weighed.is_kept_apart


@pytest.mark.large
def test_beside_a_decision_that_keeps_others_away_nothing_is_said_to_split_a_customer(tmp_path: Path) -> None:
    """C6 repeats C1 under another number of the customer; then C3 is with one of the two."""
    crm = OFFICE + csv_of(("C6", "Orla Byrne", "orla.byrne@northwind.test", "312-555-0100"))
    office = Office(tmp_path, crm)
    office.decide("different", "C1", "C3")
    [together] = [it for it in office.customers() if {"C1", "C6"} <= it]
    assert together == {"C1", "C6"}
    found = office.explained("CRM:C6")
    assert found.weighed is not None
    assert (found.split_causes, len(found.weighed.not_said)) == ((), 1)
    assert "decisions keep linked records apart" in found.weighed.not_said[0]
    other = office.explained("CRM:C4")
    assert other.weighed is not None
    assert other.weighed.not_said[0].startswith("not derived for what weighed evidence joins")


# -------------------------------------------------------------------------------------------------------- two records


@pytest.mark.large
def test_two_records_of_a_customer_are_explained_by_the_links_of_the_set(office: Office) -> None:
    text = office.text("CRM:C4", "CRM:C5")
    assert "CRM:C4 and CRM:C5 are one customer, CUST003." in text
    assert "  CRM:C4 - CRM:C5: weighed evidence, " in text
    assert "weighed evidence makes both one customer, by the mean of all pairs of their group" in text
    assert f"What would part these two\n{NOT_DERIVED}" in text
    assert office.pair("C5", "C4").steps[0].evidence == office.pair("C4", "C5").steps[0].evidence


@pytest.mark.large
def test_people_who_share_a_number_are_two_and_the_number_is_no_proof(office: Office) -> None:
    text = office.text("CRM:C2", "CRM:C3")
    assert "are different customers." in text
    assert "phone: 3125550100 in both CRM:C2 and CRM:C3, which alone is no proof" in text
    assert "a decision keeps them apart" not in text
    assert "it is no evidence" not in text
    assert "the review queue does not ask about this pair" in text
    assert "  e-mail  pavel.novak@northwind.test  obyrne@northwind.test" in text


@pytest.mark.large
def test_a_question_of_the_review_queue_is_the_explanation_of_its_two(tmp_path: Path) -> None:
    ada, ben = ("Ada Quimby", "ada@mail.test", "212-555-0143"), ("Ben Quimby", "ben@mail.test", "212-555-0143")
    crm = csv_of(HEADER, ("C1", *ada), ("C2", *ada), ("C3", "Quimby", "", "212-555-0143"), ("C4", *ben), ("C5", *ben))
    office = Office(tmp_path, crm)
    asked, _ = rows_of(office.folder / "review_queue.csv")
    for one, other in (("C1", "C3"), ("C3", "C1")):
        question = office.pair(one, other).weighed.question
        assert question is not None
        assert (question.left.source_id, question.right.source_id) == (one, other)
        assert (f"{question.weight:.2f}", question.evidence) == (asked["weight"], asked["evidence"])
    text = office.text("CRM:C1", "CRM:C3")
    assert "the review queue asks about CRM:C1 and CRM:C3: a person should decide" in text
    assert f"mean of the pairs of their groups, without decisions: {asked['weight']} bits" in text
    assert (
        "evidence for one customer, of these two records: phone the same, last name the same\n  against: nothing\n"
        in text
    )


# ------------------------------------------------------------------------------------------------------- random sets

NAMES = ("Orla Byrne", "Pavel Novak", "Zdenka Kowalczyk", "Quentin Abernathy", "Ines Castellanos", "Tove Lindqvist")


def misspelt(r: random.Random, text: str) -> str:
    """The text with two neighbouring signs swapped."""
    at = r.randrange(1, max(2, len(text) - 2))
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def a_small_export(seed: int, people: int = 12) -> str:
    """Rows about few people: misspelt, with gaps, with numbers that several share and ids that occur twice."""
    r = random.Random(seed)
    rows: list[Sequence[str]] = []
    for person in range(people):
        name = NAMES[r.randrange(len(NAMES))]
        email = f"{name.lower().replace(' ', '.')}{r.choice(['', str(person)])}@mail.test"
        phone = f"312-555-01{r.randrange(person // 3 * 3, person + 1):02}"
        for _ in range(r.randint(1, 5)):
            cells = [name, email, phone]
            for cell in range(3):
                drawn = r.random()
                if drawn < 0.25:
                    cells[cell] = misspelt(r, cells[cell]) if cell < 2 else cells[cell]
                elif drawn < 0.45:
                    cells[cell] = ""
            if any(cells):
                rows.append((f"C{len(rows) if r.random() < 0.9 else r.randrange(len(rows) + 1)}", *cells))
    return csv_of(HEADER, *rows)


def decided_at_random(office: Office, r: random.Random) -> Iterator[tuple[str, str]]:
    """Pairs about which a decision was made; those that contradict others are left."""
    ids = sorted({row["source_id"] for row in rows_of(office.folder / "crosswalk.csv")})
    kinds: tuple[DecisionKind, ...] = ("same", "different")
    for kind in r.choices(kinds, k=6):
        one, other = r.sample(ids, 2)
        try:
            decide.decide(kind, (f"CRM:{one}", f"CRM:{other}"), "", KIM, office.folders)
        except UsageError:
            continue
        yield one, other


def check_tree(records: Sequence[ExplainedRecord], members: set[int]) -> None:
    """The records are a tree over exactly ``members``: each but the first has a parent before it."""
    assert [it.via_ordinal is None for it in records] == [True] + [False] * (len(records) - 1)
    seen: set[int] = set()
    for it in records:
        assert it.via_ordinal is None or it.via_ordinal in seen
        seen.add(it.ordinal)
    assert (seen, len(records)) == (members, len(members))


def check_links(records: Sequence[ExplainedRecord], rows: dict[int, dict[str, object]]) -> None:
    """Each rule of a link is shown by its value, or by what its evidence weighs."""
    for it in records[1:]:
        rules, stated = it.rules.split("+"), rows[it.ordinal]
        assert (it.rules, it.via_ordinal) == (stated["rules"], stated["via_ordinal"])
        assert [rule for rule in rules if rule != "weighed"] == list(
            dict.fromkeys(tie.rule for tie in it.ties if tie.is_listed)
        )
        assert it.via_ordinal is not None
        is_by_weight = rows[it.via_ordinal]["weighed"] == stated["weighed"]
        assert (it.evidence is not None) == is_by_weight
        assert is_by_weight or "weighed" not in rules
        if it.evidence:
            whole = sum(part.bits for part in it.evidence.parts)
            assert abs(it.evidence.weight - whole) <= ROUNDED * (len(it.evidence.parts) + 2)


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])  # of these exports evidence, names and decisions make customers
def test_each_customer_is_a_tree_of_exactly_its_records_with_a_reason_for_each_link(seed: int, tmp_path: Path) -> None:
    office = Office(tmp_path, a_small_export(seed))
    decided = list(decided_at_random(office, random.Random(seed)))
    assert decided
    office.publish()
    _, rows = parquet_of(office.folder / "records.parquet")
    by_ordinal = {row["ordinal"]: row for row in rows}
    members: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        members[row["unified_id"]].add(row["ordinal"])
    kinds = set()
    for unified_id, ordinals in members.items():
        found = office.explained(unified_id)
        check_tree(found.records, ordinals)
        check_links(found.records, by_ordinal)
        kinds |= {rule for it in found.records for rule in it.rules.split("+") if rule}
    assert {"weighed", "decision", "name"} <= kinds
    assert proof_of(office.folder, tmp_path / "in").findings == []
    for one, other in combinations(sorted(by_ordinal)[:12], 2):
        check_pair(office, by_ordinal[one], by_ordinal[other])


def check_pair(office: Office, one: dict[str, object], other: dict[str, object]) -> None:
    """Two records are explained by steps from the one to the other if they are one customer, and only then."""
    if one["source_id"] == other["source_id"]:
        return  # rows of one id: a name does not say which
    found = office.pair(str(one["source_id"]), str(other["source_id"]))
    assert found.is_one == (one["unified_id"] == other["unified_id"])
    assert bool(found.steps) == found.is_one
    if found.steps:
        assert (found.steps[0].one, found.steps[-1].other) == (found.one, found.other)
        assert all(a.other == b.one for a, b in zip(found.steps, found.steps[1:], strict=False))
    elif one["weighed"] == other["weighed"]:
        assert found.weighed.is_kept_apart


texts = st.one_of(st.none(), st.sampled_from(["Orla Byrne", "Orla Byrn", "O. Byrne", "Pavel Novak", "Byrne Orla"]))
mails = st.one_of(st.none(), st.sampled_from(["orla@a.test", "o.rla@a.test", "pavel@a.test", "info@a.test"]))
phones = st.one_of(st.none(), st.sampled_from(["+13125550100", "+13125550101", "+442079460958"]))


@pytest.mark.large
@settings(max_examples=examples(60))
@given(st.lists(st.tuples(texts, mails, phones), min_size=2, max_size=12))
def test_the_parts_of_a_weight_add_up_to_it_whichever_record_comes_first(
    drawn: list[tuple[str | None, str | None, str | None]],
) -> None:
    names, emails, numbers = map(list, zip(*drawn, strict=True))
    found = match({"name": names, "email": emails, "phone": numbers})
    pairs = np.array(list(combinations(range(len(drawn)), 2)), np.int64)
    weighed = list(found.weigh(pairs[:, 0], pairs[:, 1]))
    assert weighed == list(found.weigh(pairs[:, 1], pairs[:, 0]))
    for weight, parts in weighed:
        evidence = evidence_of(float(weight), parts)
        assert evidence is not None
        sizes = [abs(part.bits) for part in evidence.parts]
        assert sizes == sorted(sizes, reverse=True)
        assert abs(evidence.weight - sum(part.bits for part in evidence.parts)) <= ROUNDED * (len(sizes) + 2)


@pytest.mark.large
def test_two_runs_state_and_explain_the_same_to_the_byte(tmp_path: Path) -> None:
    one, other = (Office(tmp_path / name, a_small_export(5)) for name in ("one", "other"))
    assert (one.folder / "match_evidence.csv").read_bytes() == (other.folder / "match_evidence.csv").read_bytes()
    assert parquet_of(one.folder / "records.parquet") == parquet_of(other.folder / "records.parquet")
    documents = [json.loads(explain("CUST001", None, it.folders, as_json=True)) for it in (one, other)]
    assert documents[0] | {"published_at": None} == documents[1] | {"published_at": None}


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.large
def test_the_set_states_weight_and_parts_and_no_value(office: Office) -> None:
    columns, rows = parquet_of(office.folder / "records.parquet")
    assert list(columns)[-3:] == ["weighed", "weight", "parts"]
    assert [columns[it] for it in ("weighed", "weight", "parts")] == ["BIGINT", "DOUBLE", "VARCHAR"]
    evidence = {
        (row["removed_source"], row["removed_id"]): row for row in rows_of(office.folder / "match_evidence.csv")
    }
    for row in rows:
        stated = evidence.get((row["source"], row["source_id"]))
        assert (stated is None) == row["is_kept"] == (row["weight"] is None) == (row["parts"] is None)
        if stated:
            assert (stated["weight"], stated["parts"]) == (f"{row['weight']:.2f}", row["parts"])
            words = re.sub(
                r"[a-z_]+ (same|variant|near|initial|different|contradicts) |(prior|relatives|names_alone) ",
                "",
                stated["parts"],
            )
            assert re.fullmatch(r"-?\d+\.\d\d(, -?\d+\.\d\d)*", words)


@pytest.mark.large
def test_the_literal_set_states_no_weights(tmp_path: Path) -> None:
    integrate_pair(write_pair(tmp_path / "in", OFFICE, NO_CUSTOMERS), tmp_path / "out")
    folder = published(tmp_path / "out")
    assert list(rows_of(folder / "match_evidence.csv")[0])[-1] == "rules"
    assert list(parquet_of(folder / "records.parquet")[0])[-1] == "status_stated"


@pytest.mark.large
def test_a_set_without_weights_is_not_explained_by_shared_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a former program made it; the hash of its file is not looked at here."""
    office = Office(tmp_path)
    path = office.folder / "records.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select * exclude (parts) from '{path}') to '{path}.new' (format parquet)")
    Path(f"{path}.new").replace(path)
    monkeypatch.setattr(CustomerSets, "_checked_path", lambda self, of, name: str(of.folder / name))
    with pytest.raises(UsageError, match="published by a version that did not store what an explanation needs"):
        office.text("CUST001")
    proof = proof_of(office.folder)
    assert (proof.findings, proof.is_unproved, len(proof.notes)) == ([], True, 1)
    assert "a former program weighed its evidence" in proof.notes[0]


@pytest.mark.large
def test_an_altered_review_queue_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    office = Office(tmp_path)
    path = office.folder / "review_queue.csv"
    path.chmod(0o644)
    path.write_text("left_source,left_id\nCRM,C1\n", encoding="utf-8")
    with pytest.raises(ChangedSet, match=r"review_queue\.csv"):
        office.text("CRM:C1", "CRM:C2")


@pytest.mark.large
def test_the_command_prints_the_evidence_as_json(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = str(office.root / "out")
    assert cli.main(["explain", "CRM:C5", "--outbox", outbox, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["explained"]
    assert document["weighed"]["held_by"] == ["weighed"]
    evidence = document["records"][1]["evidence"]
    assert [it["name"] for it in evidence["parts"]] == ["prior", "email", "first", "last", "relatives"]
    assert evidence["weight"] == pytest.approx(sum(it["bits"] for it in evidence["parts"]), abs=0.03)
    assert cli.main(["explain", "CRM:C2", "CRM:C3", "--outbox", outbox, "--json"]) == 0
    pair = json.loads(capsys.readouterr().out)
    assert (pair["is_one"], pair["weighed"]["question"]) == (False, None)
    assert len(pair["weighed"]["not_said"]) == 2
