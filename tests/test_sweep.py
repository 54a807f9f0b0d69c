"""The judgement whether all customers were received, from the notes of the pages alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.api.checkpoint import Note
from service.api.completeness import Complete, judge
from service.api.rows import key_of


def sweep(number: int, *pages: Sequence[int], totals: int | Sequence[int]) -> list[Note]:
    """The notes of a sweep: pages with these ids, in order of arrival."""
    stated = [totals] * len(pages) if isinstance(totals, int) else totals
    return [
        Note(page, number, page, total, len(pages), b"".join(key_of({"id": id_}) for id_ in ids))
        for page, (ids, total) in enumerate(zip(pages, stated, strict=True), 1)
    ]


def is_complete(
    *sweeps: list[Note], total_is_exact: bool = True, may_have_grown: bool = False
) -> tuple[bool, tuple[int, ...]]:
    found = judge(sweeps, total_is_exact=total_is_exact, may_have_grown=may_have_grown)
    return isinstance(found, Complete), found.sweeps if isinstance(found, Complete) else ()


def test_as_many_customers_as_the_api_states_are_complete() -> None:
    assert is_complete(sweep(1, [1, 2], [3, 4], [], totals=4)) == (True, (1,))


def test_a_customer_on_two_pages_counts_once() -> None:
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=3)) == (True, (1,))
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=4)) == (False, ())


def test_a_customer_who_moved_between_pages_is_found_by_the_next_sweep_and_both_count() -> None:
    before, after = sweep(1, [1, 2], [2, 3], totals=4), sweep(2, [4, 1], [1, 2], totals=4)
    assert is_complete(before) == (False, ())
    assert is_complete(before, after) == (True, (1, 2))


def test_a_sweep_that_is_complete_by_itself_counts_alone() -> None:
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=4), sweep(2, [1, 2], [3, 4], totals=4)) == (True, (2,))


def test_a_total_that_fell_is_not_trusted_even_if_the_count_agrees() -> None:
    # 1 was deleted after page 1 was read, so 3 moved to page 1 and was missed: the right count, the wrong customers.
    assert is_complete(sweep(1, [1, 2], [4], [], totals=[4, 3, 3])) == (False, ())
    assert is_complete(sweep(1, [1, 2], [4], [], totals=[4, 3, 3]), may_have_grown=True) == (False, ())


def test_a_total_that_only_grew_counts_from_the_second_sweep_on() -> None:
    growing = sweep(2, [1, 2], [3, 4], [5], totals=[4, 5, 5])
    assert is_complete(growing) == (False, ())
    assert is_complete(growing, may_have_grown=True) == (True, (2,))


def test_two_equal_sweeps_overrule_a_total_that_is_too_low() -> None:
    one, two = sweep(1, [1, 2], [3, 4], totals=2), sweep(2, [1, 2], [3, 4], totals=2)
    assert is_complete(one) == (False, ())
    assert is_complete(one, two) == (True, (2,))
    assert is_complete(one, sweep(2, [1, 2], [3, 5], totals=2)) == (False, ())


@pytest.mark.parametrize("is_exact", [True, False])
def test_fewer_than_the_total_are_complete_only_if_the_total_is_a_hint(is_exact: bool) -> None:
    one, two = sweep(1, [1, 2], [3], totals=9), sweep(2, [1, 2], [3], totals=9)
    assert is_complete(one, two, total_is_exact=is_exact)[0] is not is_exact


def test_an_empty_api_is_complete_without_customers() -> None:
    assert is_complete(sweep(1, [], totals=0)) == (True, (1,))


def test_a_page_that_does_not_exist_states_no_total() -> None:
    assert is_complete(sweep(1, [1, 2], [], totals=[2, -1])) == (True, (1,))


def test_equal_rows_without_an_id_count_once_until_a_second_sweep_confirms_them() -> None:
    null = key_of(None)
    one, two = sweep(1, [1], [2], totals=4), sweep(2, [1], [2], totals=4)
    with_nulls = [[replace(note, keys=note.keys + null) for note in notes] for notes in (one, two)]
    assert is_complete(with_nulls[0]) == (False, ())
    assert is_complete(*with_nulls) == (True, (2,))
    assert is_complete(with_nulls[0], sweep(2, [2], [1], totals=4)) == (False, ())


def test_a_repeated_customer_does_not_replace_a_missing_one() -> None:
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=4), sweep(2, [1, 2], [2, 3], totals=4)) == (False, ())


def test_equal_rows_without_an_id_on_different_pages_count_if_the_total_agrees() -> None:
    null = key_of(None)
    pages = [replace(note, keys=note.keys + null + null) for note in sweep(1, [1], [2], totals=5)]
    again = [replace(note, sweep=2) for note in pages]
    assert is_complete(pages) == (False, ())
    assert is_complete(pages, again) == (True, (2,))
