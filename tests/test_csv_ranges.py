"""A CSV file that is read in ranges has the rows that it has as a whole, or one of its ranges is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.embedded import EmbeddedEngine
from service.engine.plain_files import FilePart, NotPlain, csv_queries, csv_whole, loaded
from service.errors import InputError
from service.model import CRM
from service.readers import csv_ranges, csv_sniff
from service.readers.csv_bytes import CsvBytes
from service.readers.csv_ranges import Range
from tests.sizes import examples
from tests.small_batches import HEADER, delivered_file, small_engine

HEAD = ",".join(HEADER) + "\n"
CELLS = st.one_of(
    st.sampled_from(["", "Ann", "é", "漢字", "ann@x.example"]),
    st.sampled_from(['"Ann, B"', '"one\ntwo"', '"one\r\ntwo"', '"say ""hi"""', '"\n"', '""', '",\n,"', '"""\n"""']),
)
STRAYS = ('5"', 'a"b', '"a"b', '"')
ROWS = st.one_of(
    st.lists(CELLS, min_size=5, max_size=5),
    st.lists(st.one_of(CELLS, CELLS, CELLS, CELLS, st.sampled_from(STRAYS)), min_size=5, max_size=5),
)
LINES = st.one_of(ROWS, ROWS, ROWS, ROWS, st.just([""] * 5), st.none())
"""None: a blank line."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with small_engine(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drop")


def ranges_of(path: Path, header: bytes, size: int) -> list[Range]:
    end = path.stat().st_size
    steps = csv_ranges.of_size(len(header), end, size)
    marks = [csv_ranges.marks_in(path, step) for step in steps]
    can_be_cut = not header or csv_ranges.have_one_line_break(header, marks)
    return csv_ranges.ending_with_rows(path, steps, marks) if can_be_cut else [(len(header), end)]


def whole_and_in_ranges(engine: EmbeddedEngine, path: Path, size: int) -> tuple[Any, Any, list[Range]]:
    """The rows of a file as a whole, and those of its ranges together; None where they are refused."""
    dialect = csv_sniff.sniff(path, CRM)
    (query,) = csv_queries(dialect)
    header = csv_ranges.first_line(path)
    ranges = ranges_of(path, header, size)

    def rows(*parts: FilePart) -> Any:
        try:
            return [row for part in parts for row in loaded(engine, [part], query, engine.materialise).rows()]
        except (NotPlain, InputError):
            return None

    parts = [FilePart(path, *within, before=header, encoding=dialect.encoding) for within in ranges]
    return rows(csv_whole(path, dialect)), rows(*parts), ranges


@settings(max_examples=examples(150))
@given(
    lines=st.lists(LINES, max_size=8),
    line_breaks=st.one_of(
        *(st.just([it]) for it in ("\n", "\r\n", "\r")),
        st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\r"]), min_size=1, max_size=9),
    ),
    size=st.sampled_from([3, 20, 60]),
    is_whole=st.booleans(),
)
def test_ranges_have_the_rows_of_the_file_or_one_is_refused(
    engine: EmbeddedEngine, drop: Path, lines: list[list[str] | None], line_breaks: list[str], size: int, is_whole: bool
) -> None:
    rows = ("" if line is None else ",".join([str(number), *line]) for number, line in enumerate(lines))
    broken = "".join(line + line_break for line, line_break in zip([HEAD.rstrip("\n"), *rows], cycle(line_breaks)))
    text = broken if is_whole else broken.rstrip("\r\n")
    path = delivered_file(CRM, drop / "crm_customers.csv", text).path
    whole, in_ranges, ranges = whole_and_in_ranges(engine, path, size)
    content = path.read_bytes()
    assert b"".join(content[start:end] for start, end in ranges) == content[len(csv_ranges.first_line(path)) :]
    assert in_ranges in (whole, None)
    if not any(cell in STRAYS for line in lines for cell in line or ()):
        assert in_ranges == whole, "nothing misleads a cut"


@settings(max_examples=examples(100))
@given(
    rows=st.lists(st.lists(st.text('a,"\n\r é', max_size=6), min_size=2, max_size=3), max_size=12),
    size=st.integers(1, 40),
)
def test_a_well_formed_file_is_cut_between_its_rows(drop: Path, rows: list[list[str]], size: int) -> None:
    lines = [written(row) for row in rows]
    path = drop / "rows.csv"
    path.write_bytes(b"".join(lines))
    ranges = ranges_of(path, b"", size)
    parts = [path.read_bytes()[start:end].decode() for start, end in ranges]
    assert [row for part in parts for row in csv.reader(io.StringIO(part, newline=""))] == rows
    longest = max(map(len, lines), default=0)
    assert all(end - start <= size + longest for start, end in ranges)


def written(row: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(row)
    return text.getvalue().encode()


def test_a_cut_inside_quotes_is_refused(engine: EmbeddedEngine, drop: Path) -> None:
    """A quote that stands alone in a cell makes the next quoted line break look like the end of a row."""
    rows = [f'{number},Ann,,,"one\ntwo",\n' for number in range(20)]
    text = HEAD + '0,5" Ann,,,,\n' + "".join(rows)
    path = delivered_file(CRM, drop / "crm_customers.csv", text).path
    whole, in_ranges, ranges = whole_and_in_ranges(engine, path, 60)
    assert len(whole) == 21
    assert len(ranges) > 1
    assert in_ranges is None


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a,b\nc", b"a,b\n"),
        (b"a,b\r\nc", b"a,b\r\n"),
        (b"a,b\rc\n", b"a,b\r"),
        (b"\xef\xbb\xbfa\n", b"\xef\xbb\xbfa\n"),
        (b"a,b", b"a,b"),
        (b"", b""),
    ],
)
def test_the_first_line_is_taken_with_its_line_break(tmp_path: Path, content: bytes, line: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert csv_ranges.first_line(path) == line


@pytest.mark.parametrize(
    ("header", "rest", "is_one"),
    [
        (b"a\n", b"1\n2\n", True),
        (b"a\n", b"1\r\n2\n", False),
        (b"a\r\n", b"1\r\n2\r\n", True),
        (b"a\r\n", b"1\r\n2\n", False),
        (b"a\r\n", b"1\r\r\n", False),
        (b"a\r", b"1\r2\r", True),
        (b"a\r", b"1\r\n", False),
        (b"a", b"", True),
    ],
)
def test_several_kinds_of_line_breaks_are_seen(tmp_path: Path, header: bytes, rest: bytes, is_one: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(header + rest)
    for size in (1, 2, 100):
        steps = csv_ranges.of_size(len(header), len(header + rest), size)
        marks = [csv_ranges.marks_in(path, step) for step in steps]
        assert csv_ranges.have_one_line_break(header, marks) is is_one


@pytest.mark.large
@pytest.mark.parametrize("at", (0, 1, 1 << 19, 3 << 20))
def test_a_long_line_is_judged_alike_wherever_its_range_begins(at: int) -> None:
    """The length of a line is looked at where a mebibyte of the file ends."""
    line = b"x" * (17 << 20) + b"\n"
    with pytest.raises(InputError):
        CsvBytes("utf-8", at).feed(line)
    judged = []
    for check, content in ((CsvBytes("utf-8"), b"\n" * at), (CsvBytes("utf-8", at), b"")):
        try:
            check.feed(content + line[: (16 << 20) + (1 << 19)] + b"\n")
            judged.append(True)
        except InputError:
            judged.append(False)
    assert judged[0] == judged[1]
