"""Laws of the readers for any bytes: the outcomes that a file may have, and what its errors must not quote.

``FAULTS=all`` tries twenty times as many files, and new ones every time.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.embedded import EmbeddedEngine
from service.errors import InputError
from service.model import CRM, ECOM, Batch, Guards, Layout, Source
from service.pipeline.extract import extract
from service.presets import PRESETS
from service.readers import csv_sniff, json_window
from service.readers.json_paths import steps_of
from service.readers.rows import cell_name
from tests.sizes import FUZZ_TIMES, examples
from tests.small_batches import NOON, delivered_file, shared_engine
from tests.worlds import CASES

CANARY = "Qzxvkanari"


def tries(usual: int) -> settings:
    return settings(max_examples=examples(usual) * FUZZ_TIMES)


def sources_like(source: Source) -> list[Source]:
    """The source as it is built in, followed by all presets, and in each preset alone."""
    alone = [replace(source, layouts=(replace(preset, signs=()),)) for preset in PRESETS]
    return [source, replace(source, layouts=(*source.layouts, *PRESETS)), *alone]


SOURCES = {"csv": sources_like(CRM), "json": sources_like(ECOM)}
NAMES = {"csv": "crm_customers.csv", "json": "ecommerce_customers.json"}
SEEDS = {kind: [path.read_bytes() for path in sorted(CASES.rglob(f"*customers.{kind}"))] for kind in NAMES}
OTHER_SEEDS = {
    kind: [path.read_bytes() for path in sorted(CASES.rglob(f"*.{kind}")) if not path.stem.endswith("customers")]
    for kind in NAMES
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with shared_engine(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the files of this module, each written over the last."""
    return tmp_path_factory.mktemp("drop")


# --------------------------------------------------------------------------------------------------- outcomes


@dataclass(frozen=True)
class Outcome:
    """What became of a file: rows and rejects, or one refusal."""

    rows: dict[int, tuple[Any, ...]]
    rejects: dict[int, tuple[str, str]]
    refusal: tuple[str, ...] = ()

    @property
    def messages(self) -> str:
        """All text about the file that a person may read."""
        return "\n".join([*self.refusal, *(explanation for _, explanation in self.rejects.values())])

    def check(self) -> None:
        """Rows and rejects share the numbers from one on: nothing is lost, nothing is there twice."""
        numbers = sorted([*self.rows, *self.rejects])
        assert numbers == list(range(1, len(numbers) + 1))
        assert list(self.rejects) == sorted(self.rejects)
        assert len(self.messages) < 2000 + 200 * len(self.rejects)


@dataclass(frozen=True)
class Reader:
    """Reads files of one kind, by the engine where it dares to, or with care."""

    engine: EmbeddedEngine
    drop: Path
    kind: str

    def outcome(self, content: bytes, source: Source, *, carefully: bool = False, packed: bool = False) -> Outcome:
        """Any exception but InputError goes through, and fails the test."""
        # An engine lives for one batch, and keeps its tables; this one reads thousands of files.
        for (table,) in self.engine.run("select table_name from duckdb_tables() where temporary"):
            self.engine.run(f"drop table {table}")
        name = NAMES[self.kind] + ".gz" * packed
        file = delivered_file(source, self.drop / name, content)
        sniff = csv_sniff.sniff
        with pytest.MonkeyPatch.context() as patched:
            if carefully:
                patched.setattr(csv_sniff, "sniff", lambda path, it: replace(sniff(path, it), is_plain=False))
                patched.setattr(json_window, "array_window", lambda path, rows_at: None)
            try:
                table, report = self.engine.read(file)
            except InputError as error:
                refusal = (error.code, error.message, error.where, error.found, error.hint)
                return Outcome({}, {}, refusal)
        assert [row for (row,) in table.derive("select row_number from this").rows()] == sorted(
            row for (row,) in table.derive("select distinct row_number from this").rows()
        )
        rows = table.derive(f"select row_number, {_cells(report.layout)} from this").rows()
        rejects = {reject.row_number: (reject.code, reject.explanation) for reject in report.rejects}
        assert len(rejects) == len(report.rejects)
        return Outcome({row[0]: row[1:] for row in rows}, rejects)

    def same_with_care(self, content: bytes, source: Source, *, packed: bool = False) -> Outcome:
        """The outcome, which must not depend on who reads the file."""
        quick = self.outcome(content, source, packed=packed)
        careful = self.outcome(content, source, carefully=True, packed=packed)
        assert quick == careful
        quick.check()
        return quick


def _cells(layout: Layout) -> str:
    """All cells: counts as numbers, of others without leading blanks, which later stages remove."""
    counts = layout.paths_of("orders_count")
    cells = ((path in counts, cell_name(index)) for index, path in enumerate(layout.paths))
    return ", ".join(
        f"try_cast({cell} as bigint)" if is_count else f"coalesce(ltrim({cell}, ' '), '')" for is_count, cell in cells
    )


# -------------------------------------------------------------------------------------------------- mutations

MARKS = {
    "csv": [
        *(b'"', b'""', b'"\n"', b"'", b"\\", b",", b",,", b";", b"\t", b"|", b" ", b'" ', b' "', b',"', b'",'),
        *(b"\n", b"\r", b"\r\n", b"\n\n", b"\n,,\n", b"\n \t\n", b"\v", b"\f", b"\x1c", b"\x85", b"\xe2\x80\xa8"),
        *(b"sep=;\n", b"#", b"=1", b"\xe2\x80\x8b", b"\xc2\xa0", b"1\n2,", b"customer_id,email\n", b"9" * 400),
    ],
    "json": [
        *(
            b",",
            b",}",
            b",]",
            b", ]",
            b",\n}",
            b"]",
            b"}",
            b"[",
            b"{",
            b"}{",
            b"},{",
            b":",
            b'"',
            b"'",
            b"\\",
            b" ",
            b"\n",
        ),
        *(
            b"\v",
            b"\f",
            b"\x1c",
            b"\x1f",
            b"\xc2\x85",
            b"\xc2\xa0",
            b"\xe2\x80\xa8",
            b"//",
            b"/*x*/",
            b"#",
            b"\x7f",
            b"\t",
        ),
        *(
            b"\\ud800",
            b"\\udc00",
            b"\\u0000",
            b"\\x41",
            b"\\u12",
            b"NaN",
            b"-Infinity",
            b"nan",
            b"inf",
            b"nUll",
            b"True",
        ),
        *(
            b"-",
            b"+1",
            b"01",
            b".5",
            b"1.",
            b"1e5",
            b"1E999",
            b"9" * 400,
            b"null",
            b"null,",
            b"[[]],",
            b"{},",
            b'"x":1,',
        ),
        *(b',"customers":[', b'"id":', b'"id":2,', b'"name":"Q",', b"items", b"/n", b"-0,", b'"customers":null,'),
    ],
}
BYTES = [
    *(b"\0", b"\x01", b"\xff", b"\x81", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbf\xbd"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x85"),
]
STRUCTURE = {"csv": re.compile(rb'[,;\t|"\r\n]'), "json": re.compile(rb'[\[\]{}:,"]')}


@dataclass(frozen=True)
class Cut:
    """One change: the bytes between two offsets (in thousandths of the file) are replaced."""

    start: int
    length: int
    put: bytes
    beside: int | None = None
    """Moved before (0) or after (1) the next structural character."""

    def of(self, content: bytes, kind: str, kept_bytes: int = 0) -> bytes:
        """The changed file; its first ``kept_bytes`` stay."""
        start = kept_bytes + max(0, len(content) - kept_bytes) * self.start // 1000 + self.start % 7
        if self.beside is not None and (found := STRUCTURE[kind].search(content, start)):
            start = found.start() + self.beside
        cut = content[start : start + self.length]
        put = {b"<twice>": cut * 2, b"<the rest>": b""}.get(self.put, self.put)
        return content[:start] + put + (b"" if self.put == b"<the rest>" else content[start + self.length :])


def cuts_of(kind: str) -> st.SearchStrategy[Cut]:
    marks = st.sampled_from(MARKS[kind])
    rare = [st.sampled_from(BYTES), st.sampled_from([b"<the rest>"]), st.binary(min_size=1, max_size=4)]
    return st.builds(
        Cut,
        start=st.integers(0, 1000),
        length=st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 40]),
        put=st.one_of(*[marks] * 10, st.sampled_from([b"", b"", b"<twice>"]), *rare),
        beside=st.sampled_from([0, 1, 1, None]),
    )


@st.composite
def mutants(draw: st.DrawFn, kind: str) -> bytes:
    """A real export, in one of several encodings, with a few changes, mostly after its head."""
    content = draw(st.sampled_from(SEEDS[kind] * 4 + OTHER_SEEDS[kind]))
    encoding = draw(st.sampled_from(["utf-8"] * 9 + ["utf-8-sig", "utf-16", "cp1252"]))
    if kind == "csv":
        content = content.replace(b",", draw(st.sampled_from([b",", b",", b";", b"\t", b"|"])))
        content = content.replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])))
    elif draw(st.booleans()):
        content = re.sub(rb'^\s*\{\s*"customers":|\}\s*$', b"", content)
    head = re.match(rb"[^\r\n]*[\r\n]+" if kind == "csv" else rb"[^\[]*\[", content)
    kept_bytes = head.end() if head and draw(st.integers(0, 4)) else 0
    for cut in draw(
        st.one_of(*[st.lists(cuts_of(kind), min_size=1, max_size=1)] * 2, st.lists(cuts_of(kind), max_size=4))
    ):
        content = cut.of(content, kind, kept_bytes)
    if encoding != "utf-8":
        content = content.decode("utf-8", errors="replace").encode(encoding, errors="replace")
    if draw(st.integers(0, 30)) == 0:
        content = content[: len(content) // 2] + draw(st.sampled_from(SEEDS[kind]))
    return content


def source_of(kind: str) -> st.SearchStrategy[Source]:
    own, all_presets, *alone = SOURCES[kind]
    return st.one_of(*[st.just(own), st.just(all_presets)] * 4, st.sampled_from(alone))


@pytest.mark.large
@pytest.mark.parametrize("kind", NAMES)
@given(drawn=st.data())
@tries(200)
def test_a_mutated_export_becomes_the_same_rows_and_rejects_or_the_same_refusal_by_either_reader(
    engine: EmbeddedEngine, drop: Path, kind: str, drawn: st.DataObject
) -> None:
    content, source = drawn.draw(mutants(kind)), drawn.draw(source_of(kind))
    Reader(engine, drop, kind).same_with_care(content, source)


@pytest.mark.parametrize("kind", NAMES)
@given(drawn=st.data())
@tries(80)
def test_any_bytes_become_rows_and_rejects_or_a_refusal(
    engine: EmbeddedEngine, drop: Path, kind: str, drawn: st.DataObject
) -> None:
    heads = {"csv": [b"", b"customer_id,email\n", b"id,name,email\n"], "json": [b"", b'{"customers":[', b'[{"id":1}']}
    marks = st.lists(st.sampled_from([*MARKS[kind], *MARKS[kind], *BYTES]), max_size=20).map(b"".join)
    head = drawn.draw(st.sampled_from(heads[kind]))
    content = drawn.draw(st.one_of(st.binary(max_size=200), marks, marks))
    Reader(engine, drop, kind).same_with_care(head + content, drawn.draw(source_of(kind)))


@pytest.mark.parametrize("kind", NAMES)
@given(drawn=st.data())
@tries(50)
def test_a_packed_export_is_what_was_packed_or_refused(
    engine: EmbeddedEngine, drop: Path, kind: str, drawn: st.DataObject
) -> None:
    content, source = drawn.draw(mutants(kind)), drawn.draw(source_of(kind))
    packed = whole = gzip.compress(content, mtime=0)
    for cut in drawn.draw(st.one_of(st.just([]), st.lists(cuts_of(kind), max_size=2))):
        packed = cut.of(packed, kind)
    reader = Reader(engine, drop, kind)
    outcome = reader.same_with_care(packed, source, packed=True)
    if packed == whole:
        # A hint may suggest a better name, which then ends in .gz too.
        refusal = tuple(part.replace(".gz,", ",") for part in outcome.refusal)
        assert replace(outcome, refusal=refusal) == reader.outcome(content, source)
    assert not list(Path(engine.run("select current_setting('temp_directory')")[0][0]).glob("unpacked*"))


# ----------------------------------------------------------------------------------- rows in, rows and rejects out

CSV_ROWS: dict[str, str | None] = {
    "good": None,
    "blank": None,
    "blanks": None,
    "short": None,
    "goes on": None,
    "more": "too_many_cells",
    "stray": "stray_quote",
    "bytes": "undecodable",
}
JSON_ELEMENTS: dict[str, tuple[str, str | None]] = {
    "empty": ("{}", None),
    "null": ("null", "not_an_object"),
    "number": ("-1.5e3", "not_an_object"),
    "text": ('"a\\"]}"', "not_an_object"),
    "array": ('[{"id":1}]', "not_an_object"),
}


def _csv_row(kind: str, number: int, layout: Layout, width: int) -> bytes:
    """A row of this kind, with values of the canary's name."""
    cells = {path: f"{CANARY} {number}" for path in layout.paths}
    if kind == "goes on":
        for path in {*layout.paths_of("full_name"), *layout.paths_of("email")}:
            cells[path] = ""
    written = [*cells.values(), *[""] * (width - len(cells))]
    if kind == "short":
        # Name and address stay: else the row would go on with the one above it.
        return f'"{CANARY}\n{number}"'.encode() if not layout.is_continued else ",".join(written[:-1]).encode()
    if kind in ("blank", "blanks"):
        return b"" if kind == "blank" else b" ," * (width - 1) + b"\t"
    if kind == "stray":
        written[0] = f'"{CANARY}"x'
    if kind == "more":
        written.append(CANARY)
    row = ",".join(written).encode()
    return row + b"\x81" if kind == "bytes" else row


def _rejects_expected(kinds: Sequence[str], codes: dict[str, str | None]) -> dict[int, str]:
    numbered = enumerate((kind for kind in kinds if kind not in ("blank", "blanks")), start=1)
    return {number: code for number, kind in numbered if (code := codes[kind])}


def _counts(engine: EmbeddedEngine, path: Path, source: Source) -> tuple[int, int] | None:
    """How many rows and rejects the first stage makes of a written file; None where it refuses it."""
    file = delivered_file(source, path, path.read_bytes())
    try:
        found = extract(Batch("b", NOON, (file,)), Guards(), engine)
    except InputError as error:
        assert CANARY.lower() not in error.explained().lower()
        return None
    messages = "\n".join([*found.warnings[source.name], *(row[-1] for row in found.rejects.rows())])
    assert CANARY.lower() not in messages.lower()
    return found.source_rows[source.name], found.source_rejects[source.name]


def _has_contact(outcome: Outcome, layout: Layout) -> bool:
    """Whether a row has a name, an e-mail address or a phone."""
    paths = {path for name in ("full_name", "email", "phone") for path in layout.paths_of(name)}
    indexes = [index for index, path in enumerate(layout.paths) if path in paths]
    return any(str(row[index]).strip() for row in outcome.rows.values() for index in indexes)


@pytest.mark.large
@given(layout=st.sampled_from((*CRM.layouts, *PRESETS)), kinds=st.lists(st.sampled_from(list(CSV_ROWS)), max_size=12))
@tries(100)
def test_rows_in_are_rows_and_rejects_out_and_those_that_are_blank_or_go_on(
    engine: EmbeddedEngine, drop: Path, layout: Layout, kinds: list[str]
) -> None:
    source = replace(CRM, layouts=(replace(layout, signs=()),))
    header = [*layout.paths, "more"]
    rows = [_csv_row(kind, number, layout, len(header)) for number, kind in enumerate(kinds)]
    content = b"\r\n".join([",".join(header).encode(), *rows, b""])
    outcome = Reader(engine, drop, "csv").same_with_care(content, source)
    expected = _rejects_expected(kinds, CSV_ROWS)
    blank = sum(kind in ("blank", "blanks") for kind in kinds)
    assert {number: code for number, (code, _) in outcome.rejects.items()} == expected
    assert len(kinds) == len(outcome.rows) + len(outcome.rejects) + blank
    assert CANARY.lower() not in outcome.messages.lower()
    counts = _counts(engine, drop / NAMES["csv"], source)
    going_on = kinds.count("goes on") if layout.is_continued else 0
    if counts is None:  # nothing usable, or no row with a value that identifies a customer
        is_empty = not outcome.rows or going_on == len(outcome.rows)
        assert is_empty or not _has_contact(outcome, layout)
    else:
        assert counts == (len(outcome.rows) - going_on, len(expected))


def _member(element: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path of an element; create the members and elements on the way."""
    steps: list[Any] = list(steps_of(path))
    inner: Any = element
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int):
            inner.extend({} for _ in range(step + 1 - len(inner)))
        new: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(step, int):
            inner[step] = inner[step] or new
        else:
            inner.setdefault(step, new)
        inner = inner[step]


def _json_element(kind: str, number: int, layout: Layout) -> str:
    if kind in JSON_ELEMENTS:
        return JSON_ELEMENTS[kind][0]
    element: dict[str, Any] = {"notes": [{"id": [None]}, "a, ]"]}
    for path in layout.paths:
        # A path with longer paths inside it is left out.
        if not any(other.startswith((f"{path}.", f"{path}[")) for other in layout.paths):
            _member(element, path, f"{CANARY} {number}" + "\ud800" * (kind == "half"))
    return json.dumps(element)


@pytest.mark.large
@given(
    layout=st.sampled_from((*ECOM.layouts, *PRESETS)),
    kinds=st.lists(st.sampled_from(["good", "half", *JSON_ELEMENTS]), max_size=8),
    shape=st.sampled_from(["array", "object", "members after"]),
)
@tries(100)
def test_elements_in_are_rows_and_rejects_out(
    engine: EmbeddedEngine, drop: Path, layout: Layout, kinds: list[str], shape: str
) -> None:
    source = replace(ECOM, layouts=(replace(layout, signs=()),))
    array = f"[{', '.join(_json_element(kind, number, layout) for number, kind in enumerate(kinds))}]"
    after = ', "total": [1]' if shape == "members after" else ""
    text = array if shape == "array" else f'{{"{layout.rows_at}": {array}{after}}}'
    outcome = Reader(engine, drop, "json").same_with_care(text.encode(), source)
    codes = {"good": None, "half": "undecodable"} | {kind: code for kind, (_, code) in JSON_ELEMENTS.items()}
    assert {number: code for number, (code, _) in outcome.rejects.items()} == _rejects_expected(kinds, codes)
    assert len(kinds) == len(outcome.rows) + len(outcome.rejects)
    assert sum(any(CANARY in str(cell) for cell in cells) for cells in outcome.rows.values()) == kinds.count("good")
    assert CANARY.lower() not in outcome.messages.lower()
    _counts(engine, drop / NAMES["json"], source)


# ------------------------------------------------------------------------------------------------------ near JSON

LAX = [
    *(
        ",",
        "\v",
        "\f",
        "\x00",
        "\x1f",
        "\u00a0",
        "\u2028",
        "//x\n",
        "/**/",
        "#",
        ";",
        ":",
        '"',
        "'",
        "]",
        "}",
        "[",
        "{",
    ),
    *("1", "x", "null", "\\", "-", "+", ".", "\ufeff"),
]
SCALARS = [
    *("1", "-0", "0.0", "1.50", "1e5", "-2E+3", "9" * 30, "true", "false", "null", '""', '"a"', '"\\u00e9"', '"\\n,]"'),
    *("01", "-01", "+1", ".5", "1.", "1e", "1e+", "--1", "0x1", "1_0", "-", "NaN", "nan", "-nan", "Infinity", "-inf"),
    *(
        "True",
        "NULL",
        "None",
        "undefined",
        "a",
        "'a'",
        '"\t"',
        '"\n"',
        '"\x01"',
        '"\x7f"',
        '"\\x41"',
        '"\\\'"',
        '"\\u12"',
    ),
    *('"\\u00zz"', '"\\v"', '"a', 'a"', "[,]", "{,}", "{1:2}", "{a:2}", '{"a"}', '{"a":}', "{:1}", '{"a":1:2}', "(1)"),
]


@st.composite
def nearly_json(draw: st.DrawFn) -> str:
    """An array of objects with at most a few things in it that are no JSON."""
    blanks = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n"])
    scalars = st.one_of(st.sampled_from(SCALARS[:14]), st.sampled_from(SCALARS[:14]), st.sampled_from(SCALARS))
    parts: list[str] = ["["]
    for element in range(draw(st.integers(1, 3))):
        parts += [","] * bool(element) + ["{", '"id"', ":", f'"{element}"']
        for name in draw(st.lists(st.sampled_from(["name", "x", "contact", "registered"]), max_size=2)):
            parts += [",", f'"{name}"', ":"]
            value = draw(st.one_of(scalars, st.lists(scalars, max_size=2).map(lambda it: f"[{','.join(it)}]")))
            parts.append(value)
        parts.append("}")
    parts.append("]")
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        at = draw(st.integers(1, len(parts) - 1))
        parts[at : at + draw(st.integers(0, 1))] = [draw(st.sampled_from(LAX))]
    return "".join(part + draw(blanks) for part in parts)


def _is_strict(text: str) -> bool:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(text, parse_constant=refuse), list)
    except ValueError:
        return False


@given(text=nearly_json(), is_object=st.booleans())
@tries(200)
def test_either_reader_accepts_strict_json_and_refuses_other_json(
    engine: EmbeddedEngine, drop: Path, text: str, is_object: bool
) -> None:
    content = f'{{"customers": {text}}}' if is_object else text
    outcome = Reader(engine, drop, "json").same_with_care(content.encode(), ECOM)
    assert (not outcome.refusal) == _is_strict(text)


# ------------------------------------------------------------------------------------- what errors must not quote


def _with_canaries(content: bytes, kind: str) -> tuple[bytes, bytes]:
    """The head that holds no customer, and the rest with the canary for every word in it."""
    text = content.decode("utf-8", errors="replace")
    if kind == "csv":
        head, _, rest = text.partition("\n")
        return f"{head}\n".encode(), re.sub(r"[^\W\d_]{3,}", CANARY, rest).encode()
    return b"", re.sub(r'(:\s*")[^"\\]*"', rf'\1{CANARY}"', text).encode()


@pytest.mark.parametrize("kind", NAMES)
@given(drawn=st.data())
@tries(100)
def test_messages_about_a_broken_export_never_quote_a_customer(
    engine: EmbeddedEngine, drop: Path, kind: str, drawn: st.DataObject
) -> None:
    head, rest = _with_canaries(drawn.draw(st.sampled_from(SEEDS[kind])), kind)
    for cut in drawn.draw(st.lists(cuts_of(kind), min_size=1, max_size=4)):
        rest = cut.of(rest, kind)
    # A file without its header shows a customer in its first line.
    content = drawn.draw(st.sampled_from([head, head, head, b""])) + rest
    source = drawn.draw(source_of(kind))
    reader = Reader(engine, drop, kind)
    assert CANARY.lower() not in reader.outcome(content, source).messages.lower()
    _counts(engine, drop / NAMES[kind], source)
