"""What the analytics export says of one record: the definition in plain Python, slow and to be read.

It shares with the service the tables of words and what one cell means; how the evidence is weighed is said here again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import phonenumbers
from phonenumbers.timezone import time_zones_for_geographical_number

from service.analytics_rules import AnalyticsRules, EngagementThresholds, OrdersThresholds
from service.pipeline.analytics import geography
from service.pipeline.analytics.records import api_id, moment
from service.pipeline.fields.email import norm_email
from service.pipeline.fields.missing import is_missing
from service.pipeline.fields.name import name_key, norm_name
from service.pipeline.fields.phone import norm_phone
from service.vocabulary import word_of

_NUMBER = re.compile(r" *[+\-]?[0-9]+(\.[0-9]+)?([eE][+\-]?[0-9]+)? *", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^ \t\r\n/?#][^ \t\r\n]*", re.IGNORECASE | re.ASCII)

Value = TypeVar("Value")
Cells = Mapping[str, str]
Told = tuple[str, str]
"""What is said, and by whom: record, master or none."""
DAY = 86_400
UNKNOWN: Told = ("unknown", "none")
SIDES = ("US-West", "US-East")


def number(text: str) -> float | None:
    """A number with a point, if any, and no sign of anything else; None where it is none, or beyond all bounds."""
    found = float(text) if _NUMBER.fullmatch(text) else math.inf
    return found if math.isfinite(found) else None


def is_web_address(text: str) -> bool:
    """Whether an avatar can be looked up."""
    return _WEB_ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True)
class Known:
    """A customer of the master."""

    full_name: str | None = None
    email: str | None = None
    phone: str | None = None
    source_system: str = "CRM"
    status: str = "active"
    orders_count: int | None = None


NOBODY = Known(status="", source_system="")


@dataclass(frozen=True)
class Definition:
    """The definition under these rules, at this time, beside this master."""

    rules: AnalyticsRules
    fetched_at: int
    master: Sequence[Known]

    def export(self, records: Sequence[Cells]) -> list[dict[str, object]]:
        """The customers, in order."""
        rows = [self.customer(record) for record in records]
        removed = {place for place, row in enumerate(rows) if self._is_beaten(place, row, rows)}
        kept = sorted(
            (place for place in range(len(rows)) if place not in removed), key=lambda at: _order(rows[at], at)
        )
        return [rows[place] for place in kept]

    @staticmethod
    def _is_beaten(place: int, row: Mapping[str, object], rows: Sequence[Mapping[str, object]]) -> bool:
        def rank(at: int) -> tuple[object, int]:
            return rows[at]["data_quality_score"], at

        same = [at for at, it in enumerate(rows) if row["customer_id"] is not None and _same_id(it, row)]
        return bool(same) and place != max(same, key=rank)

    def customer(self, record: Cells) -> dict[str, object]:
        """One record, enriched."""
        id_, first, last = said(record, "id"), part(record, "first_name"), part(record, "last_name")
        id_ = api_id(id_) if id_ else None
        written_name = " ".join(it for it in (first, last) if it)
        name = norm_name(written_name) if written_name else None
        email = read(record, "email", norm_email)
        known = self.known(name if first_and_last(first, last) else None, email, self.phone_of(record))
        enriched = {
            "engagement_level": self.engagement(record, known),
            "activity_status": self.activity(record, known),
            "acquisition_channel": self.channel(record, known),
            "market_segment": self.segment(record, email, known),
            "customer_tier": self.tier(record),
        }
        good = (
            id_,
            first and norm_name(first),
            last and norm_name(last),
            email,
            is_web_address(said(record, "avatar") or ""),
            *(told != "unknown" for told, _ in enriched.values()),
        )
        return {
            "customer_id": int(id_) if id_ and is_number_id(id_) else id_,
            "full_name": name or "unknown",
            "email_domain": email.partition("@")[2] if email else "unknown",
            **{field: told for field, (told, _) in enriched.items()},
            "data_quality_score": 10 * sum(map(bool, good)),
        }

    def phone_of(self, record: Cells) -> str | None:
        """The key of its phone."""
        return read(record, "phone", lambda text: norm_phone(text, self.rules.default_region))

    def known(self, name: str | None, email: str | None, phone: str | None) -> Known:
        """The customer of the master it is: by e-mail address, else by phone, else by full name."""
        region = self.rules.default_region
        found = (
            *(it for it in self.master if email and it.email == email),
            *(it for it in self.master if phone and it.phone and norm_phone(it.phone, region) == phone),
            *(it for it in self.master if name and it.full_name and name_key(it.full_name) == name_key(name)),
        )
        return found[0] if found else NOBODY

    def engagement(self, record: Cells, known: Known) -> Told:
        """By the score, else by the orders."""
        score = read(record, "engagement_score", number)
        if score is not None and 0 <= score <= 100:
            return level(score, self.rules.tables.engagement), "record"
        if known.orders_count is not None:
            return level(known.orders_count, self.rules.tables.orders), "master"
        return UNKNOWN

    def activity(self, record: Cells, known: Known) -> Told:
        """By the last activity; only where that is missing, not where it is wrong, by the master."""
        written = said(record, "last_active_at")
        if written is None:
            return (known.status, "master") if known.status in ("active", "inactive") else UNKNOWN
        seen = moment(written, self.rules.date_order)
        if seen is None or seen > self.fetched_at + DAY:
            return UNKNOWN
        is_recent = self.fetched_at - seen <= self.rules.active_days * DAY
        return ("active" if is_recent else "inactive"), "record"

    def channel(self, record: Cells, known: Known) -> Told:
        """By the word for it, else by the shop that knows the customer."""
        if told := meaning(record, "signup_source", self.rules.tables.channels):
            return told, "record"
        return ("website", "master") if "ECOM" in known.source_system.split("+") else UNKNOWN

    def tier(self, record: Cells) -> Told:
        """By the plan, else by what was spent."""
        if told := meaning(record, "plan", self.rules.tables.plans):
            return told, "record"
        spent = read(record, "total_spent", number)
        if spent is None or spent < 0:
            return UNKNOWN
        lowest = self.rules.tables.spent
        tier = "enterprise" if spent >= lowest.enterprise else "premium" if spent >= lowest.premium else "basic"
        return tier, "record"

    def segment(self, record: Cells, email: str | None, known: Known) -> Told:
        """By the first evidence that says something; who is in the US is on one of its sides, or unknown."""
        region = meaning(record, "region", {**geography.regions(), **self.rules.tables.regions})
        country = meaning(record, "country", geography.countries())
        if region and region != "US":
            return region, "record"
        if region is None and country and country != "US":
            return country, "record"
        is_in_us = "US" in (region, country)
        told = (it for it in self._where(record, email, known) if it[0] in SIDES or (it[0] and not is_in_us))
        return next(told, UNKNOWN)

    def _where(self, record: Cells, email: str | None, known: Known) -> Iterator[Told]:
        if said(record, "country") is None or meaning(record, "country", geography.countries()) == "US":
            yield meaning(record, "state", geography.states()) or "", "record"
        yield meaning(record, "timezone", geography.zones()) or "", "record"
        yield segment_of_phone(self.phone_of(record)), "record"
        yield segment_of_phone(known.phone and norm_phone(known.phone, self.rules.default_region)), "master"
        yield segment_of_domain(email), "record"
        yield segment_of_domain(known.email), "master"


def said(record: Cells, name: str) -> str | None:
    """The cell, unless it says that nothing is there."""
    cell = record.get(name)
    return None if is_missing(cell) else cell


def part(record: Cells, name: str) -> str | None:
    """A part of a name: Na is one, a mere sign is none."""
    cell = record.get(name)
    word = (cell or "").strip().casefold()
    return None if not word or (is_missing(word) and not word.isalpha()) else cell


def read(record: Cells, name: str, reads: Callable[[str], Value | None]) -> Value | None:
    """What the cell holds, if anything usable."""
    written = said(record, name)
    return None if written is None else reads(written)


def first_and_last(first: str | None, last: str | None) -> bool:
    """Whether both parts of the name are there."""
    return bool(first and norm_name(first) and last and norm_name(last))


def meaning(record: Cells, name: str, words: Mapping[str, str]) -> str | None:
    """What its word means."""
    written = said(record, name)
    found = words.get(word_of(written)) if written is not None else None
    return None if found == "unknown" else found


def level(amount: float, thresholds: EngagementThresholds | OrdersThresholds) -> str:
    """High, medium or low."""
    return "high" if amount >= thresholds.high else "medium" if amount >= thresholds.medium else "low"


def segment_of_phone(key: str | None) -> str:
    """By libphonenumber itself: the country of the calling code; at home in North America the area's time zone."""
    if not key:
        return ""
    parsed = phonenumbers.parse(key)
    if parsed.country_code != 1:
        country = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
        return geography.segment_of_country(country) if country.isalpha() else ""
    if len(key) != len("+12125550101"):
        return ""
    country = phonenumbers.region_code_for_number(phonenumbers.parse(f"{key[:5]}5552368")) or ""
    if country != "US":
        return geography.segment_of_country(country) if country else ""
    sides = {geography.zones().get(word_of(zone), "") for zone in time_zones_for_geographical_number(parsed)}
    return sides.pop() if len(sides) == 1 else ""


def segment_of_domain(email: str | None) -> str:
    """By the country domain."""
    return geography.domains().get(email.rpartition(".")[2], "") if email else ""


def is_number_id(id_: str) -> bool:
    """Whether an id is written as a number."""
    return id_.isascii() and id_.isdigit() and id_[0] != "0" and len(id_) <= 15


def _same_id(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return str(one["customer_id"]) == str(other["customer_id"])


def _order(row: Mapping[str, object], place: int) -> tuple[object, ...]:
    id_ = row["customer_id"]
    is_number = isinstance(id_, int)
    return (
        row["full_name"],
        not is_number,
        id_ if is_number else 0,
        id_ is None,
        "" if is_number else id_ or "",
        place,
    )
