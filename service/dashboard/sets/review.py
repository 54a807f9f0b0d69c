"""The review of the newest set: its queue, and what the decisions in force answer of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from service.commands import command
from service.dashboard.sets.review_queue import Numbers, QueueRow, ReviewQueue, Standing, queue_of
from service.dashboard.sets.scanned_rows import DamagedSet
from service.dashboard.site import Site
from service.decisions import Decision, DecisionStore
from service.errors import UsageError
from service.explanation.records import is_weighed
from service.masters.customer_sets import ChangedSet, CustomerSet
from service.masters.missing import MissingThing


@dataclass(frozen=True)
class Review:
    """The questions of a set, and the decisions in force when they were read."""

    site: Site
    of: CustomerSet
    queue: ReviewQueue
    decisions: tuple[Decision, ...]

    @cached_property
    def standing(self) -> Standing:
        """What is answered."""
        return Standing(self.queue, self.decisions)

    def again(self) -> Review:
        """The same questions, with the decisions that are in force now."""
        return replace(self, decisions=_in_force(self.site))

    def rows(self, positions: Iterable[int]) -> list[QueueRow]:
        """The questions at these positions. Raises: ChangedSet."""
        with _damage_as_change():
            return self.queue.rows(positions)

    def open_alike(self, position: int) -> Numbers:
        """The positions of the open questions with the evidence of this one, and the same against it."""
        return self.standing.open_among(self.queue.alike(position))

    def checked(self, position: int) -> int:
        """The position. Raises: MissingThing where the queue has no such question."""
        if position > self.queue.count:
            raise MissingThing(
                f"the set asks no question {position}", f"the last one is question {self.queue.count}: see /review"
            )
        return position


def seen_of(positions: Numbers) -> str:
    """A name of these questions, by which an answer shows that it is to the list that was seen."""
    return f"{len(positions)}-{hashlib.sha256(positions.tobytes()).hexdigest()[:16]}"


def review_of(site: Site, of: CustomerSet) -> Review | None:
    """The review of a set; None where weighed evidence did not make it. Raises: ChangedSet, OSError."""
    if not is_weighed(of):
        return None
    with _damage_as_change():
        queue = queue_of(site.customer_sets, of)
    return Review(site, of, queue, _in_force(site))


def newest_review(site: Site) -> Review | None:
    """The review of the newest set; None where there is none. Raises: ChangedSet, OSError."""
    of = site.customer_sets.find()
    return None if of is None or of.shown.obstacle else review_of(site, of)


def _in_force(site: Site) -> tuple[Decision, ...]:
    return tuple(DecisionStore(site.settings.state).in_force())


def review_asked_by(site: Site, batch_id: str) -> Review:
    """The review that a form was made for, which must be that of the newest set.

    Raises: MissingThing where there is nothing to review; UsageError where a newer set was published.
    """
    review = newest_review(site)
    if review is None:
        raise MissingThing("there is nothing to review", "see /review, which says why")
    if review.of.batch_id != batch_id:
        raise UsageError(
            f"nothing was done: the newest set is that of batch {review.of.batch_id}, and its questions are others",
            hint="open Review again, and answer the questions of that set",
        )
    return review


@contextmanager
def _damage_as_change() -> Iterator[None]:
    try:
        yield
    except DamagedSet as error:
        raise ChangedSet(str(error), hint=f"`{command('verify')}` says what was changed") from None
