"""Reads the whole collection: every page in one sweep, and sweeps until the counts agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.api.checkpoint import Checkpoint, Note, Run
from service.api.client import ApiClient, PageFailed
from service.api.completeness import CHANGED, Complete, Doubt, has_all_customers, judge, rows_of_pages
from service.api.pacing import RunExpired
from service.api.pages import Page
from service.api.rejections import hint_for
from service.api.rows import different_customers
from service.errors import RateLimitedError, TransientError, UpstreamRejectedError

_PASSES = 3
"""Passes of a sweep: the first over all pages, the others over those that failed, each time with all retries."""
_MOST_SWEEPS = 5
_MOST_LOOPS = 10
_RESUMABLE = "run it again: it resumes from here"
Report = Callable[..., object]


@dataclass(frozen=True)
class SweepLimits:
    """What a user set about the reading of a collection."""

    concurrency: int
    """The most requests in progress at the same time."""
    max_pages: int
    total_is_exact: bool
    """Whether fewer customers than the API states are never complete."""


class Incomplete(TransientError):
    """Customers are missing; the pages are kept, and no file is written."""


async def read_collection(
    client: ApiClient, checkpoint: Checkpoint, run: Run, limits: SweepLimits, report: Report
) -> Complete:
    """Read every customer of the collection, as far as its own figures show.

    ``report(event, **counts)`` is called for every page received and every doubt.
    Raises: Incomplete, and what ``ApiClient.page`` raises except PageFailed.
    """
    pages: Mapping[int, bytes] = {}
    for made in range(1, _MOST_SWEEPS + 1):
        sweep = _Sweep(client, checkpoint, run, limits, report)
        run = await sweep.read()
        sweeps = [checkpoint.notes(number) for number in range(run.first_sweep, run.sweep + 1)]
        pages_before, pages = pages, rows_of_pages(sweeps[-1])
        found = judge(sweeps, total_is_exact=limits.total_is_exact, may_have_grown=made > 1)
        if isinstance(found, Complete):
            if not sweep.has_seen_change or pages == pages_before:
                return found  # what contradicts it lies beyond the last page, and does so every time
            found = Doubt(CHANGED, found.customers, found.customers, is_steady=False)
        doubt = found
        report("sweep.doubted", reason=doubt.why, received=doubt.received, total=doubt.total)
        if made < _MOST_SWEEPS:
            run = checkpoint.next_sweep(run, is_fresh=not doubt.is_steady)
    checkpoint.give_up()
    raise Incomplete(
        f"{doubt.why}: {doubt.received} customers were received, the API states {doubt.total}",
        hint="run it again later; if the API's total is never right, set SERVICE_API_TOTAL_IS_EXACT=false",
    )


# ------------------------------------------------------------------------------------------------------- a sweep


@dataclass
class _Received:
    """The pages of this sweep so far, and those of earlier ones that still count."""

    earlier: Sequence[Note] = ()
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

    def is_beyond(self, page: int) -> bool:
        """Whether a page lies beyond the last that the API stated."""
        return bool(self.notes) and page > self.stated_pages

    def hold_all_customers(self) -> bool:
        """Whether these pages hold as many customers as the API states."""
        now = list(self.notes.values())
        return has_all_customers(now) or (bool(self.earlier) and has_all_customers([*self.earlier, *now]))

    def are_complete_without(self, page: Page | Note) -> bool:
        """Whether these pages hold all customers, and a page beyond them has no others and no higher total."""
        if not self.hold_all_customers() or page.total > max(note.total for note in self.notes.values()):
            return False
        held = b"".join(note.keys for note in self.notes.values())
        return different_customers(held + page.keys) == different_customers(held)


@dataclass
class _Failures:
    """The pages of this pass that failed with all retries."""

    reasons: dict[int, str] = field(default_factory=dict)
    in_a_row: int = 0
    loops: int = 0
    """Pairs of pages with the same customers, in the whole sweep."""


class _Sweep:
    """One reading of all pages; those that were received before a crash are not requested again."""

    def __init__(
        self, client: ApiClient, checkpoint: Checkpoint, run: Run, limits: SweepLimits, report: Report
    ) -> None:
        self._client = client
        self._checkpoint = checkpoint
        self._run = run
        self._limits = limits
        self._report = report
        self._received = _Received(self._earlier())
        self._failures = _Failures()
        self._reach = 0
        """The last page requested so far."""
        self._is_at_end = False
        self.has_seen_change = False
        """Whether an answer proves that the list changed while it was read."""

    async def read(self) -> Run:
        """Read the missing pages; returns the run, which starts another sweep if the API changed meanwhile."""
        if self._run.is_resumed:
            await self._resume()
        self._reach = max([1, self._received.stated_pages, *self._received.notes])
        # Not a list: its length is only what the API states.
        missing: Iterable[int] = (page for page in range(1, self._reach + 1) if page not in self._received.notes)
        for _ in range(_PASSES):
            self._failures.reasons = {}
            while missing := missing or self._further():
                await self._fetch(missing)
                missing = ()
            if not self._failures.reasons:
                return self._run
            missing = failed = sorted(self._failures.reasons)
            reasons = Counter(self._failures.reasons.values())
            self._report("pages.failed", pages=len(failed), reasons=dict(reasons))
        if set(reasons) == {"other_page"}:
            # The API answers with other pages, and not with the last one unchanged: the list became shorter or longer.
            self.has_seen_change = True
            return self._run
        raise self._incomplete(f"{len(failed)} pages could not be read ({', '.join(sorted(reasons))})", reasons)

    def _earlier(self) -> list[Note]:
        """The notes of the earlier sweeps that still count."""
        sweeps = range(self._run.first_sweep, self._run.sweep)
        return [note for sweep in sweeps for note in self._checkpoint.notes(sweep)]

    async def _resume(self) -> None:
        """Continue with the stored pages if the last one still matches the server; else start from scratch."""
        before = self._checkpoint.notes(self._run.sweep)
        for note in before:
            self._received.add(note)
        has_room = self._received.stated_pages <= self._limits.max_pages
        if not (has_room and await self._still_matches(before)):
            self._run = self._checkpoint.next_sweep(self._run, is_fresh=True)
            self._received = _Received()

    async def _still_matches(self, before: Sequence[Note]) -> bool:
        """Whether the API still answers with the last stored page. Raises: Incomplete where it does not answer."""
        overlap = next((note for note in reversed(before) if note.keys), before[-1])
        try:
            page = await self._client.page(overlap.page, is_beyond=True)
        except PageFailed as failed:
            why = f"the API does not answer with pages of customers ({failed.reason})"
            raise self._incomplete(why, {failed.reason}) from None
        if (
            page is None
            or page.stated_number != overlap.page
            or (page.keys, page.total) != (overlap.keys, overlap.total)
        ):
            return False
        self._received.add(self._checkpoint.save_page(self._run, page))
        return True

    def _further(self) -> range:
        """The pages to request next: as many as the API states, then the one beyond, until that is empty."""
        reached, last = self._reach, self._received.stated_pages
        if last <= reached:
            end = self._received.notes.get(reached)
            if self._failures.reasons or self._is_at_end or (end is not None and not end.keys):
                return range(0)
            last = reached + 1
        if last > self._limits.max_pages:
            raise self._too_many_pages()
        self._reach = last
        return range(reached + 1, last + 1)

    async def _fetch(self, pages: Iterable[int]) -> None:
        """Request these pages, several at a time."""
        left = iter(pages)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.concurrency):
                    group.create_task(self._work(left))
        except ExceptionGroup as errors:
            # Report when the API allows the next request rather than that the run expired.
            raise min(errors.exceptions, key=lambda error: not isinstance(error, RateLimitedError)) from None

    async def _work(self, pages: Iterator[int]) -> None:
        for number in pages:
            is_beyond = self._received.is_beyond(number)
            is_optional = is_beyond and self._received.hold_all_customers()
            etag = self._checkpoint.etag_of(number, self._limits.max_pages) if self._run.may_use_etags else None
            try:
                page = await self._client.page(number, etag, is_beyond=is_beyond, is_optional=is_optional)
            except PageFailed as failed:
                self._fail(number, failed.reason)
            except (UpstreamRejectedError, RateLimitedError, RunExpired) as error:
                if not self._received.hold_all_customers():
                    raise
                self._end_without(number, error.code)
            else:
                self._take(number, page, is_optional=is_optional)

    def _take(self, number: int, page: Page | None, *, is_optional: bool) -> None:
        if page is not None and page.stated_number != number:
            self._take_clamped(page)
            return
        is_end = page is not None and not page.keys and self._received.is_beyond(number)
        if page is not None and page.total_pages > self._limits.max_pages and not is_end:
            if not is_optional:
                raise self._too_many_pages()
            self._end_without(number, "too_many_pages")
            return
        if page is None:
            note = self._checkpoint.reuse_page(self._run, number)
        else:
            note = self._checkpoint.save_page(self._run, page)
        other = self._received.page_of.get(note.keys, number) if note.keys else number
        if other != number or (is_optional and note.keys and self._received.are_complete_without(note)):
            self._take_repeated(note, other)
            return
        self._failures.in_a_row = 0
        self._received.add(note)
        self._report("page.fetched", page=number, pages=max(note.total_pages, number))

    def _take_clamped(self, page: Page) -> None:
        """Some APIs answer with the last page for any page beyond it: that is the end."""
        is_last = self._received.page_of.get(page.keys) == page.stated_number
        if is_last or (self._received.is_beyond(page.number) and self._received.are_complete_without(page)):
            self._is_at_end = True
        else:
            self._note_failure(page.number, "other_page")

    def _take_repeated(self, note: Note, other: int) -> None:
        """Handle a page without new customers: beyond the last it is the end; before it, neither of two is trusted."""
        if self._received.is_beyond(note.page):
            self._checkpoint.forget(self._run, [note.page])
            self._is_at_end = True
            return
        self._failures.loops += 1
        if self._failures.loops > _MOST_LOOPS:
            raise self._incomplete("pagination loops: different pages hold the same customers")
        self._checkpoint.forget(self._run, [note.page, other])
        self._received.page_of.pop(note.keys)
        self._received.notes.pop(other)
        self._failures.reasons |= {note.page: "repeated_page", other: "repeated_page"}

    def _fail(self, page: int, reason: str) -> None:
        if self._received.hold_all_customers():
            self._end_without(page, reason)
        else:
            self._note_failure(page, reason)

    def _note_failure(self, page: int, reason: str) -> None:
        self._failures.reasons[page] = reason
        self._failures.in_a_row += 1
        if self._failures.in_a_row >= 2 * self._limits.concurrency + 2 or not self._received.notes:
            raise self._incomplete(f"the API does not answer with pages of customers ({reason})", {reason})

    def _end_without(self, page: int, reason: str) -> None:
        """End the sweep without a page that is not needed: every customer has been received."""
        self._is_at_end = True
        self._report("page.abandoned", page=page, reason=reason)

    def _too_many_pages(self) -> Incomplete:
        most = self._limits.max_pages
        return Incomplete(
            f"there are more pages than SERVICE_API_MAX_PAGES ({most})",
            hint="if the API has so many, raise SERVICE_API_MAX_PAGES; else its total_pages is wrong",
        )

    def _incomplete(self, why: str, reasons: Iterable[str] = ()) -> Incomplete:
        kept, hint = len(self._received.notes), hint_for(reasons)
        if kept:
            return Incomplete(
                f"{why}; {kept} pages are kept", hint=f"{hint}; then {_RESUMABLE}" if hint else _RESUMABLE
            )
        usual = "check whether SERVICE_API_URL is the collection of customers; if so, try again later"
        return Incomplete(why, hint=hint or usual)
