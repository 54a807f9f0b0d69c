"""Data files of the service: presets, runbook, words, names, countries, states, time zones. Each is read once."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_toml(name: str) -> Mapping[str, Any]:
    """The tables of a TOML file in this folder."""
    return tomllib.loads(_text_of(name))


@cache
def read_csv(name: str) -> tuple[Mapping[str, str], ...]:
    """The rows of a CSV file in this folder, by column name; lines that begin with ``#`` are comments."""
    lines = (line for line in _text_of(name).splitlines() if not line.startswith("#"))
    return tuple(csv.DictReader(lines, strict=True))


def _text_of(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
