"""Which names in the inbox are exports, of which source, and with which suffix."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fnmatch import translate

from service.model import SOURCES, Source

# Half-written or private by the conventions of browsers, editors and transfer programs.
IGNORED_PATTERNS = (".*", "*.tmp", "*.part", "*.crdownload", "*~", "*.filepart", "*.swp")
_IGNORED = re.compile("|".join(map(translate, IGNORED_PATTERNS)))
_PATTERNS = {
    source.name: re.compile(rf"{source.file_stem}(?:[_\-. ]+(?P<suffix>[^_\-. ].*))?\.{source.file_format}")
    for source in SOURCES
}


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


def read_name(name: str) -> ExportName | None:
    """Source and suffix of an export's file name; None where it belongs to no source.

    A name with control characters, or that is no text at all, belongs to none: it could not be told of in a log.

    >>> read_name("CRM_Customers_2024-01-15.CSV").suffix
    '2024-01-15'
    >>> read_name("crm_customersX.csv") is None
    True
    """
    if not name.isprintable():
        return None
    plain = unicodedata.normalize("NFC", name).casefold()
    for source in SOURCES:
        if found := _PATTERNS[source.name].fullmatch(plain):
            return ExportName(source, found["suffix"] or "")
    return None
