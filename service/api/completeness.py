"""The judgement whether the pages received are the whole collection.

Paging by number guarantees little: customers move between pages while they are read, pages repeat, totals are
wrong. So a reading is complete only if it agrees with the number of customers that the API states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.api.checkpoint import Note
from service.api.rows import KEY_BYTES, different_customers

CHANGED = "the API changed while it was read"


@dataclass(frozen=True)
class Complete:
    """A collection that was read completely."""

    sweeps: tuple[int, ...]
    """The sweeps whose rows make up the collection."""
    customers: int
    pages: int
    rows: int
    """More than customers where some were received twice."""
    is_all: bool = True
    """False where the API states a higher total."""
    counts_equal_rows: bool = False
    """Whether equal rows without an id are different customers."""
    warning: str | None = None


@dataclass(frozen=True)
class Doubt:
    """Why a reading is not accepted as complete."""

    why: str
    received: int
    total: int
    is_steady: bool
    """Whether the total did not change, so that what was read still counts."""


def judge(sweeps: Sequence[Sequence[Note]], *, total_is_exact: bool, may_have_grown: bool) -> Complete | Doubt:
    """Decide whether the sweeps are the whole collection; ``sweeps``: the notes of each, in order of arrival.

    The total must not have changed, and that many different customers must have been received: in the last sweep, or
    in all together. A result that contradicts the total is accepted when two sweeps found exactly the same pages:
    more customers than stated; as many or more, if each row without an id is one, although some are equal; fewer,
    where the total is only a hint (not ``total_is_exact``).
    ``may_have_grown``: a sweep during which the total only grew is accepted if it ends with the final total; else no
    sweep would ever be accepted while customers keep signing up.
    """
    sweeps = [_without_totals_beyond(sweep, before) for sweep, before in zip(sweeps, [(), *sweeps[:-1]], strict=True)]
    last = sweeps[-1]
    totals = [note.total for note in last if note.total >= 0]
    total, pages = totals[-1], sum(bool(note.keys) for note in last)
    in_last, in_all = _different(last), _different([note for sweep in sweeps for note in sweep])
    is_steady = len({note.total for sweep in sweeps for note in sweep if note.total >= 0}) == 1
    only_last = Complete((last[0].sweep,), in_last, pages, _rows(last))
    is_confirmed = is_steady and len(sweeps) > 1 and rows_of_pages(last) == rows_of_pages(sweeps[-2])
    if len(set(totals)) == 1 and in_last == total:
        return only_last
    if is_steady and in_all == total:
        return Complete(tuple(sweep[0].sweep for sweep in sweeps), in_all, pages, sum(map(_rows, sweeps)))
    with_each_row = _different(last, each_without_id=True)
    if is_confirmed and with_each_row == total:
        return replace(only_last, customers=total, counts_equal_rows=True)
    if is_confirmed and (with_each_row > total or (in_last and not total_is_exact)):
        warning = f"the API states {total} customers, but two readings found {in_last}"
        return replace(only_last, is_all=with_each_row > total, warning=warning)
    if may_have_grown and totals == sorted(totals) and in_last == total:
        return replace(only_last, warning=f"the API grew from {totals[0]} to {total} customers while it was read")
    why = "customers are missing" if in_all < total else "the total is too low"
    return Doubt(why if is_steady else CHANGED, in_all, total, is_steady)


def has_all_customers(notes: Sequence[Note]) -> bool:
    """Whether pages hold as many different customers as the API states, the same number on each of them.

    Then no other page can be missing, whatever the API answers when one is requested.
    """
    with_rows = [note for note in notes if note.keys]
    totals = {note.total for note in with_rows or notes if note.total >= 0}
    if len(totals) != 1 or _rows(notes) < max(totals):
        return False
    return totals <= {_different(notes), _different(notes, each_without_id=True)}


def _without_totals_beyond(notes: Sequence[Note], before: Sequence[Note]) -> list[Note]:
    """The notes of a sweep; if its pages up to the stated last have all customers, totals beyond do not count.

    A higher total there shows that customers joined meanwhile, unless the sweep before has seen the same one.
    """
    last = max((note.total_pages for note in notes if note.page == 1), default=0)
    whole = [note for note in notes if note.page <= last]
    if not any(note.keys for note in whole) or not has_all_customers(whole):
        return list(notes)
    total = max(note.total for note in whole if note.keys)
    known = {note.total for note in before if note.page > last}
    return [
        replace(note, total=-1) if note.page > last and (note.total <= total or note.total in known) else note
        for note in notes
    ]


def _rows(notes: Sequence[Note]) -> int:
    return sum(len(note.keys) for note in notes) // KEY_BYTES


def rows_of_pages(notes: Sequence[Note]) -> dict[int, bytes]:
    """Page -> the keys of its rows, for pages with rows."""
    return {note.page: note.keys for note in notes if note.keys}


def _different(notes: Sequence[Note], *, each_without_id: bool = False) -> int:
    return different_customers(b"".join(note.keys for note in notes), each_without_id=each_without_id)
