"""The values that all rooms share, one word per thing, and the columns of each table.

A bad row is a reject (data); a bad file is an InputError (exception). A group is the set of records that
share one unified_id. In tables a missing value is null; ``N/A`` is written to published files only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from service import __version__
from service.fingerprint import Fingerprint
from service.job_name import JobName

MISSING = "N/A"
NOT_IDS = frozenset({"", "0", "-1"})
"""Values that systems write where a record has no id."""


FIELDS: tuple[str, ...] = ("source_id", "full_name", "email", "phone", "signup_date", "status", "orders_count")
"""The fields that a layout may map."""

EVIDENCE_FIELDS: tuple[str, ...] = ("first_name", "last_name", "birth_date", "address", "city", "postcode", "state")
"""Fields that the user may map for the matcher ``safe``, which alone reads them."""
IDENTIFIER = "identifier_"
"""Further fields for it begin so: any identifier that a source declares; in ``service.toml`` with a dot."""

FieldPath = tuple[str, ...]
"""The paths whose texts, joined by a blank, make one value. A path is the name of a column (CSV, case does not
matter) or a dotted path of member names (JSON): ``contact.email``, ``addresses[0].telephone``."""


@dataclass(frozen=True)
class Layout:
    """Column mapping of the exports of one system: field -> its field paths, of which the first with a value counts."""

    name: str
    fields: Mapping[str, tuple[FieldPath, ...]] = field(hash=False)
    rows_at: str = "customers"
    """JSON: the path of the array of customers, if the document is an object; see ``service.rows_path``."""
    needs: tuple[tuple[str, ...], ...] = (("source_id",), ("full_name", "email", "phone"))
    """An export fits this layout only if it has at least one field of each of these groups."""
    signs: tuple[str, ...] = ()
    """Paths that only this system has: an export fits only if it has one of them. Empty: none is needed."""
    one_origin: frozenset[str] = frozenset()
    """Fields that are read from one origin in the whole export: the first origin at which any row has a value. For the
    other fields every row decides."""
    may_lack_ids: bool = False
    """Whether an export without ids may have this layout (``without_ids``) if nothing else fits."""
    lacks_ids: bool = False
    """Whether it was chosen for an export without ids, whose rows are known by their content."""
    is_continued: bool = False
    """Whether a row without name and e-mail address continues the customer of the row above."""
    numbers: tuple[str, ...] = ("orders_count",)
    """Fields that hold numbers only, so that 1.50 and 1.5 are the same value."""
    page: str = ""
    """The documentation page that lists the paths, if no setting can change them; empty: ``service.toml`` can."""
    evidence: Mapping[str, tuple[FieldPath, ...]] = field(default_factory=dict, hash=False)
    """Field -> the paths of what a preset knows for the matcher ``safe`` alone; see ``with_evidence``."""

    def with_evidence(self) -> Layout:
        """This layout with its ``evidence`` among its fields. An export fits it as before."""
        return replace(self, fields={**self.evidence, **self.fields}) if self.evidence else self

    @cached_property
    def deciding(self) -> Mapping[str, tuple[FieldPath, ...]]:
        """The fields that decide whether an export has this layout or another one."""
        return {name: options for name, options in self.fields.items() if name not in self.evidence}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Every path once, in order."""
        return tuple(dict.fromkeys(path for options in self.fields.values() for option in options for path in option))

    def paths_of(self, name: str) -> tuple[str, ...]:
        """The paths of one field."""
        return tuple(path for option in self.fields.get(name, ()) for path in option)

    @cached_property
    def signs_and_paths(self) -> tuple[str, ...]:
        """Every path that decides whether an export fits, once."""
        return tuple(dict.fromkeys((*self.paths, *self.signs)))

    def lacking(self, found: Collection[str]) -> tuple[str, ...] | None:
        """The first group of ``needs`` of which an export with these paths has no field; None if it has all."""
        known = {name for name, options in self.fields.items() if any(set(option) <= set(found) for option in options)}
        return next((names for names in self.needs if known.isdisjoint(names)), None)

    def first_paths(self, found: Collection[str]) -> dict[str, set[str]]:
        """Field -> the paths of its first field path that an export with these paths has."""
        options = {
            name: next((it for it in paths if set(it) <= set(found)), None) for name, paths in self.deciding.items()
        }
        return {name: _folded(option) for name, option in options.items() if option}

    def fits(self, found: Collection[str]) -> bool:
        """Whether an export with these paths may have this layout."""
        return not self.lacking(found) and (not self.signs or not set(self.signs).isdisjoint(found))

    def origins_of(self, name: str) -> tuple[tuple[FieldPath, ...], ...]:
        """The field paths of one field, those below the same member or column together: ``name``, ``name.first``."""
        origins: dict[str, list[FieldPath]] = {}
        for option in self.fields.get(name, ()):
            origins.setdefault(re.split(r"[.\[]", option[0], maxsplit=1)[0], []).append(option)
        return tuple(map(tuple, origins.values()))

    def without_ids(self) -> Layout:
        """This layout for an export without ids, which must have a name, and an address or a phone."""
        return replace(self, needs=(("full_name",), ("email", "phone")), may_lack_ids=False, lacks_ids=True)


def _paths_of(fields: Mapping[str, tuple[FieldPath, ...]]) -> set[str]:
    return {path for options in fields.values() for option in options for path in option}


def _folded(paths: Collection[str]) -> set[str]:
    """Paths as they are compared between layouts, which may write them in different cases."""
    return {path.casefold() for path in paths}


DateOrder = Literal["MDY", "DMY"]
"""The order of day and month in dates such as ``01/02/2024``."""


@dataclass(frozen=True)
class Source:
    """A system that exports customers: the name of its files and the layouts they may have."""

    name: str
    file_name: str
    """The name under which users drop the export; a star in it stands for the suffix."""
    layouts: tuple[Layout, ...]
    """Its own first, then the presets that it may use; see ``layout_of``."""
    defaults: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Field -> the value of rows where the source gives none."""
    region: str | None = None
    """Region of its phones; None: the default region."""
    date_order: DateOrder | None = None
    """How its ambiguous dates are read; None: the default order."""
    encoding: str | None = None
    """Of its CSV files; None: found by their bytes."""
    is_required: bool = True
    """Whether a batch waits for it; an optional one joins if it is there when the others are complete."""
    job: JobName = "integration"
    """The job that uses its exports; a batch holds exports for one job only."""

    @property
    def file_stem(self) -> str:
        """The name without its extension."""
        return self.file_name.rpartition(".")[0]

    @property
    def own(self) -> Layout:
        """Its own layout; error messages name its columns if no layout fits."""
        return self.layouts[0]

    def with_evidence(self) -> Source:
        """This source as the matcher ``safe`` reads it."""
        return replace(self, layouts=tuple(layout.with_evidence() for layout in self.layouts))

    def layout_of(self, found: Callable[[Layout], Collection[str]]) -> Layout | None:
        """The layout that fits an export; ``found(layout)`` gives its ``signs_and_paths`` that the export has.

        The source's own layout if it is usable, unless another one has all of the same paths and more: columns
        that we do not need must not decide. None if no layout fits.
        """

        def read(layout: Layout) -> set[str]:
            return _folded(set(found(layout)).intersection(_paths_of(layout.deciding)))

        usable = [layout for layout in self.layouts if layout.fits(found(layout))]
        if self.own in usable:
            own = read(self.own)
            usable = [layout for layout in usable if own <= read(layout)]
            first = self.own.first_paths(found(self.own))
            usable = [
                it for it in usable if it is self.own or not it.may_lack_ids or _adds(it.first_paths(found(it)), first)
            ]
        return max(usable, key=lambda layout: len(read(layout)), default=None)

    def layout_without_ids(self, found: Callable[[Layout], Collection[str]]) -> Layout | None:
        """The layout for an export that has no ids; None if none of the layouts allows that, or fits."""
        # The export of a known system without its ids is not complete: it would be read by generic names only.
        if any(_lacks_its_ids(layout, found(layout)) for layout in self.layouts if layout.name not in _OWN_NAMES):
            return None
        layouts = [layout.without_ids() for layout in self.layouts if layout.may_lack_ids]
        return next((layout for layout in layouts if layout.fits(found(layout))), None)

    def format_of(self, file_name: str) -> Literal["csv", "json"]:
        """The format of a file with this name; ``.gz`` does not count."""
        for name in (file_name, self.file_name):
            kind = name.lower().removesuffix(".gz").rpartition(".")[2]
            if kind in CSV_KINDS + JSON_KINDS:
                return "csv" if kind in CSV_KINDS else "json"
        return "csv"


def _adds(other: Mapping[str, set[str]], own: Mapping[str, set[str]]) -> bool:
    """Whether a generic layout reads every field from where the own layout does, and a further field."""
    return all(other.get(name) == paths for name, paths in own.items()) and len(other) > len(own)


_OWN_NAMES = ("crm", "ecom")
"""The layouts of the built-in sources: any contact list may have their columns."""
_PATHS_OF_A_SYSTEM = 3
"""With fewer known paths an export is not taken for that of a system, whatever signs it has."""


def _lacks_its_ids(layout: Layout, found: Collection[str]) -> bool:
    """Whether an export with these paths is probably that of the layout's system, without its ids."""
    is_of_the_system = not set(layout.signs).isdisjoint(found)
    return is_of_the_system and len(set(found).intersection(_paths_of(layout.deciding))) >= _PATHS_OF_A_SYSTEM


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
                "full_name": (("full_name",), ("name",), ("first_name", "last_name")),
                "email": (("email",),),
                "phone": (("phone",),),
                "signup_date": (("signup_date",),),
                "status": (("status",),),
            },
            one_origin=frozenset(FIELDS),
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
                "source_id": (("id",), ("_id",), ("customer_id",)),
                "full_name": (("name",), ("name.first", "name.last"), ("first_name", "last_name")),
                "email": (("contact.email",), ("email",)),
                "phone": (("contact.phone",), ("phone",)),
                "signup_date": (("registered",),),
                "orders_count": (("orders_count",),),
            },
            one_origin=frozenset(FIELDS),
        ),
    ),
    defaults={"status": "active"},
)
SOURCES: tuple[Source, ...] = (CRM, ECOM)
"""The built-in sources, in the order that decides every tie."""

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
                "engagement_level": (("engagement_level",),),
                "activity_status": (("activity_status",),),
                "acquisition_channel": (("acquisition_channel",),),
                "market_segment": (("market_segment",),),
                "customer_tier": (("customer_tier",),),
            },
            rows_at="data",
            needs=(("id", "email", "first_name", "last_name"),),
            numbers=("engagement_score", "total_spent"),
            page="docs/analytics.md",
        ),
    ),
    job="analytics",
)
"""The raw API export that ``sync`` writes; rows are unmodified."""


@dataclass(frozen=True)
class InputFile:
    """One export file of a batch."""

    source: Source
    path: Path
    sha256: str
    fingerprint: Fingerprint
    """The file's state when it was hashed."""
    settle_proof: str
    """The proof that its writer was done: lease, close_event, stillness, or given (by hand)."""

    @property
    def file_name(self) -> str:
        """The name the user gave it."""
        return self.path.name

    @property
    def size_bytes(self) -> int:
        """Its size in bytes."""
        return self.fingerprint.size_bytes

    @property
    def file_format(self) -> Literal["csv", "json"]:
        """The format it is read in."""
        return self.source.format_of(self.path.name)


@dataclass(frozen=True)
class Batch:
    """One export of every required source of a job, and of the optional sources that were there."""

    id: str
    claimed_at: datetime
    inputs: tuple[InputFile, ...]
    """In the order of their sources."""
    suffix: str = ""
    accepted: bool = False
    """True when a user accepted it with ``retry --accept``: the guards are skipped once."""
    warnings: tuple[str, ...] = ()
    """Oddities of its arrival, for its log."""
    former_outcome_sha256: str | None = None
    """Hash of the previous batch's manifest or reason; it makes the outcomes a chain."""
    sequence: int = 1
    """Position that its outcome will have in the ledger."""

    @property
    def job(self) -> JobName:
        """What it produces."""
        return self.inputs[0].source.job

    def where(self, file: InputFile) -> str:
        """The batch and the file, for an error message."""
        return f"batch {self.id}, {file.file_name}"


def batch_id(claimed_at: datetime, inputs: tuple[InputFile, ...], is_taken: Callable[[str], bool]) -> str:
    """``<UTC claim time>-<6 hex of the input hash>``, followed by ``-2``, ``-3``, … if that is taken."""
    first = f"{claimed_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{inputs_sha256(inputs)[:6]}"
    candidate, number = first, 1
    while is_taken(candidate):
        number += 1
        candidate = f"{first}-{number}"
    return candidate


def inputs_sha256(inputs: tuple[InputFile, ...]) -> str:
    """One hash of all the files of a batch."""
    return sha256_of_all(file.sha256 for file in inputs)


def sha256_of_all(hashes: Iterable[str]) -> str:
    """One hash of the hashes of all the files of a batch, in source order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


Matching = Literal["literal", "safe"]
"""The matchers that ``SERVICE_MATCHING`` accepts; see ``service.pipeline.matching``."""


@dataclass(frozen=True)
class Guards:
    """The limits that hold a batch back, of both jobs."""

    max_reject_percent: float = 10
    """A source with a larger share of rejects fails the batch."""
    volume_guard_rows: int = 1000
    """A source whose published set had fewer rows may shrink without limit."""
    min_volume_percent: float = 50
    """A guarded source with a smaller share of its published rows fails the batch."""


@dataclass(frozen=True)
class Rules:
    """The user's decisions about the integration."""

    sources: tuple[Source, ...] = SOURCES
    """In the order that decides every tie."""
    default_region: str = "US"
    date_order: DateOrder = "MDY"
    matching: Matching = "literal"
    survivorship: Literal["fill", "record"] = "fill"
    guards: Guards = field(default_factory=Guards)
    formula_escape: bool = True
    csv_bom: bool = False
    compare_matching: Literal["safe"] | None = None
    """Also report which customers this matcher would part and join."""

    @property
    def reads_evidence(self) -> bool:
        """Whether the matcher ``safe`` gets the records, with the fields that it alone reads."""
        return "safe" in (self.matching, self.compare_matching)

    @property
    def sha256(self) -> str:
        """One hash of what decides the values and groups of a set: this program and these rules.

        Guards and a comparison of matchers decide nothing in it.
        """
        return _sha256_of_rules(self)


@lru_cache(4)
def _sha256_of_rules(rules: Rules) -> str:
    """Kept, because a small batch would wait milliseconds for it."""
    deciding = asdict(rules) | {"guards": None, "program": __version__}
    del deciding["compare_matching"]
    for layout in (layout for source in deciding["sources"] for layout in source["layouts"]):
        del layout["evidence"]  # of presets, which are part of the program
    return hashlib.sha256(json.dumps(deciding, sort_keys=True, default=sorted).encode()).hexdigest()


@dataclass(frozen=True)
class PublishedMaster:
    """The register's note of the published set: all that the guards and the next manifest need."""

    batch_id: str
    suffix: str = ""
    source_rows: Mapping[str, int] = field(default_factory=dict)
    filled: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Source -> field -> number of rows with a usable value; empty where an older program wrote the generation."""


@dataclass(frozen=True)
class Summary:
    """The counts of one batch; safe to log."""

    records: int
    rejects: int
    duplicates: int
    customers: int
    source_rows: Mapping[str, int]
    next_number: int | None = None
    """The number that the next new customer gets; None for a job without a register."""
    rules_sha256: str | None = None
    """``Rules.sha256``; None for a job that merges nothing."""

    def counts(self) -> dict[str, int]:
        """The counts of the whole batch, for the manifest and the log line."""
        return {
            "records": self.records,
            "rejects": self.rejects,
            "duplicates": self.duplicates,
            "customers": self.customers,
        }


Columns = Mapping[str, str]

REJECT: Columns = {
    "source_system": "name of the source",
    "row_number": "position in the file, from 1",
    "code": "the reason, one word",
    "column": "the column at fault, if there is one",
    "explanation": "the reason, for a person; never a customer's value",
}

RECORD: Columns = {
    "ordinal": "order of appearance over all sources, from 0; no gaps",
    "source": "name of the source",
    "row_number": "position in the file, from 1",
    "source_id": "the source's id, or <SOURCE>-ROW<row number> if it gave none",
    "has_id": "true if the source gave an id",
    "record_key": "identity of the record across batches, for the register",
    "full_name": "normalised; null = missing, also in the next four",
    "email": "normalised",
    "phone": "digits as printed",
    "signup_date": "YYYY-MM-DD",
    "status": "lower case",
    "status_stated": "false if the status is the source's default",
    "name_key": "the key by which names are compared",
    "phone_key": "the key by which phones are compared: + and the full international number, or raw: and the digits",
    "email_key": "the key by which addresses are compared where it is not the address: the domain as the DNS has it",
    "orders_count": "for analytics",
    "written_phone": "as written, only for the matcher `safe`, as are the fields that a source maps for it",
}

KEYS: Columns = {
    "ordinal": "",
    "id": "a number for the source and its id: the smallest ordinal with both; -1 = missing, also in the next three",
    "email": "the same for the address as it is compared",
    "phone": "the same for the number as it is compared",
    "name": "the same for the name as it is compared",
    "weighed": "the same for what weighed evidence makes one customer; only of the matcher `safe`",
    "decision": "the same for what decisions make one customer; only where a decision links records of the batch",
}

LINKS: Columns = {
    "one": "ordinal of a record",
    "other": "ordinal of another record, which is the same customer",
    "rule": "name of the matcher's rule that links them",
    "weight": "how strongly, as the matcher defines it",
}

QUESTION: Columns = {
    "rank": "what gains most has the smallest, from 0",
    "one": "ordinal of a record",
    "other": "ordinal of another record, which may be the same customer",
    "weight": "log2 of the odds that it is; two decimals",
    "evidence": "the fields that speak for it, and how far they agree; never a customer's value",
    "against": "the fields that speak against it",
}

EVIDENCE: Columns = {
    "ordinal": "the removed record",
    "via": "ordinal of the record it is linked through; the kept one if both agree on something",
    "by_<rule>": "for each rule of the matcher, whether it links the two",
}

LINK_WEIGHT: Columns = {
    "ordinal": "the record",
    "weighed": "what weighed evidence makes one customer has the same: the smallest ordinal of it",
    "weight": "log2 of the odds that it and the record it is linked through are one customer; two decimals. Null where"
    " the record is kept, or an id or a decision makes the two one",
    "parts": "what the weight is made of, such as `email same 15.20, prior -12.10`; never a customer's value",
}

GOLDEN: Columns = {
    "group_id": "smallest ordinal of the group",
    "kept": "ordinal of the kept record",
    "full_name": "surviving values; null = missing",
    "email": "",
    "phone": "",
    "signup_date": "",
    "status": "",
    "source_system": "every source of the group joined by +, in source order",
}
