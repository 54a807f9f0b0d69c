"""The rules in SQL equal the rules in Python: ``normalise`` and ``extract`` against the definitions in ``fields``.

How many generated values are tried is in ``tests/sizes.py``. A million, and how many of them took a fast path:

    FAULTS=all .venv/bin/python -m pytest -n0 --junitxml=fast_paths.xml tests/test_normalise.py
    grep -o 'name="SQL alone[^/]*' fast_paths.xml
"""

from __future__ import annotations

import calendar
import csv
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.contract import sql_text
from service.engine.embedded import EmbeddedEngine
from service.model import CRM, ECOM, Batch, DateOrder, Guards, Rules
from service.pipeline import normalise as stage
from service.pipeline.analytics.records import is_name_sql
from service.pipeline.extract import INTEGRATION, Extracted, extract
from service.pipeline.fields import FEW_ROWS
from service.pipeline.fields import name as name_rules
from service.pipeline.fields.cell import (
    bare_cell,
    part_of_name,
    part_of_name_sql,
    register_cell,
    value_of_cell,
    value_of_cell_sql,
)
from service.pipeline.fields.date import DATE_EVIDENCE_SQL, DateColumn, column_of, date_evidence, date_sql, norm_date
from service.pipeline.fields.email import email_key, norm_email
from service.pipeline.fields.missing import MISSING_WORDS, is_missing, is_missing_name
from service.pipeline.fields.name import NAME_SQL, name_key, norm_name
from service.pipeline.fields.phone import (
    compared_phone,
    is_plain_nanp,
    key_of_printed_phone,
    key_of_printed_phone_in,
    phone_as_printed,
    phone_key_sql,
)
from service.pipeline.fields.source_id import norm_id
from service.pipeline.fields.status import read_status
from service.pipeline.formulas import escaped_sql
from service.readers.rows import FileReport
from tests.corpus import DATES, EMAILS, NAMES, NOT_DATES, NOT_EMAILS, NOT_PHONES, PHONES, REAL_NAMES
from tests.sizes import GENERATED_VALUES as GENERATED
from tests.sizes import examples
from tests.small_batches import (
    NOON,
    RAW_FIELDS,
    AnyEngine,
    cells_table,
    delivered_file,
    raw_table,
    small_engine,
    table_of,
)
from tests.worlds import CASES

CORPUS = GENERATED // 5
MANY = FEW_ROWS + 1
"""So many rows are read by the SQL, however many there are in fact."""
SQL_ALONE_PERCENT = {"email": 30, "phone": 20, "full_name": 22, "signup_date": 25, "source_id": 40, "status": 25}
"""Of a corpus that is mostly odd, SQL must decide at least this share alone: less means that a fast path is lost."""

TO_PYTHON = "\x00went to Python"

Cell = str | None


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[EmbeddedEngine]:
    """For a test that registers other functions."""
    with small_engine(tmp_path / "engine") as made:
        yield made


# ------------------------------------------------------------------------------------------------ the corpus

FIRST = [
    "John",
    "MARY",
    "jane",
    "o'Neil",
    "Jean-Luc",
    "Chloé",
    "zoë",
    "SØREN",
    "Mc",
    "mcdonald",
    "McDonald",
    "LaToya",
    "d'arcy",
    "Ünal",
    "ß",
    "ÿves",
    "Anne-marie",
    "X",
    "Łukasz",
    "NGUYỄN",
    "ИВАН",
    "Γιώργος",
    "ΝΊΚΟΣ",
    "J.R.R.",
    "'n'",
    "O&#39;Neil",
    "Null",
    "MRS.",
    "j.",
    "DİLEK",
    "ışık",
    "IJsbrand",
    "O’Neil",
    "St.",
    "Zoe\u0308",
    "ƏLİYEV",
    "Ǆungla",
    "ԱՐԱՄ",
]
LAST = [
    "Smith",
    "DOE",
    "van",
    "Der",
    "de",
    "brown",
    "O'BRIEN",
    "McINTYRE",
    "MCKAY",
    "von",
    "Straße",
    "García",
    "müller",
    "ŁUKASZ",
    "Nguyễn",
    "Þór",
    "naïve",
    "Jr.",
    "III",
    "PHD",
    "M.D.",
    "Inc.",
    "LLC",
    "RN",
    "Ed",
    "MA",
    "McDonald's",
    "x'y",
    "3rd",
    "der",
    "DeVito",
    "MacLEOD",
    "đorđević",
    "Петров",
    "ῼ",
    "Gal·la",
]
EDITS = {
    "email": "aZ09.@-_+%' <>:;,\"?/()[]{}|*&=•。é\u00a0\u200b\uff20İſß\n",
    "phone": "0123456789+-. ()/,x'=\"#eE\u00a0\uff11\u0661\u2013",
    "full_name": "aMcCdDvV'’- ,.1&;\"ＡｱéÉßÿŸıİſŉΣσςшШƏǅẞ×÷µ\u0301\u0307\u00a0\u200b\t",
    "signup_date": "0123456789-/.: TZtz,+janpmPM\u00a0\uff11",
    "source_id": "aZ09_.-'=\" \x00\x1f\u00a0é",
    "status": "aZ -_'éİſ\u00a0\t",
}


def an_email(r: random.Random) -> str:
    local = r.choice(("john.smith", "MARY_J", "a+b", "x%y", "o'neil", "j", "1-2"))
    domain = r.choice(("email.com", "Shop.EXAMPLE.org", "x-y.co.uk", "localhost", "b..c", "1.2.3.4", "bücher.de"))
    shape = r.choice(
        (
            *("{}@{}",) * 6,
            "mailto:{}@{}",
            "MailTo: {}@{} ",
            "Jane Doe <{}@{}>",
            " {}@{}",
            '"Doe, J." < mailto:{}@{} >',
            "a@b.c <{}@{}>",
            "mailto:{}@{}?subject=x",
            "mailto:<{}@{}>",
            "<{}@{}",
            "J (x) {}@{}>",
            "{}@{};",
            "{}@{}, ",
            "'{}@{}'",
            '="{}@{}"',
            "{}@{} ::: b@x.org",
            "a@x.org;{}@{}",
            "Doe, J. <{}@{}>",
            "SMTP:{}@{}",
            "({}@{})",
            "{}&amp;@{}",
            "{}*@{}",
            "{}@{} (home)",
        )
    )
    return shape.format(local, domain)


def a_phone(r: random.Random) -> str:
    area, office, line = (
        r.choice(("212", "555", "416", "020", "911", "119")),
        f"{r.randrange(100, 999)}",
        r.randrange(10000),
    )
    shape = r.choice(
        (
            "{}-{}-{:04}",
            "({}) {}-{:04}",
            "{}.{}.{:04}",
            "{}{}{:04}",
            "+1-{}-{}-{:04}",
            "1{}{}{:04}",
            "+1 {} {} {:04}",
            "({}){} {:04}",
            "+44 {} {} {:04}",
            "00{}{}{:04}",
            "{}-{}-{:04} x12",
            "{0}-{1}-{2:04} / {0}-{2:04}-{1}",
            "({0}) {1}-{2:04}/1 {0} {1} {2:04}",
            "'({}) {}-{:04}",
            "{}{}{:04}.0",
            "+1 ({}) {} {:04}",
            "{}-{}-{:04}-12",
            "({}) {}-{:04} 2",
            "{}{}{:04}.00",
            "19{1}{2:04}"[:12],
            "44 20 {1}4 {2:04}",
            "4479{0}{1}{2:04}",
            "2023{1}{2:04}0",
            "({0}) {1}-{2:04} ::: {0} {1} {2:04}",
            "9{}{}{:04}77",
        )
    )
    if r.random() < 0.4:
        return a_number_of_the_world(r)
    written: str = shape.format(area, office, line)
    return written[4:] if r.random() < 0.1 else written


CALLING_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def a_number_of_the_world(r: random.Random) -> str:
    """Any calling code, often a trunk prefix, any number of digits, in the formats of many countries."""
    code, prefix = r.choice((*CALLING_CODES, 1, 44, 49, 33)), r.choice(("",) * 6 + ("0", "(0)", "8", "1", "06"))
    digits = "".join(r.choices("0123456789", k=r.choice((5, 6, 7, 8, 9, 9, 9, 10, 10, 11, 12, 13))))
    cut = r.randrange(1, len(digits))
    shape: str = r.choice(
        (
            "+{0}{1}{2}{3}",
            "+{0} {1}{2} {3}",
            "+{0}-{1}{2}.{3}",
            "+{0} ({1}{2}) {3}",
            "+{0} {0} {2} {3}",
            "011 {0} {2} {3}",
            "011{0}{1}{2}{3}",
            "00{0}{1}{2}{3}",
            "00 {0} {2} {3}",
            "{0}{2}{3}",
            "+{0}{2}{3}.0",
            "({2}) {3}-{0} x5",
            "{2}{3} ext. {0}",
            "'+{0}{2}{3}",
            '="00{0}{2}{3}"',
            "00{0}{2}{3}.0",
            "{0} {2} {3}",
            "00{0}{2}{3}",
        )
    )
    return shape.format(code, prefix, digits[:cut], digits[cut:])


def a_name(r: random.Random) -> str:
    words = [r.choice(FIRST)] + [r.choice(LAST) for _ in range(r.choice((1, 1, 1, 2, 3)))]
    name = r.choice((" ", " ", " ", "-", "  ", ", ")).join(words)
    if r.random() < 0.2:
        behind = [r.choice((*FIRST, *LAST)) for _ in range(r.choice((1, 1, 2, 3, 4, 5, 6)))]
        name = name + r.choice((",", ", ", ",  ", " , ", " ,", ",,")) + r.choice((" ", "  ")).join(behind)
    if r.random() < 0.1:
        name = r.choice((" ", "   ", "")) + name.replace(" ", "   ") + r.choice((" ", "  ", ""))
    return r.choice((str, str, str.upper, str.lower, str.title))(name)


MONTH_NAMES = (*calendar.month_name[1:], *calendar.month_abbr[1:], "Sept", "Mai", "\u017fep", "Augu\u017ft")


def a_date(r: random.Random) -> str:
    year, month, day = r.choice((1999, 2023, 2024, 987, 9999, 0)), r.randrange(1, 14), r.randrange(1, 33)
    shape = r.choice(
        (
            "{0:04}-{1:02}-{2:02}",
            "{0:04}-{1:02}-{2:02}T23:59:59Z",
            "{0:04}{1:02}{2:02}",
            "{1:02}/{2:02}/{0:04}",
            "{2:02}/{1:02}/{0:04}",
            "{2}.{1}.{0:04}",
            "{0:04}/{1:02}/{2:02}",
            "{0:04}-{1:02}-{2:02}T24:61:00Z",
            "{2} May {0}",
            "{2:02}-FEB-{0:04}",
            "Sep {2}, {0:04}",
            "{0}{1:02}{2:02}00",
            "{1}/{2}/{0:04} 2:30 PM",
            "{2}/{1}/{3:02} 12:49",
            "{1}.{2}.{3:02}",
            "{1:02}-{2:02}-{3:02}",
            "{3:02}-{1:02}-{2:02}",
            "{1}/{2}/{3:02}, 23:59:60",
            "{0:04}-{1:02}-{2:02} 00:{2:02}:00.5",
            "{0:04}-{1:02}-{2:02}T{1:02}:{2:02}:00+0200",
            "{2:02}-Mar-{3:02}",
            "{2:02}-{1:02}-{3:02} 10:00",
            "{3:02}/{1:02}/{2:02}",
            "{0:04}{1:02}{2:02}{1:02}30",
            "{0:04}{1:02}{2:02}{1:02}3059",
            "{4}",
            "{4}.0",
            "{4}123",
            "{0:04}/{1}/{2}",
            "{0:04}.{1:02}.{2:02}",
            "{0:04}.{1}.{2} 10:00",
            "{0:04}-{1}-{2}T09:05",
            "{0:04}/{1:02}/{2:02} 23:59:59+02:00",
            "{5} {2}, {0:04}",
            "{5} {2:02}, {0:04}",
            "{5}. {2}th {0:04}",
            "{5} {2}, {3:02}",
            "{2} {5} {0:04}",
            "{2:02}-{5}-{0:04}",
            "{2}rd {5}. {3:02}",
        )
    )
    month_name = r.choice((str, str, str.upper, str.lower, str.swapcase))(r.choice(MONTH_NAMES))
    unix = r.choice((r.randrange(300_000_000, 2_000_000_000), r.randrange(10**8, 10**10)))
    written: str = shape.format(year, month, day, r.randrange(100), unix, month_name)
    return written


def an_id(r: random.Random) -> str:
    number = r.randrange(10**6)
    return r.choice(
        (f"CRM{number:05}", f"{number}", f"ec-{number}.x", "0", "00", "-1", "-10", f'="{number}"', f"'{number}")
    )


def a_status(r: random.Random) -> str:
    return r.choice(("active", "Active", "INACTIVE", "on hold", " churned ", "İPTAL", "Ünaktiv", "x1"))


WRITE: dict[str, Callable[[random.Random], str]] = {
    "email": an_email,
    "phone": a_phone,
    "full_name": a_name,
    "signup_date": a_date,
    "source_id": an_id,
    "status": a_status,
}


def edited(text: str, alphabet: str, r: random.Random) -> str:
    """The text with one character inserted, removed or replaced."""
    at = r.randrange(len(text) + 1)
    return text[:at] + r.choice(("", r.choice(alphabet), r.choice(alphabet))) + text[at + r.randrange(2) :]


def corpus(field: str, size: int, seed: int = 1) -> list[str]:
    """Typical values, and nearly typical ones: half of them edited once or more; none of them missing."""
    r = random.Random(f"{field} {seed}")
    texts: list[str] = []
    while len(texts) < size:
        text = WRITE[field](r)
        while r.random() < 0.3:
            text = edited(text, EDITS[field], r)
        if text:
            texts.append(text)
    return texts


# ---------------------------------------------------------------------------------------------- the reference


def definitions(rules: Rules, texts: Sequence[str]) -> dict[str, Callable[[str], Cell]]:
    """The plain-Python definition of each column of the records, if these are the texts of the column."""
    evidence = Counter(filter(None, map(date_evidence, texts)))
    column, _ = column_of(evidence, len(texts), rules.date_order)
    return {
        "email": norm_email,
        "phone": lambda text: compared_phone(text, rules.default_region),
        "full_name": norm_name,
        "signup_date": lambda text: norm_date(text, column.code),
        "source_id": norm_id,
        "status": read_status,
    }


RESULT = {"phone": "phone_key", "source_id": "case when has_id then source_id end"}


def extracted_rows(engine: AnyEngine, **fields: Sequence[Cell]) -> Extracted:
    """Rows of the CRM as ``extract`` returns them, with any cells."""
    rows = raw_table(engine, **fields).derive(
        "select 'CRM' as source, * replace (null::bigint as orders_count) from this"
    )
    nothing = table_of(engine, {"ordinal": [0]})
    return Extracted(rows, nothing, {}, {"CRM": MANY}, {}, {})


def normalised(engine: AnyEngine, field: str, texts: Sequence[Cell], rules: Rules) -> list[Cell]:
    """One column of the records, in the order of the rows."""
    records = stage.normalise(extracted_rows(engine, **{field: texts}), rules, engine).records
    return [row[0] for row in records.derive(f"select {RESULT.get(field, field)} from this order by ordinal").rows()]


def send_nothing_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the Python rules, so that the result shows which values SQL does not decide alone."""

    def one(text: str) -> str:
        return TO_PYTHON

    def two(text: str, rule: str) -> str:
        return TO_PYTHON

    for name in ("norm_email", "compared_phone", "norm_name", "norm_date", "read_status", "norm_id"):
        stub: Callable[..., str] = FunctionType(
            (two if name in ("compared_phone", "norm_date") else one).__code__, globals(), name
        )
        monkeypatch.setattr(stage, name, stub)


# --------------------------------------------------------------------------------------------- SQL and Python

RULES = [
    *((field, Rules(), CORPUS) for field in ("email", "phone", "full_name", "signup_date")),
    *((field, Rules(), GENERATED // 20) for field in ("source_id", "status")),
    ("phone", Rules(default_region="CA"), GENERATED // 25),
    ("phone", Rules(default_region="DE"), GENERATED // 50),
    ("signup_date", Rules(date_order="DMY"), GENERATED // 25),
]


@pytest.mark.slow
@pytest.mark.parametrize(("field", "rules", "size"), RULES)
def test_values_that_sql_decides_alone_equal_the_definition(
    field: str,
    rules: Rules,
    size: int,
    own_engine: EmbeddedEngine,
    monkeypatch: pytest.MonkeyPatch,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    texts = corpus(field, size)
    define = definitions(rules, texts)[field]
    with monkeypatch.context() as patched:
        send_nothing_to_python(patched)
        found = normalised(own_engine, field, texts, rules)
    alone = [(text, value) for text, value in zip(texts, found, strict=True) if value != TO_PYTHON]
    assert [(text, value) for text, value in alone if value != define(text)] == []
    record_testsuite_property(
        f"SQL alone: {field} {rules.default_region} {rules.date_order}", f"{len(alone)} of {size}"
    )
    assert 100 * len(alone) / size >= SQL_ALONE_PERCENT[field] or rules.default_region == "DE"


DATE_COLUMNS = [
    *(
        DateColumn("MDY"),
        DateColumn("DMY"),
        DateColumn("MDY", "YMD"),
        DateColumn("MDY", "DMY"),
        DateColumn("DMY", "MDY"),
    ),
    *(DateColumn("DMY", "unclear"), DateColumn("MDY", "", "YMD"), DateColumn("DMY", "", "", "unix")),
]


def days_that_differ(engine: AnyEngine, column: DateColumn, texts: Sequence[str]) -> list[tuple[str, Cell, Cell]]:
    """Text, day in SQL, day by definition."""
    table = table_of(engine, {"number": list(range(len(texts))), "signup_date": texts})
    sql = date_sql(lambda term: sql_text(term(column)))
    found = [row[0] for row in table.derive(f"select {sql} from this order by number").rows()]
    wanted = [norm_date(text, column.code) for text in texts]
    return [it for it in zip(texts, found, wanted, strict=True) if it[1] != it[2]]


@pytest.mark.parametrize("column", DATE_COLUMNS, ids=lambda column: column.code)
def test_dates_of_any_column_equal_the_definition(column: DateColumn, engine: AnyEngine) -> None:
    stage.register_functions(engine)
    texts = [*corpus("signup_date", CORPUS // 4, seed=5), *(text for text, _ in DATES), *NOT_DATES]
    assert days_that_differ(engine, column, texts) == []


USUAL_DATES = (
    *("{0}-{1:02}-{2:02}", "{0}/{1:02}/{2:02}", "{0}.{1:02}.{2:02}", "{0}{1:02}{2:02}", "{0}-{1}-{2}"),
    *("{0}-{1:02}-{2:02}T10:30:00Z", "{0}/{1:02}/{2:02} 10:30", "{1:02}/{2:02}/{0}", "{1}/{2}/{0}", "{1}.{2}.{0}"),
    *("{1}-{2}-{0}", "{1}/{2}/{0} 2:30 PM", "{1}/{2}/{4:02}", "{1:02}.{2:02}.{4:02}, 10:30"),
    *("{3} {2}, {0}", "{3} {2:02} {0}", "{2} {3} {0}", "{2:02}-{3}-{0}", "{2}-{3}-{4:02}", "{2}st {3}. {4:02}"),
)


@pytest.mark.parametrize("column", [DateColumn("MDY"), DateColumn("DMY")], ids=lambda column: column.code)
def test_days_in_usual_shapes_need_no_python(column: DateColumn, own_engine: EmbeddedEngine) -> None:
    own_engine.register("norm_date", lambda text, code: TO_PYTHON)
    texts = [
        shape.format(year, month, day, r.choice(MONTH_NAMES[:12]), year % 100)
        for r in [random.Random(1)]
        for shape in USUAL_DATES
        for year in (1900, 1968, 1969, 2024)
        for month in range(14)
        for day in (0, 1, 2, 9, 12, 13, 28, 29, 30, 31, 32)
    ]
    texts += [f"{name[0]}{name[1:].swapcase()} 5, 2023" for name in (*MONTH_NAMES[:24], "Sept")]
    assert days_that_differ(own_engine, column, texts) == []


def test_each_value_of_a_column_shows_the_same_in_sql(engine: AnyEngine) -> None:
    texts = [*corpus("signup_date", CORPUS, seed=6), *(text for text, _ in DATES), *NOT_DATES]
    stage.register_functions(engine)
    rows = table_of(engine, {"source": ["CRM"] * len(texts), "signup_date": texts}).rows(DATE_EVIDENCE_SQL)
    assert {shown: times for _, shown, times in rows} == Counter(filter(None, map(date_evidence, texts)))


def texts_of_the_cases() -> list[str]:
    """Every text of an export in ``tests/cases`` and of the tables in ``tests/corpus.py``."""
    texts = {
        cell
        for path in CASES.glob("*/*.csv")
        for row in csv.reader(path.read_text(encoding="utf-8", errors="ignore").replace("\0", "").splitlines())
        for cell in row
    }
    for path in CASES.glob("*/*.json"):
        texts |= set(re.findall(r'"([^"\\]*)"', path.read_text(encoding="utf-8", errors="ignore")))
    tables = (*EMAILS, *NAMES, *REAL_NAMES, *DATES, *((text, key) for _, text, key in PHONES), *NOT_PHONES)
    texts |= {text for row in tables for text in row} | {*NOT_EMAILS, *NOT_DATES}
    return sorted(text for text in texts if not is_missing(text) and "\0" not in text)


@pytest.mark.parametrize("field", WRITE)
def test_every_text_of_the_cases_equals_its_definition(
    field: str,
    own_engine: EmbeddedEngine,
    monkeypatch: pytest.MonkeyPatch,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    texts = texts_of_the_cases()
    assert len(texts) > 500
    define = definitions(Rules(), texts)[field]
    with monkeypatch.context() as patched:
        send_nothing_to_python(patched)
        found = normalised(own_engine, field, texts, Rules())
    alone = [(text, value) for text, value in zip(texts, found, strict=True) if value != TO_PYTHON]
    record_testsuite_property(f"SQL alone: {field} of the cases", f"{len(alone)} of {len(texts)}")
    assert [(text, value) for text, value in alone if value != define(text)] == []


def test_every_letter_that_sql_knows_in_two_cases_equals_the_definition(engine: AnyEngine) -> None:
    names = [
        name
        for capital, small in zip(name_rules._UPPER[1:-1], name_rules._LOWER[1:-1], strict=True)
        for name in (
            f"{capital}{small} {small}{capital}",
            f"{small}{small}",
            f"{capital}{capital}'{capital}",
            f"Mc{small}",
        )
    ]
    assert len(names) > 1000
    assert normalised(engine, "full_name", names, Rules()) == [norm_name(name) for name in names]


def test_names_in_usual_shapes_need_no_python(own_engine: EmbeddedEngine) -> None:
    first_names, last_names = ("Ann", "Li", "Zoë", "Jean-Luc", "J. R."), ("Roe", "McKay", "O'Neil", "de la Cruz")
    tidy = [f"{first} {last}" for first in first_names for last in last_names]
    shapes = ("  {0}   {1} ", "{1}, {0}", "{1},{0}", "{1} ,  {0}", "{1}, {0} Bea Cam", " {1}, {0}")
    texts = [shape.format(first, last) for shape in shapes for first in first_names for last in last_names]
    texts += [*tidy, *map(str.upper, tidy), *map(str.lower, tidy)]
    own_engine.register("norm_name", lambda name: TO_PYTHON)
    table = table_of(own_engine, {"number": list(range(len(texts))), "full_name": texts})
    found = [row[0] for row in table.derive(f"select {NAME_SQL} from this order by number").rows()]
    assert [it for it in zip(texts, found, map(norm_name, texts), strict=True) if it[1] != it[2]] == []


@pytest.mark.parametrize("region", ["US", "DE"])
def test_phones_in_every_punctuation_equal_the_definition(region: str, own_engine: EmbeddedEngine) -> None:
    own_engine.register("compared_phone", lambda phone, region: TO_PYTHON)
    before = ("", "'", "+", "+1", "1", "+1 ", "1-", "1.", "'+1-", "011 ", "00", "+49 ", "'+44-", "011-44 ")
    areas, marks, behind = (
        ("212", "(212)", "(212) ", "030"),
        ("", " ", "-", "."),
        ("", " x12", "ext. 7", " / 416-555-0101", ".0"),
    )
    texts = [
        f"{start}{area}{one}555{other}0101{end}"
        for start in before
        for area in ("", *areas)
        for one in marks
        for other in marks
        for end in behind
    ]
    table = table_of(own_engine, {"number": list(range(len(texts))), "phone": texts})
    sql = phone_key_sql(sql_text(region), is_plain_nanp(region))
    found = [row[0] for row in table.derive(f"select {sql} from this order by number").rows()]
    alone = [(text, key) for text, key in zip(texts, found, strict=True) if key != TO_PYTHON]
    assert len(alone) > 100
    assert [(text, key) for text, key in alone if key != compared_phone(text, region)] == []


def test_whether_a_text_is_a_name_equals_its_definition(engine: AnyEngine) -> None:
    letters = [*map(chr, (*range(ord("A"), ord("Z") + 1), *range(0xC0, 0x180)))]
    words = sorted(word for word in MISSING_WORDS if word.isalpha())
    hidden = (word[:at] + letter + word[at + 1 :] for word in words for at in range(len(word)) for letter in letters)
    texts = sorted({*letters, *words, *hidden, *(f"{letter}'. -" for letter in letters)})
    stage.register_functions(engine)
    table = table_of(engine, {"name": texts})
    found = table.rows(f"select name, {is_name_sql('name')} from this")
    assert [text for text, is_name in found if is_name != (norm_name(text) is not None)] == []


@pytest.mark.parametrize("region", ["US", "CA", "DE"])
def test_the_key_of_printed_digits_equals_its_definition(region: str, engine: AnyEngine) -> None:
    digits = random.Random(7)
    runs = ["0123456789" * 2, "9876543210" * 2, *(digit * 20 for digit in "123456789")]
    texts = [
        *(run[start : start + length] for run in runs for start in range(10) for length in range(7, 17)),
        *(f"{year}0131{time}" for year in (1999, 2024) for time in ("", "1200", "120000", "2500", "12000")),
        *("".join(digits.choices("0123456789", k=length)) for length in range(7, 17) for _ in range(20)),
        *(
            code + "".join(digits.choices("0123456789", k=length - len(code)))
            for code in ("20", "39", "44", "49", "52", "521", "65", "81", "86", "234", "998")
            for length in range(10, 16)
            for _ in range(10)
        ),
    ]
    stage.register_functions(engine)
    table = table_of(engine, {"phone": sorted(set(texts))})
    found = table.rows(f"select phone, {key_of_printed_phone_in(region)} from this")
    assert [(text, key) for text, key in found if key != key_of_printed_phone(text, region)] == []


@pytest.mark.slow
@given(st.data())
@settings(max_examples=examples(6))
def test_any_text_equals_its_definition(engine: AnyEngine, data: st.DataObject) -> None:
    # No lone surrogates: the readers let none through.
    any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
    for field in WRITE:
        nearly = st.text(EDITS[field], min_size=1, max_size=20)
        texts = data.draw(st.lists(nearly | any_text, min_size=1, max_size=60), label=field)
        assert normalised(engine, field, texts, Rules()) == [definitions(Rules(), texts)[field](text) for text in texts]


@pytest.mark.large
@pytest.mark.parametrize("text", ["a" * 10_000 + "@x.org", "j" * 10_001 + " smith", "2" * 300])
def test_a_very_long_cell_equals_its_definition(text: str, engine: AnyEngine) -> None:
    for field in ("email", "full_name", "phone", "signup_date"):
        assert normalised(engine, field, [text], Rules()) == [definitions(Rules(), [text])[field](text)]


ADDRESSES = [
    *("zoë@example.org", "γιώργος@x-1.co.uk", "zoë@bücher.de", "zoë@xn--bcher-kva.de", "xn--a@x.org", "ü.xn--@x.org"),
    *('"ü"@x_y.org', "ж@-a-.org", "ü@[1.2.3.4]", "ü@xn--.org", "a@漢字.jp", "ü@" + "a" * 64 + ".de"),
]


@pytest.mark.slow
def test_values_are_compared_and_printed_as_defined(engine: AnyEngine) -> None:
    fields = {field: corpus(field, GENERATED // 6, seed=2) for field in ("full_name", "email", "phone")}
    fields["email"][: len(ADDRESSES)] = ADDRESSES
    records = stage.normalise(extracted_rows(engine, **fields), Rules(), engine).records
    columns = "full_name, name_key, email, coalesce(email_key, email), phone, phone_key"
    for name, of_name, email, of_email, phone, phone_key in records.derive(f"select {columns} from this").rows():
        assert of_name == (None if name is None else name_key(name))
        assert of_email == (None if email is None else email_key(email))
        is_readable = phone_key is not None and not phone_key.startswith("raw:")
        assert phone == (phone_as_printed(phone_key, "US") if is_readable else None)


# ------------------------------------------------------------------------------------------------------ cells

CELLS = [
    *MISSING_WORDS,
    *(word.upper() for word in MISSING_WORDS),
    *(f" \t{word.title()}\u00a0" for word in MISSING_WORDS),
    *(
        "",
        " ",
        "\u3000\u2028",
        "\x1c",
        "\u200b",
        "unde\ufb01ned",
        "un\u212anown",
        "n/a.",
        "Na Li",
        "0",
        "-1",
        "N\u00a0A",
    ),
    *("'Ann'", '"Ann"', '="0123"', '= "x"', "'O'Brien'", "'O''Brien'", "''", '""', "'null'", '"-"', "'=1'", "'A','B'"),
    *(
        "\u201cAnn\u201d",
        "\u201eAnn\u201c",
        "\u2018Ann\u2019",
        "\u00abAnn\u00bb",
        "\u2039Ann\u203a",
        "'t Hooft",
        "###",
        "##",
    ),
    *("'=1+1", "'+15550101", "''=x", "' =x", "'n/a", "'", "'-", "=1", "'\uff1dx", "'\u00a0=x", "'plain"),
    *("'+'", "+'", "'+'''", "'=x'y'", '"\'+1"', "''+1'", " '=x", "\x85'Ann'", "'Rock'n'Roll'", "'''x'''", "'\"-\"'"),
]
CORES = ("=x", "+", "-", "Ann", "null", "", "a'b", "x'", "@me", "+c", "N/A", "O'Brien, 'Jo'", "&#39;=x", "\uff1d\uff07")
AROUND = (
    *(("'", "'"), ('"', '"'), ('="', '"'), ('= "', '" '), ("\u2018", "\u2019"), ("\u201c", "\u201d")),
    *(("\u201e", "\u201c"), ("\u00ab", "\u00bb"), ("\u2039", "\u203a")),
    *(("'", ""), ("", "'"), ("''", ""), (" ", "\u00a0"), ("\t", ""), ("\u200b", "")),
)


def a_wrapped_cell(r: random.Random) -> str:
    """A text in quotes, in quotes in quotes, before or behind one quote."""
    text = r.choice(CORES)
    for _ in range(r.randrange(5)):
        before, behind = r.choice(AROUND)
        text = before + text + behind
    return text


def wrapped_cells(size: int) -> list[str]:
    """Cells in all kinds of quotes; some are edited."""
    r = random.Random(9)
    cells = [a_wrapped_cell(r) for _ in range(size)]
    return [*CELLS, *cells, *(edited(cell, "'\"=+x \t\u2018\u2019", r) for cell in cells)]


def extracted(engine: AnyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **fields: Sequence[Cell]) -> Any:
    """``fields`` as ``extract`` returns them; rows come from a table instead of a file."""
    layout = CRM.own if "status" in fields else ECOM.own
    table = cells_table(engine, layout, **fields)
    monkeypatch.setattr(engine, "read", lambda file: (table, FileReport(layout)))
    batch = Batch("b", NOON, (delivered_file(ECOM, tmp_path / "any.json", "[]"),))
    # Columns are tried one at a time, so most rows have no identity.
    spec = replace(INTEGRATION, identity_fields=("row_number",), contacts=())
    return extract(batch, Guards(), engine, spec).rows


def name_of_cell(cell: Cell) -> Cell:
    value = value_of_cell(cell)
    return None if is_missing_name(value) else value


def test_the_value_of_a_cell_equals_its_definition(
    engine: AnyEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = random.Random(3)
    cells: list[Cell] = [None, *CELLS]
    while len(cells) < CORPUS // 2:
        cells.append(
            edited(
                r.choice((*CELLS, a_wrapped_cell(r))),
                "nNaA/-.?#uUlL'\"=+, \t\u00a0\u2003\u212a\ufb01\x1f\u2019\u201d",
                r,
            )
        )
    for field in ("email", "source_id", "full_name", "phone", "signup_date", "status"):
        some = cells if field == "email" else cells[:5000]
        define = name_of_cell if field == "full_name" else value_of_cell
        rows = extracted(engine, tmp_path, monkeypatch, **{field: some})
        found = [row[0] for row in rows.derive(f"select {field} from this order by row_number").rows()]
        assert [(c, f) for c, f in zip(some, found, strict=True) if f != define(c)] == []


def of_cells(engine: AnyEngine, sql: str, cells: Sequence[Cell]) -> list[Cell]:
    """An SQL term of ``cell`` for each of the cells."""
    register_cell(engine)
    table = table_of(engine, {"number": list(range(len(cells))), "cell": cells})
    return [row[0] for row in table.derive(f"select {sql} from this order by number").rows()]


@pytest.mark.parametrize(
    ("sql", "define"), [(value_of_cell_sql, value_of_cell), (part_of_name_sql, part_of_name)], ids=["value", "part"]
)
def test_a_cell_in_any_quotes_equals_its_definition(
    engine: AnyEngine, sql: Callable[[str], str], define: Callable[[Cell], Cell]
) -> None:
    cells = wrapped_cells(CORPUS)
    found = of_cells(engine, sql("cell"), cells)
    assert [(cell, value) for cell, value in zip(cells, found, strict=True) if value != define(cell)] == []


@pytest.mark.parametrize("field", ["full_name", "email", "status"])
def test_a_value_that_is_written_is_read_as_itself(field: str, engine: AnyEngine) -> None:
    cells = [f"{cell}@x.org" for cell in wrapped_cells(CORPUS)] if field == "email" else wrapped_cells(CORPUS)

    def read(cell: Cell) -> Cell:
        value = value_of_cell(cell)
        return None if value is None else definitions(Rules(), [])[field](value)

    values = sorted({value for value in map(read, cells) if value is not None})
    assert len(values) > 100
    written = of_cells(engine, escaped_sql("cell"), values)
    assert [cell for cell in written if re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell or "")] == []
    for form in (written, values):  # SERVICE_CSV_FORMULA_ESCAPE is true, or false
        assert [(v, cell) for v, cell in zip(values, form, strict=True) if read(cell) != v] == []


def test_cells_in_one_pair_of_quotes_or_behind_one_quote_need_no_python(own_engine: EmbeddedEngine) -> None:
    cells = [
        "'Ann'",
        '"0123"',
        '="0123"',
        "'-'",
        "'null'",
        "\u201cAnn\u201d",
        "'=1+1",
        "'+1 212 555 0101",
        "'0123",
        "'-",
    ]
    own_engine.register("bare_cell", lambda cell: TO_PYTHON)
    table = table_of(own_engine, {"number": list(range(len(cells))), "cell": cells})
    found = table.derive(f"select {value_of_cell_sql('cell')} from this order by number").rows()
    assert [row[0] for row in found] == list(map(value_of_cell, cells))


FULL_OF_QUOTES = {
    "quotes": "'" * 999_999,
    "double quotes": '"' * 999_999,
    "quotes and tabs": "'\t" * 500_000 + "x",
    "both quotes": "'\"" * 500_000,
    "blanks before a quote": " " * 999_999 + "'",
    "apostrophes": "'" + "a'" * 500_000,
    "curly apostrophes": "\u2018a" + "\u2019a" * 300_000,
    "formulas": "'=\"" * 300_000,
    "pairs in pairs": "'\u201c\u00ab" * 99_999 + "x" + "\u00bb\u201d'" * 99_999,
}


@pytest.mark.large
@pytest.mark.parametrize("cell", FULL_OF_QUOTES.values(), ids=list(FULL_OF_QUOTES))
def test_a_cell_full_of_quotes_is_read_in_no_time(cell: str) -> None:
    before = time.process_time()
    bare = bare_cell(cell)
    assert bare_cell(bare) == bare
    assert time.process_time() - before < 10, "it would be hours, were the time not in proportion to the length"


@pytest.mark.parametrize(
    ("whole", "first", "last", "name"),
    [
        (None, "Na", "Li", "Na Li"),
        (None, "Na", None, None),
        (None, "", " \t", None),
        (None, None, "Unknown", None),
        (None, "NULL", "NULL", None),
        (None, "n/a", "#N/A", None),
        (None, "Not provided", "null", None),
        (None, "Jennifer", "Null", "Jennifer Null"),
        (None, "Jo", "###", "Jo"),
        (None, "-", "'Doe'", "Doe"),
        (None, "Jo", "7", "Jo"),
        ("NULL NULL", "Jo", "Doe", "Jo Doe"),
        ("'Jo Doe'", None, None, "Jo Doe"),
        (", unknown", None, None, None),
        ("N/A", "Jo", None, "Jo"),
        ("Jo Doe", "Ann", "Lee", "Jo Doe"),
    ],
)
def test_a_composed_name_has_the_parts_that_are_not_empty(
    whole: Cell,
    first: Cell,
    last: Cell,
    name: Cell,
    engine: AnyEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = extracted(engine, tmp_path, monkeypatch, full_name=[whole], first_name=[first], last_name=[last])
    assert rows.derive("select full_name from this").rows() == [(name,)]


# ------------------------------------------------------------------------------------------- columns of dates


@pytest.mark.large
@pytest.mark.parametrize(
    ("dates", "order", "days"),
    [
        (["03/04/2023"], "MDY", ["2023-03-04"]),
        (["03/04/2023"], "DMY", ["2023-04-03"]),
        (["03/04/2023", "15/01/2023"], "MDY", ["2023-04-03", "2023-01-15"]),
        (["03/04/2023", "01/15/2023"], "DMY", ["2023-03-04", "2023-01-15"]),
        (["03/04/2023", "15.1.2023"], "MDY", ["2023-04-03", "2023-01-15"]),
        (["03/04/15 12:49", "30/10/15 12:49"], "MDY", ["2015-04-03", "2015-10-30"]),
        (["3/4/23", "1/15/23"], "DMY", ["2023-03-04", "2023-01-15"]),
        (["03-04-23", "15-01-23"], "MDY", [None, None]),
        (["03-04-23", "15-01-33"], "MDY", ["2023-04-03", "2033-01-15"]),
        (["99-01-15", "23-02-28"], "DMY", ["1999-01-15", "2023-02-28"]),
        (["99/01/15", "23/02/28"], "DMY", ["1999-01-15", "2023-02-28"]),
        (["1673778600", "1673778600", "soon"], "MDY", ["2023-01-15", "2023-01-15", None]),
        (["1673778600", "2023-01-15"], "MDY", [None, "2023-01-15"]),
        (["\uff11673778600", None], "MDY", ["2023-01-15", None]),
        (["2125550101", "2023-01-15"], "MDY", [None, "2023-01-15"]),
        (["202301151030", "20230115103000"], "MDY", ["2023-01-15", "2023-01-15"]),
        (["03.04.69", "31.12.68"], "MDY", ["1969-04-03", "2068-12-31"]),
        (["3/4/2024 2:30 PM", "3/15/2024 2:30 PM"], "DMY", ["2024-03-04", "2024-03-15"]),
        (["03/04/2023", "1/15/2023\u202fPM"], "DMY", ["2023-04-03", None]),
        (["03/04/2023", "44941", "2/29/23"], "DMY", ["2023-03-04", None, None]),
        (["03/04/2023", "\u00a015/01/2023"], "MDY", ["2023-04-03", "2023-01-15"]),
        (["03/04/2023", "\uff11\uff15/01/2023"], "MDY", ["2023-04-03", "2023-01-15"]),
        (["03/04/2023", "15 / 01 / 2023 10:00"], "MDY", ["2023-04-03", "2023-01-15"]),
        (["03/04/2023", "45/01/2023", "01/32/2023", "13/13/2023"], "DMY", ["2023-04-03", None, None, None]),
        (
            ["03/04/2023", "2023-01-15", "1 Feb 2023", "20230115"],
            "DMY",
            ["2023-04-03", "2023-01-15", "2023-02-01", "2023-01-15"],
        ),
    ],
)
def test_a_column_of_dates_shows_its_own_order(
    dates: list[Cell], order: DateOrder, days: list[Cell], engine: AnyEngine
) -> None:
    assert normalised(engine, "signup_date", dates, replace(Rules(), date_order=order)) == days


def test_contradicting_dates_are_each_read_alone_and_reported(engine: AnyEngine) -> None:
    dates = ["15/01/2023", "01/16/2023", "03/04/2023"]
    result = stage.normalise(extracted_rows(engine, signup_date=dates), Rules(), engine)
    days = [row[0] for row in result.records.derive("select signup_date from this order by ordinal").rows()]
    assert (days, result.ambiguous) == (["2023-01-15", "2023-01-16", "2023-03-04"], ("CRM",))


# ------------------------------------------------------------------------------------- troubles, ids, statuses


def test_every_value_that_became_missing_is_counted_with_its_reason(engine: AnyEngine) -> None:
    result = stage.normalise(
        extracted_rows(
            engine,
            full_name=["Ann", "\u200b", None, "X"],
            email=["a@b", "b@", "b*@x.org", "a@b.org"],
            phone=["call me", "911", "5.55E+06", "212555010112345"],
            signup_date=["soon", "2023-02-30", "23-01-15", "2023-02-28"],
        ),
        Rules(),
        engine,
    )
    assert result.troubles == {
        ("CRM", "email", "invalid_email"): 2,
        ("CRM", "email", "masked_email"): 1,
        ("CRM", "full_name", "invalid_name"): 1,
        ("CRM", "phone", "invalid_phone"): 1,
        ("CRM", "phone", "phone_no_digits"): 1,
        ("CRM", "phone", "phone_scientific_notation"): 1,
        ("CRM", "phone", "phone_too_short"): 1,
        ("CRM", "signup_date", "invalid_date"): 2,
        ("CRM", "signup_date", "unclear_date"): 1,
    }


@pytest.mark.parametrize("region", ["US", "GB", "DE"])
def test_every_changed_value_is_counted(region: str, engine: AnyEngine) -> None:
    rules = Rules(default_region=region, date_order="DMY")
    fields = ("full_name", "email", "phone", "signup_date", "status")
    written = {field: [*corpus(field, 2000, seed=4), "5550101", "442079460958", "active"] for field in fields}
    result = stage.normalise(extracted_rows(engine, **written), rules, engine)
    shown = result.records.derive(f"select {', '.join(fields)} from this order by ordinal").rows()
    for field, came_out in zip(fields, zip(*shown, strict=True), strict=True):
        pairs = zip(written[field], came_out, strict=True)
        changed = len([text for text, value in pairs if value is not None and value != text])
        assert result.changed["CRM", field] == changed
        assert changed


def test_a_row_without_an_id_is_named_by_its_number_and_identified_by_its_content(tmp_path: Path) -> None:
    people: dict[str, list[Cell]]
    people = {"full_name": ["Ann Lee", "Bob Ray", "ann lee"], "email": ["a@x.org", None, "A@X.org"]}
    keys: list[dict[str, str]] = []
    for turn, order in enumerate(((0, 1, 2), (1, 2, 0))):
        with small_engine(tmp_path / str(turn)) as engine:
            fields = {name: [column[i] for i in order] for name, column in people.items()}
            delivered = extracted_rows(engine, source_id=["0", "-1", None], **fields)
            records = stage.normalise(delivered, Rules(), engine).records
            rows = records.derive("select source_id, has_id, record_key, full_name from this order by ordinal").rows()
        assert [row[:2] for row in rows] == [("CRM-ROW1", False), ("CRM-ROW2", False), ("CRM-ROW3", False)]
        keys.append({row[2]: row[3] for row in rows})
    # The two Anns have the same content; their number among equals distinguishes them, row numbers do not count.
    assert keys[0] == keys[1]
    assert sorted(keys[0].values()) == ["Ann Lee", "Ann Lee", "Bob Ray"]


@pytest.mark.parametrize(
    ("written", "id_"),
    [
        ("C1", "C1"),
        (" C1 ", "C1"),
        ("'0123", "0123"),
        ('="0123"', "0123"),
        ("00", "00"),
        ("a\nb", "a b"),
        ("é/1", "é/1"),
    ],
)
def test_an_id_is_text_without_a_spreadsheets_wrapping(written: str, id_: str, engine: AnyEngine) -> None:
    assert normalised(engine, "source_id", [written], Rules()) == [id_]


@pytest.mark.parametrize("written", ["", "0", "-1", " 0 ", "'0", '="-1"', "'", "\t"])
def test_any_other_text_is_no_id(written: str, engine: AnyEngine) -> None:
    assert normalised(engine, "source_id", [written], Rules()) == [None]


@pytest.mark.parametrize("written", ["\x02on hold", "\t\x02On Hold", "\x02", "\x02truest", "\x02 true"])
def test_a_status_that_begins_like_a_truth_value_is_one_and_stays_it(written: str, engine: AnyEngine) -> None:
    (status,) = normalised(engine, "status", [written], Rules())
    assert status == written.strip().lower()
    assert normalised(engine, "status", [status], Rules()) == [status]


@pytest.mark.parametrize("written", ["\x02true", "\t\x02False "])
def test_a_truth_value_is_no_status(written: str, engine: AnyEngine) -> None:
    assert normalised(engine, "status", [written], Rules()) == [None]


def test_a_status_is_stated_or_the_default_of_its_source(engine: AnyEngine) -> None:
    crm = extracted_rows(engine, status=["On Hold", None])
    cells = f"row_number, {', '.join(RAW_FIELDS)}"
    both = crm.rows.derive(f"select source, {cells} from this union all select 'ECOM', {cells} from this")
    records = stage.normalise(replace(crm, rows=both), Rules(), engine).records
    # Which half of a union comes first is not said.
    assert Counter(records.derive("select source, status, status_stated from this").rows()) == Counter(
        [
            (CRM.name, "on hold", True),
            (CRM.name, None, False),
            (ECOM.name, "on hold", True),
            (ECOM.name, "active", False),
        ]
    )
