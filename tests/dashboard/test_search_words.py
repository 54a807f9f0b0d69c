"""A part of a name is found by its pattern: in the engine, in any case, and without its accents."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dashboard.sets.search_words import folded, pattern_of, unified_ids_in

NAMES = st.text(
    st.one_of(
        st.characters(codec="utf-8", max_codepoint=0x2FFF, exclude_characters="\0"),
        st.sampled_from("aeiouscnyøłđßæœþÄÖÜéÈçñśžőÅΆέЙёىﷺ김'’-.*[]()\\^$ "),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def is_found(engine: duckdb.DuckDBPyConnection, word: str, name: str) -> bool:
    [(found,)] = engine.execute("select regexp_matches(?, ?)", [name, pattern_of(word)]).fetchall()
    return bool(found)


@given(name=NAMES, begin=st.integers(0, 11), length=st.integers(1, 12))
def test_every_part_of_a_name_finds_it(engine: duckdb.DuckDBPyConnection, name: str, begin: int, length: int) -> None:
    """As it is written and in lower case; names are NFC, and a part does not begin or end within a letter.

    Where three s are written as one and two in one letter, in this order, the part is not found.
    """
    name = unicodedata.normalize("NFC", name)
    part = name[begin : begin + length]
    if (
        part
        and "sss" not in folded(part)
        and not any(unicodedata.combining(it) for it in (*part[:1], *name[begin + length :][:1]))
    ):
        assert is_found(engine, part, name)
        assert is_found(engine, part.lower(), name)


def test_accents_and_letters_that_are_two_without_them_do_not_count(engine: duckdb.DuckDBPyConnection) -> None:
    for word, name in {
        "muller": "Müller",
        "MÜLLER": "Muller",
        "strasse": "Straße",
        "straße": "STRASSE",
        "aerobus": "Ærobus",
        "oeuvre": "Œuvre",
        "thor": "Þór",
        "lodz": "Łódź",
        "nguyen": "Nguyễn",
        "o'brien": "O’Brien",
        "anne-marie": "Anne‑Marie",
        "istanbul": "İstanbul",
        "αθηνα": "Αθήνα",
        "семен": "Семён",
        "adebayo": "Adẹ́bayọ̀",
        "محمد": "مُحَمَّد",
    }.items():
        assert is_found(engine, word, name), word
    for word, name in {"a.b": "axb", "a*": "aaa", "[a]": "a", "^a": "a", "mueller": "Müller"}.items():
        assert not is_found(engine, word, name), word


@given(NAMES)
def test_what_is_folded_stays_so(name: str) -> None:
    assert folded(folded(name)) == folded(name)


def test_whole_ids_are_recognised() -> None:
    assert unified_ids_in("cust001 CUST12 ann CUST0001") == ["CUST001", "CUST0001"]
