"""Values that only the Python definitions can read are read in worker processes, with the same results."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import pytest

from service import cli
from service.engine import embedded, embedded_tables
from service.errors import Interrupted, TransientError
from service.jobs import batch_runner
from service.pipeline import extract, normalise, read_ahead
from service.pipeline.fields.date import norm_date
from service.pipeline.fields.name import norm_name
from service.workers import pool
from service.workers.pool import Arguments, open_workers
from service.workers.worker import Calls, answer, receive
from tests.case_runs import CaseRun, case_names, run_case
from tests.corpus import DATES, EMAILS, NAMES, NOT_DATES, NOT_EMAILS, NOT_PHONES, PHONES, REAL_NAMES
from tests.regenerate import outcome_of
from tests.small_batches import HEADER, small_engine
from tests.worlds import CASES, CRM, ECOM, ROOT, wait_until

FILES = ("customer_master.csv", "duplicate_report.csv", "quality_report.json", "crosswalk.csv", "match_evidence.csv")


def fail(text: str) -> str | None:
    """A definition with a bug."""
    raise ValueError(text)


def end(text: str) -> str | None:
    """As if the system ended the process for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return text


def wait_long(text: str) -> str | None:
    """A call that takes long."""
    time.sleep(60)
    return text


class InPlace:
    """Workers in this process, which start at once."""

    def results(self, function: object, parts: Iterable[Arguments]) -> Iterator[list[str | None]]:
        assert callable(function)
        for part in parts:
            yield list(map(function, *part))


@contextmanager
def opened_in_place(count: int) -> Iterator[InPlace]:
    yield InPlace()


# ------------------------------------------------------------------------------------------------- the batch


@pytest.fixture(scope="module")
def odd_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Exports with every value of the corpus."""
    folder = tmp_path_factory.mktemp("odd")
    names = [text for text, *_ in (*NAMES, *REAL_NAMES)]
    emails = [text for text, *_ in EMAILS] + list(NOT_EMAILS)
    phones = [text for _, text, _ in PHONES] + [text for _, text in NOT_PHONES]
    dates = [text for text, *_ in DATES] + list(NOT_DATES)
    rows = [
        dict(zip(HEADER, (f"C{number}", *values, "active"), strict=True))
        for number, values in enumerate(zip_longest(names, emails, phones, dates, fillvalue=""))
    ]
    crm, ecom = folder / CRM, folder / ECOM
    with open(crm, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows({name: text.replace("\0", "") for name, text in row.items()} for row in rows)
    shop = [
        {
            "id": f"E{number}",
            "name": {"first": row["full_name"], "last": ""},
            "contact": {"email": row["email"], "phone": row["phone"]},
            "created_at": row["signup_date"],
        }
        for number, row in enumerate(reversed(rows))
    ]
    ecom.write_text(json.dumps(shop), encoding="utf-8")
    return crm, ecom


def integrated(pair: tuple[Path, Path], outbox: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The published files, by their names."""
    monkeypatch.setenv("SERVICE_MAX_REJECT_PERCENT", "100")
    assert cli.main(["integrate", *map(str, pair), "--outbox", str(outbox)]) == 0
    (folder,) = (outbox / "batches").iterdir()
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.large
@pytest.mark.parametrize(("limit", "value"), [("_NEARLY_ALL", 0.0), ("_NEARLY_ALL", 2.0), ("_LONGEST_BYTES", 5)])
def test_what_is_read_ahead_is_what_is_read_in_place(
    odd_pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(batch_runner, "_SMALL_BYTES", 0)  # which have one thread
    monkeypatch.setattr(read_ahead, "_MANY_VALUES", 10**9)
    in_place = integrated(odd_pair, tmp_path / "one", monkeypatch)
    monkeypatch.setattr(read_ahead, "_MANY_VALUES", 1)
    monkeypatch.setattr(read_ahead, limit, value)
    started: list[subprocess.Popen[bytes]] = []
    start = pool._started

    def noted() -> subprocess.Popen[bytes]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(pool, "_started", noted)
    monkeypatch.setenv("SERVICE_THREADS", "2")
    assert integrated(odd_pair, tmp_path / "other", monkeypatch) == in_place
    assert len(started) == 2, "for all fields"
    assert all(process.returncode is not None for process in started)


@pytest.mark.large
@pytest.mark.parametrize("name", case_names())
def test_a_case_that_is_read_ahead_is_the_same(
    name: str, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_in_place = outcome_of(case_run(name))  # before the patches: it may be made now
    for stage in (extract, normalise):
        monkeypatch.setattr(stage, "FEW_ROWS", -1)
    monkeypatch.setattr(batch_runner, "_SMALL_BYTES", 0)
    monkeypatch.setattr(read_ahead, "_MANY_VALUES", 0)
    monkeypatch.setattr(embedded, "open_workers", opened_in_place)
    assert outcome_of(run_case(CASES / name, tmp_path)) == read_in_place


@pytest.mark.large
def test_few_values_start_no_process(
    odd_pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_runner, "_SMALL_BYTES", 0)
    monkeypatch.setattr(embedded, "open_workers", lambda count: pytest.fail("it was opened"))
    integrated(odd_pair, tmp_path / "few", monkeypatch)
    monkeypatch.setattr(read_ahead, "_MANY_VALUES", 1)
    monkeypatch.setenv("SERVICE_THREADS", "1")
    integrated(odd_pair, tmp_path / "one thread", monkeypatch)


# ------------------------------------------------------------------------------------------------ the engine


@pytest.mark.large
@pytest.mark.parametrize("threads", [1, 2])
def test_each_row_gets_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(embedded, "_MOST_CALLS", 7)
    monkeypatch.setattr(embedded_tables, "_TEXTS_AT_A_TIME", 10)
    with small_engine(tmp_path / "engine", threads=threads) as engine:
        engine.register("norm_date", norm_date)
        days = engine.text_table(("text", "rule"), [(f"{day}/1/2023", rule) for day in range(-3, 35) for rule in RULES])
        with engine.calling():
            called = engine.call("norm_date", days, ("text", "rule"))
            nothing = engine.call("norm_date", days.derive("from this where false"), ("text", "rule"))
        rows = called.rows("select text, rule, result from this")
        assert (nothing.count(), nothing.rows("select result from this")) == (0, [])
    assert len(rows) == 76
    assert {row[2] for row in rows} > {None, "2023-01-02", "2023-02-01"}
    assert all(result == norm_date(text, rule) for text, rule, result in rows)


RULES = ("MDY", "DMY")


@pytest.mark.large
def test_an_interrupt_ends_a_call_that_takes_long(tmp_path: Path) -> None:
    with small_engine(tmp_path / "engine", threads=2) as engine:
        engine.register("wait_long", wait_long)
        texts = engine.text_table(("text",), [("a",), ("b",)])
        timer = threading.Timer(1, engine.interrupt)
        timer.start()
        began = time.monotonic()
        with pytest.raises(Interrupted), engine.calling():
            engine.call("wait_long", texts, ("text",))
        assert time.monotonic() - began < 30
        timer.join()


# ----------------------------------------------------------------------------------------------- the processes


def test_results_come_in_the_order_of_the_parts() -> None:
    names = [f"ann no{'x' * number}" for number in range(700)]
    parts = [[names[start : start + 7]] for start in range(0, 700, 7)]
    with open_workers(2) as opened:
        assert list(opened.results(norm_name, parts)) == [list(map(norm_name, *part)) for part in parts]


@pytest.mark.large
def test_a_worker_that_ends_is_an_error_that_says_what_to_do() -> None:
    with open_workers(2) as opened, pytest.raises(TransientError) as error:
        list(opened.results(end, [[["x"]]] * 5))
    assert "SERVICE_THREADS=1" in error.value.hint


def test_an_error_in_a_worker_is_raised_here_without_the_value() -> None:
    with open_workers(1) as opened, pytest.raises(RuntimeError) as error:
        list(opened.results(fail, [[["Ann Roe"]]]))
    assert str(error.value) == "fail raised ValueError"


@pytest.mark.large
def test_a_part_that_cannot_be_read_ends_what_is_in_work() -> None:
    def parts() -> Iterator[Arguments]:
        yield [["x"]]
        raise Interrupted("asked to stop", hint="")

    began = time.monotonic()
    with pytest.raises(Interrupted), open_workers(2) as opened:
        list(opened.results(wait_long, parts()))
    assert time.monotonic() - began < 30


@pytest.mark.large
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = (
        "from service.workers.pool import open_workers\n"
        "from tests.test_read_ahead import wait_long\n"
        "with open_workers(2) as opened:\n"
        "    print(*(opened._idle.get().pid for _ in range(2)), flush=True)\n"
        "    input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def is_running(pid: int) -> bool:
    """Whether the process is there, and not only waits to be collected."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.large
def test_a_signal_to_the_whole_group_leaves_the_workers_to_their_parent() -> None:
    with open_workers(1) as opened:
        process = opened._idle.get()
        opened._idle.put(process)
        assert list(opened.results(norm_name, [[["ann roe"]]])) == [["Ann Roe"]]
        for number in (signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        assert list(opened.results(norm_name, [[["bob roe"]]])) == [["Bob Roe"]]


def test_a_message_that_ends_in_its_middle_is_none() -> None:
    assert receive(io.BytesIO((3).to_bytes(4, "big") + b"abc")) == b"abc"
    assert receive(io.BytesIO((100).to_bytes(4, "big") + b"abc")) == receive(io.BytesIO(b"abc")) == b""


def test_a_request_names_a_function_of_a_module() -> None:
    assert answer(Calls(norm_name.__module__, "norm_name", [["ann roe", ""]])).results == ["Ann Roe", None]
