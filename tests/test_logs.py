"""The structured log has listed events with ids and counts; the text log of a batch is for people."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import structlog

from service import logs
from service.journal import Journal
from service.logs import EVENTS, UnlistedEvent
from service.progress import Meter
from tests.worlds import ROOT

NOON = datetime(2024, 1, 15, 12, 30, 59, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """The real configuration, for the length of a test."""
    logs.configure()
    yield
    structlog.reset_defaults()


def test_an_event_is_one_json_object_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get().info("batch.claimed", batch_id="x", proofs=["lease"])
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    logged = json.loads(line)
    assert (logged["event"], logged["level"], logged["proofs"]) == ("batch.claimed", "info", ["lease"])
    assert datetime.fromisoformat(logged["timestamp"]).utcoffset() == timedelta(0)


def test_an_unlisted_event_raises() -> None:
    with pytest.raises(UnlistedEvent):
        logs.get().info("customer.greeted")


def test_a_text_that_a_terminal_would_obey_is_logged_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get().warning("inbox.file_ignored", file_name="bad\udcff.csv\n{}\x1b[2J\u202e")
    assert json.loads(capsys.readouterr().out)["file_name"] == r"bad\xff.csv\n{}\x1b[2J\u202e"


def test_an_error_event_shows_where_but_neither_values_nor_messages(capsys: pytest.CaptureFixture[str]) -> None:
    customer = "jane.doe@email.com"
    try:
        try:
            raise KeyError(customer)
        except KeyError as first:
            raise ValueError(f"cannot read {customer}") from first
    except ValueError as error:
        logs.get().error("bug.found", batch_id="x", error=error)
    out = capsys.readouterr().out
    assert "jane" not in out
    logged = json.loads(out)
    assert logged["error"] == "ValueError"
    assert re.fullmatch(r"test_logs\.py:\d+", logged["at"][0])


def test_events_are_called_noun_and_past_participle() -> None:
    assert [name for name in EVENTS if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)] == []


def test_every_listed_event_is_logged_somewhere_and_every_logged_one_is_listed() -> None:
    logged: set[str] = set()
    for path in sorted((ROOT / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in EVENTS and path.name != "logs.py":
                logged.add(str(node.value))
    assert logged == set(EVENTS)


def test_a_line_of_the_text_log_has_local_time_and_level() -> None:
    journal = Journal("x", lambda: NOON)
    journal.line("INFO", "Pipeline started")
    assert journal.text() == "2024-01-15 12:30:59 - INFO - Pipeline started\n"


def test_parts_are_written_into_the_text_log_in_order(tmp_path: Path) -> None:
    part = tmp_path / "part.txt"
    part.write_text("one\ntwo\n", encoding="utf-8")
    journal = Journal("x", lambda: NOON)
    journal.line("INFO", "before")
    journal.lines_of(part)
    journal.line("INFO", "after")
    journal.write_text(tmp_path / "log.txt")
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" - ")[-1] for line in lines] == ["before", "one", "two", "after"]


def test_events_of_a_batch_are_written_beside_its_text_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal("x", lambda: NOON)
    journal.event("source.extracted", rows=3)
    journal.warning("source.suspected", warning="odd")
    journal.write_events(tmp_path / "log.jsonl")
    kept = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(e["event"], e["batch_id"]) for e in kept] == [(e["event"], e["batch_id"]) for e in logged]
    assert kept[0] | {"rows": 3, "timestamp": "2024-01-15T12:30:59+0200"} == kept[0]
    assert kept[1]["level"] == "warning"


def test_stages_are_passed_on() -> None:
    meter = Meter({"extract": 1, "load": 1})
    Journal("x", lambda: NOON, meter).stage("load", 7)
    reading = meter.read()
    assert reading is not None
    assert (reading.stage, reading.stage_number, reading.rows_in_all) == ("load", 2, 7)


def test_a_terminal_gets_text_and_a_pipe_gets_json(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    logs.configure()
    logs.get().info("service.started")
    assert "service.started" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_a_line_that_cannot_be_written_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  # its close is what shows that it is full
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        logs.get().info("service.started")
    with pytest.raises(OSError, match="No space"):
        full.close()
