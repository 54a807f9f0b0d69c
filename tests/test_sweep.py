"""Whether what was read of an API is the whole: judged by its pages alone, without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.api.checkpoint import Note
from service.api.rows import key_of
from service.api.sweep import Complete, SweepLimits, judge

EXACT = SweepLimits(concurrency=4, max_pages=100, total_is_exact=True)
A_HINT = SweepLimits(concurrency=4, max_pages=100, total_is_exact=False)


def sweep(number: int, *pages: Sequence[int], totals: int | Sequence[int]) -> list[Note]:
    """The notes of a sweep whose pages hold these ids, arrived in this order."""
    told = [totals] * len(pages) if isinstance(totals, int) else totals
    return [
        Note(page, number, page, total, len(pages), b"".join(key_of({"id": id_}) for id_ in ids))
        for page, (ids, total) in enumerate(zip(pages, told, strict=True), 1)
    ]


def is_complete(
    *sweeps: list[Note], bounds: SweepLimits = EXACT, may_have_grown: bool = False
) -> tuple[bool, tuple[int, ...]]:
    found = judge(sweeps, bounds, may_have_grown=may_have_grown)
    return isinstance(found, Complete), found.sweeps if isinstance(found, Complete) else ()


def test_as_many_customers_as_the_api_says_it_has_are_the_whole() -> None:
    assert is_complete(sweep(1, [1, 2], [3, 4], [], totals=4)) == (True, (1,))


def test_a_customer_on_two_pages_counts_once() -> None:
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=3)) == (True, (1,))
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=4)) == (False, ())


def test_a_customer_who_moved_between_pages_is_found_by_the_next_sweep_and_both_count() -> None:
    before, after = sweep(1, [1, 2], [2, 3], totals=4), sweep(2, [4, 1], [1, 2], totals=4)
    assert is_complete(before) == (False, ())
    assert is_complete(before, after) == (True, (1, 2))


def test_a_sweep_that_is_whole_by_itself_counts_without_the_one_before() -> None:
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=4), sweep(2, [1, 2], [3, 4], totals=4)) == (True, (2,))


def test_a_total_that_fell_is_not_trusted_though_the_count_agrees() -> None:
    # 1 was deleted after page 1 was read, so 3 moved to page 1 and was missed: two are two, but the wrong ones.
    assert is_complete(sweep(1, [1, 2], [4], [], totals=[4, 3, 3])) == (False, ())
    assert is_complete(sweep(1, [1, 2], [4], [], totals=[4, 3, 3]), may_have_grown=True) == (False, ())


def test_a_total_that_only_grew_counts_from_the_second_sweep_on() -> None:
    growing = sweep(2, [1, 2], [3, 4], [5], totals=[4, 5, 5])
    assert is_complete(growing) == (False, ())
    assert is_complete(growing, may_have_grown=True) == (True, (2,))


def test_a_total_that_is_too_low_is_contradicted_by_two_sweeps_that_agree() -> None:
    one, two = sweep(1, [1, 2], [3, 4], totals=2), sweep(2, [1, 2], [3, 4], totals=2)
    assert is_complete(one) == (False, ())
    assert is_complete(one, two) == (True, (2,))
    assert is_complete(one, sweep(2, [1, 2], [3, 5], totals=2)) == (False, ())


@pytest.mark.parametrize(("bounds", "expected"), [(EXACT, False), (A_HINT, True)])
def test_fewer_than_the_total_never_count_unless_the_total_is_only_a_hint(bounds: SweepLimits, expected: bool) -> None:
    one, two = sweep(1, [1, 2], [3], totals=9), sweep(2, [1, 2], [3], totals=9)
    assert is_complete(one, two, bounds=bounds)[0] is expected


def test_nobody_is_the_whole_of_an_empty_api() -> None:
    assert is_complete(sweep(1, [], totals=0)) == (True, (1,))


def test_a_page_that_is_not_there_says_nothing_about_the_total() -> None:
    assert is_complete(sweep(1, [1, 2], [], totals=[2, -1])) == (True, (1,))


def test_rows_without_an_id_that_say_the_same_count_once_until_a_second_sweep_finds_them_again() -> None:
    null = key_of(None)
    one, two = sweep(1, [1], [2], totals=4), sweep(2, [1], [2], totals=4)
    with_nulls = [[replace(note, keys=note.keys + null) for note in notes] for notes in (one, two)]
    assert is_complete(with_nulls[0]) == (False, ())
    assert is_complete(*with_nulls) == (True, (2,))
    assert is_complete(with_nulls[0], sweep(2, [2], [1], totals=4)) == (False, ())


def test_a_customer_who_comes_twice_where_another_is_missing_is_never_the_whole() -> None:
    assert is_complete(sweep(1, [1, 2], [2, 3], totals=4), sweep(2, [1, 2], [2, 3], totals=4)) == (False, ())


def test_rows_without_an_id_may_repeat_over_a_border_as_long_as_as_many_came_as_the_api_has() -> None:
    null = key_of(None)
    pages = [replace(note, keys=note.keys + null + null) for note in sweep(1, [1], [2], totals=5)]
    again = [replace(note, sweep=2) for note in pages]
    assert is_complete(pages) == (False, ())
    assert is_complete(pages, again) == (True, (2,))
