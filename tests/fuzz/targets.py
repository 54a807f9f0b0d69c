"""The functions that are fuzzed, and what must hold for any bytes. Independent of the fuzzer."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from service.errors import InputError
from service.model import CRM, ECOM
from service.pipeline.fields.date import date_evidence, norm_date, trouble_date
from service.pipeline.fields.email import norm_email, trouble_email
from service.pipeline.fields.missing import is_missing
from service.pipeline.fields.name import name_key, norm_name, trouble_name
from service.pipeline.fields.phone import norm_phone, phone_as_printed, trouble_phone
from service.pipeline.fields.status import read_status
from service.presets import PRESETS
from service.readers import csv_rows, csv_sniff, gzip_file, json_layout, json_rows, json_stream, json_window
from service.readers.csv_bytes import Utf8Count
from service.readers.rows import RawRow, RejectedRow

CASES = Path(__file__).resolve().parents[1] / "cases"
SOURCES = (
    CRM,
    ECOM,
    replace(CRM, layouts=(*CRM.layouts, *PRESETS)),
    replace(ECOM, layouts=(*ECOM.layouts, *PRESETS)),
)
REGIONS = ("US", "DE", "GB", "FR", "IT", "JP", "BR", "")
CODES = {"too_many_cells", "undecodable", "stray_quote", "not_an_object"}
# Memory where there is such a folder: a target reads and writes a file thousands of times a second.
_WORK = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))


@contextmanager
def _file(name: str, content: bytes) -> Iterator[Path]:
    path = _WORK / f"{os.getpid()}-{name}"
    path.write_bytes(content)
    try:
        yield path
    finally:
        path.unlink()


def _numbered(rows: Iterable[RawRow | RejectedRow], width: int) -> list[RawRow]:
    """All rows; they must be numbered from one without a gap, rejects among them, all of one width."""
    found: list[RawRow] = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, RejectedRow):
            assert row.row_number == number and row.code in CODES and len(row.explanation) < 200
        else:
            assert row[0] == number and len(row[1]) == width
            found.append(row)
    return found


def _is_short(error: InputError) -> None:
    # A message that quoted the file would be as long as the file.
    assert error.message and error.hint and len(error.message) + len(error.where) < 500


def read_csv(content: bytes) -> None:
    """A CSV file is rows, rejects or one refusal. The first byte chooses the layouts."""
    if not content:
        return
    with _file("crm_customers.csv", content[1:]) as path:
        try:
            dialect = csv_sniff.sniff(path, SOURCES[content[0] % 4])
            count = Utf8Count()
            _numbered(csv_rows.careful_rows(path, dialect, count), len(dialect.positions))
            _numbered(csv_rows.careful_rows(path, dialect.decided(count)), len(dialect.positions))
        except InputError as error:
            _is_short(error)


def read_json(content: bytes) -> None:
    """A JSON document is rows, rejects or one refusal, wherever its chunks end, and what Python's parser makes of it.

    The first byte chooses the layouts and how long a chunk is.
    """
    if not content:
        return
    json_stream.CHUNK_BYTES = json_layout.HEAD_BYTES = (1, 2, 3, 5, 8, 64, 1 << 12, 1 << 20)[content[0] >> 2 & 7]
    with _file("ecommerce_customers.json", content[1:]) as path:
        try:
            shape = json_layout.probe(path, SOURCES[content[0] % 4])
            json_window.array_window(path, shape.layout.rows_at)
            rows = list(json_rows.careful_rows(path, shape))
        except InputError as error:
            _is_short(error)
            assert not _is_array_of_flat_values(content[1:]), "strict JSON was refused"
            return
    _numbered(rows, len(shape.layout.paths))
    if content[1:].lstrip(b" \t\r\n").startswith(b"["):
        assert len(rows) == len(json.loads(content[1:].removeprefix(b"\xef\xbb\xbf")))


def _is_array_of_flat_values(content: bytes) -> bool:
    """Whether no reader has a reason to refuse it: an array, in UTF-8, without NaN and without depth."""
    try:
        parsed = json.loads(content.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, list) and content.count(b"[") + content.count(b"{") < json_stream.MAX_DEPTH


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def unpack(content: bytes) -> None:
    """What is packed comes out whole, or is refused; nothing is left in the folder."""
    with _file("crm_customers.csv.gz", content) as path:
        unpacked = None
        try:
            with gzip_file.unpacked(path, _WORK) as found:
                unpacked = found.read_bytes()
        except InputError as error:
            _is_short(error)
        with suppress(EOFError, gzip.BadGzipFile, zlib.error):
            assert gzip.decompress(content) == unpacked
        assert [left for left in _WORK.glob("unpacked*")] == []


def normalise(content: bytes) -> None:
    """Every cell is read or has a trouble, never both; a normalised value normalises to itself."""
    if not content:
        return
    text = content[1:].decode("utf-8", errors="replace")
    region, order = REGIONS[content[0] % len(REGIONS)], ("MDY", "DMY")[content[0] >> 7]
    is_missing(text)
    date_evidence(text)
    read_status(text)
    _is_stable(text, norm_email, trouble_email)
    _is_stable(text, norm_name, trouble_name)
    _is_stable(text, lambda it: norm_date(it, order), lambda it: trouble_date(it, order))
    _is_stable(text, lambda it: norm_phone(it, region), lambda it: trouble_phone(it, region))
    if name := norm_name(text):
        name_key(name)
    if phone := norm_phone(text, region):
        phone_as_printed(phone, region)


def _is_stable(text: str, norm: Callable[[str], str | None], trouble: Callable[[str], str | None]) -> None:
    value = norm(text)
    assert (value is None) != (trouble(text) is None), "either a value or a trouble"
    assert value is None or norm(value) == value, "a normalised value normalises to itself"


TARGETS: dict[str, Callable[[bytes], None]] = {
    "csv": read_csv,
    "json": read_json,
    "gzip": unpack,
    "values": normalise,
}


def seeds(target: str) -> Iterator[bytes]:
    """What a target begins with: the exports of the cases, and their cells."""
    kind = "json" if target == "json" else "csv"
    for number, path in enumerate(sorted(CASES.rglob(f"*customers*.{kind}"))):
        content = path.read_bytes()
        first = bytes([number % 256])
        if target == "values":
            for line in content.splitlines()[1:]:
                yield from (first + cell for cell in line.split(b","))
        else:
            yield gzip.compress(content, mtime=0) if target == "gzip" else first + content
