"""Filled: the counts equal those of the texts themselves, whichever numbers they are counted by."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.pipeline.fields.source_id import id_key
from service.pipeline.filled import FIELDS, Filled, filled_and_distinct
from service.pipeline.matching.literal import LiteralMatcher
from tests.sizes import examples
from tests.small_batches import AnyEngine, table_of

# Two are compared as one; the last only looks as if it were, too.
IDS = ("0035g00000aBcDeAAK", "0035g00000aBcDe", "7", "0035g00000aBcDeAAA")


class Record(NamedTuple):
    """What is counted of a record; the keys are what it is compared by."""

    source_id: str | None
    full_name: str | None
    name_key: str | None
    email: str | None
    phone_key: str | None
    signup_date: str | None
    status: str | None


def texts(*values: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


@st.composite
def records(draw: st.DrawFn) -> Record:
    name = draw(texts("Ann Van Lee", "Ann van Lee", "Bo Lee", "!"))
    return Record(
        source_id=draw(texts(*IDS)),
        full_name=name,
        name_key=None if name in (None, "!") else str(name).lower(),
        email=draw(texts("a@x.org", "b@x.org")),
        phone_key=draw(texts("+12025550123", "+442025550123", "+442025550124", "raw 12")),
        signup_date=draw(texts("2024-01-15", "0001-01-01")),
        status=draw(texts("active", "on leave")),
    )


@pytest.mark.large
@settings(max_examples=examples(200))
@given(first=st.lists(records(), max_size=12), second=st.lists(records(), max_size=12))
def test_the_counts_are_those_of_the_texts(engine: AnyEngine, first: list[Record], second: list[Record]) -> None:
    of_source = {"CRM": first, "ECOM": second}
    rows = [(source, *record) for source, its in of_source.items() for record in its]
    if not rows:
        return
    sources, ids, names, name_keys, emails, phone_keys, dates, statuses = zip(*rows, strict=True)
    phones = [None if key is None or key.startswith("raw") else key.removeprefix("+1") for key in phone_keys]
    table = table_of(
        engine,
        {
            "ordinal": range(len(rows)),
            "source": sources,
            "source_id": [f"ROW{row}" if it is None else it for row, it in enumerate(ids)],
            "has_id": [it is not None for it in ids],
            "record_key": [f"{source} id:{id_key(it or '')}" for source, it in zip(sources, ids, strict=True)],
            "full_name": names,
            "name_key": name_keys,
            "email": emails,
            "email_key": [None for _ in rows],
            "phone": phones,
            "phone_key": phone_keys,
            "signup_date": dates,
            "status": statuses,
        },
    )
    columns = dict(zip(("source_id", *FIELDS), (ids, names, emails, phones, dates, statuses), strict=True))
    expected = {}
    for source, its in of_source.items():
        texts_of = {
            field: [text for text, where in zip(values, sources, strict=True) if where == source and text is not None]
            for field, values in columns.items()
        }
        if its:
            counts = {field: Filled(len(values), len(set(values))) for field, values in texts_of.items()}
            expected[source] = (len(its), counts)
    assert filled_and_distinct(table, LiteralMatcher().compare(table, engine).keys) == expected
