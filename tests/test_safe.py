"""The matcher ``safe``: what it must join, what it must keep apart, and what it leaves to a person."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.sets import normalised
from service.pipeline.matching.safe.average_linkage import grouped
from service.pipeline.matching.safe.compared_pairs import ComparedPairs
from service.pipeline.matching.safe.matcher import match
from service.pipeline.matching.safe.outcomes import VARIANT, FieldComparison
from service.pipeline.matching.safe.prepared import prepare
from service.pipeline.matching.safe.weights import first_weights, with_customers
from tests.sizes import NUMBERED_NAMES

TRAPS = sorted((Path(__file__).parent / "traps").glob("*.csv"))
LEAST_FOUND = 0.95

Pairs = set[tuple[int, int]]


def _trap(path: Path) -> tuple[list[str], dict[str, Sequence[str | None]]]:
    """The customer of each record, and the fields. The first line of the file is a comment that says what it traps."""
    with path.open(encoding="utf-8", newline="") as file:
        assert next(file).startswith("# ")
        rows = list(csv.DictReader(file))
    customers = [row.pop("customer") for row in rows]
    return customers, normalised({field: [row[field] for row in rows] for field in rows[0]})


def _pairs(labels: Sequence[object]) -> Pairs:
    return {(one, other) for one, other in combinations(range(len(labels)), 2) if labels[one] == labels[other]}


@pytest.mark.parametrize("path", TRAPS, ids=lambda path: str(path.stem))
def test_no_trap_leads_to_a_false_merge(path: Path) -> None:
    customers, fields = _trap(path)
    assert _pairs(match(fields).groups.tolist()) - _pairs(customers) == set()


def test_the_duplicates_among_the_traps_are_found() -> None:
    found, all_of_them = 0, 0
    for path in TRAPS:
        customers, fields = _trap(path)
        true = _pairs(customers)
        all_of_them += len(true)
        found += len(true & _pairs(match(fields).groups.tolist()))
    assert found >= LEAST_FOUND * all_of_them


def test_records_without_anything_that_could_make_them_neighbours_stay_apart() -> None:
    assert match({"postcode": ["10001", "10001", "20002"]}).groups.tolist() == [0, 1, 2]


@pytest.mark.large
@pytest.mark.parametrize("name", ["Customer {0}", "Ann {1}{0}", "Test User{0}"])
def test_names_with_a_number_are_others_with_another_number(name: str) -> None:
    numbers = range(NUMBERED_NAMES)
    names = [name.format(number, chr(97 + number % 26)) for number in numbers]
    found = match({"name": names, "email": [f"{number}@mail.test" for number in numbers]})
    assert found.groups.tolist() == list(numbers)


@pytest.mark.large
@pytest.mark.slow
def test_ten_thousand_people_of_one_name_are_as_many_customers() -> None:
    """Each has an address of their own; some of them are there twice, with another number."""
    people = [f"john.smith{number * 7919 % 1_000_003}@mail.test" for number in range(10_000)]
    twice = people[:50]
    fields = {
        "name": ["John Smith"] * 10_050,
        "email": [*people, *twice],
        "phone": [f"+1212{2_000_000 + number * 104_729 % 7_999_993}" for number in range(10_050)],
    }
    groups = match(fields).groups.tolist()
    assert groups[:10_000] == list(range(10_000))
    assert sum(group == number for number, group in enumerate(groups[10_000:])) >= 48


@pytest.mark.parametrize("count", [20, 10_000])
def test_many_rows_that_have_nothing_but_one_name_are_not_one_customer(count: int) -> None:
    names = ["Bob Dole", "Anna Bell", "Carl Ek"]
    groups = match({"name": names * count, "email": [None] * 3 * count}).groups.tolist()
    assert groups == list(range(3 * count))


def test_a_name_alone_that_two_exports_have_is_one_customer() -> None:
    others = [f"{first} {last}" for first in ("Orla", "Pavel", "Zdenka") for last in ("Byrne", "Novak", "Kowal")]
    assert match({"name": ["Quentin Abernathy", *others, "Quentin Abernathy"]}).groups.tolist() == [*range(10), 0]


def test_missing_values_are_never_evidence() -> None:
    assert match({"name": [None] * 3, "email": [None] * 3}).groups.tolist() == [0, 1, 2]
    assert match({"city": ["Boston"] * 3}).groups.tolist() == [0, 1, 2]
    assert match({}).groups.tolist() == []


def test_a_record_that_fits_two_contradicting_customers_joins_neither_and_is_asked_about() -> None:
    found = match(
        {
            "first_name": ["Ada", "Ada", None, "Ben", "Ben"],
            "last_name": ["Quimby"] * 5,
            "phone": ["+12125550143"] * 5,
            "birth_date": ["1990-02-03", "1990-02-03", None, "1993-11-30", "1993-11-30"],
        }
    )
    assert found.groups.tolist() == [0, 0, 2, 3, 3]
    assert {2} <= {*(it.one for it in found.questions), *(it.other for it in found.questions)}


def test_the_order_of_records_changes_no_group() -> None:
    for path in TRAPS:
        customers, fields = _trap(path)
        count = len(customers)
        groups = match(fields).groups.tolist()
        turned = match({name: values[::-1] for name, values in fields.items()}).groups.tolist()
        back = {(count - 1 - other, count - 1 - one) for one, other in _pairs(turned)}
        assert back == _pairs(groups), path.stem


def test_weights_are_multiples_of_a_step_so_that_their_sums_are_exact() -> None:
    """Else two processors, which differ in the last digits of a logarithm, could group a batch differently."""
    _, fields = _trap(next(path for path in TRAPS if path.stem == "plain_duplicates"))
    prepared = prepare(fields)
    first = first_weights(FieldComparison(prepared))
    weights = with_customers(first, FieldComparison(prepared), np.arange(prepared.count))
    rarity = (*weights.rarity.values, weights.rarity.localities)
    bits = np.concatenate([it.ravel() for it in (weights.log_m, weights.log_u, weights.log_related, *rarity)])
    assert (bits * 2.0**20 == np.round(bits * 2.0**20)).all()
    assert len(np.unique(bits)) > 20


OTHERS = [
    f"{first} {last}" for first in ("Orla", "Pavel", "Ines", "Tove") for last in ("Byrne", "Novak", "Lind", "Castellan")
]


def _parts(*records: tuple[str, str | None]) -> Mapping[str, float]:
    """Outcome -> bits, of the first two of the records, each a name and an address, among others."""
    rows = [*records, *((name, f"{number}@else.test") for number, name in enumerate(OTHERS))]
    found = match({"name": [name for name, _ in rows], "email": [email for _, email in rows]})
    [(_, parts)] = found.weigh(np.array([0]), np.array([1]))
    return {name: float(bits) for name, bits in (part.rsplit(" ", 1) for part in parts.split(", "))}


def test_an_initial_is_evidence_but_less_than_the_name() -> None:
    name = _parts(("Quentin Abernathy", None), ("Quentin Abernathy", None))["first same"]
    assert 0 < _parts(("Quentin Abernathy", None), ("Q Abernathy", None))["first initial"] < name
    assert 0 < _parts(("Q Abernathy", None), ("Q. Abernathy", "q@corp.test"))["first initial"] < name


def test_initials_are_not_transposed_names() -> None:
    assert _parts(("Vkv S", None), ("S S", None)).keys() >= {"first different", "last initial"}
    assert _parts(("Lind Tove", None), ("Tove Lind", None)).keys() >= {"first variant", "last variant"}


def test_mailboxes_with_other_numbers_are_no_evidence_for_one_customer() -> None:
    assert "email different" in _parts(("Ann Roe", "carlos849992@mail.test"), ("Bea Sale", "carlos209819@mail.test"))
    assert "email variant" in _parts(("Ann Roe", "carlos849992@mail.test"), ("Ann Roe", "carlos849992@corp.test"))


def test_a_name_that_is_almost_the_same_is_no_better_evidence_than_the_same_one() -> None:
    """However rarely two strangers are called Smith and Smyth: so often they are both called Smith."""
    prepared = prepare({"name": ["Ann Smith", "Ann Smith", "Ann Smyth"], "email": [f"{it}@mail.test" for it in "abc"]})
    comparison, last = FieldComparison(prepared), list(prepared.columns).index("last")
    weights = first_weights(comparison)
    weights.log_u[last, VARIANT] = -20.0
    ones, others = np.array([0, 0]), np.array([1, 2])
    same, variant = weights.parts(ComparedPairs(prepared, ones, others, comparison.of(ones, others)))[:, last]
    assert variant == same


def test_records_of_one_customer_do_not_make_agreement_of_two_look_usual() -> None:
    """Half of the records have the mailbox of another one, at another domain: that of their own customer."""
    people = [f"person{number * 7919:07d}" for number in range(200)]
    emails = [f"{person}@{domain}.test" for person in people for domain in ("mail", "corp")]
    comparison = FieldComparison(prepare({"email": emails}))
    first = first_weights(comparison)
    known = with_customers(first, comparison, np.arange(400) // 2)
    assert known.log_u[0][VARIANT] < first.log_u[0][VARIANT] - 2


def test_the_same_records_give_the_same_result_to_the_last_bit() -> None:
    _, fields = _trap(TRAPS[0])
    one, other = match(fields), match(fields)
    assert (one.questions, one.groups.tolist()) == (other.questions, other.groups.tolist())


def test_groups_are_joined_by_the_mean_and_not_by_a_path() -> None:
    """1 fits 0 and 2, which contradict each other: it goes to the better one, and they stay two."""
    links = np.array([0, 1, 0]), np.array([1, 2, 2]), np.array([12.0, 8.0, -12.0])
    assert grouped(3, links, 0.0, lambda ones, others: np.zeros(len(ones))).tolist() == [0, 0, 2]
