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
# What file managers, indexers and network file systems write into folders.
HOUSEKEEPING_PATTERNS = (
    *(".ds_store", "._*", ".appledouble", ".directory", ".fseventsd", ".spotlight-v100", ".trash*", ".localized"),
    *("thumbs.db", "ehthumbs*.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "@tmp", "@recycle", ".@__thumb", "#recycle", "#snapshot", "lost+found", ".nfs*", ".fuse_hidden*"),
    *(".stfolder*", ".stversions", ".syncthing.*"),
)
_HOUSEKEEPING = re.compile("|".join(map(translate, HOUSEKEEPING_PATTERNS)))
_INCOMPLETE = re.compile(r".*\.(?:part|partial|tmp|crdownload|filepart|download|swp)\.[^.]+(?:\.gz)?")
"""An extension of an unfinished transfer before that of the export."""
_COPY = re.compile(
    r"""
    (?P<before> .+?)
    (?: \ ?\(\d+\)                                                                  # browsers
    |   \ [-–]\ (?:copy|kopie|copie|copia|cópia|kopia|kopi) (?:\ ?\(\d+\))?         # Windows, KDE
    |   \ \((?:copy|\d+(?:st|nd|rd|th)\ copy)\)                                     # GNOME
    |   \ (?:copy|kopie)(?:\ \d+)?                                                  # macOS
    )
    (?P<after> (?:\.[^.\ ]+)? (?:\.gz)?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_COPY_OF = re.compile(r"(?:copy of|kopie von|copie de|copia de|copia di) (?P<name>.+)", re.IGNORECASE)
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
    return _IGNORED.match(name.lower()) is not None or is_housekeeping(name)


def is_housekeeping(name: str) -> bool:
    """Whether a file manager, an indexer or a file system writes a file or folder of this name by itself.

    >>> is_housekeeping(".DS_Store"), is_housekeeping("@eaDir"), is_housekeeping("notes.txt")
    (True, True, False)
    """
    return _HOUSEKEEPING.match(name.lower()) is not None


def is_incomplete(name: str) -> bool:
    """Whether the name is that of an unfinished transfer although it ends as that of an export.

    >>> is_incomplete("crm_customers.part.csv"), is_incomplete("crm_customers.csv")
    (True, False)
    """
    return _INCOMPLETE.fullmatch(name.lower()) is not None


def original_of(name: str) -> str | None:
    """The name that a browser or file manager made this one of, so that both fit into one folder; None for others.

    >>> original_of("crm (1).csv"), original_of("crm_7 - Copy.csv"), original_of("crm.csv")
    ('crm.csv', 'crm_7.csv', None)
    """
    if found := _COPY_OF.fullmatch(name):
        return found["name"]
    found = _COPY.fullmatch(name)
    return f"{found['before']}{found['after']}" if found else None


def read_name(name: str, sources: Sequence[Source] = SOURCES) -> ExportName | None:
    """Source and suffix of the file name of an export; None where it belongs to no source.

    The exports of a source may be CSV or JSON, with gzip or without: the extension says how they are read.
    A name with control characters, or that is not valid UTF-8, belongs to no source: it could not be logged.

    >>> read_name("CRM_Customers_2024-01-15.CSV").suffix
    '2024-01-15'
    >>> read_name("crm_customersX.csv") is None
    True
    """
    if not name.isprintable() or is_incomplete(name):
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
