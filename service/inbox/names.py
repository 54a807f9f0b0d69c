"""Which names in the inbox are exports, of which source, and with which suffix."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache

from service.model import CSV_KINDS, JSON_KINDS, SOURCES, Source
from service.suffixes import SEPARATORS

# Half-written or private by the conventions of browsers, editors and transfer programs.
IGNORED_PATTERNS = (".*", "*.tmp", "*.part", "*.crdownload", "*~", "*.filepart", "*.swp")
_IGNORED = re.compile("|".join(map(translate, IGNORED_PATTERNS)))
_KINDS = "|".join(CSV_KINDS + JSON_KINDS)


@dataclass(frozen=True)
class ExportName:
    """A name read: the source it belongs to and the suffix that pairs it."""

    source: Source
    suffix: str


def is_ignored(name: str) -> bool:
    """Whether a file of this name is never an input and never worth a word.

    >>> is_ignored("crm_customers.csv.part"), is_ignored(".hidden"), is_ignored("crm_customers.csv")
    (True, True, False)
    """
    return _IGNORED.match(name.lower()) is not None


def read_name(name: str, sources: Sequence[Source] = SOURCES) -> ExportName | None:
    """Source and suffix of an export's file name; None where it belongs to no source.

    A source's exports may be CSV or JSON, packed or not: the extension says how they are read.
    A name with control characters, or that is no text at all, belongs to none: it could not be told of in a log.

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
    """The name under which the export of a source with this suffix is expected."""
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
