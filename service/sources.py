"""The sources a user configures: what stands in ``[[sources]]`` of ``service.toml``, and the sources it makes.

A table whose name is CRM or ECOM changes the built-in source of that name; any other adds one. See docs/sources.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Annotated, Literal

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from service.model import API, CSV_KINDS, FIELDS, JSON_KINDS, SOURCES, Layout, Source
from service.presets import PRESET, PRESETS, read_values
from service.suffixes import SEPARATORS

_SECRET = re.compile(r"\bpass|passw|\bpwd|token|secret|api_?key|hash\b|_hash|\bsalt", re.IGNORECASE)

DateOrder = Literal["MDY", "DMY"]


def _known_region(region: str) -> str:
    if region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is no region that has phone numbers, such as US, GB (not UK) or DE")
    return region.upper()


Region = Annotated[str, AfterValidator(_known_region)]
Places = str | tuple[str, ...]


class SourceSettings(BaseModel):
    """One table ``[[sources]]``; what is left out is as the built-in source has it, or as said below."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,30}$")]
    file: str | None = Field(None, description="the name its export is dropped under; `*` stands for the suffix")
    priority: int | None = Field(None, description="who decides ties: the lower comes first; CRM is 1, ECOM 2")
    required: bool = Field(True, description="whether a batch waits for it")
    preset: str = Field("auto", description="a preset's name, `auto`: whichever fits, `none`: only `fields`")
    fields: dict[str, Places] = Field(default_factory=dict, description="field -> places, in order of preference")
    rows_at: str | None = Field(None, description="JSON: the member that holds the array of customers")
    defaults: dict[str, str] = Field(default_factory=dict, description="the status where there is none")
    region: Region | None = Field(None, description="region of its phones")
    date_order: DateOrder | None = Field(None, description="how `01/02/2024` is read")

    @field_validator("file")
    @classmethod
    def _file_has_a_kind(cls, file: str | None) -> str | None:
        stem, _, kind = (file or "x.csv").rpartition(".")
        is_known = kind.lower() in CSV_KINDS + JSON_KINDS
        if not is_known or not stem.strip("*") or stem.count("*") > 1 or "/" in stem or stem.startswith("."):
            raise ValueError("is no name such as crm_customers.csv, hubspot-*.csv or customers.json")
        return file

    @field_validator("preset")
    @classmethod
    def _preset_is_known(cls, preset: str) -> str:
        known = ("auto", "none", *PRESET)
        if preset not in known:
            raise ValueError(f"is none of {', '.join(known)}{_suggestion(preset.lower(), known)}")
        return preset

    @field_validator("fields")
    @classmethod
    def _fields_are_ours(cls, fields: dict[str, Places]) -> dict[str, Places]:
        for name, places in fields.items():
            if name not in FIELDS:
                raise ValueError(f"has no {name!r}; there are {', '.join(FIELDS)}{_suggestion(name, FIELDS)}")
            for place in (place for value in read_values(places) for place in value):
                if _SECRET.search(place):
                    raise ValueError(f"maps {name} to what looks like a password or token, which is never read")
                if not place or place != place.strip() or not place.isprintable():
                    raise ValueError(f"maps {name} to a place without a name")
        return fields

    @field_validator("defaults")
    @classmethod
    def _defaults_identify_nobody(cls, defaults: dict[str, str]) -> dict[str, str]:
        if strange := set(defaults) - {"status"}:
            raise ValueError(f"may be given for status only, not for {', '.join(sorted(strange))}")
        return {name: default.strip().lower() for name, default in defaults.items()}

    def source(self, built_in: Source | None) -> Source:
        """The source this table describes. Raises: ValueError where a new one lacks its file or its fields."""
        if built_in is None and self.file is None:
            raise ValueError(f"[[sources]] {self.name}: file is missing, the name its export is dropped under")
        base = built_in or Source(self.name, self.file or "", (Layout(self.name.lower(), {}),))
        return replace(
            base,
            file_name=self.file or base.file_name,
            layouts=self._layouts(base),
            defaults={**base.defaults, **self.defaults},
            region=self.region,
            date_order=self.date_order,
            is_required=self.required,
        )

    def _layouts(self, base: Source) -> tuple[Layout, ...]:
        if self.preset in PRESET:
            chosen = PRESET[self.preset]
            return (self._changed(chosen),)
        own = self._changed(base.own)
        is_bare = not own.fields and self.preset == "auto"
        if not is_bare and (lacking := own.lacking(own.paths)):
            raise ValueError(f"[[sources]] {self.name}: fields says nothing of {' or '.join(lacking)}")
        # Whoever says where the fields stand does not want it guessed.
        is_guessed = self.preset == "auto" and not self.fields
        return ((own,) if own.fields else ()) + (PRESETS if is_guessed else ())

    def _changed(self, layout: Layout) -> Layout:
        fields = dict(layout.fields) | {name: read_values(places) for name, places in self.fields.items()}
        return replace(layout, fields=fields, rows_at=self.rows_at or layout.rows_at)


def sources_of(tables: Sequence[SourceSettings]) -> tuple[Source, ...]:
    """All sources, in the order that settles ties: those built in, as changed by the tables, and those added.

    Raises: ValueError where two have one name or one file, one has what is the API's, or none is required.
    """
    given = {table.name: table for table in tables}
    if len(given) < len(tables):
        raise ValueError(f"two [[sources]] have the name {_repeated([table.name for table in tables])}")
    built_in = {source.name: source for source in SOURCES}
    ranks = {name: rank for rank, name in enumerate([*built_in, *(n for n in given if n not in built_in)], start=1)}
    ranks |= {name: table.priority for name, table in given.items() if table.priority is not None}
    found = [
        given[name].source(built_in.get(name)) if name in given else _with_presets(built_in[name])
        for name in sorted(ranks, key=lambda name: ranks[name])
    ]
    stems = [source.file_stem.casefold() for source in found]
    if len(set(stems)) < len(stems):
        raise ValueError(f"two sources are dropped under the name {_repeated(stems)}")
    for source in found:
        _refuse_what_is_the_apis(source)
    if not any(source.is_required for source in found):
        raise ValueError("one source at least must be required")
    return tuple(found)


def complaint_of(location: Sequence[int | str], kind: str, what: str) -> str:
    """What is wrong at a place of a table, in words for whoever wrote it."""
    key = str(location[0]) if location else ""
    if kind == "extra_forbidden":
        return f"there is no key {key!r}{_suggestion(key, list(SourceSettings.model_fields))}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "string_pattern_mismatch":
        return f"{key} must be capitals, digits and underscores, such as LOYALTY"
    if kind == "dict_type":
        return f"{key} is a table of its own: [sources.{key}]"
    return f"{key} {what}".strip()


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _repeated(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _refuse_what_is_the_apis(source: Source) -> None:
    """What the API's exports are called decides that they are for analytics, so no other source may be called so."""
    if source.name == API.name:
        raise ValueError(f"[[sources]] {API.name}: this is what the API is called, whose exports are for analytics")
    if _is_name_of(source, API.file_stem) or _is_name_of(API, source.file_stem):
        raise ValueError(
            f"[[sources]] {source.name}: {source.file_name} cannot be told apart from {API.file_name}, the API's export"
        )


def _is_name_of(source: Source, stem: str) -> bool:
    """Whether a file of this name without its extension is, or may be, an export of the source."""
    before, star, after = source.file_stem.casefold().partition("*")
    stem = stem.casefold()
    if star:
        return stem.startswith(before) and stem.endswith(after) and len(stem) >= len(before + after)
    return stem == before or (stem.startswith(before) and stem[len(before)] in SEPARATORS)


def _with_presets(source: Source) -> Source:
    return replace(source, layouts=(*source.layouts, *PRESETS))
