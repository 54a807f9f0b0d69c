"""Layouts of well-known systems, read from ``service/data/presets.toml``.

A layout is chosen by the columns that an export has (``Source.layout_of``), so exports of Shopify, WooCommerce,
Magento, HubSpot or Salesforce can be dropped unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.data import read_toml
from service.model import SOURCES, FieldPath, Layout

_PLUS = " + "
# Stricter than a source's own layout: a file of an unknown system must not pass for a preset because of two columns.
_NEEDS = (("source_id",), ("full_name",), ("email",))
_PLAIN_NEEDS = (("source_id",), ("email", "phone"))
_PLAIN = "plain"
# What each built-in source alone has.
_SIGNS = {"crm": ("full_name", "signup_date"), "ecom": ("name.first", "contact.email", "contact.phone")}


def field_paths(written: str | Sequence[str]) -> tuple[FieldPath, ...]:
    """The paths of one field in order of preference; `` + `` joins several paths to one value.

    >>> field_paths(["Name", "First Name + Last Name"])
    (('Name',), ('First Name', 'Last Name'))
    """
    options = [written] if isinstance(written, str) else written
    return tuple(tuple(path.strip() for path in option.split(_PLUS)) for option in options)


def _layout(preset: Mapping[str, Any]) -> Layout:
    options = {name: preset[name] for name in ("rows_at", "is_continued") if name in preset}
    fields, evidence = (
        {field: field_paths(written) for field, written in preset.get(table, {}).items()}
        for table in ("fields", "evidence")
    )
    if preset["name"] == _PLAIN:
        options |= {"one_origin": frozenset(fields), "may_lack_ids": True}
        return Layout(_PLAIN, fields, needs=_PLAIN_NEEDS, **options)
    return Layout(preset["name"], fields, needs=_NEEDS, signs=tuple(preset["signs"]), evidence=evidence, **options)


PRESETS: tuple[Layout, ...] = (
    # Each built-in source may also have the layout of the other.
    *(replace(source.own, needs=_NEEDS, signs=_SIGNS[source.own.name]) for source in SOURCES),
    *(_layout(preset) for preset in read_toml("presets.toml")["presets"]),
)
"""In the order that decides ties."""

PRESET: Mapping[str, Layout] = {layout.name: layout for layout in PRESETS}
