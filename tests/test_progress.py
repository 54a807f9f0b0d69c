"""A batch shows how far it has come: in health, as a log event every five seconds, and on the command line's bar."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog

from benchmarks.generate import write_pair
from service import logs, progress
from service.documents import Claim
from service.errors import Interrupted
from service.inbox import Inbox
from service.job_name import JobName
from service.jobs import JOBS
from service.jobs.integration import STEPS_OF_COMPARISON
from service.model import CRM as CRM_SOURCE
from service.model import Batch
from service.progress import Meter, Reading, Reporter
from service.readers.row_estimate import estimated_rows
from service.register import Register
from service.watch import attempts
from tests import sizes
from tests.small_batches import delivered_file, small_engine
from tests.worlds import CRM, ROOT, House, Works, failing, slowness, wait_until

RECORDS = sizes.PROGRESS_RECORDS
LOG_SECONDS = 0.1


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """The real structured log, for the length of a test."""
    logs.configure()
    yield
    structlog.reset_defaults()


class Gauge:
    """An engine of which only the number of its steps is known, and a clock."""

    def __init__(self) -> None:
        self.steps = 0.0
        self.seconds = 0.0

    def meter(self, **stages: int) -> Meter:
        """A meter that follows both, for ever."""
        meter = Meter(stages, clock=lambda: self.seconds)
        self._followed = meter.following(lambda: self.steps)  # kept: the meter follows while this lives
        self._followed.__enter__()
        return meter


def done(meter: Meter) -> int:
    """The rows done now."""
    reading = meter.read()
    assert reading is not None
    return reading.rows_done


# ----------------------------------------------------------------------------------------------------- the meter


def test_before_the_first_stage_there_is_nothing_to_read() -> None:
    assert Meter({"extract": 1}).read() is None


def test_a_stage_rises_with_the_steps_of_the_engine_and_never_beyond_its_rows() -> None:
    engine = Gauge()
    meter = engine.meter(extract=1, load=4)
    engine.steps = 7
    meter.begin("load", 1000)
    rows = []
    for steps in (7, 7.5, 8, 7.9, 10.2, 11, 12, 90):
        engine.steps = steps
        rows.append(done(meter))
    assert rows == [0, 125, 250, 250, 800, 1000, 1000, 1000]


def test_a_reading_names_the_stage_its_number_and_the_rate_since_it_began() -> None:
    engine = Gauge()
    meter = engine.meter(extract=1, load=4)
    engine.seconds = 100
    meter.begin("load", 1000)
    engine.seconds, engine.steps = 102, 2
    assert meter.read() == Reading("load", 2, 2, 500, 1000, 250, still_seconds=0)
    engine.seconds = 105
    assert meter.read() == Reading("load", 2, 2, 500, 1000, 100, still_seconds=3)
    meter.begin("extract", 10)
    assert meter.read() == Reading("extract", 1, 2, 0, 10, 0, still_seconds=0)


def test_parts_of_a_stage_rise_one_after_the_other_each_by_its_share() -> None:
    engine = Gauge()
    meter = engine.meter(extract=0)
    meter.begin("extract", 1000)
    rows = []
    with meter.part(0.5, steps=2):
        engine.steps += 1
        rows.append(done(meter))
        with meter.part(0.5):
            engine.steps += 0.4
            rows.append(done(meter))
            engine.steps += 50
            rows.append(done(meter))
        rows.append(done(meter))
    rows.append(done(meter))
    engine.steps += 3  # between the parts
    rows.append(done(meter))
    with meter.part(0.4):
        pass
    rows.append(done(meter))
    assert rows == [250, 350, 500, 500, 500, 500, 900]


def test_what_failed_may_be_done_in_another_way_from_where_it_stopped() -> None:
    engine = Gauge()
    meter = engine.meter(extract=0)
    meter.begin("extract", 1000)
    with meter.part(0.5):
        with pytest.raises(ValueError, match="not plain"), meter.part(1.0):
            engine.steps += 0.4
            raise ValueError("not plain")
        assert done(meter) == 200
        with meter.part(1.0):
            engine.steps += 0.5
            assert done(meter) == 350
        assert done(meter) == 500


def test_items_that_are_counted_are_one_step() -> None:
    meter = Gauge().meter(extract=0)
    meter.begin("extract", 1000)
    rows = []
    with meter.part(0.1):
        for _ in meter.counted(range(4), expected=4):
            rows.append(done(meter))
    assert [*rows, done(meter)] == [0, 25, 50, 75, 100]


def test_parts_outside_a_stage_do_nothing() -> None:
    meter = Meter()
    with meter.part(0.5):
        assert list(meter.counted("abc", expected=0)) == ["a", "b", "c"]
    assert meter.read() is None


def test_the_number_of_rows_may_turn_out_to_be_another() -> None:
    meter = Gauge().meter(extract=0, load=1)
    ended: list[Reading | None] = []
    meter.on_begin = ended.append
    meter.begin("extract", 1000)
    meter.correct(900)
    meter.begin("load", 900)
    assert [reading and (reading.stage, reading.rows_done, reading.rows_in_all) for reading in ended] == [
        None,
        ("extract", 900, 900),
    ]


def test_a_closed_engine_is_not_asked_any_more() -> None:
    meter = Meter({"load": 1})
    with meter.following(lambda: 3.0):
        meter.begin("load", 10)
    assert done(meter) == 0


# -------------------------------------------------------------------------------------------- the engine's steps


@pytest.mark.large
def test_a_statement_shows_how_far_it_is_while_it_runs(tmp_path: Path) -> None:
    seen: list[int] = []
    calls = 0

    def looked_at(text: str) -> str:
        nonlocal calls
        calls += 1
        if calls % 5_000 == 0:
            seen.append(done(engine.meter))
        return text

    with small_engine(tmp_path / "work", threads=1) as engine:
        engine.register("looked_at", looked_at)
        numbers = engine.text_table(("one",), [("1",)]).derive("select range::varchar as text from range(1000000)")
        engine.meter.begin("load", 1000)
        with engine.meter.part(1.0):
            numbers.derive("select looked_at(text) as text from this")
    assert len(set(seen)) > 3
    assert seen == sorted(seen)
    assert seen[0] < 500 < seen[-1]


def test_a_file_that_is_read_row_by_row_shows_how_far_it_is(tmp_path: Path) -> None:
    rows = "".join(f"C{number},Ann Lee,a{number}@x.org,,2024-01-01,active\n" for number in range(3000))
    ragged = f"customer_id,full_name,email,phone,signup_date,status\nC,Ann,a@x.org,,2024-01-01,active,,,more\n{rows}"
    seen: list[int] = []

    class Watched(Meter):
        def counted(self, items: Any, expected: int) -> Iterator[Any]:
            for item in super().counted(items, expected):
                seen.append(done(self))
                yield item

    with small_engine(tmp_path / "work") as engine:
        engine.meter = Watched({"extract": 0})
        engine.meter.begin("extract", 3000)
        with engine.meter.part(1.0):
            engine.read(delivered_file(CRM_SOURCE, tmp_path / CRM, ragged))
    assert seen == sorted(seen)
    assert seen[0] < 100
    assert 2500 < seen[-1] <= 2700  # the engine reads the rest


# ------------------------------------------------------------------------------------------ rows, before they are read


def customers(number: int) -> list[dict[str, Any]]:
    return [
        {"id": n, "name": {"first": 'A "quoted" {', "last": "B]"}, "orders": [{"n": 1}, {"n": 2}]}
        for n in range(1000, 1000 + number)
    ]


def lines(number: int) -> str:
    return "".join(f"{json.dumps(customer)}\n" for customer in customers(number))


@pytest.mark.parametrize(
    ("name", "content"),
    {
        "a CSV": ("a.csv", "id,name\n" + "1234,Ann Lee\n" * 5000),
        "a document": ("a.json", json.dumps({"page": {"n": 1}, "customers": customers(5000)})),
        "an indented document": ("a.json", json.dumps({"customers": customers(5000)}, indent=4)),
        "an array": ("a.json", json.dumps(customers(5000))),
        "nodes": ("a.json", json.dumps({"data": {"edges": [{"node": it} for it in customers(5000)]}})),
        "JSON Lines": ("a.json", lines(5000)),
    }.values(),
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_the_rows_of_a_file_are_estimated_from_its_beginning(
    tmp_path: Path, name: str, content: str, is_packed: bool
) -> None:
    path = tmp_path / (f"{name}.gz" if is_packed else name)
    path.write_bytes(gzip.compress(content.encode()) if is_packed else content.encode())
    assert abs(estimated_rows(path, "csv" if "csv" in name else "json") - 5000) < 100


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"no line"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"]}" * 50_000),
        ("a.json", b'{"customers": []}'),
        ("a.json", b'"' + b'\\"' * 100_000),
        ("a.json.gz", b"\x1f\x8b"),
        ("a.json.gz", b"\x1f\x8b\x08" + bytes(40)),
        ("a.json.gz", b"no"),
        ("a.json.gz", gzip.compress(b"[{}]" * 1000)[:-500]),
    ],
)
def test_no_file_stops_the_estimate(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    began = time.process_time()
    assert estimated_rows(path, "json" if "json" in name else "csv") in range(1_000_000_000)
    assert estimated_rows(tmp_path / "missing.csv", "csv") == 0
    assert time.process_time() - began < 1


# --------------------------------------------------------------------------------------------------- the reporter


def test_the_reporter_shows_each_stage_soon_and_then_often_and_logs_a_long_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SHOW_SECONDS", 0.01)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.05)
    engine = Gauge()
    meter = Meter({"extract": 1, "load": 2, "publish": 1})
    shown: list[Reading] = []
    with meter.following(lambda: engine.steps), Reporter(meter, "x", shown.append):
        meter.begin("extract", 10)
        meter.begin("load", 100)
        wait_until(lambda: [reading.stage for reading in shown][-1:] == ["load"])
        engine.steps = 1
        wait_until(lambda: "batch.progressed" in capsys.readouterr().out)
        meter.begin("publish", 100)
        wait_until(lambda: shown[-1].stage == "publish")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    number = len(shown)
    time.sleep(0.05)
    assert len(shown) == number, "it has ended"
    assert shown[-1].stage == "publish"
    of_load = [event for event in events if event["stage"] == "load"]
    assert (
        of_load[-1]
        | {
            "event": "batch.progressed",
            "batch_id": "x",
            "stage_number": 2,
            "stage_count": 3,
            "rows_done": 100,
            "rows_in_all": 100,
        }
        == of_load[-1]
    ), "a stage that was logged is logged when it ends"
    assert [event for event in events if event["stage"] == "extract"] == []


def test_without_a_thread_each_stage_that_begins_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", failing(RuntimeError("can't start new thread")))
    meter = Meter({"extract": 1})
    shown: list[Reading] = []
    with Reporter(meter, "x", shown.append):
        meter.begin("extract", 10)
    assert [reading.stage for reading in shown] == ["extract"]


def test_a_short_batch_logs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter({"extract": 1})
    with Reporter(meter, "x", lambda reading: None):
        meter.begin("extract", 10)
    assert capsys.readouterr().out == ""


def test_the_reporter_ends_with_a_batch_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOW_SECONDS", 0.01)
    meter = Meter({"extract": 1})
    with pytest.raises(ValueError, match="wrong"), Reporter(meter, "x", lambda reading: None):
        meter.begin("extract", 10)
        raise ValueError("wrong")
    assert "progress" not in [thread.name for thread in threading.enumerate()]


# ----------------------------------------------------------------------------------------------------- the daemon


def reports_of(works: Works) -> list[dict[str, Any]]:
    """Every report of health while what waits in the inbox is processed."""
    found: list[dict[str, Any]] = []
    ended = threading.Event()

    def look() -> None:
        is_last = False
        while not is_last:
            is_last = ended.is_set()  # before the report is read: the last one is that of the end
            if (works.state / "health.json").exists() and (report := works.health()) not in found[-1:]:
                found.append(report)
            time.sleep(0.005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        works.once()
    finally:
        ended.set()
        thread.join()
    return found


@pytest.mark.large
@pytest.mark.slow
def test_a_large_pair_shows_its_stages_in_order_and_how_many_rows_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SHOW_SECONDS", 0.01)
    monkeypatch.setattr(progress, "LOG_SECONDS", LOG_SECONDS)
    works = Works(tmp_path)
    write_pair(works.inbox, RECORDS)
    reports = reports_of(works)
    stages = list(JOBS["integration"].stages)
    busy = [report for report in reports if report["progress"] is not None]
    numbers = [report["progress"]["stage_number"] for report in busy]
    assert numbers == sorted(numbers)
    assert {1, 2} <= set(numbers)
    for report in busy:
        here = report["progress"]
        assert report["stage"] == stages[here["stage_number"] - 1]
        assert here["stage_count"] == len(stages)
        assert 0 <= here["rows_done"] <= here["rows_in_all"]
        assert here["stage_number"] == 1 or here["rows_in_all"] == RECORDS
        assert abs(here["rows_in_all"] - RECORDS) < RECORDS / 20
        assert min(here["moved_at"], report["stage_since"]) >= report["busy_since"]
    normalising = [report["progress"]["rows_done"] for report in busy if report["stage"] == "normalise"]
    assert normalising == sorted(normalising)
    assert len(set(normalising)) > 2 + RECORDS // 100_000
    assert reports[-1]["progress"] is None
    assert reports[-1]["busy_since"] is None
    check_events([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    published = next(works.outbox.glob("batches/*/integration_log.jsonl")).read_text(encoding="utf-8")
    assert "batch.progressed" not in published


def check_events(events: list[dict[str, Any]]) -> None:
    """The progress is logged in order, often enough, and up to all rows of each stage."""
    progressed = [event for event in events if event["event"] == "batch.progressed"]
    published = [event for event in events if event["event"] == "batch.published"]
    moments = [datetime.fromisoformat(event["timestamp"]) for event in [*progressed, *published]]
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(sorted(moments))]
    # But for the longest of all: the machine may pause once.
    assert sorted(pauses)[-2] < LOG_SECONDS + 0.5 * slowness()
    assert published[0]["seconds"] / len(progressed) < LOG_SECONDS + 0.5 * slowness()
    assert [event["stage_number"] for event in progressed] == sorted(event["stage_number"] for event in progressed)
    of_normalise = [event for event in progressed if event["stage"] == "normalise"]
    assert of_normalise[-1]["rows_done"] == of_normalise[-1]["rows_in_all"] == RECORDS
    assert of_normalise[-1]["rows_per_second"] > 0


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Interrupted("stopped", hint="")])
def test_an_attempt_that_fails_leaves_no_progress_behind(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHOW_SECONDS", 0.01)
    works = Works(tmp_path)
    works.drop()
    before_attempts: list[dict[str, Any]] = []
    begin = Inbox.begin

    def fail(*_: Any) -> None:
        works.waits_to_be(lambda report: report["progress"])
        raise error

    def begin_after_a_look(inbox: Inbox, batch: Batch) -> Claim:
        before_attempts.append(works.health())
        return begin(inbox, batch)

    monkeypatch.setattr(Register, "identify", fail)
    monkeypatch.setattr(Inbox, "begin", begin_after_a_look)
    with works.watching():
        wait_until(lambda: len(before_attempts) > 1)
    report = before_attempts[1]
    assert (report["progress"], report["stage"], report["busy_since"]) == (None, None, None)


def test_a_pair_that_is_quarantined_leaves_no_progress_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOW_SECONDS", 0.01)
    works = Works(tmp_path)
    works.drop(ecom='{"customers": [')
    with works.watching():
        report = works.waits_to_be(lambda report: report["quarantined"])
    assert (report["progress"], report["stage"]) == (None, None)


# -------------------------------------------------------------------------------------------------------- stages


class Counting(Meter):
    """A meter that notes the steps of each stage."""

    found: ClassVar[dict[str, float]] = {}

    def begin(self, stage: str, rows: int) -> None:
        self._note()
        super().begin(stage, rows)

    @contextmanager
    def following(self, gauge: Callable[[], float]) -> Iterator[None]:
        with super().following(gauge):
            yield
            self._note()

    def _note(self) -> None:
        if self._part is not None:
            self.found[self._part.stage.name] = self._gauge() - self._part.gauge


@pytest.mark.parametrize("job", JOBS)
def test_each_stage_takes_the_steps_that_its_job_states(
    job: JobName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "Meter", Counting)
    monkeypatch.setattr(Counting, "found", {})
    works = Works(tmp_path)
    works.drop()
    works.once()
    works.drop_api()
    if job == "integration":
        works.drop()
    Counting.found.clear()
    works.once()
    stated = {name: steps for name, steps in JOBS[job].stages.items() if steps and name != "publish"}
    assert {name: Counting.found[name] for name in stated} == stated, "correct JOB.stages"


class CountingWhole(Meter):
    """A meter that notes how many steps were taken, with those of parts, when each stage begins."""

    found: ClassVar[dict[str, float]] = {}

    def begin(self, stage: str, rows: int) -> None:
        super().begin(stage, rows)
        self.found[stage] = self._gauge()


@pytest.mark.large
def test_a_comparison_takes_the_steps_that_the_integration_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "Meter", CountingWhole)
    works = Works(tmp_path)
    taken = []
    for compared in (None, "safe"):
        works.drop()
        works.once(compare_matching=compared)
        taken.append(CountingWhole.found["survive"] - CountingWhole.found["deduplicate"])
    numbering = 1  # the texts of a matcher are numbered in a part of its own
    assert taken[1] - taken[0] == STEPS_OF_COMPARISON + numbering, "correct STEPS_OF_COMPARISON"


# ------------------------------------------------------------------------------------------- the bar on a terminal

PROGRAM = """
import sys
from service import cli, progress
from service.jobs import by_hand
progress.SHOW_SECONDS, by_hand.BAR_AFTER_SECONDS, progress.LOG_SECONDS = 0.02, 0, float(sys.argv.pop())
sys.exit(cli.main(sys.argv[1:]))
"""


def integrated(house: House, *, err: int, out: int = subprocess.PIPE) -> str:
    """Integrate a large pair with these descriptors as stderr and stdout; returns what was written to the pipe."""
    exports = map(str, write_pair(house.root, RECORDS))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            "integrate",
            *map(str, exports),
            "--outbox",
            str(house.outbox),
            str(LOG_SECONDS),
        ],
        cwd=ROOT,
        env=house.environment(),
        stdout=out,
        stderr=err,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout or ""


@contextmanager
def terminal() -> Iterator[tuple[int, list[str]]]:
    """The descriptor of a terminal; what was written to it, parted at carriage returns, once the block has ended."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    shown = bytearray()

    def read() -> None:
        with suppress(OSError):  # the terminal is closed
            while part := os.read(ours, 1 << 16):
                shown.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    screens: list[str] = []
    try:
        yield theirs, screens
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    screens.extend(shown.decode().split("\r"))


@pytest.mark.large
@pytest.mark.slow
def test_a_terminal_shows_a_bar_with_stage_rows_and_rate_and_removes_it(house: House) -> None:
    with terminal() as (stderr, screens):
        integrated(house, err=stderr)
    bars = [found for screen in screens if (found := re.search(r"^(\d)/7 (\w+) +.* ([\d,]+)/([\d,]+) rows, ", screen))]
    assert [int(bar[1]) for bar in bars] == sorted(int(bar[1]) for bar in bars)
    of_normalise = [int(bar[3].replace(",", "")) for bar in bars if bar[2] == "normalise"]
    assert of_normalise == sorted(of_normalise)
    assert len(set(of_normalise)) > 2
    assert {bar[4] for bar in bars if bar[2] == "normalise"} == {f"{RECORDS:,}"}
    last, summary = screens[-2:] if screens[-1].strip() else screens[-3:-1]
    assert last.strip() == "", "the bar is removed"
    assert summary.startswith(f"{RECORDS:,} records, ")


@pytest.mark.large
@pytest.mark.slow
def test_on_one_terminal_the_log_appears_above_the_bar(house: House) -> None:
    with terminal() as (both, screens):
        integrated(house, err=both, out=both)
    assert any(" rows, " in screen for screen in screens)
    assert any("batch.progressed" in screen for screen in screens)
    assert [screen for screen in screens if " rows, " in screen and "[info" in screen] == []


@pytest.mark.large
@pytest.mark.slow
def test_without_a_terminal_there_is_no_bar_but_the_log(house: House) -> None:
    with open(house.root / "err", "wb") as err:
        out = integrated(house, err=err.fileno())
    assert (house.root / "err").read_text(encoding="utf-8").startswith(f"{RECORDS:,} records, ")
    events = [json.loads(line) for line in out.splitlines()]
    check_events(events)
