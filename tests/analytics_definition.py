"""Definition of the analytics export in plain Python: slow, and written to be read.

It shares with the service the word tables and the reading of single cells. How evidence is weighed is written here a
second time, and ``tests/test_analytics.py`` compares the two.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import phonenumbers
from phonenumbers.timezone import time_zones_for_geographical_number

from service.analytics_rules import AnalyticsRules, EngagementThresholds, OrdersThresholds
from service.data import read_csv
from service.pipeline.analytics import geography
from service.pipeline.analytics.records import api_id, moment
from service.pipeline.fields.cell import part_of_name, value_of_cell
from service.pipeline.fields.date import column_of, date_evidence
from service.pipeline.fields.email import email_key, norm_email
from service.pipeline.fields.missing import is_missing_name
from service.pipeline.fields.name import name_key, norm_name
from service.pipeline.fields.phone import key_of_printed_phone, norm_phone
from service.vocabulary import STATED, word_of

_NUMBER = re.compile(r" *[+\-]?[0-9]+(\.[0-9]+)?([eE][+\-]?[0-9]+)? *", re.ASCII)
_WEB_ADDRESS = re.compile(r"https?://[^ \t\r\n/?#][^ \t\r\n]*", re.IGNORECASE | re.ASCII)

Value = TypeVar("Value")
Cells = Mapping[str, str]
Decision = tuple[str, str]
"""The value of a field, and the origin of its evidence: record, master or none."""
DAY_SECONDS = 86_400
UNKNOWN: Decision = ("unknown", "none")
SIDES = ("US-West", "US-East")


def number(text: str) -> float | None:
    """The finite number that the text writes with a decimal point, if any; None for other text."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def is_web_address(text: str) -> bool:
    """Whether an avatar is an http or https address."""
    return _WEB_ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True)
class MasterCustomer:
    """A customer of the customer master."""

    full_name: str | None = None
    email: str | None = None
    phone: str | None = None
    source_system: str = "CRM"
    status: str = "active"
    orders_count: int | None = None


NO_CUSTOMER = MasterCustomer(status="", source_system="")


@dataclass(frozen=True)
class Definition:
    """The definition for some rules, a time in seconds since 1970, and the customers of a master."""

    rules: AnalyticsRules
    fetched_at: int
    master: Sequence[MasterCustomer]
    column: str = "MDY"
    """How times are read, see ``DateColumn.code``."""

    def export(self, records: Sequence[Cells]) -> list[dict[str, object]]:
        """The customers of the export, in its order."""
        reading = self.with_column(records)
        rows = [reading.customer(record) for record in records]
        kept = [at for at in range(len(rows)) if not self._is_repeated(at, rows)]
        return [rows[at] for at in sorted(kept, key=lambda at: _order(rows[at], at))]

    @staticmethod
    def _is_repeated(position: int, rows: Sequence[Mapping[str, object]]) -> bool:
        """Whether another row with the same id is kept instead."""
        row = rows[position]

        def rank(at: int) -> tuple[object, int]:
            return rows[at]["data_quality_score"], at

        same = [at for at, it in enumerate(rows) if row["customer_id"] is not None and _same_id(it, row)]
        return bool(same) and position != max(same, key=rank)

    def with_column(self, records: Sequence[Cells]) -> Definition:
        """The definition for a file of these records: how their times are read, they show together."""
        written = [it for record in records if (it := cell_of(record, "last_active_at"))]
        evidence = Counter(filter(None, map(date_evidence, written)))
        return replace(self, column=column_of(evidence, len(written), self.rules.date_order)[0].code)

    def customer(self, record: Cells) -> dict[str, object]:
        """The customer of the export that one record becomes."""
        id_, first, last = cell_of(record, "id"), part(record, "first_name"), part(record, "last_name")
        id_ = api_id(id_) if id_ else None
        written_name = " ".join(it for it in (first, last) if it)
        if is_missing_name(written_name):
            first, last, written_name = None, None, ""
        name = norm_name(written_name) if written_name else None
        email = read(record, "email", norm_email)
        match = self.match(name if first_and_last(first, last) else None, email, self.phone_of(record))
        decisions = {
            "engagement_level": self.engagement(record, match),
            "activity_status": self.activity(record, match),
            "acquisition_channel": self.channel(record, match),
            "market_segment": self.segment(record, email, match),
            "customer_tier": self.tier(record),
        }
        values = {field: stated(record, field) or value for field, (value, _) in decisions.items()}
        usable = (
            id_,
            first and norm_name(first),
            last and norm_name(last),
            email,
            is_web_address(cell_of(record, "avatar") or ""),
            *(value != "unknown" for value in values.values()),
        )
        return {
            "customer_id": int(id_) if id_ and is_number_id(id_) else id_,
            "full_name": name or "unknown",
            "email_domain": email.partition("@")[2] if email else "unknown",
            **values,
            "data_quality_score": 10 * sum(map(bool, usable)),
        }

    def phone_of(self, record: Cells) -> str | None:
        """The key of the record's phone."""
        return read(record, "phone", lambda text: norm_phone(text, self.rules.default_region))

    def match(self, name: str | None, email: str | None, phone: str | None) -> MasterCustomer:
        """The customer of the master that a record belongs to: by e-mail address, else by phone, else by full name."""
        region = self.rules.default_region
        matches = (
            *(it for it in self.master if email and it.email and email_key(it.email) == email_key(email)),
            *(it for it in self.master if phone and it.phone and key_of_printed_phone(it.phone, region) == phone),
            *(it for it in self.master if name and it.full_name and name_key(it.full_name) == name_key(name)),
        )
        return matches[0] if matches else NO_CUSTOMER

    def engagement(self, record: Cells, match: MasterCustomer) -> Decision:
        """By the score, else by the orders."""
        score = read(record, "engagement_score", number)
        if score is not None and 0 <= score <= 100:
            return level(score, self.rules.tables.engagement), "record"
        if match.orders_count is not None:
            return level(match.orders_count, self.rules.tables.orders), "master"
        return UNKNOWN

    def activity(self, record: Cells, match: MasterCustomer) -> Decision:
        """By the last activity; by the master only if that is missing, not if it is invalid."""
        written = cell_of(record, "last_active_at")
        if written is None:
            return (match.status, "master") if match.status in ("active", "inactive") else UNKNOWN
        last_active = moment(written, self.column)
        if last_active is None or last_active > self.fetched_at + DAY_SECONDS:
            return UNKNOWN
        is_recent = self.fetched_at - last_active <= self.rules.active_days * DAY_SECONDS
        return ("active" if is_recent else "inactive"), "record"

    def channel(self, record: Cells, match: MasterCustomer) -> Decision:
        """By the word of the record, else by the shop among the customer's sources."""
        if channel := meaning(record, "signup_source", self.rules.tables.channels):
            return channel, "record"
        return ("website", "master") if "ECOM" in match.source_system.split("+") else UNKNOWN

    def tier(self, record: Cells) -> Decision:
        """By the plan, else by the amount spent."""
        if tier := meaning(record, "plan", self.rules.tables.plans):
            return tier, "record"
        spent = read(record, "total_spent", number)
        if spent is None or spent < 0:
            return UNKNOWN
        lowest = self.rules.tables.spent
        tier = "enterprise" if spent >= lowest.enterprise else "premium" if spent >= lowest.premium else "basic"
        return tier, "record"

    def segment(self, record: Cells, email: str | None, match: MasterCustomer) -> Decision:
        """By the first evidence. A customer in the US is on one of its sides, or unknown."""
        region = segment_of_region(record, {**geography.regions(), **self.rules.tables.regions})
        country = meaning(record, "country", geography.countries())
        if region and region != "US":
            return region, "record"
        if region is None and country and country != "US":
            return country, "record"
        is_in_us = "US" in (region, country)
        options = self._segments(record, email, match)
        return next((it for it in options if it[0] in SIDES or (it[0] and not is_in_us)), UNKNOWN)

    def _segments(self, record: Cells, email: str | None, match: MasterCustomer) -> Iterator[Decision]:
        if cell_of(record, "country") is None or meaning(record, "country", geography.countries()) == "US":
            yield meaning(record, "state", geography.states()) or "", "record"
        yield meaning(record, "timezone", geography.zones()) or "", "record"
        yield segment_of_phone(self.phone_of(record)), "record"
        yield segment_of_phone(match.phone and key_of_printed_phone(match.phone, self.rules.default_region)), "master"
        yield segment_of_domain(email), "record"
        yield segment_of_domain(match.email), "master"


def cell_of(record: Cells, name: str) -> str | None:
    """The text of a cell; None if it is missing or holds a word for a missing value."""
    return value_of_cell(record.get(name))


def part(record: Cells, name: str) -> str | None:
    """A part of a name: Na is one; signs, digits and n/a are not."""
    return part_of_name(record.get(name))


def read(record: Cells, name: str, reads: Callable[[str], Value | None]) -> Value | None:
    """The value of a cell; None if it is missing or unusable."""
    written = cell_of(record, name)
    return None if written is None else reads(written)


def first_and_last(first: str | None, last: str | None) -> bool:
    """Whether both parts of the name are usable."""
    return bool(first and norm_name(first) and last and norm_name(last))


def meaning(record: Cells, name: str, words: Mapping[str, str]) -> str | None:
    """The meaning of the word in a cell; None if it has none."""
    written = cell_of(record, name)
    found = words.get(word_of(written)) if written is not None else None
    return None if found == "unknown" else found


def level(amount: float, thresholds: EngagementThresholds | OrdersThresholds) -> str:
    """High, medium or low."""
    return "high" if amount >= thresholds.high else "medium" if amount >= thresholds.medium else "low"


def segment_of_phone(key: str | None) -> str:
    """By the country of the calling code; in the US by the time zone of the area. From libphonenumber's own tables."""
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
    """By the country domain, unless people of every country use the host."""
    host = (email or "").rpartition("@")[2]
    if any(host == row["host"] or host.endswith(f".{row['host']}") for row in read_csv("worldwide_hosts.csv")):
        return ""
    return geography.domains().get(host.rpartition(".")[2], "") if "." in host else ""


def stated(record: Cells, field: str) -> str | None:
    """The value that a record states for a field of the export itself, in our words; unknown is no statement."""
    return meaning(record, field, {word_of(value): value for value in STATED[field]})


def segment_of_region(record: Cells, words: Mapping[str, str]) -> str | None:
    """By the words of the rules, else as a region of a cloud."""
    written = cell_of(record, "region")
    if written is not None and word_of(written) not in words:
        return geography.segment_of_cloud_region(written)
    return meaning(record, "region", words)


def is_number_id(id_: str) -> bool:
    """Whether an id is written as a number."""
    return id_.isascii() and id_.isdigit() and id_[0] != "0" and len(id_) <= 15


def _same_id(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return str(one["customer_id"]) == str(other["customer_id"])


def _order(row: Mapping[str, object], position: int) -> tuple[object, ...]:
    id_ = row["customer_id"]
    is_number = isinstance(id_, int)
    return (
        row["full_name"],
        not is_number,
        id_ if is_number else 0,
        id_ is None,
        "" if is_number else id_ or "",
        position,
    )
