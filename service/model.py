"""The nouns of the house, one word per thing, and the columns of each relation.

A bad row is a Reject (data); a bad file is a InputError (exception). A group is the crosswalk rows that
share one unified_id. Inside, a missing value is null; ``N/A`` exists in published files only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

MISSING = "N/A"


Value = tuple[str, ...]
"""The places whose texts, joined by a blank, are a value. A place is the name of a column (CSV, case does not
matter) or a dotted path of member names (JSON): ``contact.email``, ``addresses[0].telephone``."""


@dataclass(frozen=True)
class Layout:
    """Where the fields stand in the exports of one system; of several places the first that says something counts."""

    name: str
    fields: Mapping[str, tuple[Value, ...]] = field(hash=False)
    rows_at: str = "customers"
    """JSON: the member that holds the array of customers, where the document is an object."""
    needs: tuple[tuple[str, ...], ...] = (("source_id",), ("full_name", "email", "phone"))
    """An export without any of the first of these, or without any of the second, … is not written in this layout."""
    is_continued: bool = False
    """Whether a row without name and e-mail address goes on with the customer above it."""
    numbers: tuple[str, ...] = ("orders_count",)
    """Fields that are numbers and nothing else, so that it does not matter how they are written (1.50 or 1.5)."""
    page: str = ""
    """The page that lists its places, where no setting can change them; else ``service.toml`` can."""

    @cached_property
    def places(self) -> tuple[str, ...]:
        """Every place once, in order."""
        return tuple(dict.fromkeys(place for values in self.fields.values() for value in values for place in value))

    def places_of(self, name: str) -> tuple[str, ...]:
        """The places of one field."""
        return tuple(place for value in self.fields.get(name, ()) for place in value)

    def lacking(self, found: Collection[str]) -> tuple[str, ...] | None:
        """The fields of which an export with these places has none, though it needs one; None where it has all."""
        known = {name for name, values in self.fields.items() if any(set(value) <= set(found) for value in values)}
        return next((names for names in self.needs if known.isdisjoint(names)), None)


def _alike(places: Collection[str]) -> set[str]:
    """Places as they are compared between layouts, which may write them in other cases."""
    return {place.casefold() for place in places}


JobName = Literal["integration", "analytics"]
"""What is made of a batch: a customer master, or the analytics export."""
JOBS: tuple[JobName, ...] = get_args(JobName)


@dataclass(frozen=True)
class Source:
    """A system that exports customers: how its files are called and where its fields may stand."""

    name: str
    file_name: str
    """The name users drop the export under; a star in it stands for the suffix."""
    layouts: tuple[Layout, ...]
    """Its own first, then the presets it may be written in; see ``layout_of``."""
    defaults: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Field -> what is taken where the source says nothing."""
    region: str | None = None
    """Region of its phones, where it is not the default one."""
    date_order: str | None = None
    """How its dates are read where their column does not tell, if not as all others."""
    is_required: bool = True
    """Whether a batch waits for it; else it joins if it is there when the others are complete."""
    job: JobName = "integration"
    """What its exports are for; only exports for the same job make a batch together."""

    @property
    def file_stem(self) -> str:
        """The name without its extension."""
        return self.file_name.rpartition(".")[0]

    @property
    def own(self) -> Layout:
        """Its own layout, by which errors are told where no layout fits."""
        return self.layouts[0]

    def layout_of(self, found: Callable[[Layout], Collection[str]]) -> Layout:
        """The layout that fits an export, which has ``found(layout)`` of its places.

        The source's own if it can be used at all, unless another has all of those places and more: what stands in
        further columns is nobody's business. Where none fits it is the own one, by which the export is refused.
        """
        usable = [layout for layout in self.layouts if not layout.lacking(found(layout))]
        if self.own in usable:
            own = _alike(found(self.own))
            usable = [layout for layout in usable if own <= _alike(found(layout))]
        return max(usable, key=lambda layout: len(found(layout)), default=self.own)

    def format_of(self, file_name: str) -> Literal["csv", "json"]:
        """How a file of this name is read; ``.gz`` does not count."""
        for name in (file_name, self.file_name):
            kind = name.lower().removesuffix(".gz").rpartition(".")[2]
            if kind in CSV_KINDS + JSON_KINDS:
                return "csv" if kind in CSV_KINDS else "json"
        return "csv"


CSV_KINDS = ("csv", "tsv", "txt")
JSON_KINDS = ("json", "jsonl", "ndjson")

CRM = Source(
    name="CRM",
    file_name="crm_customers.csv",
    layouts=(
        Layout(
            "crm",
            {
                "source_id": (("customer_id",),),
                "full_name": (("full_name",),),
                "email": (("email",),),
                "phone": (("phone",),),
                "signup_date": (("signup_date",),),
                "status": (("status",),),
            },
        ),
    ),
)
ECOM = Source(
    name="ECOM",
    file_name="ecommerce_customers.json",
    layouts=(
        Layout(
            "ecom",
            {
                "source_id": (("id",),),
                "full_name": (("name",), ("name.first", "name.last")),
                "email": (("contact.email",),),
                "phone": (("contact.phone",),),
                "signup_date": (("registered",),),
                "orders_count": (("orders_count",),),
            },
        ),
    ),
    defaults={"status": "active"},
)
SOURCES: tuple[Source, ...] = (CRM, ECOM)
"""The built-in sources, in the order that settles every tie."""

API = Source(
    name="API",
    file_name="api_customers.json",
    layouts=(
        Layout(
            "api",
            {
                "id": (("id",),),
                "first_name": (("first_name",),),
                "last_name": (("last_name",),),
                "email": (("email",),),
                "phone": (("phone",),),
                "avatar": (("avatar",),),
                "engagement_score": (("engagement_score",),),
                "last_active_at": (("last_active_at",),),
                "signup_source": (("signup_source",),),
                "region": (("region",),),
                "country": (("country",),),
                "state": (("state",),),
                "timezone": (("timezone",),),
                "plan": (("plan",),),
                "total_spent": (("total_spent",),),
            },
            rows_at="data",
            needs=(("id", "email", "first_name", "last_name"),),
            numbers=("engagement_score", "total_spent"),
            page="docs/analytics.md",
        ),
    ),
    job="analytics",
)
"""What ``sync`` delivers: the customers of the API, as they came."""


@dataclass(frozen=True)
class Fingerprint:
    """Which file, in which state: two equal fingerprints mean that nobody wrote in between."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class InputFile:
    """One export file of a batch."""

    source: Source
    path: Path
    sha256: str
    fingerprint: Fingerprint
    """As it was when it was hashed."""
    settle_proof: str
    """How we know that its writer was done: lease, close_event, stillness, or given (by hand)."""

    @property
    def file_name(self) -> str:
        """The name the user gave it."""
        return self.path.name

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.fingerprint.size_bytes

    @property
    def file_format(self) -> Literal["csv", "json"]:
        """How it is read."""
        return self.source.format_of(self.path.name)


@dataclass(frozen=True)
class Batch:
    """One export of every required source of a job, and of optional ones that were there, worked on together."""

    id: str
    claimed_at: datetime
    inputs: tuple[InputFile, ...]
    """In the order of their sources."""
    suffix: str = ""
    accepted: bool = False
    """True when a person let it pass the guards (volume, outdated), once."""
    warnings: tuple[str, ...] = ()
    """What was odd about its arrival; told in its log."""
    former_outcome_sha256: str | None = None
    """Of the manifest or reason that the batch before it ended in; so the outcomes are a chain."""

    @property
    def job(self) -> JobName:
        """What is made of it."""
        return self.inputs[0].source.job

    def where(self, delivery: InputFile) -> str:
        """The batch and the file, for an error message."""
        return f"batch {self.id}, {delivery.file_name}"


def batch_id(claimed_at: datetime, inputs: tuple[InputFile, ...], is_taken: Callable[[str], bool]) -> str:
    """``<UTC claim time>-<6 hex of the input hash>``, with ``-2``, ``-3``, … behind it where that is taken."""
    plain = f"{claimed_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{inputs_sha256(inputs)[:6]}"
    found, number = plain, 1
    while is_taken(found):
        number += 1
        found = f"{plain}-{number}"
    return found


def inputs_sha256(inputs: tuple[InputFile, ...]) -> str:
    """One hash of all the files of a batch."""
    return hashlib.sha256("\n".join(delivery.sha256 for delivery in inputs).encode()).hexdigest()


@dataclass(frozen=True)
class Rules:
    """What a user can decide about the integration; handed into the pipeline as a value."""

    sources: tuple[Source, ...] = SOURCES
    """In the order that settles every tie."""
    default_region: str = "US"
    date_order: str = "MDY"
    survivorship: Literal["fill", "record"] = "fill"
    max_reject_percent: float = 10.0
    volume_guard_rows: int = 1000
    min_volume_percent: float = 50.0
    formula_escape: bool = True
    csv_bom: bool = False


@dataclass(frozen=True)
class Published:
    """What the register remembers of the published set: enough for the guards and for the next manifest."""

    batch_id: str
    suffix: str = ""
    source_rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """The figures of one integrated batch; counts only, safe to log."""

    records: int
    rejects: int
    duplicates: int
    customers: int
    source_rows: Mapping[str, int]

    def counts(self) -> dict[str, int]:
        """The figures of the whole batch, for the manifest and the canonical log line."""
        return {
            "records": self.records,
            "rejects": self.rejects,
            "duplicates": self.duplicates,
            "customers": self.customers,
        }


Columns = Mapping[str, str]

FIELDS: tuple[str, ...] = ("source_id", "full_name", "email", "phone", "signup_date", "status", "orders_count")
"""What a layout may tell of a customer."""

REJECT: Columns = {
    "source_system": "name of the source",
    "row_number": "position in the file, from 1",
    "code": "why the row could not enter, one word",
    "column": "the column that was at fault, where there is one",
    "explanation": "why, for a person; never a customer's value",
}

RECORD: Columns = {
    "ordinal": "order of appearance over all sources, from 0; no gaps",
    "source": "name of the source",
    "row_number": "position in the file, from 1",
    "source_id": "the source's id, or <SOURCE>-ROW<row number> where it gave none",
    "has_id": "true where the source gave an id",
    "record_key": "what the register knows the record by, over batches",
    "full_name": "normalised, null = missing; so the next four",
    "email": "normalised",
    "phone": "digits as printed",
    "signup_date": "YYYY-MM-DD",
    "status": "lower case",
    "status_stated": "false where the status is only the source's default",
    "name_key": "what equality of names compares",
    "phone_key": "what equality of phones compares: + and the full international number",
    "orders_count": "kept for analytics",
}

EVIDENCE: Columns = {
    "ordinal": "the removed record",
    "group_id": "its group",
    "kept": "ordinal of the record that stands for the group",
    "via": "ordinal of the record it is linked through; the kept one where both agree on something",
    "by_id": "true where record and via share the source's id",
    "by_email": "true where they share the e-mail address",
    "by_phone": "true where they share the phone",
    "by_name": "true where they share the name and the identifiers do not settle it already",
}

GOLDEN: Columns = {
    "group_id": "smallest ordinal of the group",
    "kept": "ordinal of the record that was kept",
    "full_name": "surviving values; null = missing",
    "email": "",
    "phone": "",
    "signup_date": "",
    "status": "",
    "source_system": "every source of the group joined by +, in source order",
}

CROSSWALK: Columns = {
    "ordinal": "the record",
    "group_id": "its group",
    "customer": "number of the customer; CUST001 is 1",
}
