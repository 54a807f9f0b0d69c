"""Which file names are exports, of which source, and with which suffix."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache

from service.model import CSV_KINDS, JSON_KINDS, SOURCES, Source
from service.suffixes import SEPARATORS

# Incomplete or private by the conventions of browsers, editors and transfer programs.
IGNORED_PATTERNS = (".*", "*.tmp", "*.part", "*.crdownload", "*~", "*.filepart", "*.swp")
_IGNORED = re.compile("|".join(map(translate, IGNORED_PATTERNS)))
_KINDS = "|".join(CSV_KINDS + JSON_KINDS)


@dataclass(frozen=True)
class ExportName:
    """What the name of an export says: its source, and the suffix it shares with its partners."""

    source: Source
    suffix: str


def is_ignored(name: str) -> bool:
    """Whether a file of this name is never an input and never reported.

    >>> is_ignored("crm_customers.csv.part"), is_ignored(".hidden"), is_ignored("crm_customers.csv")
    (True, True, False)
    """
    return _IGNORED.match(name.lower()) is not None


def read_name(name: str, sources: Sequence[Source] = SOURCES) -> ExportName | None:
    """Source and suffix of the file name of an export; None where it belongs to no source.

    The exports of a source may be CSV or JSON, with gzip or without: the extension says how they are read.
    A name with control characters, or that is not valid UTF-8, belongs to no source: it could not be logged.

    >>> read_name("CRM_Customers_2024-01-15.CSV").suffix
    '2024-01-15'
    >>> read_name("crm_customersX.csv") is None
    True
    """
    if not name.isprintable():
        return None
    plain = unicodedata.normalize("NFC", name).casefold()
    for source in sources:
        if found := _pattern(source.file_name).fullmatch(plain):
            return ExportName(source, (found["suffix"] or "").strip(SEPARATORS))
    return None


def partner_name(source: Source, suffix: str) -> str:
    """The name that the export of a source with this suffix is expected to have."""
    if "*" in source.file_name:
        return source.file_name.replace("*", suffix)
    stem, _, kind = source.file_name.rpartition(".")
    return f"{stem}{'_' if suffix else ''}{suffix}.{kind}"


@cache
def _pattern(file_name: str) -> re.Pattern[str]:
    stem, _, _ = unicodedata.normalize("NFC", file_name).casefold().rpartition(".")
    before, star, after = (re.escape(part) for part in stem.partition("*"))
    suffix = r"(?P<suffix>.*?)" if star else r"(?:[_\-. ]+(?P<suffix>[^_\-. ].*?))?"
    return re.compile(rf"{before}{suffix}{after}\.(?:{_KINDS})(?:\.gz)?")
