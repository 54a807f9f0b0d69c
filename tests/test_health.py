"""The health file of the daemon, and its judgement by a health check."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service import documents, health
from service.documents import HealthReport, Heartbeat, IgnoredEntry, StageProgress, WaitingExport
from service.folders import Folders
from service.health import FRESH_SECONDS, STALE_SECONDS, HealthCheck
from service.health_reasons import HealthReason
from service.state import State
from service.watch.waits import Waits
from tests.worlds import House

NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)


def judged(state: Path, report: HealthReport, age_seconds: float, *, stall_minutes: float = 30) -> HealthCheck:
    """The judgement of a health file of that age."""
    health.write(report, state, NOW)
    return health.judge(state, NOW + timedelta(seconds=age_seconds), stall_minutes=stall_minutes)


def test_the_file_contains_every_member_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    health.write(
        HealthReport(pid=7, waiting=(WaitingExport(file_name="crm_customers.csv", since="", waits_for="its writer"),)),
        tmp_path,
        NOW,
    )
    health.write(HealthReport(pid=8, version="1.2.3"), tmp_path, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["health.json"]
    assert json.loads((tmp_path / "health.json").read_text(encoding="utf-8")) == {
        "format": 1,
        "state": "ok",
        "reasons": [],
        "codes": [],
        "notes": [],
        "written_at": "2024-01-15T12:00:00.000+00:00",
        "version": "1.2.3",
        "pid": 8,
        "waiting": [],
        "waiting_count": 0,
        "ignored": [],
        "quarantined": [],
        "busy_since": None,
        "stage": None,
        "stage_since": None,
        "progress": None,
        "batch_id": None,
        "last_batch": None,
        "last_scan": None,
        "found_without_event": 0,
        "has_heartbeat": False,
    }


def test_a_file_name_that_is_not_utf_8_is_written_and_read_again(tmp_path: Path) -> None:
    name = os.fsdecode(b"crm_\xff.csv")
    report = HealthReport(ignored=(IgnoredEntry(file_name=name, why="no source has exports of this name"),))
    assert judged(tmp_path, report, 0) == HealthCheck(True, "ok")
    assert json.loads((tmp_path / "health.json").read_text(encoding="utf-8"))["ignored"][0]["file_name"] == name


def test_a_fresh_report_is_healthy(tmp_path: Path) -> None:
    assert judged(tmp_path, HealthReport(), STALE_SECONDS) == HealthCheck(True, "ok")


def test_degraded_is_healthy_and_names_the_reasons(tmp_path: Path) -> None:
    report = HealthReport(state="degraded", reasons=("this", "that"))
    assert judged(tmp_path, report, 1) == HealthCheck(True, "degraded: this; that")


def test_failing_is_not_healthy_and_names_the_reasons(tmp_path: Path) -> None:
    assert judged(tmp_path, HealthReport(state="failing", reasons=("no disk",)), 1) == HealthCheck(
        False, "failing: no disk"
    )


def test_an_old_report_is_not_healthy(tmp_path: Path) -> None:
    assert judged(tmp_path, HealthReport(), 61) == HealthCheck(False, "failing: the watcher was silent for 61 s")


def test_a_long_batch_whose_stages_move_on_is_healthy(tmp_path: Path) -> None:
    long_ago = (NOW - timedelta(hours=5)).isoformat()
    report = HealthReport(busy_since=long_ago, stage="load", stage_since=NOW.isoformat())
    assert judged(tmp_path, report, 29 * 60).is_healthy
    assert not judged(tmp_path, report, 31 * 60).is_healthy
    assert judged(tmp_path, report, 31 * 60, stall_minutes=32).is_healthy


def test_a_long_stage_whose_rows_move_on_is_healthy(tmp_path: Path) -> None:
    long_ago = (NOW - timedelta(hours=5)).isoformat()
    moved = StageProgress(
        stage_number=2,
        stage_count=7,
        rows_done=1,
        rows_in_all=2,
        rows_per_second=0,
        moved_at=NOW.isoformat(timespec="seconds"),
    )
    report = HealthReport(busy_since=long_ago, stage="normalise", stage_since=long_ago, progress=moved)
    assert judged(tmp_path, report, 29 * 60).is_healthy
    assert not judged(tmp_path, report, 31 * 60).is_healthy


def test_a_stage_that_does_not_end_is_not_healthy_however_fresh_the_file_is(tmp_path: Path) -> None:
    report = HealthReport(busy_since=NOW.isoformat(), stage="load", stage_since=(NOW - timedelta(hours=1)).isoformat())
    assert not judged(tmp_path, report, 0).is_healthy


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"written_at": "yesterday", "stage_since": null}', "{"])
def test_a_damaged_file_is_not_healthy(tmp_path: Path, content: str) -> None:
    (tmp_path / "health.json").write_text(content, encoding="utf-8")
    check = health.judge(tmp_path, NOW, stall_minutes=30)
    assert not check.is_healthy
    assert "cannot be read" in check.sentence


def test_no_file_is_not_healthy(tmp_path: Path) -> None:
    assert "is the watcher running?" in health.judge(tmp_path, NOW, stall_minutes=30).sentence


def beat(state: Path, age_seconds: float = 0.0) -> None:
    """A heartbeat of that age."""
    alive_at = (NOW - timedelta(seconds=age_seconds)).isoformat()
    documents.write(state / "heartbeat.json", Heartbeat(alive_at=alive_at), durable=False)


def test_a_daemon_with_a_heartbeat_is_healthy_as_long_as_it_is_fresh(tmp_path: Path) -> None:
    report = HealthReport(has_heartbeat=True)
    beat(tmp_path)
    assert judged(tmp_path, report, FRESH_SECONDS) == HealthCheck(True, "ok")
    assert judged(tmp_path, report, 9) == HealthCheck(
        False, "failing: no heartbeat for 9 s: the watcher is stopped, hangs or died"
    )
    assert not judged(tmp_path, HealthReport(has_heartbeat=True, busy_since=NOW.isoformat()), 9).is_healthy


def test_a_heartbeat_from_before_the_clock_was_set_back_is_not_fresh(tmp_path: Path) -> None:
    report = HealthReport(has_heartbeat=True)
    beat(tmp_path, age_seconds=-FRESH_SECONDS)
    assert judged(tmp_path, report, 0).is_healthy
    beat(tmp_path, age_seconds=-3600)
    assert judged(tmp_path, report, 0) == HealthCheck(
        False, "failing: the heartbeat is 3600 s ahead: the clock was set back, and none came since"
    )


def test_a_daemon_that_writes_no_heartbeat_is_judged_by_its_health_file(tmp_path: Path) -> None:
    beat(tmp_path, age_seconds=3600)
    assert judged(tmp_path, HealthReport(), STALE_SECONDS) == HealthCheck(True, "ok"), "an older one, or watch --once"


@pytest.mark.parametrize(
    "content", [None, "", "{}", '{"alive_at": "yesterday"}', '{"alive_at": "2024-01-15T12:00:00"}']
)
def test_a_missing_or_damaged_heartbeat_is_not_healthy(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "heartbeat.json").write_text(content, encoding="utf-8")
    check = judged(tmp_path, HealthReport(has_heartbeat=True), 0)
    assert not check.is_healthy
    assert "heartbeat.json" in check.sentence


def unready(house: House, *, min_free_mb: int = 0) -> dict[str, str]:
    """What is not ready a second after noon: the name of each check and what it found."""
    folders = Folders(house.inbox, house.outbox, house.state)
    now = NOW + timedelta(seconds=1)
    checks = health.readiness(folders, now, stall_minutes=30, min_free_mb=min_free_mb)
    assert [check.name for check in checks] == ["lock", "heartbeat", "folders", "space", "health"]
    assert all(check.sentence for check in checks)
    return {check.name: check.sentence for check in checks if not check.is_ok}


def test_a_service_is_ready_when_it_holds_its_lock_moves_and_can_work(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(unready(house)) == {"lock", "heartbeat", "health"}, "before the first start"
    state = State(house.state)
    state.take()
    health.write(HealthReport(state="degraded", has_heartbeat=True), house.state, NOW)
    beat(house.state)
    assert unready(house) == {}
    assert "MB free" in unready(house, min_free_mb=1 << 40)["space"]
    beat(house.state, age_seconds=10)
    assert {name: "no heartbeat for 11 s" in found for name, found in unready(house).items()} == {
        "heartbeat": True,
        "health": True,
    }
    beat(house.state)
    health.write(HealthReport(state="failing", reasons=("no disk",), has_heartbeat=True), house.state, NOW)
    assert unready(house) == {"health": "failing: no disk"}
    health.write(HealthReport(), house.state, NOW)
    state.release()
    assert unready(house) == {"lock": f"no watcher works with the state folder {house.state}"}
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != house.inbox and access(path, mode))
    assert f"the folder {house.inbox} cannot be written" in unready(house)["folders"]


def test_the_exit_code_of_the_verb_is_the_judgement(house: House) -> None:
    missing = house.run("healthcheck")
    assert (missing.code, missing.out) == (1, "")
    state = State(house.state)
    state.take()
    reports = ((HealthReport(state="ok"), 0), (HealthReport(state="degraded"), 0), (HealthReport(state="failing"), 1))
    for report, code in reports:
        health.write(report, house.state, datetime.now(UTC))
        assert (house.run("healthcheck").code, report.state) == (code, report.state)
    health.write(HealthReport(), house.state, datetime.now(UTC) - timedelta(minutes=2))
    assert house.run("healthcheck").code == 1
    health.write(HealthReport(busy_since="since a moment"), house.state, datetime.now(UTC))
    assert house.run("healthcheck").code == 0
    state.release()
    assert house.run("healthcheck").code == 1, "no process holds the state, however fresh the file is"


def test_the_report_lists_what_waits_since_when_and_for_what() -> None:
    waits = Waits(str)
    waits.note({"b": "its writer", "c": "d"}, NOW, 0)
    waits.note({"a": "c", "b": "its writer", "c": "its turn"}, NOW + timedelta(seconds=5), 5)
    assert waits.listed() == (
        WaitingExport(file_name="a", since="2024-01-15T12:00:05+00:00", waits_for="c"),
        WaitingExport(file_name="b", since="2024-01-15T12:00:00+00:00", waits_for="its writer"),
        WaitingExport(file_name="c", since="2024-01-15T12:00:05+00:00", waits_for="its turn"),
    )
    assert waits.longer_than(5, clock=5) == [("b", "its writer")]


def test_a_file_that_was_removed_and_came_back_waits_from_then() -> None:
    waits = Waits(str)
    waits.note({"a": "b"}, NOW, 0)
    waits.note({}, NOW, 5)
    waits.note({"a": "b"}, NOW, 6)
    assert waits.longer_than(5, clock=10) == []


def test_scarce_space_is_reported_for_each_folder(tmp_path: Path) -> None:
    assert health.scarce_space([tmp_path], min_free_mb=0) == []
    assert health.scarce_space([tmp_path], min_free_mb=1 << 40) == [
        HealthReason("disk_low", f"the disk runs low: less than {1 << 40} MB free for {tmp_path}")
    ]
    assert health.scarce_space([tmp_path / "out of reach"], min_free_mb=1 << 40) == []
