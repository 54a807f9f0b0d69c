"""The history of an id: what the log of identities says of it, and which live customer it stands for."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from service import unified_ids
from service.engine import open_reader
from service.engine.contract import Reader
from service.errors import UsageError
from service.register.identity_log import IdentityLog, LoggedBatch

IdentityChange = Literal["known", "created", "revived", "retired", "grew", "shrank", "split", "moved", "merged"]
"""In the order in which those of one batch are listed."""
_RANK = {change: rank for rank, change in enumerate(get_args(IdentityChange))}
_EVENTS = (
    "select filename, customer, event, other, moved, before, after"
    " from read_parquet(?, hive_partitioning=false, filename=true) where {}"
)
_OWN, _OF_OTHERS = _EVENTS.format("customer = ?"), _EVENTS.format("other = ? and event <> 'known'")


@dataclass(frozen=True)
class IdentityEvent:
    """What happened to a customer in a batch.

    ``merged``: it became an alias of ``other``. ``split``: a part of it became a customer of its own, ``other``.
    ``moved``: a part of it went to ``other``, which was there before. ``known``: it was there when the log began; an
    alias has ``other``, too.
    """

    batch_id: str
    unified_id: str
    change: IdentityChange
    other: str | None
    moved: int | None
    """How many records went to ``other``."""
    before: int
    after: int
    """How many records it had before the batch and after it."""


@dataclass(frozen=True)
class IdentityHistory:
    """All that the log says of an id, up to a batch."""

    unified_id: str
    as_of: str
    """The last batch that counts."""
    events: tuple[IdentityEvent, ...]
    """Those of the id, and those of others whose records came to it; the oldest first."""
    chain: tuple[str, ...]
    """The id, and the customers that it was merged into, one after the other; the last one is no alias."""
    is_live: bool
    """Whether the last one has records."""

    @property
    def stands_for(self) -> str | None:
        """The live customer that the id stands for; None where that one is retired."""
        return self.chain[-1] if self.is_live else None


def history_of(unified_id: str, state: Path, as_of: str | None = None, reader: Reader | None = None) -> IdentityHistory:
    """What happened to an id, up to the batch ``as_of``; None: up to the last one.

    ``reader``: one that may read ``IdentityLog(state).folder``; None: one is opened.

    Raises: UsageError for an id or a batch that the log does not have; TransientError, OSError.
    """
    number = _number_of(unified_id)
    log = IdentityLog(state)
    batches = _batches_until(as_of, log)
    with ExitStack() as opened:
        events = _Events(batches, reader or opened.enter_context(open_reader([log.folder])))
        own = events.own(number)
        chain, is_live = _resolved(number, own, events)
        ordered = sorted([*own, *events.of_others(number)], key=lambda it: _order(it, unified_ids.unified_id(number)))
    return IdentityHistory(
        unified_id=unified_ids.unified_id(number),
        as_of=batches[-1].batch_id,
        events=tuple(it.event for it in ordered),
        chain=tuple(map(unified_ids.unified_id, chain)),
        is_live=is_live,
    )


def _number_of(typed: str) -> int:
    number = unified_ids.number_in(typed)
    if number is None:
        # It is not quoted: a user may have given a name or an address.
        raise UsageError("this is no unified id", hint="give one as in the master, such as CUST042")
    return number


def _batches_until(as_of: str | None, log: IdentityLog) -> list[LoggedBatch]:
    """The batches that count. Raises: UsageError where there is none, or the log does not have the last one."""
    batches = log.batches()
    if not batches:
        raise UsageError("no batch is in the log of identities yet", where=str(log.folder), hint="publish one first")
    last = next((it for it in reversed(batches) if as_of in (None, it.batch_id)), None)
    if last is None:
        raise UsageError(
            f"batch {as_of} is not in the log of identities",
            where=str(log.folder),
            hint=f"the first one is {batches[0].batch_id}, the last one {batches[-1].batch_id}",
        )
    return [it for it in batches if it.position <= last.position]


class _Placed(NamedTuple):
    """An event, and the position of its batch in the log."""

    position: int
    event: IdentityEvent


class _Events:
    """The events of some batches."""

    def __init__(self, batches: list[LoggedBatch], reader: Reader) -> None:
        self._batches = {str(it.path): it for it in batches}
        self._reader = reader

    @property
    def last_id(self) -> str:
        """The last of the batches."""
        return max(self._batches.values(), key=lambda it: it.position).batch_id

    def own(self, number: int) -> list[_Placed]:
        """What happened to a customer."""
        return self._rows(_OWN, number)

    def of_others(self, number: int) -> list[_Placed]:
        """What happened to others whose records came to a customer."""
        return self._rows(_OF_OTHERS, number)

    def _rows(self, sql: str, number: int) -> list[_Placed]:
        found: list[_Placed] = []
        for path, customer, change, other, *counts in self._reader.rows(sql, list(self._batches), number):
            batch, into = self._batches[path], None if other is None else unified_ids.unified_id(other)
            event = IdentityEvent(batch.batch_id, unified_ids.unified_id(customer), change, into, *counts)
            found.append(_Placed(batch.position, event))
        return found


def _order(placed: _Placed, own: str) -> tuple[int, bool, int, str, str]:
    """The order of events: by batch, those of the id itself first."""
    position, event = placed
    return position, event.unified_id != own, _RANK[event.change], event.unified_id, event.other or ""


def _resolved(number: int, own: list[_Placed], events: _Events) -> tuple[list[int], bool]:
    """The chain of an id, and whether its end is live; see ``IdentityHistory``. Raises: UsageError for unknown ids."""
    chain = [number]
    while True:
        if not own:
            raise UsageError(
                f"there is no customer {unified_ids.unified_id(chain[-1])} after batch {events.last_id}",
                hint="crosswalk.csv in a set lists its ids",
            )
        last = max(own, key=lambda it: _order(it, unified_ids.unified_id(chain[-1]))).event
        if last.change not in ("merged", "known") or last.other is None:
            return chain, last.after > 0
        into = _number_of(last.other)
        if into in chain:
            raise UsageError(
                f"the aliases of {unified_ids.unified_id(number)} run in a circle",
                hint="restore the state from a backup",
            )
        chain.append(into)
        own = events.own(into)
