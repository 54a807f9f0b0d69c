"""The kind of a file by its first bytes, if it differs from the kind that its name promises."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Literal

from service.errors import UnreadableFile

_HEAD_BYTES = 4096
_BEGINNINGS = (
    (b"%PDF-", "a PDF", "export the customers as CSV or JSON"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", 'save it as "CSV UTF-8" in Excel'),
    (b"PK\x03\x04", "a ZIP archive", "unpack it, or pack it with gzip as .gz"),
    (b"\x1f\x8b", "packed with gzip", "add .gz to its name"),
)
_IN_A_WORKBOOK = re.compile(rb"\[Content_Types\]\.xml|_rels/|docProps/|xl/")
_PAGE = re.compile(r"\s*<(?:!doctype\s+html|html|head|body|table)\b", re.IGNORECASE)
_XML = re.compile(r"\s*<\?xml\b")
_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*[{\[\]])')
_TABLE = re.compile(r"\s*[^\s{\[<][^\r\n]*[,;\t|]")


def refuse_other_kinds(path: Path, wanted: Literal["csv", "json"], file_name: str) -> None:
    """Refuse a file that is certainly not of the kind that is wanted; the readers check everything else.

    Raises: UnreadableFile that says what the file is, and how to drop it.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"PK\x03\x04") and _IN_A_WORKBOOK.search(head):
        raise _refusal("an Excel workbook (.xlsx)", 'save it as "CSV UTF-8" in Excel')
    for beginning, what, hint in _BEGINNINGS:
        if head.startswith(beginning):
            raise _refusal(what, hint)
    text = _decoded(head)
    if _PAGE.match(text):
        raise _refusal("a web page (HTML), perhaps a login or an error page", "open it in a browser and export again")
    if _XML.match(text):
        raise _refusal("an XML document", "export the customers as CSV or JSON")
    kind = "json" if _JSON.match(text) else "csv" if _TABLE.match(text) else wanted
    if kind != wanted:
        what = "JSON, not a CSV table" if kind == "json" else "a CSV table, not JSON"
        raise _refusal(what, f"were two exports swapped? If not, call it {_renamed(file_name, kind)}")


def _refusal(what: str, hint: str) -> UnreadableFile:
    return UnreadableFile(f"the file is {what}", where="line 1", hint=f"{hint}, and drop it again")


def _decoded(head: bytes) -> str:
    is_utf_16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return head.decode("utf-16" if is_utf_16 else "utf-8-sig", errors="replace")


def _renamed(file_name: str, kind: str) -> str:
    """The name with another extension.

    >>> _renamed("crm_customers.csv.gz", "json")
    'crm_customers.json.gz'
    """
    packed = file_name[-3:] if file_name.lower().endswith(".gz") else ""
    return f"{file_name.removesuffix(packed).rpartition('.')[0]}.{kind}{packed}"
