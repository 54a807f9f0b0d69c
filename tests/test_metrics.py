"""The metrics are those of a real history, of few and fixed labels, and what cannot be read is left out and named."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import __version__, documents, metrics
from service.api.checkpoint import Checkpoint
from service.documents import HealthReport, Heartbeat, StageProgress, WaitingExport
from service.folders import Folders, StateFolders
from service.health_reasons import ReasonCode
from service.history import _TOTALS
from service.state import State
from tests.required import needs_promtool
from tests.sizes import METRICS_BATCHES
from tests.small_documents import COUNTS, DocumentFolders, batch
from tests.worlds import Works, World, local_now

PARTS = ("ledger", "watcher", "health", "quarantine", "disk", "sync")


def folders_of(world: World) -> Folders:
    return Folders(world.inbox, world.outbox, world.state)


def values_of(folders: Folders, now: datetime | None = None) -> dict[str, float]:
    """Name and labels as Prometheus writes them, without the prefix -> value."""
    text = metrics.render(folders, now or local_now()).decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[sample.name.removeprefix(metrics.PREFIX) + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def errors_in(values: dict[str, float]) -> set[str]:
    return {part for part in PARTS if values[f"scrape_errors{{part={part}}}"]}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """Two masters, a quarantined batch after them, an analytics export, and an export that waits; not to be changed."""
    works = Works(tmp_path_factory.mktemp("past"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.inbox.settling.LEASE_STILL_SECONDS", 0.05)
        works.drop("_1")
        works.drop("_2")
        works.drop_api(4)
        works.drop("_3", ecom="[")
        works.once()
        (works.inbox / "crm_customers_2024-01-15.csv").write_text("customer_id,full_name\n1,Ann Lee\n")
        (works.inbox / "crm_customers_Jane Doe.csv").write_text("customer_id,full_name\n1,Jane Doe\n")
        (works.inbox / 'jane.doe@email.com"} 1\n# HELP evil').write_text("")
        works.once()
    yield works


# ------------------------------------------------------------------------------------------------- real batches


def test_the_values_are_those_of_the_batches(past: Works) -> None:
    values = values_of(folders_of(past))
    assert errors_in(values) == set()
    assert {name: value for name, value in values.items() if name.partition("{")[0].endswith("_total")} == {
        "batches_total{job=integration,outcome=published}": 2,
        "batches_total{job=integration,outcome=quarantined}": 1,
        "batches_total{job=analytics,outcome=published}": 1,
        "batches_total{job=analytics,outcome=quarantined}": 0,
        "records_total{job=integration}": 16,
        "records_total{job=analytics}": 4,
        "rejects_total{job=integration}": 0,
        "rejects_total{job=analytics}": 0,
        "duplicates_total{job=integration}": 6,
        "duplicates_total{job=analytics}": 0,
    }
    assert (values["customers{job=integration}"], values["customers{job=analytics}"]) == (5, 4)
    published = max((past.outbox / "batches" / it).stat().st_mtime for it in past.batches_of("integration"))
    assert values["last_published_timestamp_seconds{job=integration}"] == pytest.approx(published, abs=5)
    assert values["last_published_duration_seconds{job=integration}"] > 0


def test_health_is_among_them(past: Works) -> None:
    values = values_of(folders_of(past))
    health = past.health()
    assert (values["waiting_exports"], health["waiting_count"]) == (2, 2)
    assert (values["quarantined_batches"], values["unresolved_batches"]) == (1, 1)
    assert (values["health_state{state=degraded}"], values["health_state{state=ok}"]) == (1, 0)
    assert values["health_reasons"] == len(health["reasons"])
    reasons = {name: value for name, value in values.items() if name.startswith("health_reason{")}
    assert {name: value for name, value in reasons.items() if value} == {"health_reason{code=batch_quarantined}": 1}
    assert sum(reasons.values()) == len(health["codes"])
    since = min(datetime.fromisoformat(it["since"]) for it in health["waiting"])
    assert values["oldest_waiting_export_timestamp_seconds"] == since.timestamp()
    assert values["heartbeat_timestamp_seconds"] == datetime.fromisoformat(health["written_at"]).timestamp()
    assert (values["busy"], values["watcher_running"], values["healthy"]) == (0, 0, 0)
    assert values[f"build_info{{version={__version__}}}"] == 1


def test_no_file_name_and_no_value_of_a_customer_is_among_them(past: Works) -> None:
    text = metrics.render(folders_of(past), local_now()).decode()
    assert not re.search(r"jane|doe\b|@|evil|\.csv|\.json|\bann\b|\blee\b", text, flags=re.IGNORECASE)
    assert str(past.root) not in text
    labels = set(re.findall(r'(\w+)="([^"]*)"', text))
    assert labels == {
        *(("job", job) for job in ("integration", "analytics")),
        *(("outcome", outcome) for outcome in ("published", "quarantined")),
        *(("state", state) for state in ("ok", "degraded", "failing")),
        *(("code", code) for code in get_args(ReasonCode)),
        *(("folder", folder) for folder in ("inbox", "outbox", "state")),
        *(("part", part) for part in PARTS),
        ("version", __version__),
    }


@needs_promtool
def test_promtool_finds_nothing_to_improve(past: Works, tmp_path: Path) -> None:
    """With all metrics there are: those of a batch in work and of a sync, too."""
    state = StateFolders(tmp_path / "state")
    state.root.mkdir()
    state.ledger.write_bytes(StateFolders(past.state).ledger.read_bytes())
    documents.write(state.health, busy_report())
    end_a_sync(state, local_now())
    text = metrics.render(Folders(past.inbox, past.outbox, state.root), local_now())
    assert b"stage_rows_per_second" in text
    assert b"sync_last_completed" in text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_rendering_creates_and_changes_nothing(past: Works) -> None:
    def files() -> dict[str, tuple[int, int]]:
        found = [path for path in past.root.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = files()
    values_of(folders_of(past))
    assert files() == before


# ---------------------------------------------------------------------------------------------- a watcher, a sync


def busy_report() -> HealthReport:
    progress = StageProgress(
        stage_number=2,
        stage_count=5,
        rows_done=30,
        rows_in_all=100,
        rows_per_second=15,
        moved_at="2024-01-15T12:00:00Z",
    )
    waiting = WaitingExport(file_name="crm_customers.csv", since="2024-01-15T12:00:00+00:00", waits_for="its turn")
    moment = "2024-01-15T12:00:00+00:00"
    return HealthReport(
        written_at=moment, busy_since=moment, stage_since=moment, progress=progress, waiting=(waiting,), waiting_count=1
    )


def test_a_batch_in_work_shows_its_stage(tmp_path: Path) -> None:
    state = StateFolders(tmp_path / "state")
    state.root.mkdir()
    documents.write(state.health, busy_report())
    values = values_of(Folders(None, tmp_path, state.root))
    assert [values[name] for name in ("busy", "stage_rows_done", "stage_rows", "stage_rows_per_second")] == [
        1,
        30,
        100,
        15,
    ]
    assert values["oldest_waiting_export_timestamp_seconds"] == 1_705_320_000


def test_a_daemon_is_healthy_while_it_holds_its_state_and_is_not_silent(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    now = local_now()
    state.take()
    try:
        documents.write(StateFolders(state.root).health, HealthReport(written_at=now.isoformat()))
        folders = Folders(None, tmp_path, state.root)
        found = values_of(folders, now)
        assert (found["watcher_running"], found["healthy"]) == (1, 1)
        later = values_of(folders, now + timedelta(hours=1))
        assert (later["watcher_running"], later["healthy"]) == (1, 0)
    finally:
        state.release()
    assert values_of(folders, now)["watcher_running"] == 0


def test_the_heartbeat_is_that_of_the_loop_where_the_daemon_writes_one(tmp_path: Path) -> None:
    state = StateFolders(tmp_path)
    report = HealthReport(written_at="2024-01-15T12:00:00+00:00", has_heartbeat=True, codes=("disk_low", "Jane Doe"))
    documents.write(state.health, report)
    folders = Folders(None, tmp_path, tmp_path)
    assert "health" in errors_in(values_of(folders))
    documents.write(state.heartbeat, Heartbeat(alive_at="2024-01-15T11:00:00+00:00"))
    values = values_of(folders)
    assert values["heartbeat_timestamp_seconds"] == 1_705_316_400
    assert values["health_reason{code=disk_low}"] == 1
    assert not any("Jane" in name for name in values)


def end_a_sync(state: StateFolders, now: datetime) -> None:
    checkpoint = Checkpoint(state.sync)
    with checkpoint.opened():
        checkpoint.begin("an API", now, timedelta(hours=1))
        checkpoint.postpone(now + timedelta(minutes=1))
        checkpoint.end(now)


def test_a_sync_shows_whether_it_runs_and_when_it_was_complete(tmp_path: Path) -> None:
    state, now = StateFolders(tmp_path / "state"), local_now()
    state.root.mkdir()
    folders = Folders(None, tmp_path, state.root)
    assert not any(name.startswith("sync_") for name in values_of(folders))
    end_a_sync(state, now)
    with Checkpoint(state.sync).opened():
        found = values_of(folders)
        assert (found["sync_running"], found["sync_incomplete"]) == (1, 0)
    assert values_of(folders)["sync_running"] == 0
    assert found["sync_last_completed_timestamp_seconds"] == pytest.approx(now.timestamp())
    assert found["sync_postponed_until_timestamp_seconds"] == pytest.approx(now.timestamp() + 60)


# ------------------------------------------------------------------------------------------- what cannot be read


def test_without_any_folder_the_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    values = values_of(Folders(tmp_path / "inbox", tmp_path / "outbox", tmp_path / "state"))
    assert errors_in(values) == {"ledger", "health", "disk"}
    assert (values["watcher_running"], values["healthy"], values["quarantined_batches"]) == (0, 0, 0)
    assert not any(name.startswith("batches_total") for name in values)
    assert list(tmp_path.iterdir()) == []


def _overwrite(path: Path) -> None:
    path.write_bytes(b"\xffnot a database" * 1000)


def _of_another_type(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("update outcomes set ended_at = 17, records = 'many'")
    db.close()


def _of_a_later_format(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    db.close()


@pytest.mark.parametrize("damage", [_overwrite, Path.unlink, _of_another_type, _of_a_later_format])
def test_a_damaged_ledger_leaves_the_rest(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folders = DocumentFolders(tmp_path)
    folders.publish(batch(1), None)
    folders.ledger.open()
    damage(folders.ledger.path)
    values = values_of(Folders(folders.inbox.root, folders.outbox.root, folders.state.root))
    assert "ledger" in errors_in(values)
    assert not any(name.startswith("batches_total") for name in values)
    assert values["quarantined_batches"] == 0


def test_a_ledger_that_is_being_created_has_no_batches(tmp_path: Path) -> None:
    folders = DocumentFolders(tmp_path)
    folders.ledger.path.touch()
    values = values_of(Folders(None, folders.outbox.root, folders.state.root))
    assert "ledger" not in errors_in(values)
    assert values["batches_total{job=integration,outcome=published}"] == 0


@pytest.mark.parametrize("content", [b"{", b'{"state": "fine"}', b'{"written_at": "noon"}', b"\xff" * 10])
def test_a_damaged_health_file_leaves_the_rest(tmp_path: Path, content: bytes) -> None:
    folders = DocumentFolders(tmp_path)
    folders.publish(batch(1), None)
    folders.ledger.open()
    folders.state.health.write_bytes(content)
    values = values_of(Folders(None, folders.outbox.root, folders.state.root))
    assert errors_in(values) == {"health"}
    assert values["records_total{job=integration}"] == COUNTS.records
    assert not any(name.startswith("health_") for name in values)


# --------------------------------------------------------------------------------------------- counters and cost


def test_counters_never_fall(tmp_path: Path) -> None:
    """Not when a batch is processed again under its id, and not when its document is removed."""
    folders = DocumentFolders(tmp_path)
    here = Folders(folders.inbox.root, folders.outbox.root, folders.state.root)
    former = folders.quarantine(batch(1), None)
    folders.ledger.open()
    assert values_of(here)["batches_total{job=integration,outcome=quarantined}"] == 1
    folders.ledger.note_retried(batch(1))
    (folders.inbox.reason_of(batch(1))).unlink()
    folders.publish(batch(1), former)
    folders.ledger.note(batch(1))
    values = values_of(here)
    assert values["batches_total{job=integration,outcome=quarantined}"] == 1
    assert values["batches_total{job=integration,outcome=published}"] == 1


def test_a_job_that_this_program_does_not_know_has_no_label(tmp_path: Path) -> None:
    folders = DocumentFolders(tmp_path)
    folders.publish(batch(1), None)
    folders.ledger.open()
    with sqlite3.connect(folders.ledger.path) as db:
        db.execute("update outcomes set job = 'Jane Doe'")
    db.close()
    values = values_of(Folders(None, folders.outbox.root, folders.state.root))
    assert "ledger" not in errors_in(values)
    assert not any("Jane" in name for name in values)


@pytest.mark.slow
def test_many_batches_cost_little(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    folders = DocumentFolders(tmp_path)
    folders.ledger.open()
    with sqlite3.connect(folders.ledger.path) as db:
        db.executemany(
            "insert into outcomes (batch_id, outcome, job, ended_at, records, rejects, duplicates, customers, sha256)"
            " values (?, ?, ?, '2024-01-15T12:00:00+00:00', 8, 1, 3, 5, ?)",
            (
                (batch(0), "quarantined" if it % 10 == 0 else "published", "analytics" if it % 3 else "integration", it)
                for it in range(METRICS_BATCHES)
            ),
        )
        plan = str(db.execute(f"explain query plan {_TOTALS.format(table='outcomes')}").fetchall())
    db.close()
    assert "USING COVERING INDEX totals_of_outcomes" in plan
    assert "TEMP B-TREE" not in plan
    here = Folders(None, folders.outbox.root, folders.state.root)
    began = time.process_time()
    values = values_of(here, datetime.now(UTC))
    seconds = time.process_time() - began
    record_property(f"metrics with {METRICS_BATCHES:,} batches", f"{seconds:.3f} s")
    assert sum(value for name, value in values.items() if name.startswith("batches_total")) == METRICS_BATCHES
    assert seconds < 0.05 + METRICS_BATCHES / 1_000_000
