"""The customers of the simulated API: twelve known ones, then any number of made-up ones.

Customer ``i`` is a pure function of the seed and ``i``: a page of a million customers costs no more than one of twelve,
and every machine serves the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any, TypeVar

Customer = dict[str, Any]
T = TypeVar("T")


class Dice:
    """Choices that are a pure function of ``purpose``.

    Not ``random.Random``: only its ``random()`` gives the same numbers in every version of Python.
    """

    def __init__(self, *purpose: object) -> None:
        seed = "/".join(map(str, purpose)).encode()
        self._left = int.from_bytes(blake2b(seed, digest_size=64).digest(), "big")

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1. About twenty of them are independent of each other."""
        self._left, chosen = divmod(self._left, bound)
        return chosen

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def happens(self, percent: float) -> bool:
        """True in ``percent`` % of all cases."""
        return self.below(1_000_000) < percent * 10_000


@dataclass(frozen=True)
class World:
    """All customers: ``customers`` of them; those after the twelve known ones are made up from ``seed``."""

    today: date
    """``last_active_at`` is counted back from this day."""
    customers: int = 12
    seed: int = 0

    def customer(self, index: int) -> Customer:
        """The row of the customer at ``index``, from 0; its id is ``index`` + 1."""
        if index < len(_KNOWN):
            return _known(index, self.today)
        return _made_up(Dice(self.seed, "customer", index), index + 1, self.today)


# First name, last name, and the members of the engagement; ``last_active_at`` in days before today. By the rules of the
# analytics export eight are of high quality, three of medium, one of low; all levels, segments and tiers occur.
# The last four have the same quality whether or not the country domain of their address (.in) counts as a segment.
_KNOWN: tuple[tuple[str, str, Customer], ...] = (
    (
        "George",
        "Bluth",
        {
            "engagement_score": 87,
            "last_active_at": 3,
            "signup_source": "website",
            "region": "US-West",
            "country": "US",
            "state": "CA",
            "timezone": "America/Los_Angeles",
            "plan": "premium",
            "total_spent": 1249.5,
            "phone": "+1-415-555-0101",
        },
    ),
    (
        "Janet",
        "Weaver",
        {
            "engagement_score": 55,
            "last_active_at": 20,
            "signup_source": "mobile",
            "country": "US",
            "state": "NY",
            "timezone": "America/New_York",
            "plan": "basic",
            "total_spent": 80,
            "phone": "+1-212-555-0102",
        },
    ),
    (
        "Emma",
        "Wong",
        {
            "engagement_score": 91,
            "last_active_at": 1,
            "signup_source": "email",
            "region": "APAC",
            "country": "SG",
            "timezone": "Asia/Singapore",
            "plan": "enterprise",
            "total_spent": 15300,
        },
    ),
    (
        "Eve",
        "Holt",
        {
            "engagement_score": 34,
            "last_active_at": 200,
            "signup_source": "website",
            "region": "EU",
            "country": "DE",
            "timezone": "Europe/Berlin",
            "plan": "basic",
        },
    ),
    (
        "Charles",
        "Morris",
        {
            "engagement_score": 72,
            "last_active_at": 45,
            "signup_source": "mobile",
            "country": "US",
            "state": "FL",
            "total_spent": 2750,
            "phone": "+1-305-555-0105",
        },
    ),
    (
        "Tracey",
        "Ramos",
        {
            "engagement_score": 48,
            "last_active_at": 120,
            "signup_source": "email",
            "country": "BR",
            "timezone": "America/Sao_Paulo",
            "plan": "premium",
        },
    ),
    (
        "Michael",
        "Lawson",
        {
            "engagement_score": 15,
            "last_active_at": 10,
            "signup_source": "website",
            "timezone": "Europe/Paris",
            "plan": "enterprise",
            "total_spent": 9800.25,
        },
    ),
    (
        "Lindsay",
        "Ferguson",
        {
            "last_active_at": 60,
            "signup_source": "mobile",
            "region": "US-West",
            "plan": "basic",
            "total_spent": 45.9,
        },
    ),
    (
        "Tobias",
        "Funke",
        {
            "engagement_score": None,
            "last_active_at": "not yet",
            "plan": "basic",
            "phone": "+1-213-555-0109",
        },
    ),
    (
        "Byron",
        "Fields",
        {
            "engagement_score": 64,
            "last_active_at": None,
            "signup_source": None,
            "country": "AU",
            "timezone": "Australia/Sydney",
        },
    ),
    (
        "George",
        "Edwards",
        {
            "avatar": "",
            "last_active_at": 30,
            "signup_source": "website",
        },
    ),
    (
        "Rachel",
        "Howell",
        {
            "email": "rachel.howell(at)reqres.in",
            "avatar": None,
            "engagement_score": None,
            "last_active_at": None,
        },
    ),
)


def _known(index: int, today: date) -> Customer:
    first, last, engagement = _KNOWN[index]
    row: Customer = {
        "id": index + 1,
        "email": f"{first}.{last}@reqres.in".lower(),
        "first_name": first,
        "last_name": last,
        "avatar": f"https://reqres.in/img/faces/{index + 1}-image.jpg",
    } | engagement
    if isinstance(row.get("last_active_at"), int):
        row["last_active_at"] = _days_before(today, row["last_active_at"], "%Y-%m-%dT00:00:00Z")
    return row


def _days_before(today: date, days: int, form: str) -> str:
    return (today - timedelta(days=days)).strftime(form)


_NAMES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("James", "Mary", "Robert", "Patricia", "John", "Linda", "Ann Marie", "Jean-Paul"),
        ("Smith", "Johnson", "O'Brien", "Van der Berg", "García", "McDonald", "Smith-Jones", "Lee"),
    ),
    (
        ("José", "Zoë", "Łukasz", "Søren", "Jürgen", "Çağla", "Nguyễn", "Ágnes"),
        ("Müller", "Núñez", "Kowalski", "Ångström", "Yılmaz", "Văn Anh", "Dvořák", "Þórsdóttir"),
    ),
    (("Анна", "Дмитрий", "Олена", "Ђорђе"), ("Иванова", "Кузнецов", "Шевченко", "Петровић")),
    (("Ελένη", "Γιώργος", "Νίκος"), ("Παπαδοπούλου", "Νικολάου", "Σταύρου")),
    (("محمد", "فاطمة", "ليلى"), ("الأحمد", "حسن", "بن علي")),
    (("נועה", "דוד"), ("כהן", "לוי")),
    (("प्रिया", "अर्जुन", "दीपिका"), ("शर्मा", "पटेल", "सिंह")),
    (("伟", "秀英", "芳"), ("王", "李", "张")),
    (("민준", "서연"), ("김", "박")),
    (("さくら", "健太"), ("佐藤", "鈴木")),
)
_DOMAINS = ("example.com", "example.org", "example.net", "mail.example.co.uk", "example.de", "example.com.au")
_REGIONS: tuple[tuple[str, str, str | None, str, str], ...] = (
    ("US-West", "US", "CA", "America/Los_Angeles", "+1-415-555-01{:02}"),
    ("West", "USA", "WA", "America/Los_Angeles", "(206) 555-01{:02}"),
    ("US-East", "US", "NY", "America/New_York", "+1-212-555-01{:02}"),
    ("East", "United States", "Massachusetts", "America/New_York", "617.555.01{:02}"),
    ("EU", "DE", None, "Europe/Berlin", "+49 30 231250{:02}"),
    ("Europe", "France", None, "Europe/Paris", "+33 1 99 00 00 {:02}"),
    ("EU", "PL", None, "Europe/Warsaw", "+48 22 555 00 {:02}"),
    ("APAC", "JP", None, "Asia/Tokyo", "+81 3-5550-00{:02}"),
    ("APAC", "AU", "NSW", "Australia/Sydney", "+61 2 5550 00{:02}"),
    ("Asia Pacific", "India", None, "Asia/Kolkata", "+91 22 5550 00{:02}"),
    ("LATAM", "BR", None, "America/Sao_Paulo", "+55 11 5550-00{:02}"),
    ("MEA", "ZA", None, "Africa/Johannesburg", "+27 11 555 00{:02}"),
)
_REGION_MEMBERS = ("region", "country", "state", "timezone")
_SHOWN_MEMBERS = (_REGION_MEMBERS, _REGION_MEMBERS, ("country", "state"), ("timezone",), ("region",), ())
"""Which of them a row has."""
_CHANNELS = ("website", "Web", "mobile", "ios", "android", "email", "newsletter")
_PLANS = ("basic", "basic", "Basic", "premium", "Premium ", "enterprise")
_MOMENTS = ("%Y-%m-%dT00:00:00Z", "%Y-%m-%dT00:00:00.000Z", "%Y-%m-%dT00:00:00+00:00", "%Y-%m-%d")


def _made_up(dice: Dice, number: int, today: date) -> Customer:
    firsts, lasts = dice.pick(_NAMES)
    first, last = dice.pick(firsts), dice.pick(lasts)
    local = f"{first}.{last}".replace(" ", "").lower()
    *region, phone = dice.pick(_REGIONS)
    region_of = dict(zip(_REGION_MEMBERS, region, strict=True))
    row: Customer = {
        "id": number,
        "email": f"{local if local.isascii() else 'customer'}{number}@{dice.pick(_DOMAINS)}",
        "first_name": first,
        "last_name": last,
        "avatar": f"https://reqres.in/img/faces/{1 + dice.below(12)}-image.jpg",
        "engagement_score": dice.below(101),
        "last_active_at": _days_before(today, dice.below(400), dice.pick(_MOMENTS)),
        "signup_source": dice.pick(_CHANNELS),
        **{member: region_of[member] for member in dice.pick(_SHOWN_MEMBERS) if region_of[member]},
        "plan": dice.pick(_PLANS),
        "total_spent": dice.below(2_000_000) / 100,
    }
    if dice.happens(60):
        row["phone"] = phone.format(dice.below(100))
    for _ in range(dice.pick(_BLEMISHES)):
        _blemish(row, dice)
    return row


_BLEMISHES = (0, 0, 0, 0, 0, 0, 1, 1, 2, 4)
"""How many blemishes a customer has."""
_DIRT: dict[str, tuple[Any, ...]] = {
    "email": ("n/a", "someone@", "no-at.example.com", " "),
    "first_name": ("", " ", "-"),
    "last_name": ("", "N/A"),
    "avatar": ("", "none", "image.jpg"),
    "engagement_score": ("high", -5, 1000, ""),
    "last_active_at": ("0000-00-00", "yesterday", "2024-13-45T00:00:00Z", ""),
    "signup_source": ("", "?", "fax"),
    "country": ("", "??"),
    "plan": ("", "?"),
    "phone": ("", "call me", "000"),
}
_SAME_EVIDENCE = {"country": _REGION_MEMBERS, "plan": ("plan", "total_spent")}
"""Members that are evidence of the same field."""


def _blemish(row: Customer, dice: Dice) -> None:
    """Remove a member and all evidence of the same field, or set the member to null or to a useless value."""
    member = dice.pick(tuple(_DIRT))
    way = dice.below(3)
    for other in _SAME_EVIDENCE.get(member, (member,)):
        row.pop(other, None)
    if way:
        row[member] = None if way == 1 else dice.pick(_DIRT[member])
