"""Reads the whole collection: every page in one sweep, and sweeps until the counts agree.

Paging by number guarantees little: customers move between pages while they are read, pages repeat, totals are
wrong. So a reading is complete only if it agrees with the number of customers that the API states.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from service.api.checkpoint import Checkpoint, Note, Run
from service.api.client import ApiClient, PageFailed
from service.api.pages import Page
from service.api.rows import KEY_BYTES, different_customers
from service.errors import RateLimitedError, TransientError

_PASSES = 3
"""Passes of a sweep: the first over all pages, the others over those that failed, each time with all retries."""
_MOST_SWEEPS = 5
_MOST_LOOPS = 10
_CHANGED = "the API changed while it was read"
_RESUMABLE = "run it again: it resumes from here"


class Incomplete(TransientError):
    """Customers are missing; the pages are kept, and no file is written."""


@dataclass(frozen=True)
class SweepLimits:
    """Limits of a sweep."""

    concurrency: int
    max_pages: int
    total_is_exact: bool


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
    has_unnamed_twins: bool = False
    """Whether equal rows without an id are different customers."""
    warning: str | None = None


async def read_collection(
    client: ApiClient, checkpoint: Checkpoint, run: Run, limits: SweepLimits, report: Callable[..., object]
) -> Complete:
    """Read every customer of the collection, as far as its own figures show.

    ``report(event, **counts)`` is called for every page received and every doubt.
    Raises: Incomplete, and what ``ApiClient.page`` raises except PageFailed.
    """
    for made in range(1, _MOST_SWEEPS + 1):
        sweep = _Sweep(client, checkpoint, run, limits, report)
        run = await sweep.read()
        sweeps = [checkpoint.notes(number) for number in range(run.first_sweep, run.sweep + 1)]
        found = judge(sweeps, limits, may_have_grown=made > 1)
        if isinstance(found, Complete):
            if not sweep.has_seen_change:
                return found
            found = _Doubt(_CHANGED, found.customers, found.customers, is_steady=False)
        doubt = found
        report("sweep.doubted", reason=doubt.why, received=doubt.received, total=doubt.total)
        if made < _MOST_SWEEPS:
            run = checkpoint.next_sweep(run, is_fresh=not doubt.is_steady)
    checkpoint.give_up()
    raise Incomplete(
        f"{doubt.why}: {doubt.received} customers were received, the API states {doubt.total}",
        hint="run it again later; if the API's total is never right, set SERVICE_API_TOTAL_IS_EXACT=false",
    )


# ---------------------------------------------------------------------------------------------- completeness


@dataclass(frozen=True)
class _Doubt:
    """Why a reading is not accepted as complete."""

    why: str
    received: int
    total: int
    is_steady: bool
    """Whether the total did not change, so that what was read still counts."""


def judge(sweeps: Sequence[Sequence[Note]], limits: SweepLimits, *, may_have_grown: bool) -> Complete | _Doubt:
    """Decide whether the sweeps are the whole collection; ``sweeps``: the notes of each, in order of arrival.

    The total must not have changed, and that many different customers must have been received: in the last sweep, or
    in all together. A result that contradicts the total is accepted when two sweeps found exactly the same pages:
    more customers than stated; as many or more, if each row without an id is one, although some are equal; fewer,
    where the total is only a hint.
    ``may_have_grown``: a sweep during which the total only grew is accepted if it ends with the final total; else no
    sweep would ever be accepted while customers keep signing up.
    """
    last = sweeps[-1]
    totals = [note.total for note in last if note.total >= 0]
    total, pages = totals[-1], sum(bool(note.keys) for note in last)
    in_last, in_all = _different(last), _different([note for sweep in sweeps for note in sweep])
    is_steady = len({note.total for sweep in sweeps for note in sweep if note.total >= 0}) == 1
    only_last = Complete((last[0].sweep,), in_last, pages, _rows(last))
    is_confirmed = is_steady and len(sweeps) > 1 and _rows_of_pages(last) == _rows_of_pages(sweeps[-2])
    if len(set(totals)) == 1 and in_last == total:
        return only_last
    if is_steady and in_all == total:
        return Complete(tuple(sweep[0].sweep for sweep in sweeps), in_all, pages, sum(map(_rows, sweeps)))
    with_each_unnamed = _different(last, each_unnamed=True)
    if is_confirmed and with_each_unnamed == total:
        return replace(only_last, customers=total, has_unnamed_twins=True)
    if is_confirmed and (with_each_unnamed > total or (in_last and not limits.total_is_exact)):
        warning = f"the API states {total} customers, but two readings found {in_last}"
        return replace(only_last, is_all=with_each_unnamed > total, warning=warning)
    if may_have_grown and totals == sorted(totals) and in_last == total:
        return replace(only_last, warning=f"the API grew from {totals[0]} to {total} customers while it was read")
    why = "customers are missing" if in_all < total else "the total is too low"
    return _Doubt(why if is_steady else _CHANGED, in_all, total, is_steady)


def _rows(notes: Sequence[Note]) -> int:
    return sum(len(note.keys) for note in notes) // KEY_BYTES


def _rows_of_pages(notes: Sequence[Note]) -> dict[int, bytes]:
    return {note.page: note.keys for note in notes if note.keys}


def _different(notes: Sequence[Note], *, each_unnamed: bool = False) -> int:
    return different_customers(b"".join(note.keys for note in notes), each_unnamed=each_unnamed)


# ------------------------------------------------------------------------------------------------------- a sweep


@dataclass
class _Received:
    """The pages of this sweep so far."""

    notes: dict[int, Note] = field(default_factory=dict)
    page_of: dict[bytes, int] = field(default_factory=dict)
    """Keys of the rows -> the page that has them."""
    stated_pages: int = 0
    """The highest number of pages that the API stated."""

    def add(self, note: Note) -> None:
        """Add a page of this sweep."""
        self.notes[note.page] = note
        if note.keys or not self.stated_pages:  # a page without rows is no evidence of more pages
            self.stated_pages = max(self.stated_pages, note.total_pages)
        if note.keys:
            self.page_of[note.keys] = note.page


@dataclass
class _Failures:
    """The pages of this pass that failed with all retries."""

    reasons: dict[int, str] = field(default_factory=dict)
    in_a_row: int = 0


class _Sweep:
    """One reading of all pages; those that were received before a crash are not requested again."""

    def __init__(
        self, client: ApiClient, checkpoint: Checkpoint, run: Run, limits: SweepLimits, report: Callable[..., object]
    ) -> None:
        self._client = client
        self._checkpoint = checkpoint
        self._run = run
        self._limits = limits
        self._report = report
        self._received = _Received()
        self._failures = _Failures()
        self._loops = 0
        self._reach = 0
        """The last page requested so far."""
        self._is_at_end = False
        self.has_seen_change = False
        """Whether an answer proves that the list changed while it was read."""

    async def read(self) -> Run:
        """Read the missing pages; returns the run, which starts another sweep if the API changed meanwhile."""
        await self._resume()
        self._reach = max([1, self._received.stated_pages, *self._received.notes])
        missing = [page for page in range(1, self._reach + 1) if page not in self._received.notes]
        for _ in range(_PASSES):
            self._failures.reasons = {}
            while missing := missing or self._further():
                await self._fetch(missing)
                missing = []
            if not self._failures.reasons:
                return self._run
            missing = sorted(self._failures.reasons)
            reasons = Counter(self._failures.reasons.values())
            self._report("pages.failed", pages=len(missing), reasons=dict(reasons))
        if set(reasons) == {"other_page"}:
            # The API answers with other pages, and not with the last one unchanged: the list became shorter or longer.
            self.has_seen_change = True
            return self._run
        raise self._incomplete(f"{len(missing)} pages could not be read ({', '.join(sorted(reasons))})")

    async def _resume(self) -> None:
        """Resume only if the last stored page still matches the server; else start from scratch."""
        before = self._checkpoint.notes(self._run.sweep)
        if not self._run.is_resumed:
            return
        overlap = next((note for note in reversed(before) if note.keys), before[-1])
        # With the stored pages in it, a missing or failing page does not end the run.
        self._received.notes = {note.page: note for note in before}
        await self._fetch([overlap.page])
        reason = self._failures.reasons.get(overlap.page, "other_page")
        if reason != "other_page":
            raise self._incomplete(f"the API does not answer with pages of customers ({reason})")
        now = self._received.notes[overlap.page]
        self._received.notes, self._failures.in_a_row = {}, 0
        if self._failures.reasons or (now.keys, now.total) != (overlap.keys, overlap.total):
            self._run = self._checkpoint.next_sweep(self._run, is_fresh=True)
            self._received = _Received()
        else:
            for note in before:
                self._received.add(note)

    def _further(self) -> list[int]:
        """The pages to request next: as many as the API states, then the one beyond, until that is empty."""
        reached, last = self._reach, self._received.stated_pages
        if last <= reached:
            end = self._received.notes.get(reached)
            if self._failures.reasons or self._is_at_end or (end is not None and not end.keys):
                return []
            last = reached + 1
        if last > self._limits.max_pages:
            raise self._incomplete(f"there are more pages than SERVICE_API_MAX_PAGES ({self._limits.max_pages})")
        self._reach = last
        return list(range(reached + 1, last + 1))

    async def _fetch(self, pages: Sequence[int]) -> None:
        """Request these pages, several at a time."""
        left = iter(pages)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._limits.concurrency, len(pages))):
                    group.create_task(self._work(left))
        except ExceptionGroup as errors:
            # Report when the API allows the next request rather than that the run expired.
            raise min(errors.exceptions, key=lambda error: not isinstance(error, RateLimitedError)) from None

    async def _work(self, pages: Iterator[int]) -> None:
        for number in pages:
            is_beyond = bool(self._received.notes) and number > self._received.stated_pages
            try:
                page = await self._client.page(number, self._checkpoint.etag_of(number), is_beyond=is_beyond)
            except PageFailed as failed:
                self._fail(number, failed.reason)
            else:
                self._take(number, page)

    def _take(self, number: int, page: Page | None) -> None:
        if page is not None and page.stated_number != number:
            self._take_clamped(page)
            return
        if page is None:
            note = self._checkpoint.reuse_page(self._run, number)
        else:
            note = self._checkpoint.save_page(self._run, page)
        other = self._received.page_of.get(note.keys, number) if note.keys else number
        if other != number:
            self._take_repeated(note, other)
            return
        self._failures.in_a_row = 0
        self._received.add(note)
        self._report("page.fetched", page=number, pages=max(note.total_pages, number))

    def _take_clamped(self, page: Page) -> None:
        """Some APIs answer with the last page for any page beyond it: that is the end."""
        if self._received.page_of.get(page.keys) == page.stated_number:
            self._is_at_end = True
        else:
            self._fail(page.number, "other_page")

    def _take_repeated(self, note: Note, other: int) -> None:
        """Handle two pages with the same customers: beyond the last it is the end; before it, neither is trusted."""
        if note.page > note.total_pages:
            self._checkpoint.forget(self._run, [note.page])
            self._is_at_end = True
            return
        self._loops += 1
        if self._loops > _MOST_LOOPS:
            raise self._incomplete("pagination loops: different pages hold the same customers")
        self._checkpoint.forget(self._run, [note.page, other])
        self._received.page_of.pop(note.keys)
        self._received.notes.pop(other)
        self._failures.reasons |= {note.page: "repeated_page", other: "repeated_page"}

    def _fail(self, page: int, reason: str) -> None:
        self._failures.reasons[page] = reason
        self._failures.in_a_row += 1
        if self._failures.in_a_row >= 2 * self._limits.concurrency + 2 or not self._received.notes:
            raise self._incomplete(f"the API does not answer with pages of customers ({reason})")

    def _incomplete(self, why: str) -> Incomplete:
        kept = len(self._received.notes)
        if not kept:
            return Incomplete(
                why, hint="check whether SERVICE_API_URL is the collection of customers; if so, try again later"
            )
        return Incomplete(f"{why}; {kept} pages are kept", hint=_RESUMABLE)
