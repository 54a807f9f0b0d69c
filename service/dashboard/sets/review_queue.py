"""The review queue of a set: which pairs of records are asked about, which are answered, and any row of it at once.

The file is scanned once for each set; what is kept of it are a few numbers for each row. Decisions know records by
their keys, so each row has the hashes of the keys of its two records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from service.dashboard.sets.scanned_rows import CsvShape, DamagedSet, cells_of, damage_named, row_blocks
from service.decisions import Decision, DecisionKind
from service.decisions.contradictions import Consistent
from service.engine.contract import PARQUET
from service.explanation.records import RecordName
from service.files import open_file
from service.folders import REVIEW_QUEUE_FILE
from service.masters.customer_sets import CustomerSet, CustomerSets
from service.pipeline.load import REVIEW_QUEUE

MOST_QUESTIONS = 200_000
"""Of a set; those behind gain least, and are left to a later set."""
_SHAPE = CsvShape(REVIEW_QUEUE, ("left_source",))
_LOOKED_UP = f"""
    select source, source_id, arg_min(file_row_number, ordinal), arg_min(record_key, ordinal)
    from {PARQUET} where source_id in (select unnest(?::varchar[])) group by source, source_id
"""

Numbers = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class QueueRow:
    """A row of the file."""

    left: RecordName
    right: RecordName
    weight: float
    evidence: str
    against: str


@dataclass(frozen=True)
class ReviewQueue:
    """What is kept of the file; a question is named by its position, from 1.

    starts    where each row begins, and where the last one ends
    records   for each row the positions of both records in ``records.parquet``
    keys      for each row the hashes of the keys of both
    patterns  for each row the number of its evidence and what is against it
    """

    path: Path
    starts: Numbers
    records: Numbers
    keys: _Hashes
    patterns: Numbers
    is_whole: bool
    """Whether the file has no more questions than these."""

    @property
    def count(self) -> int:
        """How many questions there are."""
        return len(self.patterns)

    def rows(self, positions: Iterable[int]) -> list[QueueRow]:
        """The rows at these positions. Raises: DamagedSet."""
        with damage_named(self.path), open_file(self.path) as file:
            return [self._row(file, position) for position in positions]

    def _row(self, file: BinaryIO, position: int) -> QueueRow:
        begin, end = self.starts[position - 1 : position + 1].tolist()
        file.seek(begin)
        return _row(file.read(end - begin))

    def alike(self, position: int) -> Numbers:
        """The positions of all questions with the evidence of this one, and the same against it, ascending."""
        found: Numbers = np.flatnonzero(self.patterns == self.patterns[position - 1]) + 1
        return found


class Standing:
    """What decisions in force say about the questions of a queue, by themselves or together."""

    def __init__(self, queue: ReviewQueue, decisions: Sequence[Decision]) -> None:
        self._queue = queue
        self._decisions = decisions
        self._consistent = Consistent(decisions)
        self._key_of = {_hash_of(key): key for decision in decisions for key in decision.keys}
        known = np.isin(queue.keys, np.array(list(self._key_of), np.uint64)).all(axis=1)
        self._is_open = np.ones(queue.count, bool)
        for row in np.flatnonzero(known).tolist():
            self._is_open[row] = self.said(row + 1) is None

    def said(self, position: int) -> DecisionKind | None:
        """The answer to a question; None where it is open."""
        keys = self._keys(position)
        return None if keys is None else self._consistent.said(keys)

    def decision(self, position: int) -> Decision | None:
        """The last decision about the pair itself; None where its answer follows from others, or it is open."""
        keys = self._keys(position)
        return next((it for it in reversed(self._decisions) if it.keys == keys), None)

    def _keys(self, position: int) -> tuple[str, str] | None:
        found = [self._key_of.get(it) for it in self._queue.keys[position - 1].tolist()]
        left, right = found
        return None if left is None or right is None else (min(left, right), max(left, right))

    @property
    def open_count(self) -> int:
        """How many questions are open."""
        return int(self._is_open.sum())

    def open_among(self, positions: Numbers) -> Numbers:
        """Those of the positions whose questions are open."""
        return positions[self._is_open[positions - 1]]

    def next_open(self, behind: int = 0) -> int | None:
        """The first open question behind a position, else the first of all; None where none is open."""
        found = np.flatnonzero(self._is_open)
        if not len(found):
            return None
        at = int(np.searchsorted(found, behind))
        return int(found[at if at < len(found) else 0]) + 1

    def position_of(self, decision: Decision) -> int | None:
        """The question about the pair of a decision; None where the queue does not ask it."""
        wanted = np.array([_hash_of(key) for key in decision.keys], np.uint64)
        rows = np.flatnonzero(np.isin(self._queue.keys, wanted).all(axis=1))
        return int(rows[0]) + 1 if len(rows) else None


def queue_of(sets: CustomerSets, of: CustomerSet) -> ReviewQueue:
    """The queue of a set that has one. Raises: ChangedSet, DamagedSet, OSError."""
    path = sets.review_queue(of)
    return sets.figure(of, "review queue", lambda: _scanned(sets, of, path))


def _scanned(sets: CustomerSets, of: CustomerSet, path: Path) -> ReviewQueue:
    scan = _Scan(sets, sets.records(of))
    with damage_named(path), open_file(path) as file:
        for begin, rows in row_blocks(file, _SHAPE):
            scan.take(begin, rows)
            if not scan.is_whole:
                break
    return scan.queue(path)


class _Scan:
    """What is kept of the rows so far."""

    def __init__(self, sets: CustomerSets, records: str) -> None:
        self._sets = sets
        self._records_path = records
        self._starts: list[int] = []
        self._end = 0
        self._numbers: list[int] = []
        self._pattern_numbers: dict[tuple[str, str], int] = {}
        self._records: list[Numbers] = []
        self._keys: list[_Hashes] = []
        self.is_whole = True

    def take(self, begin: int, rows: Sequence[bytes]) -> None:
        """Add rows, the first of which begins at ``begin``; those behind the last that is kept are left out."""
        kept = rows[: MOST_QUESTIONS - len(self._numbers)]
        self.is_whole = len(kept) == len(rows)
        *starts, self._end = accumulate(map(len, kept), initial=begin)
        self._starts += starts
        read = list(map(_row, kept))
        for it in read:
            self._numbers.append(
                self._pattern_numbers.setdefault((it.evidence, it.against), len(self._pattern_numbers))
            )
        known = self._looked_up({name for it in read for name in (it.left, it.right)})
        pairs = [(known[it.left], known[it.right]) for it in read]
        self._records.append(np.array([[it[0] for it in pair] for pair in pairs], np.int64).reshape(-1, 2))
        self._keys.append(np.array([[it[1] for it in pair] for pair in pairs], np.uint64).reshape(-1, 2))

    def _looked_up(self, names: set[RecordName]) -> dict[RecordName, tuple[int, int]]:
        """Position and hash of the key of each record; of several rows with its id the first counts."""
        ids = sorted({name.source_id for name in names})
        found = {
            RecordName(source=source, source_id=source_id): (position, _hash_of(key))
            for source, source_id, position, key in self._sets.rows(_LOOKED_UP, self._records_path, ids)
        }
        if not names <= found.keys():
            raise DamagedSet(f"{REVIEW_QUEUE_FILE} names a record that the set does not have")
        return found

    def queue(self, path: Path) -> ReviewQueue:
        """What was taken."""
        return ReviewQueue(
            path=path,
            starts=np.array([*self._starts, self._end], np.int64),
            records=np.concatenate(self._records or [np.empty((0, 2), np.int64)]),
            keys=np.concatenate(self._keys or [np.empty((0, 2), np.uint64)]),
            patterns=np.array(self._numbers, np.int64),
            is_whole=self.is_whole,
        )


def _row(row: bytes) -> QueueRow:
    """Raises: DamagedSet where it is no row of the file."""
    try:
        left_source, left_id, right_source, right_id, weight, evidence, against = cells_of(row)[: len(REVIEW_QUEUE)]
        return QueueRow(
            RecordName(source=left_source, source_id=left_id),
            RecordName(source=right_source, source_id=right_id),
            float(weight),
            evidence,
            against,
        )
    except ValueError:
        raise DamagedSet(f"{REVIEW_QUEUE_FILE} is damaged: it is not as it was written") from None


def _hash_of(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
