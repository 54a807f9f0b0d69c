"""The sources that a user configures: the ``[[sources]]`` tables of ``service.toml``, and the sources made of them.

A table named CRM or ECOM changes the built-in source of that name; any other table adds a source. See docs/sources.md.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from service.complaints import suggestion
from service.model import (
    API,
    CSV_KINDS,
    EVIDENCE_FIELDS,
    FIELDS,
    IDENTIFIER,
    JSON_KINDS,
    SOURCES,
    DateOrder,
    Layout,
    Source,
)
from service.presets import PRESET, PRESETS, field_paths
from service.rows_path import is_rows_path
from service.suffixes import SEPARATORS

_MAPPED = (*FIELDS, *EVIDENCE_FIELDS)
_IDENTIFIER = re.compile(r"identifier\.[a-z][a-z0-9_]{0,40}")
_SECRET = re.compile(r"\bpass|passw|\bpwd|token|secret|api_?key|hash\b|_hash|\bsalt", re.IGNORECASE)


def _known_region(region: str) -> str:
    if region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is not a region with phone numbers, such as US, GB (not UK) or DE")
    return region.upper()


Region = Annotated[str, AfterValidator(_known_region)]
Paths = str | tuple[str, ...]
"""One path of a field, or several in order of preference; `` + `` joins paths. ``field_paths`` reads them."""


class SourceSettings(BaseModel):
    """One table ``[[sources]]``; a key left out has the value of the built-in source, or the default below."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,30}$")]
    file: str | None = Field(None, description="the name under which its export is dropped; `*` stands for the suffix")
    priority: int | None = Field(None, description="the source with the lower priority decides ties; CRM is 1, ECOM 2")
    required: bool = Field(True, description="whether a batch waits for it")
    preset: str = Field("auto", description="a preset's name, `auto`: any that fits, `none`: only `fields`")
    fields: dict[str, Paths] = Field(default_factory=dict, description="field -> paths, in order of preference")
    rows_at: str | None = Field(
        None, description="JSON: the path of the array of customers: `data`, `data.customers.edges[].node`"
    )
    encoding: str | None = Field(None, description="encoding of its CSV files, such as `utf-8` or `cp1250`")
    defaults: dict[str, str] = Field(default_factory=dict, description="the status of rows without one")
    region: Region | None = Field(None, description="region of its phones")
    date_order: DateOrder | None = Field(None, description="how `01/02/2024` is read")

    @field_validator("file")
    @classmethod
    def _file_has_a_kind(cls, file: str | None) -> str | None:
        stem, _, kind = (file or "x.csv").rpartition(".")
        is_known = kind.lower() in CSV_KINDS + JSON_KINDS
        if not is_known or not stem.strip("*") or stem.count("*") > 1 or "/" in stem or stem.startswith("."):
            raise ValueError("is not a name such as crm_customers.csv, hubspot-*.csv or customers.json")
        return file

    @field_validator("rows_at")
    @classmethod
    def _rows_at_is_a_path(cls, rows_at: str | None) -> str | None:
        if rows_at is not None and not is_rows_path(rows_at):
            raise ValueError("is not a path such as data, data.customers or data.customers.edges[].node")
        return rows_at

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        try:
            found = codecs.lookup(encoding)
            # The marks of a CSV file must be the bytes that they are in ASCII, unless units have two bytes.
            is_text = ',;"\n'.encode(encoding) == b',;"\n' or found.name.startswith("utf-16")
        except (LookupError, ValueError, TypeError):
            is_text = False
        if not is_text:
            raise ValueError("is not an encoding of text, such as utf-8, cp1250 or iso8859-2")
        return found.name

    @field_validator("preset")
    @classmethod
    def _preset_is_known(cls, preset: str) -> str:
        known = ("auto", "none", *PRESET)
        if preset not in known:
            raise ValueError(f"is none of {', '.join(known)}{suggestion(preset, known)}")
        return preset

    @field_validator("fields", mode="before")
    @classmethod
    def _identifiers_are_fields(cls, fields: object) -> object:
        """``identifier.tax = "…"`` is a table in a table for TOML."""
        if not isinstance(fields, dict) or not isinstance(fields.get("identifier"), dict):
            return fields
        others = {name: written for name, written in fields.items() if name != "identifier"}
        return others | {f"identifier.{name}": written for name, written in fields["identifier"].items()}

    @field_validator("fields")
    @classmethod
    def _fields_are_known(cls, fields: dict[str, Paths]) -> dict[str, Paths]:
        for name, written in fields.items():
            if name not in _MAPPED and not _IDENTIFIER.fullmatch(name):
                known = f"{', '.join(_MAPPED)}, identifier.<name>"
                raise ValueError(f"has no {name!r}; there are {known}{suggestion(name, _MAPPED)}")
            for path in (path for field_path in field_paths(written) for path in field_path):
                if _SECRET.search(path):
                    raise ValueError(f"maps {name} to what looks like a password or token, which is never read")
                if not path or path != path.strip() or not path.isprintable():
                    raise ValueError(f"maps {name} to an empty or unprintable path")
        return fields

    @field_validator("defaults")
    @classmethod
    def _defaults_identify_no_customer(cls, defaults: dict[str, str]) -> dict[str, str]:
        if other := set(defaults) - {"status"}:
            raise ValueError(f"may be given for status only, not for {', '.join(sorted(other))}")
        return {name: default.strip().lower() for name, default in defaults.items()}

    def source(self, built_in: Source | None) -> Source:
        """The source that this table describes. Raises: ValueError if a new one lacks its file or its fields."""
        if built_in is None and self.file is None:
            raise ValueError(f"[[sources]] {self.name}: file is missing, the name under which its export is dropped")
        base = built_in or Source(self.name, self.file or "", (Layout(self.name.lower(), {}),))
        return replace(
            base,
            file_name=self.file or base.file_name,
            layouts=self._layouts(base),
            defaults={**base.defaults, **self.defaults},
            region=self.region,
            date_order=self.date_order,
            encoding=self.encoding,
            is_required=self.required,
        )

    def _layouts(self, base: Source) -> tuple[Layout, ...]:
        if self.preset in PRESET:
            return (replace(self._changed(PRESET[self.preset]), signs=()),)
        own = self._changed(base.own)
        is_bare = not own.fields and self.preset == "auto"
        if not is_bare and (lacking := own.lacking(own.paths)):
            raise ValueError(f"[[sources]] {self.name}: fields does not map {' or '.join(lacking)}")
        # A user who maps fields does not want a preset to be guessed.
        is_guessed = self.preset == "auto" and not self.fields
        presets = tuple(map(self._moved, PRESETS)) if is_guessed else ()
        return ((own,) if own.fields else ()) + presets

    def _changed(self, layout: Layout) -> Layout:
        fields = dict(layout.fields) | {
            name.replace("identifier.", IDENTIFIER): field_paths(written) for name, written in self.fields.items()
        }
        return replace(self._moved(layout), fields=fields, one_origin=layout.one_origin - set(self.fields))

    def _moved(self, layout: Layout) -> Layout:
        """The layout for customers at ``rows_at``, if the table says where they are."""
        return replace(layout, rows_at=self.rows_at or layout.rows_at)


def sources_of(tables: Sequence[SourceSettings]) -> tuple[Source, ...]:
    """All sources in the order that decides ties: the built-in ones, as changed by the tables, and the added ones.

    Raises: ValueError if two have the same name or file, one has the name or file of the API, or none is required.
    """
    table_of = {table.name: table for table in tables}
    if len(table_of) < len(tables):
        raise ValueError(f"two [[sources]] have the name {_repeated([table.name for table in tables])}")
    built_in = {source.name: source for source in SOURCES}
    names = [*built_in, *(name for name in table_of if name not in built_in)]
    priorities = {name: priority for priority, name in enumerate(names, start=1)}
    priorities |= {name: table.priority for name, table in table_of.items() if table.priority is not None}
    sources = tuple(
        table_of[name].source(built_in.get(name)) if name in table_of else _with_presets(built_in[name])
        for name in sorted(priorities, key=lambda name: priorities[name])
    )
    stems = [source.file_stem.casefold() for source in sources]
    if len(set(stems)) < len(stems):
        raise ValueError(f"two sources are dropped under the name {_repeated(stems)}")
    for source in sources:
        _check_differs_from_api(source)
    if not any(source.is_required for source in sources):
        raise ValueError("at least one source must be required")
    return sources


def _repeated(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _check_differs_from_api(source: Source) -> None:
    """Raise ValueError if a source has the API's name or file name, by which API exports go to the analytics job."""
    if source.name == API.name:
        raise ValueError(f"[[sources]] {API.name}: this name is reserved for the API, whose exports are for analytics")
    if _is_name_of(source, API.file_stem) or _is_name_of(API, source.file_stem):
        raise ValueError(
            f"[[sources]] {source.name}: {source.file_name} may be confused with {API.file_name}, the API's export"
        )


def _is_name_of(source: Source, stem: str) -> bool:
    """Whether a file with this stem may be an export of the source."""
    before, star, after = source.file_stem.casefold().partition("*")
    stem = stem.casefold()
    if star:
        return stem.startswith(before) and stem.endswith(after) and len(stem) >= len(before + after)
    return stem == before or (stem.startswith(before) and stem[len(before)] in SEPARATORS)


def _with_presets(source: Source) -> Source:
    return replace(source, layouts=(*source.layouts, *PRESETS))
