"""How the id of a customer is written, by Python and by SQL, and read from what a person types."""

from __future__ import annotations

import doctest

import duckdb
import pytest

from service import unified_ids
from service.unified_ids import UNIFIED_ID_SQL, number_in, unified_id


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(unified_ids).failed == 0


@pytest.mark.parametrize("number", [1, 42, 999, 1000, 123_456_789])
def test_an_id_is_written_alike_by_python_and_sql_and_read_back(number: int) -> None:
    with duckdb.connect() as connection:
        (written,) = connection.execute(f"select {UNIFIED_ID_SQL.format(number)}").fetchone() or (None,)
    assert (written, number_in(unified_id(number))) == (unified_id(number), number)
