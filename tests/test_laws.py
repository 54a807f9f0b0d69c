"""The laws of integration, against plain-Python references that are too slow for large batches."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from service.engine.components import smallest_of_component
from service.engine.contract import Table
from service.model import Rules
from service.pipeline.evidence import explain, rules_text
from service.pipeline.matching.cluster import cluster
from service.pipeline.matching.literal import LiteralMatcher
from service.pipeline.survivorship import survive
from tests.sizes import LAWS_RECORDS, examples, seeds
from tests.small_batches import (
    HEADER,
    AnyEngine,
    crm_text,
    ecom_text,
    integrate_pair,
    parquet_of,
    published,
    rows_of,
    table_of,
    write_pair,
)
from tests.worlds import House

Value = str | None
RULES = ("id", "email", "phone", "name")
FIELDS = ("full_name", "email", "phone", "signup_date", "status")


@dataclass(frozen=True)
class Person:
    """A normalised record of the reference."""

    source: str
    id: Value
    name: Value
    email: Value
    phone: Value
    date: Value = None
    status: Value = None
    is_stated: bool = False

    def fields(self) -> tuple[Value, ...]:
        return self.name, self.email, self.phone, self.date, self.status

    def agrees(self, other: Person) -> tuple[str, ...]:
        """The rules that link two records; a name corroborates, the two identifiers settle."""
        found = {
            "id": self.source == other.source and self.id is not None and self.id == other.id,
            "email": self.email is not None and self.email == other.email,
            "phone": self.phone is not None and self.phone == other.phone,
            "name": self.name is not None and self.name == other.name,
        }
        found["name"] = found["name"] and not (found["email"] and found["phone"])
        return tuple(rule for rule in RULES if found[rule])


@dataclass(frozen=True)
class Reference:
    """docs/specification.md sections 5 and 6, pair by pair."""

    people: Sequence[Person]

    @cached_property
    def group(self) -> list[int]:
        """For each record the smallest of its group: the closure, by repeated sweeps over all pairs."""
        label = list(range(len(self.people)))
        moved = True
        while moved:
            moved = False
            for a, b in combinations(range(len(self.people)), 2):
                if label[a] != label[b] and self.people[a].agrees(self.people[b]):
                    label[a] = label[b] = min(label[a], label[b])
                    moved = True
        return label

    def members(self, group: int) -> list[int]:
        """Its records in the order of survival: fewest missing fields, then order of appearance."""
        found = [i for i, label in enumerate(self.group) if label == group]
        return sorted(found, key=lambda i: (self.people[i].fields().count(None), i))

    def golden(self, group: int, survivorship: str) -> tuple[Any, ...]:
        """Kept record, the five fields, and the sources."""
        ranked = [self.people[i] for i in self.members(group)]
        if survivorship == "fill":
            columns = zip(*(person.fields() for person in ranked), strict=True)
            values = [next((value for value in column if value is not None), None) for column in columns]
            stated = [person.status for person in ranked if person.status is not None and person.is_stated]
            values[-1] = stated[0] if stated else values[-1]
        else:
            values = list(ranked[0].fields())
        sources = {person.source for person in ranked}
        return self.members(group)[0], *values, "+".join(s for s in ("CRM", "ECOM") if s in sources)

    def evidence(self, kept: int) -> dict[int, tuple[int, tuple[str, ...]]]:
        """For each removed record the one before it on the way from the kept one, and the rules of that step."""
        found: dict[int, tuple[int, tuple[str, ...]]] = {}
        left = set(self.members(self.group[kept])) - {kept}
        level = [kept]
        while left:
            reached: dict[int, int] = {}
            for record in level:
                reached |= {o: record for o in left - set(reached) if self.people[o].agrees(self.people[record])}
            found |= {other: (via, self.people[other].agrees(self.people[via])) for other, via in reached.items()}
            left -= set(reached)
            level = sorted(reached)
        return found


VALUES = st.none() | st.sampled_from(["a", "b", "c", "d"])


@st.composite
def batches(draw: st.DrawFn, size: int = 14) -> list[Person]:
    """Records of few values, many of them missing, CRM before ECOM: groups of every shape."""
    people = draw(
        st.lists(
            st.builds(
                Person,
                source=st.sampled_from(["CRM", "ECOM"]),
                id=VALUES,
                name=VALUES | st.sampled_from(["e", "f", "g", "h"]),
                email=VALUES | st.sampled_from(["e", "f", "g", "h"]),
                phone=VALUES | st.sampled_from(["e", "f", "g", "h"]),
                date=VALUES,
                status=VALUES,
                is_stated=st.booleans(),
            ),
            min_size=1,
            max_size=size,
        )
    )
    return sorted(people, key=lambda person: person.source)


def random_batch(r: random.Random, size: int, values: int) -> list[Person]:
    """The same, larger, without Hypothesis."""

    def value() -> Value:
        return None if r.random() < 0.4 else f"v{r.randrange(values)}"

    people = [
        Person(r.choice(("CRM", "ECOM")), value(), value(), value(), value(), value(), value(), r.random() < 0.5)
        for _ in range(size)
    ]
    return sorted(people, key=lambda person: person.source)


def records_of(engine: AnyEngine, people: Sequence[Person]) -> Table:
    """RECORD."""
    columns: dict[str, list[Any]] = {
        "ordinal": list(range(len(people))),
        "source": [p.source for p in people],
        "source_id": [p.id or f"{p.source}-ROW{i}" for i, p in enumerate(people)],
        "has_id": [p.id is not None for p in people],
        "record_key": [f"{p.source} id:{p.id}" if p.id else f"{p.source} content:{i}" for i, p in enumerate(people)],
        "full_name": [p.name for p in people],
        "email": [p.email for p in people],
        "phone": [p.phone for p in people],
        "signup_date": [p.date for p in people],
        "status": [p.status for p in people],
        "status_stated": [p.is_stated for p in people],
        "name_key": [p.name for p in people],
        "phone_key": [p.phone for p in people],
        "email_key": [p.email for p in people],
    }
    return table_of(engine, columns)


@dataclass(frozen=True)
class StageResults:
    """The results of the stages for one batch."""

    group: list[int]
    golden: dict[int, tuple[Any, ...]]
    evidence: dict[int, tuple[int, tuple[str, ...]]]


def outcome(engine: AnyEngine, people: Sequence[Person], survivorship: Any = "fill") -> StageResults:
    records = records_of(engine, people)
    matcher = LiteralMatcher()
    keys = matcher.compare(records, engine).keys
    groups = cluster(matcher.links(keys, engine), len(people), engine)
    survivors = survive(records, groups, Rules(survivorship=survivorship))
    evidence = explain(keys, groups, survivors, matcher, engine)
    return StageResults(
        [row[0] for row in groups.derive("select group_id from this order by ordinal").rows()],
        {
            row[0]: row[1:]
            for row in survivors.derive(f"select group_id, kept, {', '.join(FIELDS)}, source_system from this").rows()
        },
        {
            ordinal: (via, tuple(rules.split("+")))
            for ordinal, via, rules in evidence.derive(f"select ordinal, via, {rules_text(matcher)} from this").rows()
        },
    )


# -------------------------------------------------------------------------------------------- inside a batch


@pytest.mark.slow
@given(people=batches())
@settings(max_examples=examples(50))
def test_groups_survivors_and_evidence_equal_the_reference(engine: AnyEngine, people: list[Person]) -> None:
    reference, found = Reference(people), outcome(engine, people)
    assert found.group == reference.group
    assert found.golden == {group: reference.golden(group, "fill") for group in set(reference.group)}
    kept = [golden[0] for golden in found.golden.values()]
    assert found.evidence == {other: step for record in kept for other, step in reference.evidence(record).items()}


@pytest.mark.parametrize("seed", seeds(6))
def test_larger_random_batches_equal_the_reference(engine: AnyEngine, seed: int) -> None:
    r = random.Random(seed)
    people = random_batch(r, 150, values=r.choice((40, 120, 300)))
    reference, found = Reference(people), outcome(engine, people, "record")
    assert found.group == reference.group
    assert found.golden == {group: reference.golden(group, "record") for group in set(reference.group)}
    kept = [golden[0] for golden in found.golden.values()]
    assert found.evidence == {other: step for record in kept for other, step in reference.evidence(record).items()}


@given(people=batches())
@settings(max_examples=examples(25))
def test_every_removed_record_has_a_true_reason(engine: AnyEngine, people: list[Person]) -> None:
    found = outcome(engine, people)
    kept_of = {group: golden[0] for group, golden in found.golden.items()}
    assert sorted([*found.evidence, *kept_of.values()]) == list(range(len(people)))
    for removed, (via, rules) in found.evidence.items():
        assert rules, "a record was removed without a reason"
        assert found.group[removed] == found.group[via]
        assert rules == people[removed].agrees(people[via])
        if people[removed].agrees(people[kept_of[found.group[removed]]]):
            assert via == kept_of[found.group[removed]], "it agrees with the kept record itself"


@pytest.mark.large
@pytest.mark.slow
@given(people=batches(), order=st.randoms())
@settings(max_examples=examples(25))
def test_the_order_of_records_does_not_change_the_groups(
    engine: AnyEngine, people: list[Person], order: random.Random
) -> None:
    shuffled = list(range(len(people)))
    order.shuffle(shuffled)
    before = outcome(engine, people).group
    after = outcome(engine, [people[i] for i in shuffled]).group
    moved = {old: after[new] for new, old in enumerate(shuffled)}
    pairs = list(combinations(range(len(people)), 2))
    assert [before[a] == before[b] for a, b in pairs] == [moved[a] == moved[b] for a, b in pairs]


def test_a_stated_status_wins_over_a_default_one(engine: AnyEngine) -> None:
    full = Person("ECOM", "E1", "ann", "a@x", "1", "2020-01-01", "active", is_stated=False)
    poor = Person("CRM", "C1", "ann", None, None, None, "closed", is_stated=True)
    assert outcome(engine, [poor, full]).golden[0] == (1, "ann", "a@x", "1", "2020-01-01", "closed", "CRM+ECOM")
    kept = outcome(engine, [poor, full], "record").golden[0]
    assert kept == (1, "ann", "a@x", "1", "2020-01-01", "active", "CRM+ECOM")


def test_missing_is_never_evidence(engine: AnyEngine) -> None:
    empty = Person("CRM", None, None, None, None)
    assert outcome(engine, [empty] * 5).group == [0, 1, 2, 3, 4]


def test_an_id_links_records_of_one_source_only(engine: AnyEngine) -> None:
    people = [Person(source, "7", f"n{i}", None, None) for i, source in enumerate(("CRM", "CRM", "ECOM"))]
    found = outcome(engine, people)
    assert (found.group, found.evidence) == ([0, 0, 2], {1: (0, ("id",))})


def test_components_are_found_whatever_the_order_of_links() -> None:
    import numpy as np

    r = random.Random(5)
    for _ in range(200):
        size = r.randrange(1, 40)
        links = [(r.randrange(size), r.randrange(size)) for _ in range(r.randrange(size))]
        label = list(range(size))
        for _ in range(size):
            for a, b in links:
                label[a] = label[b] = min(label[a], label[b])
        left, right = (np.array([link[side] for link in links], dtype=np.int64) for side in (0, 1))
        for cut in (0, len(links) // 2):
            parts = [(left[:cut], right[:cut]), (left[cut:], right[cut:])]
            assert smallest_of_component(size, parts).tolist() == label


# ---------------------------------------------------------------------------------- from file to published set


def a_pair(r: random.Random, size: int) -> tuple[list[list[Value]], list[list[Value]]]:
    """Rows of both exports with much in common and gaps, written in several ways."""

    def word() -> str:
        number = r.randrange(3 * size)
        return "".join(string.ascii_lowercase[number // 26**power % 26] for power in range(4)).title()

    def phone() -> str:
        number = r.randrange(2 * size)
        parts = number % 700 + 200, number // 700 + 200, number % 10_000
        return r.choice(("({}) {}-{:04}", "{}-{}-{:04}", "+1 {} {} {:04}", "{}.{}.{:04}")).format(*parts)

    def email() -> str:
        return r.choice((str, str.upper))(f"e{r.randrange(2 * size)}@x.org")

    def maybe(value: str) -> Value:
        return value if r.random() < 0.8 else r.choice((None, "", "N/A"))

    crm: list[list[Value]] = [
        [
            f"C{i}",
            maybe(f"{word()} Doe"),
            maybe(email()),
            maybe(phone()),
            maybe(f"2023-01-{i % 28 + 1:02}"),
            maybe("Active"),
        ]
        for i in range(size)
    ]
    ecom: list[list[Value]] = [
        [f"E{i}", maybe(word()), "Doe", maybe(email()), maybe(phone()), maybe("2023-02-03T10:00:00Z")]
        for i in range(size // 2)
    ]
    return crm, ecom


@pytest.mark.parametrize("seed", seeds(4))
def test_the_order_of_rows_does_not_change_the_customers(
    engine_settings: Mapping[str, Any], tmp_path: Path, seed: int
) -> None:
    r = random.Random(seed)
    crm, ecom = a_pair(r, 60)
    partitions, masters = [], []
    for turn in range(2):
        pair = write_pair(tmp_path / f"in{turn}", crm_text(crm), ecom_text(ecom))
        integrate_pair(pair, tmp_path / f"out{turn}", **engine_settings, survivorship="record")
        groups: dict[str, set[tuple[str, str]]] = {}
        for row in rows_of(published(tmp_path / f"out{turn}") / "crosswalk.csv"):
            groups.setdefault(row["unified_id"], set()).add((row["source_system"], row["source_id"]))
        partitions.append(sorted(map(sorted, groups.values())))
        sources = {id_: sorted(members) for id_, members in groups.items()}
        master = rows_of(tmp_path / f"out{turn}" / "customer_master.csv")
        # If the best record of a group is not tied, the order of rows cannot choose another one.
        masters.append(sorted((sources[row.pop("unified_id")], sorted(row.items())) for row in master))
        r.shuffle(crm)
        r.shuffle(ecom)
    assert partitions[0] == partitions[1]
    complete = complete_alone(crm, ecom)
    untied = [[entry for entry in master if len(complete & set(entry[0])) == 1] for master in masters]
    assert untied[0] == untied[1]
    assert len(untied[0]) > 5


def complete_alone(crm: Sequence[Sequence[Value]], ecom: Sequence[Sequence[Value]]) -> set[tuple[str, str]]:
    """Records without a missing field: a group with exactly one of them has no tie."""
    nothing = (None, "", "N/A")
    found = {("CRM", str(row[0])) for row in crm if not any(cell in nothing for cell in row)}
    # The shop states no status; its default counts as one.
    return found | {("ECOM", str(row[0])) for row in ecom if not any(cell in nothing for cell in row[3:])}


# Characters before a formula, that hide it or look like one; and those that end a cell or a line of a CSV file.
QUOTES = st.sampled_from(["", "", "'", "''", '"', "\"'", "'\u2018", "\u201c"])
ENDS = st.sampled_from(["", "", "", "'", "''", '"', "'\"", "\u2019'", "\u201d", "' "])
GAPS = st.sampled_from(["", "", "\t", "\r", " ", "\n", " \t", "\u00a0", "\u3000", "\x0b", "\u200b", "\ufeff"])
PIECES = [*"=+-@＝＋－＠", *"'\",;#\\ \t\r\n\x1f", "N/A", "unknown", "--", "aX", "1"]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
BODIES = st.lists(st.sampled_from(PIECES), max_size=2).map("".join) | ANY_TEXT
CELLS = st.tuples(QUOTES, GAPS, BODIES, ENDS).map("".join)
PEOPLE = st.tuples(CELLS, CELLS, st.sampled_from(["", "@x.org"]), CELLS, st.sampled_from(["", "2125550"]), CELLS)


# Quotes that may be ours, a spreadsheet's or the customer's, and pairs within pairs: one field at a time, so that no
# customer is merged with another who has more.
IN_QUOTES = [
    *("+", "'+'", "+'", "'+'''", "=x'", "'=x'", '"\'+1"', "''+1", "''+1'", "'''+1'", " '=x", "'=x'''", "=x'y'"),
    *(
        "'\u2018=x\u2019'",
        "\u2018'=x'\u2019",
        "'\"x\"'",
        "\"'x'\"",
        '"""x"""',
        "'''x'''",
        "'x",
        "x'",
        "'",
        "''",
        "'\"=x'",
    ),
    *(
        '="\'=x"',
        '\'="x"',
        "&#39;=x",
        "&#39;+&#39;",
        "\u200b'=x'",
        "\uff07=x\uff07",
        "='\u2019",
        "'\t'=x",
        "'-'",
        "'- '",
    ),
    *(
        "'\u201cnull\u201d'",
        "'Rock'n'Roll'",
        "x', '=y",
        "'+'b",
        '@x""\'',
        "\u00ab+\u00bb",
        "\u2039'@\u203a",
        "\u201e-x\u201c",
    ),
]
PEOPLE_IN_QUOTES = [
    *(("", f"{number}", "@x.org", "", "", cell) for number, cell in enumerate(IN_QUOTES)),
    *((cell, "", "", "", "", "") for cell in IN_QUOTES),
    *(("", cell, "@x.org", "", "", "") for cell in IN_QUOTES),
]


@pytest.mark.slow
@given(people=st.lists(PEOPLE, min_size=60, max_size=100))
@example(people=PEOPLE_IN_QUOTES)
# Not shrunk: that takes minutes, and the comparison shows the row that is at fault.
@pytest.mark.large
@settings(max_examples=examples(20), phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_no_published_cell_is_a_formula_and_the_master_integrated_again_is_itself(
    engine_settings: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory, people: list[tuple[str, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    rows = [
        (f"{number}", name, email and email + at, phone and f"{phone}{area}{number:03}", "2023-01-15", status)
        for number, (name, email, at, phone, area, status) in enumerate(people)
    ]
    # An export in which no row has a name, an address or a phone is refused.
    rows[0] = rows[-1] = ("0", "Ann Lee", "", "", "2023-01-15", "")
    in_crm = len(rows) * 3 // 4
    shop = [
        {"id": number, "name": name, "contact": {"email": email, "phone": phone}}
        for number, name, email, phone, _, _ in rows[in_crm:]
    ]
    pair = write_pair(folder / "in", quoted_csv([HEADER, *rows[:in_crm]]), json.dumps(shop))
    integrate_pair(pair, folder / "first", **engine_settings)
    as_crm = (folder / "first" / "customer_master.csv").read_bytes().replace(b"unified_id", b"customer_id", 1)
    integrate_pair(write_pair(folder / "again", as_crm, "[]"), folder / "second", **engine_settings)
    masters = [rows_of(folder / name / "customer_master.csv") for name in ("first", "second")]
    formula = re.compile(r"\s*[=+\-@\t\r＝＋－＠]")
    assert [cell for row in masters[0] for cell in row.values() if formula.match(cell)] == []
    values = [[{field: row[field] for field in ("unified_id", *FIELDS)} for row in master] for master in masters]
    assert values[0] == values[1]


def quoted_csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue()


def test_running_twice_gives_the_same_bytes_and_the_same_ids(
    engine_settings: Mapping[str, Any], tmp_path: Path
) -> None:
    crm, ecom = a_pair(random.Random(9), 80)
    pair = write_pair(tmp_path / "in", crm_text(crm), ecom_text(ecom))
    sets: list[dict[str, Any]] = []
    for _ in range(2):
        integrate_pair(pair, tmp_path / "out", **engine_settings)
        folder = published(tmp_path / "out")
        sets.append({path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".csv"})
        sets[-1]["quality_report.json"] = (folder / "quality_report.json").read_bytes()
        sets[-1] |= {path.name: parquet_of(path) for path in folder.glob("*.parquet")}
    again, first = sets[1], sets[0]
    for found in (first, again):  # in the first batch everything is created, in the second nothing changes
        assert found.pop("id_changes.csv") == b"unified_id,change,from_ids,to_ids,reason\n"
    # The second run has a published set to compare the volume with.
    former, now = (json.loads(found.pop("quality_report.json")) for found in (first, again))
    volumes = [[source.pop("volume") for source in report["sources"].values()] for report in (former, now)]
    assert [volume["difference"] for volume in volumes[0] + volumes[1]] == [None, None, 0, 0]
    assert (first, former) == (again, now)
    assert len(list((tmp_path / "out" / "batches").iterdir())) == 2


@pytest.mark.parametrize("seed", seeds(3))
def test_every_record_is_in_the_crosswalk_once_and_the_files_agree(
    engine_settings: Mapping[str, Any], tmp_path: Path, seed: int
) -> None:
    crm, ecom = a_pair(random.Random(seed), 60)
    crm[5][0], crm[7][0], crm[9][0] = "C4", None, "0"  # an id twice, and none at all
    pair = write_pair(tmp_path / "in", crm_text(crm), ecom_text(ecom))
    integrate_pair(pair, tmp_path / "out", **engine_settings)
    folder = published(tmp_path / "out")
    crosswalk = rows_of(folder / "crosswalk.csv")
    expected: list[tuple[str, Value]]
    expected = [("CRM", row[0] if row[0] not in (None, "0") else f"CRM-ROW{n}") for n, row in enumerate(crm, start=1)]
    expected += [("ECOM", row[0]) for row in ecom]
    assert [(row["source_system"], row["source_id"]) for row in crosswalk] == expected
    master, report = rows_of(folder / "customer_master.csv"), rows_of(folder / "duplicate_report.csv")
    evidence = rows_of(folder / "match_evidence.csv")
    assert {row["unified_id"] for row in crosswalk} == {row["unified_id"] for row in master}
    assert len(evidence) == len(crosswalk) - len(master)
    for line in report:
        steps = [row for row in evidence if row["unified_id"] == line["kept_id"]]
        used = {rule for row in steps for rule in row["rules"].split("+")}
        assert line["match_reason"] == "+".join(rule for rule in RULES if rule in used)
        assert line["removed_ids"] == ",".join(row["removed_id"] for row in steps)
        assert line["removed_sources"] == "+".join(sorted({row["removed_source"] for row in steps}))
    assert [row["kept_id"] for row in report] == sorted({row["unified_id"] for row in evidence})


@pytest.mark.large
@pytest.mark.slow
def test_cores_hash_seed_time_zone_and_locale_do_not_change_a_byte(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = random.Random(1)
    crm, ecom = a_pair(r, LAWS_RECORDS)
    pair = write_pair(house.inbox, crm_text(crm), ecom_text(ecom))
    worlds = (
        ("1", {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"}),
        ("2", {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    )
    found: list[dict[str, Any]] = []
    for threads, world in worlds:
        for name, value in world.items():
            monkeypatch.setenv(name, value)
        out = house.root / f"out{threads}"
        done = house.run_cold(
            "integrate", pair / "crm_customers.csv", pair / "ecommerce_customers.json", "--outbox", out, threads=threads
        )
        assert done.code == 0, done.err
        folder = published(out)
        names = sorted(
            path.name for path in folder.iterdir() if path.name == "quality_report.json" or path.suffix == ".csv"
        )
        found.append({name: (folder / name).read_bytes() for name in names})
        found[-1] |= {path.name: parquet_of(path) for path in sorted(folder.glob("*.parquet"))}
    assert list(found[0]) == list(found[1])
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []
