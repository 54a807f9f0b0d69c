"""Progress of the batch in work: which stage of how many, and how many of its rows are done.

The stages move a ``Meter``. A ``Reporter`` reads it from a thread of its own, for health, the log and the command line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from service import logs

T = TypeVar("T")

SHOW_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
"""Between two of them, at least: stages that are over at once are not shown."""
LOG_SECONDS = 5.0
"""A batch that takes longer is logged this often."""


@dataclass(frozen=True)
class Reading:
    """How far a batch has come."""

    stage: str
    stage_number: int
    """From 1."""
    stage_count: int
    rows_done: int
    rows_in_all: int
    """Of the stage. While exports are read it is an estimate from their first rows."""
    rows_per_second: int
    """On average since the stage began."""
    still_seconds: float
    """Since ``rows_done`` last rose."""


class _Stage(NamedTuple):
    name: str
    number: int
    rows: int
    began: float


class _Part(NamedTuple):
    """A part of a stage: it begins and ends at a share of the stage, from 0 to 1."""

    stage: _Stage
    begin: float
    end: float
    steps: int
    """The gauge rises by so much from its beginning to its end; 0: it consists of parts only."""
    reached: float
    """The share of the stage that was done when the gauge stood at ``gauge``."""
    gauge: float

    def at(self, gauge: float) -> float:
        """The share of the stage that is done when the gauge stands there."""
        risen = (gauge - self.gauge) / self.steps if self.steps else 0.0
        return min(self.reached + max(risen, 0.0) * (self.end - self.begin), self.end)


class Meter:
    """The position of one batch, moved by the thread that works on it and read by others."""

    def __init__(self, stages: Mapping[str, int] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """``stages`` maps each stage, in order, to the steps that it takes; see ``Job.stages``."""
        self.clock = clock
        self.on_begin: Callable[[Reading | None], None] = lambda ended: None
        """Called when a stage begins, with the last reading of the one before it."""
        self._stages = stages or {}
        self._part: _Part | None = None
        self._gauge_of_engine: Callable[[], float] | None = None
        self._engine_lock = threading.Lock()
        self._counted = 0.0
        self._risen: tuple[_Stage | None, int, float] = (None, 0, 0.0)

    # ------------------------------------------------------------------------------- by the thread that works

    def begin(self, stage: str, rows: int) -> None:
        """The stage begins; it has so many rows in all."""
        ended = self._completed()
        number = list(self._stages).index(stage) + 1 if stage in self._stages else 1
        begun = _Stage(stage, number, rows, self.clock())
        self._part = _Part(begun, 0.0, 1.0, self._stages.get(stage, 0), 0.0, self._gauge())
        self.on_begin(ended)

    def correct(self, rows: int) -> None:
        """The stage has so many rows after all; until now they were estimated."""
        if self._part is not None:
            self._part = self._part._replace(stage=self._part.stage._replace(rows=rows))

    @contextmanager
    def part(self, share: float, steps: int = 1) -> Iterator[None]:
        """The block is this share of the part around it (the outermost is the stage), and takes so many steps."""
        outer = self._part
        if outer is None:
            yield
            return
        gauge = self._gauge()
        begin = outer.at(gauge)
        end = min(begin + share * (outer.end - outer.begin), outer.end)
        inner = self._part = _Part(outer.stage, begin, end, steps, begin, gauge)
        is_done = False
        try:
            yield
            is_done = True
        finally:
            gauge = self._gauge()
            self._part = outer._replace(reached=end if is_done else inner.at(gauge), gauge=gauge)

    def counted(self, items: Iterable[T], expected: int) -> Iterator[T]:
        """The items; together they are one step if there are as many as expected."""
        one = 1 / max(expected, 1)
        for item in items:
            yield item
            self._counted += one

    @contextmanager
    def following(self, gauge: Callable[[], float]) -> Iterator[None]:
        """Until the block ends, the steps of an engine count; the gauge is not called after it."""
        self._gauge_of_engine = gauge
        try:
            yield
        finally:
            with self._engine_lock:
                self._gauge_of_engine = None

    def _completed(self) -> Reading | None:
        """The position at the end of the stage; None before the first."""
        part = self._part
        return None if part is None else self._reading(part.stage, part.stage.rows, self.clock(), 0.0)

    def _gauge(self) -> float:
        with self._engine_lock:
            return self._counted + (self._gauge_of_engine() if self._gauge_of_engine is not None else 0.0)

    # ---------------------------------------------------------------------------------------- by any thread

    def read(self) -> Reading | None:
        """The position now; None before the first stage. Within a stage ``rows_done`` never falls."""
        part = self._part
        if part is None:
            return None
        stage, now = part.stage, self.clock()
        done = round(part.at(self._gauge()) * stage.rows)
        of_stage, most, since = self._risen
        if of_stage is not stage or done > most:
            most, since = done, now
            self._risen = stage, most, since
        return self._reading(stage, most, now, now - since)

    def _reading(self, stage: _Stage, done: int, now: float, still_seconds: float) -> Reading:
        seconds = now - stage.began
        return Reading(
            stage=stage.name,
            stage_number=stage.number,
            stage_count=max(len(self._stages), 1),
            rows_done=done,
            rows_in_all=stage.rows,
            rows_per_second=round(done / seconds) if seconds > 0 else 0,
            still_seconds=still_seconds,
        )


class Reporter:
    """Reports a meter until the block ends: soon after a stage began and every second to ``show``, and to the log.

    A batch that takes long is logged every ``LOG_SECONDS``, and at the end of each stage that was logged.
    """

    def __init__(self, meter: Meter, batch_id: str, show: Callable[[Reading], None]) -> None:
        self._meter = meter
        self._batch_id = batch_id
        self._show = show
        self._one_at_a_time = threading.Lock()
        self._has_ended = threading.Event()
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._report_often, name="progress", daemon=True)
        self._logged: str | None = None
        self._log_at = meter.clock() + LOG_SECONDS

    def __enter__(self) -> None:
        self._meter.on_begin = self._report_begin
        with suppress(RuntimeError):  # the system gives no more threads: each stage that begins is still shown
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._has_begun.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _report_often(self) -> None:
        while not self._has_ended.wait(_PAUSE_SECONDS):
            self._has_begun.wait(self._wait_seconds())
            self._has_begun.clear()
            if not self._has_ended.is_set():
                with self._one_at_a_time:
                    self._report()

    def _wait_seconds(self) -> float:
        until_log = self._log_at - self._meter.clock()
        return min(SHOW_SECONDS, until_log) if until_log > 0 else SHOW_SECONDS

    def _report_begin(self, ended: Reading | None) -> None:
        if ended is not None and ended.stage == self._logged:
            with self._one_at_a_time:
                self._log(ended)
        if self._thread.is_alive():
            self._has_begun.set()  # the batch need not wait until it is written
        else:
            self._report()

    def _report(self) -> None:
        reading = self._meter.read()
        if reading is not None:
            self._show(reading)
            if self._meter.clock() >= self._log_at:
                self._log(reading)

    def _log(self, reading: Reading) -> None:
        self._logged = reading.stage
        self._log_at = self._meter.clock() + LOG_SECONDS
        logs.get().info(
            "batch.progressed",
            batch_id=self._batch_id,
            stage=reading.stage,
            stage_number=reading.stage_number,
            stage_count=reading.stage_count,
            rows_done=reading.rows_done,
            rows_in_all=reading.rows_in_all,
            rows_per_second=reading.rows_per_second,
        )
