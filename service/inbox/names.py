"""Which file names are exports, of which source, and with which suffix."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path

from service.errors import safe_text
from service.model import CSV_KINDS, JSON_KINDS, SOURCES, Source
from service.suffixes import SEPARATORS, order_of

# Incomplete or private by the conventions of browsers, editors and transfer programs.
IGNORED_PATTERNS = (".*", "*.tmp", "*.part", "*.crdownload", "*~", "*.filepart", "*.swp", "*.bak")
_IGNORED = re.compile("|".join(map(translate, IGNORED_PATTERNS)))
# What file managers, indexers, office programs and network file systems write into folders.
HOUSEKEEPING_PATTERNS = (
    *(".ds_store", "._*", ".appledouble", ".directory", ".fseventsd", ".spotlight-v100", ".trash*", ".localized"),
    "~$*",
    *("thumbs.db", "ehthumbs*.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "@tmp", "@recycle", ".@__thumb", "#recycle", "#snapshot", "lost+found", ".nfs*", ".fuse_hidden*"),
    *(".stfolder*", ".stversions", ".syncthing.*"),
)
_HOUSEKEEPING = re.compile("|".join(map(translate, HOUSEKEEPING_PATTERNS)))
_INCOMPLETE = re.compile(r".*\.(?:part|partial|tmp|crdownload|filepart|download|swp)\.[^.]+(?:\.gz)?")
"""An extension of an unfinished transfer before that of the export."""
_CONFLICT_COPY = re.compile(
    r"""
    .+ (?:
        \ \( .* \b (?:conflicted\ copy|case\ conflict|konfliktkopie|sfconflict) \b .* \) .*     # Dropbox, Seafile
    |   [._\-\ ] sync-conflict - .*                                                            # Syncthing
    |   [._\-\ ] conflict - \d{6} .*                                                           # ownCloud
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What a sync program names the one of two versions that it could not merge."""
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


def is_conflict_copy(name: str) -> bool:
    """Whether a sync program gave this name to a version that it could not merge.

    >>> is_conflict_copy("crm (Ann's conflicted copy 2024-01-15).csv"), is_conflict_copy("crm.sync-conflict-2024.csv")
    (True, True)
    """
    return _CONFLICT_COPY.fullmatch(name) is not None


def original_of(name: str) -> str | None:
    """The name that a browser or file manager made this one of, so that both fit into one folder; None for others.

    >>> original_of("crm (1).csv"), original_of("crm_7 - Copy.csv"), original_of("crm.csv")
    ('crm.csv', 'crm_7.csv', None)
    """
    if found := _COPY_OF.fullmatch(name):
        return found["name"]
    found = _COPY.fullmatch(name)
    return f"{found['before']}{found['after']}" if found else None


def copied_export(name: str, sources: Sequence[Source] = SOURCES) -> str | None:
    """The name of the export that a browser or file manager made a file of this name of; None for others.

    >>> copied_export("crm_customers (1).csv"), copied_export("notes (1).csv")
    ('crm_customers.csv', None)
    """
    original = original_of(name)
    return original if original is not None and _read_name(original, sources) is not None else None


def read_name(name: str, sources: Sequence[Source] = SOURCES) -> ExportName | None:
    """Source and suffix of the file name of an export; None where it belongs to no source.

    The exports of a source may be CSV or JSON, with gzip or without: the extension says how they are read.
    A name with control characters, or that is not valid UTF-8, belongs to no source: it could not be logged. Nor does
    the name of a copy of an export: which of the two counts, only a user can say.

    >>> read_name("CRM_Customers_2024-01-15.CSV").suffix
    '2024-01-15'
    >>> read_name("crm_customersX.csv") is None, read_name("crm_customers (1).csv") is None
    (True, True)
    """
    return None if copied_export(name, sources) else _read_name(name, sources)


def _read_name(name: str, sources: Sequence[Source]) -> ExportName | None:
    if not name.isprintable() or is_incomplete(name) or is_conflict_copy(name):
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


def shown_name(name: str, sources: Sequence[Source] = SOURCES) -> str:
    """A file name as logs and health show it: a suffix may be the name of a person, and other names anything.

    The name of an export with an empty, date or number suffix is shown as it is. Any other suffix becomes ``#`` and six
    hex digits of its hash, the same for all exports with that suffix; so does the name of a file of no source. The copy
    of an export is shown as it is if the export is.

    >>> shown_name("crm_customers_2024-01-15.csv"), shown_name("crm_customers_Ann Lee.csv")
    ('crm_customers_2024-01-15.csv', 'crm_customers_#a36e14.csv')
    >>> shown_name("Ann Lee.csv")
    '#a36e14.csv'
    """
    original = copied_export(name, sources)
    if original is not None and shown_name(original, sources) == original:
        return name
    found = read_name(name, sources)
    if found is None:
        stem, kind = _stem_and_kind(name)
        return f"{_digits_of(stem)}{kind}"
    if not found.suffix or order_of(found.suffix) is not None:
        return name
    written = _as_written(found.source.file_name).fullmatch(name)
    if written is None:
        return partner_name(found.source, _digits_of(found.suffix))
    begin, end = written.span("suffix")
    return f"{name[:begin]}{_digits_of(name[begin:end])}{name[end:]}"


def shown_text(text: str, names: Iterable[tuple[str, Source]]) -> str:
    """A text about files, with each of these names as logs and health show it."""
    for name, source in names:
        text = text.replace(name, shown_name(name, (source,)))
    return text


def shown_error(error: BaseException, sources: Sequence[Source] = SOURCES) -> str:
    """As ``safe_text``, with the name of an export as logs and health show it."""
    files = (getattr(error, "filename", None), getattr(error, "filename2", None))
    names = (Path(os.fsdecode(file)).name for file in files if isinstance(file, str | bytes))
    return shown_text(safe_text(error), [(name, found.source) for name in names if (found := read_name(name, sources))])


def _digits_of(text: str) -> str:
    return f"#{hashlib.sha256(os.fsencode(text)).hexdigest()[:6]}"


def _stem_and_kind(name: str) -> tuple[str, str]:
    """A name before and from the extension that says what it is; an unknown extension may be a part of the name."""
    found = re.search(rf"(?:\.(?:{_KINDS}|txt|pdf|zip|xlsx?))?(?:\.gz)?$", name, re.IGNORECASE | re.ASCII)
    cut = len(name) if found is None else found.start()
    return name[:cut], name[cut:]


@cache
def _as_written(file_name: str) -> re.Pattern[str]:
    """The pattern of an export's name in any case, on the name as it is written."""
    return re.compile(_pattern(file_name).pattern, re.IGNORECASE)


@cache
def _pattern(file_name: str) -> re.Pattern[str]:
    stem, _, _ = unicodedata.normalize("NFC", file_name).casefold().rpartition(".")
    before, star, after = (re.escape(part) for part in stem.partition("*"))
    suffix = r"(?P<suffix>.*?)" if star else r"(?:[_\-. ]+(?P<suffix>[^_\-. ].*?))?"
    return re.compile(rf"{before}{suffix}{after}\.(?:{_KINDS})(?:\.gz)?")
