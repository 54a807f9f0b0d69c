"""The matcher ``safe`` where most pairs that agree are two people: towns, firms, couples, namesakes.

Each population has every third person twice. An estimate that takes its many pairs of relatives for one customer learns
that contradictions are usual, and joins whole firms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pytest

from benchmarks.accuracy.measures import measures
from benchmarks.accuracy.sets import normalised
from service.pipeline.matching.safe.matcher import match

pytestmark = pytest.mark.large

_GIVEN = (
    "Aaron Adam Alice Amber Amy Andrew Anna Arthur Barbara Brian Carl Carol Cesar Chloe Clara Craig Daniel David Diana"
    " Doris Dylan Edward Elena Emily Eric Felix Fiona Frank Gina Grace Harold Helen Henry Irene Isaac Jacob Janet Joyce"
    " Julia Karen Kevin Laura Leo Linda Lucas Maria Martin Megan Nancy Nina Oliver Oscar Paula Peter Quentin Rachel"
    " Robert Rosa Samuel Sandra Scott Sofia Teresa Thomas Ursula Victor Walter Wendy Yvonne"
)
_FAMILY = (
    "Adams Alvarez Bailey Baker Barnes Bennett Brooks Campbell Carter Castillo Chavez Coleman Cooper Diaz Edwards Evans"
    " Fisher Flores Foster Garcia Gibson Gomez Graham Griffin Hamilton Harris Hayes Hughes Jenkins Kelly Kennedy Lopez"
    " Marshall Mendoza Mitchell Morales Murphy Myers Nelson Ortiz Parker Patel Perez Phillips Powell Ramirez Reed"
    " Reynolds Rivera Rogers Russell Sanders Simmons Stewart Sullivan Torres Tucker Turner Vasquez Wallace Watson"
    " Webb Wheeler Woods"
)
FIRST, LAST = _GIVEN.split(), _FAMILY.split()

Person = Mapping[str, str]
Fields = Mapping[str, Sequence[str | None]]


def _towns(count: int, r: random.Random) -> Iterator[Person]:
    """A town has one postcode and lies in one state, so that the three say as much as one."""
    towns = [
        {"city": f"Town{it}", "postcode": f"{10_000 + 37 * it}", "state": r.choice(["IL", "TX", "CO"])}
        for it in range(40)
    ]
    for number in range(count):
        street = {"address": f"{r.randint(1, 999)} {r.choice(LAST)} Street", "phone": f"212{2_000_000 + 311 * number}"}
        yield {**_name(r), "email": f"p{number * 7919}@mail.test", **street, **r.choice(towns)}


def _colleagues(count: int, r: random.Random, *, contacts: int, fields: Sequence[str]) -> Iterator[Person]:
    """Contacts of a firm share all but their names and mailboxes."""
    shared = [
        {
            "phone": f"212{2_000_000 + 311 * it}",
            "address": f"{r.randint(1, 999)} {r.choice(LAST)} Street",
            "postcode": f"{10_000 + 37 * it % 89_983}",
            "identifier.company": f"DE{100_000 + 311 * it}",
        }
        for it in range(count // contacts)
    ]
    for _ in range(count):
        firm, name = r.randrange(len(shared)), _name(r)
        email = f"{name['first_name']}.{name['last_name']}@firm{firm * 7919}.test".lower()
        yield {**name, "email": email, **{field: shared[firm][field] for field in fields}}


def _couples(count: int, r: random.Random) -> Iterator[Person]:
    """Husband and wife share last name, mailbox and number; Sr. and Jr. share the first name, too."""
    for number in range(count // 4):
        home = {"email": f"home{number * 7919}@mail.test", "phone": f"212{2_000_000 + 311 * number}"}
        last = r.choice(LAST)
        yield from ({"first_name": it, "last_name": last} | home for it in r.sample(FIRST, 2))
        home = {"email": f"both{number * 7919}@mail.test", "phone": f"312{2_000_000 + 311 * number}"}
        first, last = r.choice(FIRST), r.choice(LAST)
        yield from ({"first_name": first, "last_name": f"{last} {it}"} | home for it in ("Sr.", "Jr."))


def _namesakes(count: int, r: random.Random) -> Iterator[Person]:
    """A few names, many people: the mailbox of each has a number of its own."""
    for number in range(count):
        name = {"first_name": r.choice(FIRST[:8]), "last_name": r.choice(LAST[:8])}
        of_own = 1000 + number if number % 2 else 100_000 + number * 7919 % 900_001
        box = f"{name['first_name']}.{name['last_name']}{of_own}".lower()
        yield {**name, "email": f"{box}@mail.test", "phone": f"212{2_000_000 + 311 * number}"}


def _name(r: random.Random) -> Person:
    return {"first_name": r.choice(FIRST), "last_name": r.choice(LAST)}


PLACE = ("phone", "address", "postcode")
POPULATIONS: Mapping[str, Callable[[int, random.Random], Iterator[Person]]] = {
    "towns": _towns,
    "firms of 4 contacts": partial(_colleagues, contacts=4, fields=PLACE),
    "firms of 4 with a number": partial(_colleagues, contacts=4, fields=(*PLACE, "identifier.company")),
    "firms of 15 contacts": partial(_colleagues, contacts=15, fields=PLACE),
    "firms of 15 with a number": partial(_colleagues, contacts=15, fields=(*PLACE, "identifier.company")),
    "couples": _couples,
    "namesakes": _namesakes,
}


def _records(people: Sequence[Person], r: random.Random) -> tuple[list[int], Fields]:
    """The person of each record, and the fields. A third have a second record, which lacks one value in three."""
    rows = [(number, dict(person)) for number, person in enumerate(people)]
    for number, person in rows[::3]:
        lacking = r.choice([None, None, "email"])
        rows.append((number, {field: value for field, value in person.items() if field != lacking}))
    names = sorted({field for person in people for field in person})
    return [number for number, _ in rows], normalised({it: [row.get(it, "") for _, row in rows] for it in names})


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("count", [600, pytest.param(6000, marks=[pytest.mark.slow, pytest.mark.large])])
def test_people_who_share_all_but_their_names_stay_apart(name: str, count: int) -> None:
    r = random.Random(f"{name} {count}")
    known, fields = _records(list(POPULATIONS[name](count, r)), r)
    found = measures(match(fields).groups.tolist(), known)
    assert found.precision >= 0.95, found
    assert found.recall >= 0.9, found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alpha Bau GmbH", "Beta Immobilien GmbH"),
        ("Alpha Bau GmbH", "Hans Alpha Bau"),
        ("Walmart Store 12", "Walmart Store 13"),
        ("Test 1", "Test 2"),
        ("王伟", "李娜"),
        ("김민수", "이영희"),
    ],
)
def test_two_that_share_a_number_and_a_mailbox_stay_two(one: str, other: str) -> None:
    r = random.Random(1)
    people = [" ".join(_name(r).values()) for _ in range(300)]
    names = [one, other, *people]
    emails = ["office@shared.test", "office@shared.test", *(f"p{it * 7919}@mail.test" for it in range(300))]
    phones = ["+12125550143", "+12125550143", *(f"+1312{2_000_000 + 311 * it}" for it in range(300))]
    assert match({"name": names, "email": emails, "phone": phones}).groups.tolist()[:2] == [0, 1]


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("Juan Carlos Torres", "Juan Pablo Torres", "different"),
        ("Juan Carlos Torres", "Juan C Torres", "variant"),
        ("Juan Carlos Torres", "Juan Torres", "variant"),
        ("Juan Carlos Torres", "Juan Carlo Torres", "variant"),
    ],
)
def test_a_second_word_of_a_name_may_be_missing_or_short_but_not_another(one: str, other: str, outcome: str) -> None:
    found = match({"name": [one, other, "Ann Lee"], "email": ["a@mail.test", "a@mail.test", "b@mail.test"]})
    [(_, parts)] = found.weigh(np.array([0]), np.array([1]))
    assert f"last {outcome}" in parts
