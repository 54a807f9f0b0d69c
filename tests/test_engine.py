"""Every export is read the same with and without the careful readers; tables write what they hold."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine import embedded_files, embedded_tables, prepare_engine
from service.engine import first_alike as first_alike_module
from service.engine.embedded import EmbeddedEngine
from service.engine.first_alike import first_alike
from service.errors import DuplicateColumn, InputError, Interrupted, MissingColumn, UnreadableFile
from service.model import API, CRM, ECOM, Layout
from service.progress import Meter
from service.readers import csv_rows, csv_sniff, json_rows, json_stream, json_window
from service.readers.rows import BOOLEAN_MARK, FileReport
from tests.sizes import ROWS_BEFORE_A_LONG_CELL, examples
from tests.small_batches import (
    HEADER,
    PLACES,
    RAW_FIELDS,
    AnyEngine,
    delivered_file,
    ecom_text,
    raw_rows,
    small_engine,
    table_of,
)
from tests.spark_runs import read_by_tasks
from tests.worlds import CASES, ROOT

SAMPLE_JSON = (CASES / "the_sample" / "ecommerce_customers.json").read_bytes()

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Read:
    """A file as one reader has it: row number -> cells in the order of RAW_FIELDS, "" = missing."""

    rows: dict[int, Cells]
    report: FileReport

    @property
    def codes(self) -> dict[int, str]:
        """Row number -> code of its reject."""
        return {reject.row_number: reject.code for reject in self.report.rejects}

    def column(self, field: str) -> list[str]:
        """One field of all rows."""
        return [cells[RAW_FIELDS.index(field)] for cells in self.rows.values()]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with small_engine(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture(scope="module")
def reader(
    engine_name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AnyEngine]:
    """An engine for laws; on Spark tasks read all files."""
    folder = tmp_path_factory.mktemp("reader")
    if engine_name == "embedded":
        with small_engine(folder) as made:
            yield made
    else:
        # The files lie beside this folder.
        with read_by_tasks(), request.getfixturevalue("spark").engine_in(folder) as made:
            yield made


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the files of this module, each written over the last."""
    return tmp_path_factory.mktemp("drop")


def read_csv(engine: AnyEngine, drop: Path, content: bytes | str, *, carefully: bool = False) -> Read:
    file = delivered_file(CRM, drop / "crm_customers.csv", content)
    with pytest.MonkeyPatch.context() as patched:
        if carefully:
            dialect = csv_sniff.sniff(file.path, CRM)
            patched.setattr(csv_sniff, "sniff", lambda path, source: replace(dialect, is_plain=False))
        return _read(*engine.read(file))


def read_json(engine: AnyEngine, drop: Path, content: bytes | str, *, carefully: bool = False) -> Read:
    file = delivered_file(ECOM, drop / "ecommerce_customers.json", content)
    with pytest.MonkeyPatch.context() as patched:
        if carefully:
            patched.setattr(json_window, "array_window", lambda path, rows_at: None)
        return _read(*engine.read(file))


def _read(table: Any, report: FileReport) -> Read:
    rows = raw_rows(table, report.layout)
    return Read({row[0]: tuple(cell or "" for cell in row[1:]) for row in rows}, report)


def refused(error: pytest.ExceptionInfo[InputError]) -> tuple[str, str]:
    return error.value.message, error.value.where


@pytest.fixture
def by_the_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test fails if a file is read by the careful readers."""

    def fail(*_: Any) -> Any:
        raise AssertionError("the careful reader was used")

    monkeypatch.setattr(csv_rows, "careful_rows", fail)
    monkeypatch.setattr(json_rows, "careful_rows", fail)


# --------------------------------------------------------------------------------------------- CSV, generated

COLUMNS = ("customer_id", "full_name", "email", "phone", "signup_date", "status")
PLAIN = "abcXYZ019@.+-_/'éß漢😀#\\ "
AWKWARD = PLAIN + '",;\t|\n\r\u2028\x85\x0b\x0c\u00a0\ufffd'
WESTERN = "abcXYZ019@.+- éßñ€"


@dataclass(frozen=True)
class Shape:
    """How a CSV file is written."""

    encoding: str
    delimiter: str
    line_break: str
    quoting: Any
    names: tuple[str, ...]
    blank_rows: tuple[int, ...]
    says_sep: bool
    ends_in_a_break: bool


@st.composite
def shapes(draw: st.DrawFn, encodings: Sequence[str]) -> Shape:
    names = draw(st.permutations([*COLUMNS, "notes"]))
    writes: list[Callable[[str], str]] = [str, str.upper, str.title, " {} ".format]
    return Shape(
        encoding=draw(st.sampled_from(encodings)),
        delimiter=draw(st.sampled_from(csv_sniff.DELIMITERS)),
        line_break=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        names=tuple(draw(st.sampled_from(writes))(name) for name in names),
        blank_rows=tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
        says_sep=draw(st.booleans()),
        ends_in_a_break=draw(st.booleans()),
    )


def as_csv(shape: Shape, rows: Sequence[Cells]) -> bytes:
    """The file; only a row with a quoted or visible cell differs from a blank line."""
    lines = [f"sep={shape.delimiter}"] if shape.says_sep else []
    for cells in (shape.names, *rows):
        out = io.StringIO()
        writer = csv.writer(out, delimiter=shape.delimiter, quoting=shape.quoting, lineterminator="\r\n")
        writer.writerow(cells)
        lines.append(out.getvalue().removesuffix("\r\n"))
    for at in shape.blank_rows:
        lines.insert(min(at + 1 + shape.says_sep, len(lines)), ("", "  ", shape.delimiter * 6, '""')[at % 4])
    text = shape.line_break.join(lines) + (shape.line_break if shape.ends_in_a_break else "")
    return text.encode(shape.encoding)


def expected_rows(shape: Shape, rows: Sequence[Cells]) -> dict[int, Cells]:
    """What must come out, from what went in."""
    named = [dict(zip((name.strip().lower() for name in shape.names), cells, strict=False)) for cells in rows]
    field = PLACES["crm"]
    expected = [{field[name]: cell for name, cell in row.items() if name in field} for row in named]
    visible = [cells for cells, row in zip(expected, rows, strict=True) if any(cell.strip() for cell in row)]
    return {number: tuple(cells.get(name, "") for name in RAW_FIELDS) for number, cells in enumerate(visible, start=1)}


def trimmed(rows: dict[int, Cells]) -> dict[int, Cells]:
    # Blanks after a delimiter are kept or not; later stages remove them.
    return {number: tuple(cell.lstrip(" ") for cell in cells) for number, cells in rows.items()}


def tables_of(alphabet: str, fewest: int = 7, most: int = 7) -> st.SearchStrategy[list[Cells]]:
    row = st.lists(st.text(alphabet, max_size=6), min_size=fewest, max_size=most).map(tuple)
    return st.lists(row, max_size=6)


@given(shape=shapes(["utf-8", "utf-8-sig"]), rows=tables_of(AWKWARD))
@settings(max_examples=examples(100), deadline=None)
def test_a_well_formed_csv_reads_the_same_with_and_without_care(
    reader: AnyEngine, drop: Path, shape: Shape, rows: list[Cells]
) -> None:
    content, expected = as_csv(shape, rows), trimmed(expected_rows(shape, rows))
    quick, careful = read_csv(reader, drop, content), read_csv(reader, drop, content, carefully=True)
    assert trimmed(quick.rows) == expected
    assert trimmed(careful.rows) == expected
    assert quick.report.rejects == careful.report.rejects == ()


@given(shape=shapes(["utf-8", "utf-16", "cp1252"]), rows=tables_of(WESTERN, fewest=1))
@settings(max_examples=examples(60), deadline=None)
def test_short_rows_and_other_encodings_lose_nothing(
    reader: AnyEngine, drop: Path, shape: Shape, rows: list[Cells]
) -> None:
    read = read_csv(reader, drop, as_csv(shape, rows))
    assert (trimmed(read.rows), read.report.rejects) == (trimmed(expected_rows(shape, rows)), ())


# ------------------------------------------------------------------------------- CSV, as systems write it

HEAD = "customer_id,full_name,email\n"
ONE = {1: ("1", "Ann", "a@x.org")}
MET: dict[str, tuple[str | bytes, dict[int, tuple[str, str, str]]]] = {
    "no final line break": (f"{HEAD}1,Ann,a@x.org", ONE),
    "header only": (HEAD, {}),
    "header only, no line break": (HEAD.strip(), {}),
    "blank lines above the header": (f"\n \n\n{HEAD}1,Ann,a@x.org\n", ONE),
    "a form feed above the header": (f"\x0c\n{HEAD}1,Ann,a@x.org\n", ONE),
    "a separator line": ("sep=;\ncustomer_id;full_name;email\n1;Ann;a@x.org\n", ONE),
    "a separator line that is wrong for no one": ("SEP=|\r\ncustomer_id|full_name|email\r\n1|Ann|a@x.org\r\n", ONE),
    "a separator line after a byte order mark": (f"\ufeffsep=,\n{HEAD}1,Ann,a@x.org\n", ONE),
    "a byte order mark": (f"\ufeff{HEAD}1,Ann,a@x.org\n", ONE),
    "UTF-16, little end first": (f"\ufeff{HEAD}1,Ann,a@x.org\n".encode("utf-16-le"), ONE),
    "UTF-16, big end first": (f"\ufeff{HEAD}1,Ann,a@x.org\n".encode("utf-16-be"), ONE),
    "header with other case and blanks": (" Customer_ID ,FULL_NAME, Email\n1,Ann,a@x.org\n", ONE),
    "quoted header after blanks": ('"customer_id", "full_name", "email"\n"1", "Ann", "a@x.org"\n', ONE),
    "an empty quote before a name": ('customer_id,""full_name,email\n1,Ann,a@x.org\n', ONE),
    "a quote in a name of the header": ('customer_id,full_name,email,a"b\n1,Ann,a@x.org,\n', ONE),
    "a quote after a name of the header": (
        'customer_id,"full_name"x,"email"\n1,Ann,a@x.org\n',
        {1: ("1", "", "a@x.org")},
    ),
    "a doubled quote in the header": ('customer_id,full_name,email,"a""b"\n1,Ann,a@x.org,\n', ONE),
    "a delimiter in a name of the header": ('customer_id,full_name,email,"a,b"\n1,Ann,a@x.org,\n', ONE),
    "a header of two lines": ('customer_id,full_name,email,"my\nnotes"\n1,Ann,a@x.org,\n', ONE),
    "a header of two lines and other breaks": ('customer_id,full_name,email,"my\r\nnotes"\r\n1,Ann,a@x.org,\r\n', ONE),
    "a header of two lines, and Windows-1252": (
        'customer_id,full_name,email,"my\nnotes"\n1,Zoë,a@x.org,\n'.encode("cp1252"),
        {1: ("1", "Zoë", "a@x.org")},
    ),
    "trailing delimiters": (f"{HEAD}1,Ann,a@x.org,,\n", ONE),
    "trailing delimiters in the header": ("customer_id,full_name,email,,\n1,Ann,a@x.org,,\n", ONE),
    "mixed line breaks": (f"{HEAD}1,Ann,a@x.org\r\n2,Bob,\n", {**ONE, 2: ("2", "Bob", "")}),
    "rows of blanks": (f'{HEAD}1,Ann,a@x.org\n,,\n  ,\t,\n\u00a0,,\n"",,\n\n2,Bob,\n', {**ONE, 2: ("2", "Bob", "")}),
    "a short row": (f"{HEAD}1,Ann,a@x.org\n2,Bob\n3\n", {**ONE, 2: ("2", "Bob", ""), 3: ("3", "", "")}),
    "a quoted break in a file with short rows": (
        f'{HEAD}1,"A\r\nnn"\r\n2\r\n',
        {1: ("1", "A\r\nnn", ""), 2: ("2", "", "")},
    ),
    "a quoted break": (f'{HEAD}1,"A\nnn",\n2,"B\r\nob\n",\n', {1: ("1", "A\nnn", ""), 2: ("2", "B\r\nob\n", "")}),
    "a quoted delimiter and doubled quotes": (f'{HEAD}1,"Lee, ""Ann""",\n', {1: ("1", 'Lee, "Ann"', "")}),
    "a byte order mark inside": (f"{HEAD}1,\ufeffAnn,\n", {1: ("1", "\ufeffAnn", "")}),
    "cut in a row": (f"{HEAD}1,Ann,a@x.org\n2,Bo", {**ONE, 2: ("2", "Bo", "")}),
    "a cell of a megabyte": (f"{HEAD}1,{'x' * (1 << 20)},\n", {1: ("1", "x" * (1 << 20), "")}),
    "a column of a megabyte, and a short row": (f"{HEAD}1,{'x' * (1 << 20)}\n", {1: ("1", "x" * (1 << 20), "")}),
    "quotes in an unquoted cell": (f'{HEAD}1,An"n,a@x.org\n', {1: ("1", 'An"n', "a@x.org")}),
    "a comma in a file of semicolons": (
        "customer_id;full_name;email\n1;Lee, Ann;a@x.org\n",
        {1: ("1", "Lee, Ann", "a@x.org")},
    ),
    "a comment sign": (f"{HEAD}#1,#,#\n", {1: ("#1", "#", "#")}),
    "a replacement character": (f"{HEAD}1,A\ufffd,\n2\n", {1: ("1", "A\ufffd", ""), 2: ("2", "", "")}),
    "Windows-1252": (f"{HEAD}1,Zoë €,\n".encode("cp1252"), {1: ("1", "Zoë €", "")}),
    "one column besides the id": ("email;customer_id\na@x.org;1\n", {1: ("1", "", "a@x.org")}),
}


@pytest.mark.parametrize("carefully", [False, True])
@pytest.mark.parametrize("name", MET)
def test_a_csv_as_systems_write_it_is_read(engine: EmbeddedEngine, drop: Path, name: str, carefully: bool) -> None:
    content, rows = MET[name]
    read = read_csv(engine, drop, content, carefully=carefully)
    at = [RAW_FIELDS.index(field) for field in ("source_id", "full_name", "email")]
    assert {number: tuple(cells[i] for i in at) for number, cells in read.rows.items()} == rows
    assert read.report.rejects == ()


@pytest.mark.usefixtures("by_the_engine_alone")
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", csv_sniff.DELIMITERS)
def test_a_plain_csv_is_left_to_the_engine(engine: EmbeddedEngine, drop: Path, delimiter: str, line_break: str) -> None:
    text = f'{HEAD}1,Ann,a@x.org\n\n"2","B ""ob"" é","x"\n'.replace(",", delimiter).replace("\n", line_break)
    assert read_csv(engine, drop, text).column("full_name") == ["Ann", 'B "ob" é']


@pytest.mark.parametrize(
    ("content", "codes", "rows"),
    [
        (f"{HEAD}1,Ann,a@x.org,more\n2,Bob,\n", {1: "too_many_cells"}, [2]),
        (f'{HEAD}1,"A"nn,\n2,Bob,\n', {1: "stray_quote"}, [2]),
        (f"{HEAD}1,\x81é,\n2,Bob,\n".encode("latin-1"), {1: "undecodable"}, [2]),
        (f"{HEAD}1,é,\n2,Bob,\n".encode("utf-16-le").join([b"\xff\xfe", b"\x00\xd8"]), {3: "undecodable"}, [1, 2]),
    ],
)
def test_a_csv_row_that_cannot_enter_is_a_reject(
    engine: EmbeddedEngine, drop: Path, content: str | bytes, codes: dict[int, str], rows: list[int]
) -> None:
    read = read_csv(engine, drop, content)
    assert (read.codes, list(read.rows)) == (codes, rows)


def test_a_reject_names_line_and_reason_and_quotes_no_value(engine: EmbeddedEngine, drop: Path) -> None:
    text = f'{HEAD}1,"Ann\nLee",\n2,Bob,,Lee\n\n3,"Bob"by,\n4,Zo'.encode() + b"\x81,\n"
    assert [(it.row_number, it.code, it.explanation) for it in read_csv(engine, drop, text).report.rejects] == [
        (2, "too_many_cells", "line 4: 4 cells where the header has 3"),
        (3, "stray_quote", "line 6: a quote inside a cell is not doubled"),
        (4, "undecodable", "line 7: bytes that are not text in the encoding of the file"),
    ]
    half = customers('{"id": 1}', "null", '{"id": "\\ud800"}', '["Ann"]')
    assert [(it.row_number, it.code, it.explanation) for it in read_json(engine, drop, half).report.rejects] == [
        (2, "not_an_object", "element 2 is not a JSON object"),
        (3, "undecodable", "element 3 holds half of a surrogate pair"),
        (4, "not_an_object", "element 4 is not a JSON object"),
    ]


def test_a_warning_says_that_a_file_is_read_as_windows_1252(engine: EmbeddedEngine, drop: Path) -> None:
    assert read_csv(engine, drop, f"{HEAD}1,Zoë,\n".encode("cp1252")).report.warnings == (
        "the file is not UTF-8; it is read as Windows-1252",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_names_of_columns_are_read_in_the_encoding_of_the_file(
    engine: EmbeddedEngine, drop: Path, encoding: str
) -> None:
    french = Layout("french", {"source_id": (("N\u00b0",),), "phone": (("T\u00e9l\u00e9phone",),)})
    text = "N\u00b0;T\u00e9l\u00e9phone\n1;5550101\n"
    file = delivered_file(replace(CRM, layouts=(french,)), drop / "crm_customers.csv", text.encode(encoding))
    assert engine.read(file)[0].derive("select cell_0, cell_1 from this").rows() == [("1", "5550101")]


def test_a_byte_that_is_no_utf_8_makes_the_file_windows_1252_wherever_it_is(engine: EmbeddedEngine, drop: Path) -> None:
    text = "customer_id,email,x\n1,Zo\u00eb,\n".encode()
    for content in (text.replace(b"x", b"\xff"), text + b"2,\xff,\n"):
        assert read_csv(engine, drop, content).column("email")[0] == "Zo\u00c3\u00ab"


def test_unknown_columns_are_counted(engine: EmbeddedEngine, drop: Path) -> None:
    assert read_csv(engine, drop, "customer_id,email,a,b\n1,x,,\n").report.unknown_columns == 2


WRONG_CSV: dict[str, tuple[str | bytes, type[InputError], str, str]] = {
    "zero bytes": (b"", UnreadableFile, "the file is empty (zero bytes)", ""),
    "blank lines only": ("\n\n  \n", UnreadableFile, "the file holds blank lines only", ""),
    "binary": (b"MZ\x90\n\0\0", UnreadableFile, "the file holds NUL bytes; it is not CSV text", "line 2"),
    "archive": (b"PK\x03\x04\n\0\0", UnreadableFile, "the file is a ZIP archive", "line 1"),
    "UTF-16 without a mark": (
        HEAD.encode("utf-16-le"),
        UnreadableFile,
        "the file holds NUL bytes; it is not CSV text",
        "line 1",
    ),
    "an open quote": (f'{HEAD}1,Ann,\n2,"Bob,\n3,C,\n', UnreadableFile, "a quote is opened and never closed", "line 3"),
    "an open quote after a quoted break": (
        f'{HEAD}1,"A\nnn","a\n2,Bob,\n',
        UnreadableFile,
        "a quote is opened and never closed",
        "line 3",
    ),
    "an open quote after doubled ones": (
        f'{HEAD}1,"A ""nn""\n",\n2,"B ""ob""\n,"" x\n',
        UnreadableFile,
        "a quote is opened and never closed",
        "line 4",
    ),
    "cut in a quoted cell": (f'{HEAD}1,"Ann', UnreadableFile, "a quote is opened and never closed", "line 2"),
    "no id column": ("cust_id,full_name,email\n1,A,b\n", MissingColumn, 'there is no column "customer_id"', "line 1"),
    "nothing to know a customer by": (
        "customer_id,mail,status\n",
        MissingColumn,
        'there is no column "email"',
        "line 1",
    ),
    "two columns of one name": (
        "customer_id,Email,email \n",
        DuplicateColumn,
        "the header names the column 'email' more than once",
        "line 1",
    ),
}
WRONG_CSV |= {
    "two unknown columns of one name": (
        "customer_id,email,tags,Tags\n",
        DuplicateColumn,
        "the header names the column 'tags' more than once",
        "line 1",
    ),
    "a header that the first customer has slipped into": (
        "customer_id,full_name,email1,Ann Lee,a@x.org,Ann Lee\n",
        DuplicateColumn,
        "the header names the column (unknown name) more than once",
        "line 1",
    ),
}


@pytest.mark.parametrize("name", WRONG_CSV)
def test_a_wrong_csv_is_refused_with_its_line(engine: EmbeddedEngine, drop: Path, name: str) -> None:
    content, kind, message, where = WRONG_CSV[name]
    with pytest.raises(InputError) as error:
        read_csv(engine, drop, content)
    assert (type(error.value), *refused(error)) == (kind, message, where)


@pytest.mark.parametrize(
    ("header", "hint", "found"),
    [
        ("cust_id;full_name;email", 'did you mean "cust_id"', "cust_id, full_name, email"),
        ("Customer-No,name,mail,tel", 'did you mean "Customer-No"', "Customer-No, name, mail, tel"),
        ("nr,full_name,email", "add the column", "nr, full_name, email"),
        # A file without a header has a customer there, of which nothing is quoted.
        ("17,Customer Ida,customer.id@x.org,5550101,active", "add the column", "5 columns, none of them known"),
        ("customer_1d@x.org,Emily Status", "add the column", "2 columns, none of them known"),
        ("Custer Ida,Emilia,Statos,2023-01-01", "add the column", "4 columns, none of them known"),
    ],
)
def test_a_missing_column_is_explained_without_a_customer(
    engine: EmbeddedEngine, drop: Path, header: str, hint: str, found: str
) -> None:
    with pytest.raises(MissingColumn) as error:
        read_csv(engine, drop, f"{header}\n1,2,3\n")
    assert error.value.hint.startswith(hint)
    assert error.value.found == found


# ------------------------------------------------------------------------------------------------------- packed

PACKED = gzip.compress(f"{HEAD}1,Ann,a@x.org\n".encode(), mtime=0)
DAMAGED = "the gzip file is damaged"
CUT_SHORT = "the gzip file ends too early (it is truncated)"
WRONG_GZIP: dict[str, tuple[bytes, str]] = {
    "not packed at all": (
        f"{HEAD}1,Ann,a@x.org\n".encode(),
        "the file is not packed with gzip, though its name ends in .gz",
    ),
    "zero bytes": (b"", "the file is empty (zero bytes)"),
    "cut in its header": (PACKED[:5], CUT_SHORT),
    "cut in its middle": (PACKED[:-12], CUT_SHORT),
    "cut in its checksum": (PACKED[:-3], CUT_SHORT),
    "another checksum": (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], DAMAGED),
    "a byte that was flipped": (PACKED[:12] + bytes([PACKED[12] ^ 0xFF]) + PACKED[13:], DAMAGED),
    "garbage after it": (PACKED + b"x", DAMAGED),
}


@pytest.mark.parametrize(
    "content",
    [PACKED, PACKED + bytes(512), gzip.compress(HEAD.encode(), mtime=0) + gzip.compress(b"1,Ann,a@x.org", mtime=0)],
)
def test_a_packed_export_is_read(engine: EmbeddedEngine, drop: Path, content: bytes) -> None:
    table, report = engine.read(delivered_file(CRM, drop / "crm_customers.csv.gz", content))
    assert _read(table, report).column("full_name") == ["Ann"]


def test_a_gzip_bomb_is_refused(engine: EmbeddedEngine, drop: Path) -> None:
    bomb = gzip.compress(bytes(80 << 20), mtime=0)
    with pytest.raises(UnreadableFile, match="it unpacks to more than 200 times its size"):
        engine.read(delivered_file(CRM, drop / "crm_customers.csv.gz", bomb))


@pytest.mark.parametrize("name", WRONG_GZIP)
def test_a_wrong_gzip_is_refused(engine: EmbeddedEngine, drop: Path, name: str) -> None:
    content, message = WRONG_GZIP[name]
    with pytest.raises(UnreadableFile) as error:
        engine.read(delivered_file(CRM, drop / "crm_customers.csv.gz", content))
    assert error.value.message == message


# -------------------------------------------------------------------------------------------- JSON, generated

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
INTEGERS = st.integers(-(10**25), 10**25)
SCALARS = st.one_of(st.none(), TEXTS, INTEGERS, st.booleans())
ODD = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.floats(allow_nan=False, allow_infinity=False))
CUSTOMERS = st.fixed_dictionaries(
    {},
    optional={
        "id": SCALARS,
        "name": st.one_of(SCALARS, st.fixed_dictionaries({}, optional={"first": SCALARS, "last": SCALARS})),
        "contact": st.one_of(SCALARS, st.fixed_dictionaries({}, optional={"email": SCALARS, "phone": SCALARS})),
        "registered": SCALARS,
        "orders_count": SCALARS,
        "tags": st.lists(ODD, max_size=2),
    },
)


def as_json_cells(customer: dict[str, Any]) -> Cells:
    """What must come out of one customer: texts and numbers as written, nothing of what is nested wrongly."""
    found: dict[str, str] = {}
    for path, field in PLACES["ecom"].items():
        value: Any = customer
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool):
            found[field] = f"{BOOLEAN_MARK}{json.dumps(value)}"
        elif isinstance(value, (str, int, float)):
            found[field] = value if isinstance(value, str) else json.dumps(value)
    return tuple(found.get(field, "") for field in RAW_FIELDS)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"fetched_at": "2024-01-15", "n": 1.50, "all": true, "no": null, "o": {"customers": []}, "customers": []}',
         {"fetched_at": "2024-01-15", "n": "1.50", "all": "true"}),
        ('{"a": "one", "a": "two", "customers": []}', {"a": "one"}),
        ('{"customers": [{"id": 1}], "fetched_at": "2024-01-15"}', {}),
        ('[{"id": 1, "name": "a", "fetched_at": "2024-01-15"}]', {}),
        ('{"id": 1, "name": "a", "customers": 5}\n{"id": 2, "name": "b"}', {}),
    ],
)  # fmt: skip
def test_members_before_the_customers_are_reported_those_after_them_are_not(
    text: str, members: dict[str, str], engine: EmbeddedEngine, tmp_path: Path
) -> None:
    _, report = engine.read(delivered_file(ECOM, tmp_path / ECOM.file_name, text))
    assert report.members == members


def test_customers_after_plain_members_are_read_through_the_window(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "careful_rows", lambda path, layout: pytest.fail("the careful reader was used"))
    text = (
        '{"fetched_at": "2024-01-15T10:00:00Z", "complete": true, "total": 1, "customers": [{"id": 1, "name": "Ann"}]}'
    )
    table, _ = engine.read(delivered_file(ECOM, tmp_path / ECOM.file_name, text))
    assert table.count() == 1


def test_numbers_may_be_fractions_without_a_careful_look(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "careful_rows", lambda path, layout: pytest.fail("the careful reader was used"))
    text = '{"data": [{"id": 1, "engagement_score": 87.50, "total_spent": 1e3}]}'
    table, _ = engine.read(delivered_file(API, tmp_path / API.file_name, text))
    assert table.count() == 1


@st.composite
def documents(draw: st.DrawFn, customers: st.SearchStrategy[Any]) -> tuple[str, list[Any]]:
    """A document in one of the shapes that are accepted, and its elements."""
    elements = draw(st.lists(customers, max_size=5))
    indent, is_ascii = draw(st.sampled_from([None, 0, 2])), draw(st.booleans())
    shape = draw(
        st.sampled_from(["object", "array", "members before", "plain members before", "members after", "lines"])
    )
    first = elements[0] if elements and isinstance(elements[0], dict) else {}
    if shape == "lines" and first.get("id") is not None and first.get("name") is not None:
        return "\n".join(json.dumps(element, ensure_ascii=is_ascii) for element in elements), elements
    around = {
        "members before": {"meta": {"customers": 1, "n": [1, {}]}, "customers": elements},
        "plain members before": {
            "fetched_at": "2024-01-15",
            "total": 2.5,
            "no": None,
            "all": True,
            "customers": elements,
        },
        "members after": {"customers": elements, "tags": ["a", {"b": []}], "total": 2},
        "array": elements,
    }
    return json.dumps(around.get(shape, {"customers": elements}), indent=indent, ensure_ascii=is_ascii), elements


def elements_expected(elements: Sequence[Any]) -> dict[int, Cells]:
    return {number: as_json_cells(it) for number, it in enumerate(elements, start=1) if isinstance(it, dict)}


@given(document=documents(CUSTOMERS))
@settings(max_examples=examples(100), deadline=None)
def test_json_reads_the_same_with_and_without_care(
    reader: AnyEngine, drop: Path, document: tuple[str, list[Any]]
) -> None:
    text, elements = document
    quick, careful = read_json(reader, drop, text), read_json(reader, drop, text, carefully=True)
    assert quick.rows == elements_expected(elements)
    assert careful == quick


@given(document=documents(st.one_of(CUSTOMERS, ODD)), mark=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
@settings(max_examples=examples(100), deadline=None)
def test_elements_that_are_not_objects_are_rejects(
    reader: AnyEngine, drop: Path, document: tuple[str, list[Any]], mark: str
) -> None:
    text, elements = document
    read = read_json(reader, drop, text.encode(mark))
    assert read.rows == elements_expected(elements)
    assert read.codes == {n: "not_an_object" for n, it in enumerate(elements, start=1) if not isinstance(it, dict)}


@given(document=documents(CUSTOMERS), chunk_bytes=st.integers(1, 40))
@settings(max_examples=examples(60), deadline=None)
def test_where_a_chunk_ends_does_not_matter(
    reader: AnyEngine, drop: Path, document: tuple[str, list[Any]], chunk_bytes: int
) -> None:
    text, elements = document
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_stream, "CHUNK_BYTES", chunk_bytes)
        assert read_json(reader, drop, text, carefully=True).rows == elements_expected(elements)


@pytest.mark.parametrize("chunk_bytes", range(1, 16))
def test_a_number_is_not_cut_where_a_chunk_ends(
    engine: EmbeddedEngine, drop: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk_bytes)
    read = read_json(engine, drop, '[123.456, 1e+20, -2.5E-3, 0, {"id": 1}, 77777]', carefully=True)
    assert read.codes == dict.fromkeys((1, 2, 3, 4, 6), "not_an_object")
    assert read.column("source_id") == ["1"]


@pytest.mark.parametrize("carefully", [False, True])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_how_deep_a_value_may_be_nested_does_not_depend_on_the_reader(
    engine: EmbeddedEngine, drop: Path, opens: str, closes: str, carefully: bool
) -> None:
    def nested(levels: int) -> str:
        return customers(f'{{"id": "1", "name": "A", "more": {opens * levels}1{closes * levels}}}')

    most = json_stream.MAX_DEPTH - 1  # the customer itself is the first level
    assert read_json(engine, drop, nested(most), carefully=carefully).column("full_name") == ["A"]
    for levels in (most + 1, 100_000):
        with pytest.raises(UnreadableFile, match="nested too deeply"):
            read_json(engine, drop, nested(levels), carefully=carefully)


def test_a_number_without_end_is_given_up_early(engine: EmbeddedEngine, drop: Path, monkeypatch: Any) -> None:
    chunks: list[int] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            chunks.append(size or 0)
            return super().read(size)

    monkeypatch.setattr(json_stream, "MAX_ELEMENT_CHARACTERS", 1 << 12)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 1 << 10)
    with pytest.raises(UnreadableFile, match="or has no end"):
        list(
            json_stream.elements(
                Counted(b"[" + b"1" * (1 << 16)),
                json_stream.Expected("customers", lambda first: True, lambda first: ""),
            )
        )
    assert sum(chunks) < 1 << 15


# ------------------------------------------------------------------------------ JSON, as systems write it


def customers(*elements: str) -> str:
    return '{"customers": [' + ", ".join(elements) + "]}"


MET_JSON: dict[str, tuple[str | bytes, dict[int, tuple[str, str]]]] = {
    "no customers": ('{"customers": []}', {}),
    "no customers, with blanks": (' { "customers" :\n[ ] } \n', {}),
    "a bare empty array": ("[]", {}),
    "a byte order mark": ('\ufeff[{"id": "1", "name": "A"}]', {1: ("1", "A")}),
    "JSON Lines": ('{"id": "1", "name": "A"}\n{"id": "2"}\n\n{"id": "3"}', {1: ("1", "A"), 2: ("2", ""), 3: ("3", "")}),
    "one JSON Line": ('{"name": "A", "id": 1}', {1: ("1", "A")}),
    "numbers as written": (
        customers('{"id": 12345678901234567890123, "name": 1.50}', '{"id": 1e2}', '{"id": 5550101.0}', '{"id": -0}'),
        {1: ("12345678901234567890123", "1.50"), 2: ("1e2", ""), 3: ("5550101.0", ""), 4: ("-0", "")},
    ),
    "a negative zero": (customers('{"id": -0 , "name": -0}', '{"id": 0}'), {1: ("-0", "-0"), 2: ("0", "")}),
    "a name in brackets": (
        customers('{"id": "{1", "name": "{x"}', '{"id": 2, "name": "[x]"}'),
        {1: ("{1", "{x"), 2: ("2", "[x]")},
    ),
    "nested where text is expected": (
        customers('{"id": {"a": 1}, "name": ["A"]}', '{"id": [], "name": {}}'),
        {1: ("", ""), 2: ("", "")},
    ),
    "words of laxer formats": (
        customers('{"id": "NaN", "name": "Nan, Inf"}', '{"id": ",]"}'),
        {1: ("NaN", "Nan, Inf"), 2: (",]", "")},
    ),
    "a member twice: the first counts": (
        customers('{"id": "1", "id": "2", "name": null, "name": "B"}'),
        {1: ("1", "")},
    ),
    "escapes": (customers('{"\\u0069d": "\\u0031\\ud83d\\ude00", "name": "a\\"\\\\\\/\\n"}'), {1: ("1😀", 'a"\\/\n')}),
    "a member with a dot is no path": (customers('{"id": 1, "name.first": "A"}'), {1: ("1", "")}),
    "nulls at every level": (
        customers('{"id": 1, "name": null, "contact": null}', '{"id": 2, "name": {"first": null}, "tags": [null, {}]}'),
        {1: ("1", ""), 2: ("2", "")},
    ),
    "words for truth": (customers('{"id": true, "name": false}'), {1: (f"{BOOLEAN_MARK}true", f"{BOOLEAN_MARK}false")}),
    "a number of a thousand digits": (customers(f'{{"id": {"9" * 1000}}}'), {1: ("9" * 1000, "")}),
    "a number beyond all others": (customers('{"id": 1, "name": 1E999}'), {1: ("1", "1E999")}),
    "a text of a megabyte": (customers(f'{{"id": 1, "name": "{"x" * (1 << 20)}"}}'), {1: ("1", "x" * (1 << 20))}),
    "UTF-16, little end first": (
        ("\ufeff" + customers('{"id": 1, "name": "Zo\u00eb"}')).encode("utf-16-le"),
        {1: ("1", "Zo\u00eb")},
    ),
    "UTF-16, big end first": (
        ("\ufeff" + customers('{"id": 1, "name": "Zo\u00eb"}')).encode("utf-16-be"),
        {1: ("1", "Zo\u00eb")},
    ),
    "an array in the last customer": (customers('{"id": 1, "tags": ["a"]}'), {1: ("1", "")}),
    "members after the customers": ('{"customers": [{"id": 1}], "tags": [{"id": 2}]}', {1: ("1", "")}),
}


@pytest.mark.parametrize("carefully", [False, True])
@pytest.mark.parametrize("name", MET_JSON)
def test_json_as_systems_write_it_is_read(engine: EmbeddedEngine, drop: Path, name: str, carefully: bool) -> None:
    content, rows = MET_JSON[name]
    read = read_json(engine, drop, content, carefully=carefully)
    at = [RAW_FIELDS.index(field) for field in ("source_id", "full_name")]
    assert {number: tuple(cells[i] for i in at) for number, cells in read.rows.items()} == rows
    assert read.report.rejects == ()


@pytest.mark.parametrize("name", ["李" * 20, "Ж" * 60, "aa" + "Ж" * 60])
def test_a_text_that_is_cut_in_a_message_of_the_engine_is_read(engine: EmbeddedEngine, drop: Path, name: str) -> None:
    """The engine quotes the text where another customer has an object, and may cut it within a character."""
    customers = [{"id": "E0", "name": name}, {"id": "E1", "name": {"first": "Jo", "last": "Do"}}]
    read = read_json(engine, drop, json.dumps({"customers": customers}))
    assert read.column("source_id") == ["E0", "E1"]
    assert read.column("full_name") == [name, ""]


@pytest.mark.usefixtures("by_the_engine_alone")
def test_plain_json_is_left_to_the_engine(engine: EmbeddedEngine, drop: Path) -> None:
    assert read_json(engine, drop, SAMPLE_JSON).column("source_id") == ["EC1001", "EC1002", "EC1003"]
    assert read_json(engine, drop, '[{"id": 1, "price": 1.5, "name": "Nan Ray, Inf"}]').column("source_id") == ["1"]


MANY_CUSTOMERS = [
    {"id": n, "name": {"first": f"F{n}", "last": "L"}, "tags": [{"id": 1}, {"id": 2}] * (n % 3), "orders_count": n}
    for n in range(300)
]


@pytest.mark.parametrize(
    ("first", "indent", "is_cut_well"), [("key", None, True), ("id", 2, True), ("id", None, False)]
)
def test_an_array_is_read_in_parts_and_whole_where_a_cut_is_wrong(
    engine: EmbeddedEngine,
    drop: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    indent: int | None,
    is_cut_well: bool,
) -> None:
    """Objects inside a customer that begin like a customer, blanks included, mislead the cut."""
    rows = [{first: it["id"], **it} for it in MANY_CUSTOMERS]
    monkeypatch.setattr(json_window, "_SMALLEST_PART_BYTES", 1)
    monkeypatch.setattr(engine, "threads", 7, raising=False)
    parts: list[int] = []
    read_parts = embedded_files._plain_array

    def noted(database: Any, path: Path, windows: Sequence[tuple[int, int]], query: Any) -> Any:
        parts.append(len(windows))
        return read_parts(database, path, windows, query)

    monkeypatch.setattr(embedded_files, "_plain_array", noted)
    read = read_json(engine, drop, json.dumps({"customers": rows}, indent=indent))
    assert read == read_json(engine, drop, json.dumps({"customers": rows}), carefully=True)
    assert parts == ([7] if is_cut_well else [7, 1])


@pytest.mark.parametrize(
    "last",
    [
        {"id": "7", "name": "Ann Lee"},
        {"id": {"n": 7}, "name": {"first": "Ann"}},
        {"id": True, "name": {"first": "Ann"}},
        {"id": 7.50, "name": {"first": "Ann", "last": 1e20}},
        {"id": "7", "name": {"first": ["Ann"]}, "contact": "a@x.org"},
        {"id": "7", "name": None, "contact": {"email": "true", "phone": -0.0}},
        {"id": 12345678901234567890123, "name": {"first": "Ann"}},
    ],
)
def test_a_customer_unlike_the_first_ones_is_read_as_by_the_careful_reader(
    engine: EmbeddedEngine, drop: Path, last: dict[str, Any]
) -> None:
    text = json.dumps([*[{"id": n, "name": {"first": "F", "last": "L"}} for n in range(600)], last])
    assert read_json(engine, drop, text) == read_json(engine, drop, text, carefully=True)


def test_half_a_surrogate_pair_is_not_text(engine: EmbeddedEngine, drop: Path) -> None:
    read = read_json(
        engine, drop, customers('{"id": "\\ud800"}', '{"id": 2, "name": {"first": "\\udc00x"}}', '{"id": 3}')
    )
    assert (read.codes, read.column("source_id")) == ({1: "undecodable", 2: "undecodable"}, ["3"])


WRONG_JSON: dict[str, tuple[str | bytes, str, str]] = {
    "zero bytes": (b"", "the file is empty", "line 1, byte 1"),
    "blanks": (" \n ", "the file holds blanks only", "line 2, byte 4"),
    "a text": ('"x"', "the document is not a JSON object or array", "line 1, byte 1"),
    "no customers": ('{"clients": []}', 'there is no array "customers"', "line 1, byte 16"),
    "customers are no array": ('{"customers": {"id": 1}}', 'there is no array "customers"', "line 1, byte 25"),
    "customers twice": (
        '{"customers": [], "customers": []}',
        'there is more than one member "customers"',
        "line 1, byte 32",
    ),
    "two documents": (
        '{"customers": []}\n{"customers": []}',
        "there is text after the end of the document",
        "line 2, byte 19",
    ),
    "NaN": (
        customers('{"id": NaN}'),
        "the document is malformed: NaN and Infinity are not JSON numbers",
        "line 1, byte 16",
    ),
    **{
        word: (
            customers(f'{{"id": {word}}}'),
            "the document is malformed: NaN and Infinity are not JSON numbers",
            "line 1, byte 16",
        )
        for word in ("Infinity", "-Infinity")
    },
    "garbage after the array": ('[{"id": 1}] x', "there is text after the end of the document", "line 1, byte 13"),
    "garbage after the object": (
        customers('{"id": 1}') + "\n]",
        "there is text after the end of the document",
        "line 2, byte 28",
    ),
    "garbage between customers": (
        customers('{"id": 1} x', '{"id": 2}'),
        'the document is malformed: "," is missing',
        "line 1, byte 26",
    ),
    "a leading zero": (customers('{"id": 01}'), "the document is malformed", "line 1, byte 24"),
    "a leading plus": (customers('{"id": +1}'), "the document is malformed", "line 1, byte 23"),
    "a control character in a text": (customers('{"id": "a\x01b"}'), "the document is malformed", "line 1, byte 25"),
    "a NUL in a text": (customers('{"id": "a\0b"}'), "the document is malformed", "line 1, byte 25"),
    "nan": (customers('{"id": 1}', '{"id": nan}'), "the document is malformed", "line 1, byte 34"),
    "a comma too many": ('{"customers": [{"id": 1},\n]}', "the document is malformed", "line 2, byte 27"),
    "a comma before a brace": (customers('{"id": 1, "name": "A",}'), "the document is malformed", "line 1, byte 38"),
    "a comma before a bracket": (
        customers('{"id": 1, "tags": [1,\n\t ]}'),
        "the document is malformed",
        "line 2, byte 40",
    ),
    "a comma before a brace in the last element": (
        customers('{"id": 1}', '{"id": 2 , \r\n}'),
        "the document is malformed",
        "line 2, byte 40",
    ),
    "a form feed for a blank": (customers('{"id": 1}', '\f{"id": 2}'), "the document is malformed", "line 1, byte 27"),
    "a vertical tab before the document": (
        "\v" + customers('{"id": 1}'),
        "the document is not a JSON object or array",
        "line 1, byte 1",
    ),
    "a form feed before the customers": (
        '{"customers":\f[{"id": 1}]}',
        "the document is malformed",
        "line 1, byte 14",
    ),
    "a form feed after the document": (
        customers('{"id": 1}') + "\f",
        "there is text after the end of the document",
        "line 1, byte 27",
    ),
    "a vertical tab after the array": (
        '[{"id": 1}]\n\v',
        "there is text after the end of the document",
        "line 2, byte 13",
    ),
    "a vertical tab for a blank": (
        customers('{"id": 1}\v'),
        'the document is malformed: "," is missing',
        "line 1, byte 25",
    ),
    "a comma too few": (
        '{"customers": [{"id": 1}\n{"id": 2}]}',
        'the document is malformed: "," is missing',
        "line 2, byte 26",
    ),
    "a comment": (customers('{"id": 1} // one'), 'the document is malformed: "," is missing', "line 1, byte 26"),
    "single quotes": (customers("{'id': 1}"), "the document is malformed", "line 1, byte 17"),
    "a line break in a text": (customers('{"id": "a\nb"}'), "the document is malformed", "line 1, byte 25"),
    "a closing bracket too few": (
        '{"customers": [{"id": 1}}',
        'the document is malformed: "," is missing',
        "line 1, byte 25",
    ),
    "cut after a nested array": (
        '{"customers": [{"id": 1, "tags": ["a"]}',
        'the document ends too early: "," is missing',
        "line 1, byte 40",
    ),
    "cut in a text": ('{"customers": [\n{"id": "1', "the document ends too early (it is truncated)", "line 2, byte 24"),
    "cut in a word": ('{"customers": [{"id": tru', "the document ends too early (it is truncated)", "line 1, byte 23"),
    "bytes that are no text": (
        b'{"customers": [\n{"id": "\xc3\xa9\xff"}]}',
        "the document is not UTF-8 text",
        "line 2, byte 27",
    ),
    "text cut in a character": (
        '{"customers": [{"id": "é'.encode()[:-1],
        "the document is not UTF-8 text",
        "line 1, byte 24",
    ),
}


def test_only_so_many_members_may_stand_before_the_customers(engine: EmbeddedEngine, drop: Path) -> None:
    def document(members: int) -> str:
        before = ",".join(f'"m{number}":1' for number in range(members))
        return f'{{{before},"customers":[{{"id":"E1","name":"Ann Lee"}}]}}'

    table, _ = engine.read(delivered_file(ECOM, drop / "many.json", document(json_stream.MAX_MEMBERS)))
    assert table.count() == 1
    with pytest.raises(UnreadableFile, match='no array "customers" at the beginning'):
        engine.read(delivered_file(ECOM, drop / "more.json", document(json_stream.MAX_MEMBERS + 1)))


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 3])
@pytest.mark.parametrize("name", WRONG_JSON)
def test_wrong_json_is_refused_with_line_and_byte(
    engine: EmbeddedEngine, drop: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk_bytes: int
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk_bytes)
    content, message, where = WRONG_JSON[name]
    with pytest.raises(UnreadableFile) as error:
        read_json(engine, drop, content)
    assert refused(error) == (message, where)


LAX_ELEMENTS = {
    '{"id":1,}': True,
    '{"id":-0}': True,
    '{"id":-0.5}': False,
    '{"id":NaN}': True,
    '{"id":[1,-Infinity,2]}': True,
    '{"id":[-inf]}': True,
    '{"id":"mailto:nancy, inf-"}': False,
    '{"id":"a:-nan,"}': True,
    '{"id":-5,"in":null,"name":[null,{}]}': False,
    '{"id":' + "[" * 600 + "]" * 600 + "}": True,
    '{"id":' + '{"a":[' * 249 + "]}" * 249 + "}": False,
    ",".join(['{"id":[[[[1]]]]}'] * 120): False,
}
"""Elements, and whether DuckDB may read them otherwise than our parser, without an error."""


@pytest.mark.parametrize("blanks", [0, 11])
@pytest.mark.parametrize("element", LAX_ELEMENTS)
def test_what_duckdb_reads_otherwise_is_seen_wherever_a_chunk_ends(element: str, blanks: int) -> None:
    spaced = re.sub(r"(?<=[\[\]{},])", " " * blanks, element)
    content = f'{{"id":0}},{spaced}'.encode()
    for chunk_bytes in (1, 7, 11, 1 << 20):
        check, is_suspicious = json_window.LaxJson(), False
        try:
            for at in range(0, len(content), chunk_bytes):
                check.feed(content[at : at + chunk_bytes])
        except json_window.NeedsStrictParser:
            is_suspicious = True
        assert is_suspicious == LAX_ELEMENTS[element]


@pytest.mark.large
def test_a_document_cut_at_any_byte_is_refused_or_whole(engine: EmbeddedEngine, drop: Path) -> None:
    whole = read_json(engine, drop, SAMPLE_JSON)
    end = SAMPLE_JSON.rindex(b"}")
    for length in range(len(SAMPLE_JSON)):
        if length > end:
            assert read_json(engine, drop, SAMPLE_JSON[:length]) == whole
            continue
        with pytest.raises(UnreadableFile) as error:
            read_json(engine, drop, SAMPLE_JSON[:length])
        line = SAMPLE_JSON[:length].count(b"\n") + 1
        message, where = refused(error)
        assert where.startswith("line ") and ", byte " in where, (length, where)
        # An open text is placed at its beginning, everything else where the document ends.
        assert line - 1 <= int(where.split()[1].rstrip(",")) <= line, (length, where)
        assert "empty" in message if length == 0 else "ends too early" in message, (length, message)


def test_an_element_longer_than_a_chunk_is_whole(engine: EmbeddedEngine, drop: Path) -> None:
    long = "x" * (3 << 20)
    text = customers(json.dumps({"id": 1, "note": long}), json.dumps({"id": 2, "name": long}))
    assert [len(cell) for cell in read_json(engine, drop, text, carefully=True).column("full_name")] == [0, 3 << 20]


@pytest.mark.large
@pytest.mark.slow
def test_a_large_file_keeps_the_order_of_its_rows(engine: EmbeddedEngine, drop: Path) -> None:
    # More than one row group of the engine, so that its threads share the work.
    many = 150_000
    rows = [(f"{number}", None, None, f"a{number}@x.org", None, None) for number in range(many)]
    file = delivered_file(ECOM, drop / "large.json", ecom_text(rows))
    table, _ = engine.read(file)
    assert table.derive("select count(*) from this where cell_0::bigint <> row_number - 1").rows() == [(0,)]
    lines = "".join(f"{number},a{number}@x.org\n" for number in range(many))
    table, _ = engine.read(delivered_file(CRM, drop / "large.csv", f"customer_id,email\n{lines}"))
    assert table.derive("select count(*) from this where cell_0::bigint <> row_number - 1").rows() == [(0,)]


# ----------------------------------------------------------------------------------------------------- tables


def test_no_other_package_names_an_engine() -> None:
    named = re.compile(r"service\.engine\.(?!contract)|\bimport duckdb|from duckdb")
    others = (path for path in (ROOT / "service").rglob("*.py") if path.parent.name != "engine")
    assert [str(path) for path in others if named.search(path.read_text(encoding="utf-8"))] == []


def test_an_import_of_the_contract_does_not_load_the_engine() -> None:
    code = "import sys, service.engine, service.engine.contract; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_csv_is_quoted_where_it_must_be_and_nowhere_else(engine: EmbeddedEngine, tmp_path: Path) -> None:
    texts = ["plain", "a b", " a", "#x", "a,b", 'a"b', "a\nb", "a\rb", "ü", "'x", "", None, "N/A", "a;b", "a\tb"]
    table = table_of(engine, {"n": list(range(len(texts))), "text": texts})
    table.write_csv(tmp_path / "t.csv", ("n", "text"), "n desc")
    written = (tmp_path / "t.csv").read_bytes().decode()
    lines = dict(
        line.split(",", 1) for line in written.replace("\na", "\\na").replace("\nb", "\\nb").split("\n") if line
    )
    assert list(lines) == ["n", *map(str, reversed(range(len(texts))))]
    found = [lines[str(n)] for n in range(len(texts))]
    assert found == [
        "plain",
        "a b",
        " a",
        "#x",
        '"a,b"',
        '"a""b"',
        '"a\\nb"',
        '"a\rb"',
        "ü",
        "'x",
        '""',
        "",
        "N/A",
        "a;b",
        "a\tb",
    ]


def test_a_byte_order_mark_is_written_where_it_is_asked_for(engine: EmbeddedEngine, tmp_path: Path) -> None:
    table_of(engine, {"n": [1], "text": ["x"]}).write_csv(tmp_path / "t.csv", ("n", "text"), "n", bom=True)
    assert (tmp_path / "t.csv").read_bytes() == b"\xef\xbb\xbfn,text\n1,x\n"


def test_lines_are_written_as_they_are(engine: EmbeddedEngine, tmp_path: Path) -> None:
    lines = ['a "quoted", one', "#", " b ", "ü\\n"]
    table_of(engine, {"n": [0, 1, 2, 3], "line": lines}).write_lines(tmp_path / "t.txt", "line", "n")
    assert (tmp_path / "t.txt").read_bytes().decode() == "".join(f"{line}\n" for line in lines)


def test_a_table_survives_parquet(engine: EmbeddedEngine, tmp_path: Path) -> None:
    table = table_of(engine, {"n": [2, 1, 3], "text": ["x", None, ""]})
    table.write_parquet(tmp_path / "it's.parquet", "n")
    assert engine.read_parquet(tmp_path / "it's.parquet").rows() == [(1, None), (2, "x"), (3, "")]


def test_a_query_over_several_tables_is_written_as_parquet(engine: EmbeddedEngine, tmp_path: Path) -> None:
    one, other = table_of(engine, {"n": [1, 2, 3]}), table_of(engine, {"n": [2, 3, 4], "text": ["x", "y", "z"]})
    sql = "\n with both_of_them as (from this join other using (n)) select n, text from both_of_them"
    one.write_parquet(tmp_path / "t.parquet", "n desc", ("text",), sql, other=other)
    assert engine.read_parquet(tmp_path / "t.parquet").rows() == [("y",), ("x",)]


@pytest.mark.large
@pytest.mark.parametrize("order", ["n", "n desc", "text, n"])
def test_a_sorted_table_is_written_in_any_order(engine: EmbeddedEngine, tmp_path: Path, order: str) -> None:
    numbers = "select (i * 7919) % 300007 as n, 'x' || n % 10 as text from this, range(300007) as numbers(i)"
    table = table_of(engine, {"one": [1]}).sorted("n", numbers)
    table.write_csv(tmp_path / "t.csv", ("n", "text"), order, "select * replace (upper(text) as text) from this")
    table.write_parquet(tmp_path / "t.parquet", order)
    table.write_lines(tmp_path / "t.txt", "n", order)
    expected = sorted(((n, f"X{n % 10}") for n in range(300007)), key=lambda row: row[0], reverse=order == "n desc")
    if order == "text, n":
        expected.sort(key=lambda row: row[1])
    assert (tmp_path / "t.csv").read_text() == "n,text\n" + "".join(f"{n},{text}\n" for n, text in expected)
    assert (tmp_path / "t.txt").read_text() == "".join(f"{n}\n" for n, _ in expected)
    assert engine.read_parquet(tmp_path / "t.parquet").rows("select n from this") == [(n,) for n, _ in expected]


def test_the_positions_in_a_sorted_table_are_written_in_its_order(engine: EmbeddedEngine, tmp_path: Path) -> None:
    numbers = "select (i * 7919) % 300007 as n from this, range(300007) as numbers(i)"
    table = table_of(engine, {"one": [1]}).sorted("n desc", numbers).numbered("position", 1)
    table.write_lines(tmp_path / "t.txt", "line", "n desc", "select position || ' ' || n as line from this")
    assert (tmp_path / "t.txt").read_text() == "".join(f"{at + 1} {300006 - at}\n" for at in range(300007))


CODES_SQL = """
    select ordinal, if(one is null, -1, min(ordinal) over (partition by one)) as one,
        if(other is null, -1, min(ordinal) over (partition by other)) as other
    from this order by ordinal
"""


@pytest.mark.parametrize("few_rows", [0, 5000])
@given(texts=st.lists(st.tuples(*[st.none() | st.sampled_from(["", "a", "A", "b"])] * 2)))
@settings(max_examples=examples(50), deadline=None)
def test_equal_texts_have_the_number_of_the_first_of_them(
    engine: EmbeddedEngine, few_rows: int, texts: list[tuple[str | None, str | None]]
) -> None:
    given_texts = [*texts, ("a", None)]
    columns = {"one": [one for one, _ in given_texts], "other": [other for _, other in given_texts]}
    table = table_of(engine, columns).numbered("ordinal").derive("from this")
    codes = table.codes({"one": "one", "other": "other"})
    assert (
        codes.derive("select ordinal, one, other from this order by ordinal").rows() == table.derive(CODES_SQL).rows()
    )


@pytest.mark.parametrize("rows_of_a_part", [1, 3, 1 << 20])
@given(hashes=st.lists(st.none() | st.integers(0, 5), max_size=60))
@settings(max_examples=examples(100), deadline=None)
def test_equal_hashes_have_equal_numbers(rows_of_a_part: int, hashes: list[int | None]) -> None:
    bits = 6
    keys = [(value << bits) + position for position, value in enumerate(hashes) if value is not None]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(first_alike_module, "_ROWS_OF_A_PART", rows_of_a_part)
        numbers = first_alike(np.array(keys[::-1], dtype=np.uint64), bits, len(hashes)).tolist()
    first_of: dict[int, int] = {}
    for position, (number, value) in enumerate(zip(numbers, hashes, strict=True)):
        assert number == (-1 if value is None else first_of.setdefault(value, position))


def test_texts_with_one_hash_have_numbers_of_their_own(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The known collision of this version of the engine."""
    monkeypatch.setattr(embedded_tables, "_FEW_ROWS", 0)
    one, other = "drigarel jorenan", "drigarka jorenka"
    table = table_of(engine, {"ordinal": list(range(5)), "text": [other, one, other, one, None]})
    assert table.derive("select count(distinct hash(text)) from this where text is not null").rows() == [(1,)]
    codes = table.codes({"text": "text"}).derive("select text from this order by ordinal")
    assert [code for (code,) in codes.rows()] == [0, 1, 0, 1, -1]


def test_rows_that_are_not_in_the_order_of_their_ordinals_have_no_codes(engine: EmbeddedEngine) -> None:
    with pytest.raises(AssertionError):
        table_of(engine, {"ordinal": [1, 0], "text": ["a", "a"]}).codes({"text": "text"})


def test_a_derived_table_leaves_its_parents_alone(engine: EmbeddedEngine) -> None:
    one, other = table_of(engine, {"n": [1, 2]}), table_of(engine, {"n": [2, 3]})
    assert one.derive("from this join other using (n)", other=other).rows() == [(2,)]
    assert (one.count(), other.count(), sorted(one.rows())) == (2, 2, [(1,), (2,)])
    assert engine.text_table(("a", "b"), [("x", None), ("", 'y"\n')]).rows() == [("x", None), (None, 'y"\n')]


def test_statements_of_several_threads_do_not_mix_their_tables(engine: EmbeddedEngine) -> None:
    tables = [table_of(engine, {"n": [number]}) for number in range(8)]

    def derive_often(number: int) -> set[Any]:
        other = tables[number - 1]
        found = (tables[number].derive("select this.n, other.n from this, other", other=other) for _ in range(20))
        return {row for table in found for row in table.rows()}

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(derive_often, range(8)))
    assert found == [{(number, (number - 1) % 8)} for number in range(8)]
    assert engine.run("select count(*) from duckdb_views() where not internal") == [(0,)]


def test_a_statement_may_name_tables_of_its_own(engine: EmbeddedEngine) -> None:
    one, other = table_of(engine, {"n": [1, 2]}), table_of(engine, {"n": [2, 3]})
    both = one.derive("\n with both_of_them as (from this union all from other) from both_of_them", other=other)
    assert sorted(both.rows()) == [(1,), (2,), (2,), (3,)]


def test_a_released_table_is_gone_and_those_derived_from_it_stay(engine: EmbeddedEngine) -> None:
    one = table_of(engine, {"n": list(range(1000))})
    derived = one.derive("from this where n = 2")
    before = len(engine.run("from duckdb_tables()"))
    one.release()
    assert derived.rows() == [(2,)]
    assert len(engine.run("from duckdb_tables()")) == before - 1


def test_a_running_statement_can_be_interrupted(tmp_path: Path) -> None:
    with small_engine(tmp_path) as engine:
        timer = threading.Timer(0.3, engine.interrupt)
        timer.start()
        started = time.monotonic()
        with pytest.raises(Interrupted):
            engine.run("select count(*) from range(10000000000) as a, range(1000) as b where a.range + b.range = -1")
        assert time.monotonic() - started < 60
        timer.join()


def test_what_is_interrupted_between_two_statements_runs_no_more(tmp_path: Path) -> None:
    with small_engine(tmp_path) as engine:
        engine.interrupt()
        with pytest.raises(Interrupted):
            engine.run("select 1")


def test_an_engine_has_the_threads_it_was_given_and_no_others(tmp_path: Path) -> None:
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    with small_engine(tmp_path, threads=3):
        assert len(list(tasks.iterdir())) - before == 2  # and the one that asks


@pytest.mark.large
@pytest.mark.slow
def test_a_cell_as_long_as_it_may_be_is_read_wherever_it_lies(engine: EmbeddedEngine, drop: Path) -> None:
    longest = "x y\n" * (csv_rows.MAX_CELL_CHARACTERS // 4 - 64)
    rows = ROWS_BEFORE_A_LONG_CELL
    before = "C1,Ann,,,,\n" * rows
    content = f'{",".join(HEADER)}\n{before}C2,"{longest}",,,,\nC3,Eve,,,,\n'
    table, report = engine.read(delivered_file(CRM, drop / "crm.csv", content))
    found = table.derive("select row_number, length(cell_1) from this order by row_number desc limit 2").rows()
    assert (found, report.rejects) == (
        [(rows + 2, 3), (rows + 1, len(longest))],
        (),
    )


def test_rows_of_several_tables_follow_each_other_without_a_table_of_them(engine: EmbeddedEngine) -> None:
    counts = (3000, 1, 5000)
    tables = [
        table_of(engine, {"number": range(count), "part": [part] * count})
        for part, count in zip("abc", counts, strict=True)
    ]
    first, *others = tables
    rows = first.with_rows_of(*others)
    assert rows.count() == sum(counts)
    expected = [(number, part) for part, count in zip("abc", counts, strict=True) for number in range(count)]
    assert rows.derive("from this").rows() == expected
    assert rows.rows("select this.number from this join more using (number) where this.part = 'a'", more=others[0]) == [
        (0,)
    ]
    rows.release()


@pytest.mark.parametrize("last", ["C3,Cy Roe", "C3", ",", " , ", "\u00a0,"])
@pytest.mark.parametrize("further", ["x", ""])
@pytest.mark.usefixtures("by_the_engine_alone")
def test_in_a_file_of_many_columns_blank_rows_alone_are_left_out(
    engine: EmbeddedEngine, drop: Path, last: str, further: str
) -> None:
    columns = 200
    names = ",".join(["customer_id", "full_name", *(f"n{number}" for number in range(columns))])
    row = ",".join([*last.partition(",")[::2], *[""] * (columns - 1), further])
    lines = [names, "C1,Ann Lee" + ",x" * columns, row, "C4,Di Fox" + ",x" * columns]
    read = read_csv(engine, drop, "\n".join(lines) + "\n")
    assert len(read.rows) == (3 if further or last.startswith("C3") else 2)


@pytest.mark.large
def test_a_file_has_as_many_columns_as_a_spreadsheet(engine: EmbeddedEngine, drop: Path) -> None:
    def content(columns: int) -> str:
        names = ",".join(["customer_id", "full_name", *(f"n{number}" for number in range(columns - 2))])
        return names + "\n" + "C1,Ann Lee" + ",x" * (columns - 2) + "\n"

    assert len(read_csv(engine, drop, content(csv_sniff.MAX_COLUMNS)).rows) == 1
    with pytest.raises(UnreadableFile, match="more than 16384 columns"):
        read_csv(engine, drop, content(csv_sniff.MAX_COLUMNS + 1))


# ----------------------------------------------------------------------------------------------- small batches


@pytest.mark.parametrize("is_warm", [False, True])
def test_an_engine_for_few_rows_writes_the_same_bytes_as_any_other(tmp_path: Path, *, is_warm: bool) -> None:
    written: list[bytes] = []
    for is_small in (False, True):
        prepared = prepare_engine(tmp_path, memory_limit_mb=200, threads=2)
        if is_warm:
            prepared.warm_up()
        with prepared.begin(Meter(), is_small=is_small) as engine:
            assert isinstance(engine, EmbeddedEngine)
            assert engine.run("select current_setting('threads')") == [(1 if is_small else 2,)]
            table = engine.text_table(["given", "missing"], [("a", "b"), ("c", "")])
            table.write_parquet(tmp_path / "out.parquet", "given", ("*",), "select *, length(given) as size from this")
        written.append((tmp_path / "out.parquet").read_bytes())
    assert written[0] == written[1]


def test_a_prepared_engine_may_be_closed_unused(tmp_path: Path) -> None:
    prepared = prepare_engine(tmp_path, memory_limit_mb=200)
    prepared.warm_up()
    prepared.close()
    with pytest.raises(Exception, match="closed"), prepared.begin(Meter()):
        pass


def test_a_statement_is_parsed_once_and_the_last_ones_are_kept(
    engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_tables, "_MOST_PARSED", 2)
    kept: dict[str, object] = {}
    monkeypatch.setattr(embedded_tables, "_last_parsed", kept)
    for number in (1, 2, 1, 3):
        assert engine.run(f"select {number}") == [(number,)]
    assert list(kept) == ["select 1", "select 3"]
    first = kept["select 1"]
    assert engine.run("select 1") == [(1,)]
    assert kept["select 1"] is first


class _OnceTooSmall:
    """A connection with one statement that does not fit: it fails when it runs, or when its rows are fetched."""

    def __init__(self, connection: Any, failing: str) -> None:
        self._connection, self._failing = connection, failing
        self.statements: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: Any, *parameters: Any) -> Any:
        self.statements.append(str(statement))
        self._fail_once("execute")
        self._connection.execute(statement, *parameters)
        return self

    def fetchall(self) -> Any:
        self._fail_once("fetchall")
        return self._connection.fetchall()

    def _fail_once(self, method: str) -> None:
        if self._failing == method:
            self._failing = ""
            raise duckdb.OutOfMemoryException("no block")


@pytest.mark.parametrize("failing", ["execute", "fetchall"])
def test_a_statement_that_does_not_fit_runs_again_with_one_thread(failing: str, tmp_path: Path) -> None:
    with small_engine(tmp_path / "engine", threads=2) as engine:
        assert isinstance(engine, EmbeddedEngine)
        connection = engine._connection
        engine._connection = once = cast(Any, _OnceTooSmall(connection, failing))
        assert engine.run("select 1") == [(1,)]
        engine._connection = connection
        assert once.statements.count("set threads = 1") == 1
        assert engine.threads == 1
        assert engine.run("select current_setting('threads')") == [(1,)]
