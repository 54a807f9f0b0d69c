"""The nouns of the house, one word per thing, and the columns of each relation.

A bad row is a Reject (data); a bad file is a DeliveryError (exception). A group is the crosswalk rows that
share one unified_id. Inside, a missing value is null; ``N/A`` exists in published files only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

MISSING = "N/A"


@dataclass(frozen=True)
class Source:
    """A system that exports customers: how its files are called and where its fields stand.

    ``fields`` maps a delivered field to the column name (CSV) or the path of member names (JSON).
    """

    name: str
    file_stem: str
    file_format: Literal["csv", "json"]
    fields: Mapping[str, tuple[str, ...]] = field(hash=False)
    default_status: str | None = None

    @property
    def file_name(self) -> str:
        """The name users drop the export under."""
        return f"{self.file_stem}.{self.file_format}"


CRM = Source(
    name="CRM",
    file_stem="crm_customers",
    file_format="csv",
    fields={
        "source_id": ("customer_id",),
        "full_name": ("full_name",),
        "email": ("email",),
        "phone": ("phone",),
        "signup_date": ("signup_date",),
        "status": ("status",),
    },
)
ECOM = Source(
    name="ECOM",
    file_stem="ecommerce_customers",
    file_format="json",
    fields={
        "source_id": ("id",),
        "full_name": ("name",),
        "first_name": ("name", "first"),
        "last_name": ("name", "last"),
        "email": ("contact", "email"),
        "phone": ("contact", "phone"),
        "signup_date": ("registered",),
        "orders_count": ("orders_count",),
    },
    default_status="active",
)
SOURCES: tuple[Source, ...] = (CRM, ECOM)
"""The sources in the order that settles every tie."""


@dataclass(frozen=True)
class Fingerprint:
    """Which file, in which state: two equal fingerprints mean that nobody wrote in between."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class Delivery:
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


@dataclass(frozen=True)
class Batch:
    """One CRM export and one e-commerce export that are integrated together."""

    id: str
    claimed_at: datetime
    deliveries: tuple[Delivery, ...]
    suffix: str = ""
    accepted: bool = False
    """True when a person let it pass the guards (volume, outdated), once."""
    warnings: tuple[str, ...] = ()
    """What was odd about its arrival; told in its log."""
    former_outcome_sha256: str | None = None
    """Of the manifest or reason that the batch before it ended in; so the outcomes are a chain."""

    def where(self, delivery: Delivery) -> str:
        """The batch and the file, for an error message."""
        return f"batch {self.id}, {delivery.file_name}"


def batch_id(claimed_at: datetime, deliveries: tuple[Delivery, ...], is_taken: Callable[[str], bool]) -> str:
    """``<UTC claim time>-<6 hex of the input hash>``, with ``-2``, ``-3``, … behind it where that is taken."""
    plain = f"{claimed_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{inputs_sha256(deliveries)[:6]}"
    found, number = plain, 1
    while is_taken(found):
        number += 1
        found = f"{plain}-{number}"
    return found


def inputs_sha256(deliveries: tuple[Delivery, ...]) -> str:
    """One hash of all the files of a batch."""
    return hashlib.sha256("\n".join(delivery.sha256 for delivery in deliveries).encode()).hexdigest()


@dataclass(frozen=True)
class Rules:
    """What a user can decide about the integration; handed into the pipeline as a value."""

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

RAW: Columns = {
    "source": "name of the source",
    "row_number": "position in the file, from 1; blank rows do not count",
    "source_id": "as written",
    "full_name": "as written, where the source gives the name whole",
    "first_name": "as written, where the source gives it in parts",
    "last_name": "as written, where the source gives it in parts",
    "email": "as written",
    "phone": "as written",
    "signup_date": "as written",
    "status": "as written",
    "orders_count": "as written",
}
RAW_FIELDS: tuple[str, ...] = tuple(RAW)[2:]

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
