"""Notifications arrive once per cause, over restarts and outages, at a real HTTP server; no secret is ever shown."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service import cli, documents, logs, notify
from service.documents import HealthReport, NotifiedCause, NotifiedCauses, WaitingExport
from service.errors import UsageError
from service.folders import StateFolders
from service.health import MOST_LISTED
from service.locks import Lock
from service.notify.causes import Cause, Limits, Look, look_at
from service.notify.decisions import MOST_LINES, decide
from service.notify.notifier import FIRST_PAUSE_SECONDS, Notifier
from service.notify.recipients import recipients_of
from service.setting_types import split_urls
from service.settings import Settings, load
from service.state import State
from tests.webhook import Webhook
from tests.worlds import House, Works, failing, local_now, wait_until

NOON = datetime(2024, 1, 15, 12, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
LIMITS = Limits(stall_minutes=30, partner_warning=timedelta(minutes=60))


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook().open() as opened:
        yield opened


def settings_of(state: Path, *urls: str, **others: Any) -> Settings:
    here: dict[str, Any] = {"state": state, "notify_urls": SecretStr(",".join(urls))}
    return Settings(**(here | others))


class Desk:
    """A notifier on a real state folder, whose turns and clocks the test moves."""

    def __init__(self, state: Path, *urls: str, **settings: Any) -> None:
        self.state = state
        self.settings = settings_of(state, *urls, **({"notify_after_seconds": 0} | settings))
        self.moved = timedelta(0)
        self.restart()

    def restart(self) -> None:
        """As after a restart of the process: only what is in the file is known."""
        recipients = recipients_of(self.settings.notify_urls)
        self._notifier = Notifier(
            self.settings, recipients, lambda: local_now() + self.moved, lambda: self.moved.total_seconds()
        )

    def turn(self, **passed: float) -> None:
        """One turn, after so much time has passed."""
        self.moved += timedelta(**passed)
        self._notifier.turn()

    def kept(self) -> NotifiedCauses:
        return documents.read(StateFolders(self.state).notified, NotifiedCauses)


# ---------------------------------------------------------------------------------------------- a real service


@pytest.mark.large
def test_a_quarantined_batch_is_one_message_and_the_next_published_one_another(works: Works, hook: Webhook) -> None:
    desk = Desk(works.state, hook.url)
    with works.watching():
        works.drop("_1", ecom="[")
        works.waits_to_be(lambda health: health["quarantined"])
        desk.turn()
        desk.turn()
        desk.restart()
        desk.turn()
        (message,) = hook.received
        batch_id = works.quarantine()[0].name
        assert message["type"] == "failure"
        assert message["title"] == "Customer integration needs attention"
        assert f"batch {batch_id} is in quarantine: UnreadableFile" in message["message"]
        assert f"python -m service retry {batch_id}" in message["message"]
        works.drop("_2")
        works.waits_to_be(lambda health: not health["quarantined"])
        desk.turn()
        desk.turn()
    assert hook.types == ["failure", "success"]
    assert f"over: batch {batch_id} is in quarantine" in hook.received[1]["message"]


def test_a_daemon_that_ends_is_stuck_until_it_is_back(works: Works, hook: Webhook) -> None:
    desk = Desk(works.state, hook.url, notify_after_seconds=60)
    with works.watching():
        desk.turn()
    desk.turn()
    assert hook.received == []  # a restart is no cause
    desk.turn(seconds=61)
    desk.turn(seconds=61)
    assert hook.types == ["warning"]
    assert "the service is silent: no watcher works with the state" in hook.received[0]["message"]
    with works.watching():
        wait_until(lambda: works.health()["last_scan"])
        desk.moved = timedelta(0)  # a watcher that has written its health an hour ago would be silent
        desk.turn()
    assert hook.types == ["warning", "success"]


def test_a_quarantine_stays_while_the_daemon_is_silent(works: Works, hook: Webhook) -> None:
    """A file that a dead daemon left says nothing about now: neither that it is over, nor anything new."""
    desk = Desk(works.state, hook.url)
    with works.watching():
        works.drop("_1", ecom="[")
        works.waits_to_be(lambda health: health["quarantined"])
        desk.turn()
    documents.write(StateFolders(works.state).health, HealthReport(written_at=local_now().isoformat()))
    desk.turn()
    assert hook.types == ["failure", "warning"]


# -------------------------------------------------------------------------------------------------------- causes


def look_at_report(folder: Path, now: datetime, *active: str, **members: Any) -> Look:
    """A look at the state of a daemon that works, and wrote this report a moment ago."""
    daemon = State(folder)
    daemon.take()
    try:
        report = HealthReport(written_at=now.isoformat(), last_scan=now.isoformat(), **members)
        documents.write(StateFolders(folder).health, report)
        return look_at(folder, active, LIMITS, now)
    finally:
        daemon.release()


def waiting(name: str, since: datetime) -> WaitingExport:
    return WaitingExport(file_name=name, since=since.isoformat(), waits_for="its turn")


def test_an_export_is_stuck_after_the_time_of_the_setting(tmp_path: Path) -> None:
    export = waiting("crm_customers_#3f9a1c.csv", NOON)
    early = look_at_report(tmp_path, NOON + timedelta(minutes=59), waiting=(export,), waiting_count=1)
    late = look_at_report(tmp_path, NOON + timedelta(minutes=60), waiting=(export,), waiting_count=1)
    assert early == Look()
    (cause,) = late.causes
    assert (cause.event, cause.must_last) == ("stuck", False)
    assert cause.text == "crm_customers_#3f9a1c.csv waits since 2024-01-15 12:00 UTC for its turn"


def test_a_wait_goes_on_when_the_daemon_restarts_and_begins_to_count_again(tmp_path: Path) -> None:
    key, now = "waiting:crm_customers.csv", NOON + timedelta(hours=2)
    listed = {"waiting": (waiting("crm_customers.csv", now),), "waiting_count": 1}
    assert look_at_report(tmp_path, now, key, **listed) == Look((), frozenset({key}))
    assert look_at_report(tmp_path, now, key) == Look()
    too_many = {"waiting": (waiting("a.csv", now),) * MOST_LISTED, "waiting_count": MOST_LISTED + 1}
    assert look_at_report(tmp_path, now, key, **too_many).kept == {key}


def test_a_failing_service_is_a_cause_that_must_last(tmp_path: Path) -> None:
    look = look_at_report(tmp_path, NOON, state="failing", reasons=("Jane Doe", "x"), codes=("Jane Doe", "disk_low"))
    (cause,) = look.causes
    assert (cause.key, cause.event, cause.must_last) == ("failing", "failed", True)
    assert cause.text.startswith("the service fails: disk_low; ")
    assert "Jane" not in cause.text


@pytest.mark.parametrize("content", [b"{", b'{"waiting": [{"file_name": "x", "since": "noon", "waits_for": "y"}]}'])
def test_a_health_file_that_cannot_be_read_is_silence(tmp_path: Path, content: bytes) -> None:
    daemon = State(tmp_path)
    daemon.take()
    StateFolders(tmp_path).health.write_bytes(content)
    look = look_at(tmp_path, ["failing"], LIMITS, NOON)
    daemon.release()
    assert [cause.key for cause in look.causes] == ["silent"]
    assert look.kept == {"failing"}


# ----------------------------------------------------------------------------------------------------- decisions


FAILED = Cause("quarantined:x", "failed", "batch x is in quarantine; correct it")


def test_a_cause_that_comes_and_goes_is_sent_once_in_its_time() -> None:
    notified: dict[str, NotifiedCause] = {}
    sent: list[tuple[int, str]] = []
    for minute in range(60):
        look = Look((FAILED,)) if minute % 2 == 0 else Look()
        notified, messages = decide(notified, look, NOON + timedelta(minutes=minute), QUARTER)
        sent += [(minute, message.event) for message in messages]
    assert sent == [(0, "failed"), (1, "recovered")] + [
        (minute + passed, event) for minute in (16, 32, 48) for passed, event in ((0, "failed"), (1, "recovered"))
    ]


def test_a_cause_that_came_back_too_early_is_sent_when_its_time_is_over() -> None:
    notified, _ = decide({}, Look((FAILED,)), NOON, QUARTER)
    notified, _ = decide(notified, Look(), NOON, QUARTER)
    notified, early = decide(notified, Look((FAILED,)), NOON + timedelta(minutes=14), QUARTER)
    notified, late = decide(notified, Look((FAILED,)), NOON + timedelta(minutes=15), QUARTER)
    assert (early, [message.event for message in late]) == ([], ["failed"])


def test_what_is_over_is_forgotten_in_the_end() -> None:
    notified, _ = decide({}, Look((FAILED,)), NOON, QUARTER)
    notified, _ = decide(notified, Look(), NOON, QUARTER)
    assert notified["quarantined:x"].is_over
    assert decide(notified, Look(), NOON + timedelta(minutes=15), QUARTER) == ({}, [])


def test_a_clock_that_was_set_back_does_not_silence_a_cause() -> None:
    notified, _ = decide({}, Look((FAILED,)), NOON, QUARTER)
    notified, _ = decide(notified, Look(), NOON, QUARTER)
    _, messages = decide(notified, Look((FAILED,)), NOON - timedelta(days=300), QUARTER)
    assert [message.event for message in messages] == ["failed"]


def test_many_causes_are_one_message_of_bounded_length() -> None:
    causes = tuple(Cause(f"quarantined:{number}", "failed", f"batch {number}") for number in range(500))
    _, (message,) = decide({}, Look(causes), NOON, QUARTER)
    assert message.text.splitlines()[-1] == f"and {500 - MOST_LINES} more"
    assert len(message.text.splitlines()) == MOST_LINES + 1


# ------------------------------------------------------------------------------------------- outages and restarts


def test_what_could_not_be_sent_arrives_later_also_after_a_restart(tmp_path: Path, hook: Webhook) -> None:
    """The daemon never ran, so it is silent. The server answers with an error, and then is away."""
    desk = Desk(tmp_path, hook.url)
    hook.status = 500
    desk.turn()
    desk.turn(seconds=FIRST_PAUSE_SECONDS - 1)
    hook.status = 200
    desk.turn(seconds=0.5)
    assert hook.received == []  # not before the pause is over
    desk.restart()
    desk.turn()
    desk.turn(hours=1)
    assert hook.types == ["warning"]
    assert desk.kept().pending == ()


def test_a_recipient_that_is_away_holds_up_no_other_and_gets_nothing_twice(tmp_path: Path, hook: Webhook) -> None:
    with Webhook().open() as closed:
        port = closed.port
    desk = Desk(tmp_path, f"json://127.0.0.1:{port}", hook.url)
    desk.turn()
    desk.turn(hours=1)
    assert hook.types == ["warning"]
    with Webhook(port).open() as later:
        desk.turn(hours=1)
        assert later.types == ["warning"]
    assert hook.types == ["warning"]
    assert desk.kept().pending == ()


def test_messages_for_a_recipient_that_is_gone_are_forgotten(tmp_path: Path, hook: Webhook) -> None:
    hook.status = 500
    Desk(tmp_path, hook.url).turn()
    desk = Desk(tmp_path, f"{hook.url}&other=1")
    assert len(desk.kept().pending) == 1
    desk.turn()
    assert desk.kept().pending == ()


def test_the_messages_that_wait_are_bounded(tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.notify.notifier.MOST_PENDING", 5)
    hook.status = 500
    desk = Desk(tmp_path, hook.url, notify_repeat_minutes=0)
    for _ in range(5):
        desk.turn()  # silent
        look_at_report(tmp_path, local_now())
        daemon = State(tmp_path)
        daemon.take()
        desk.turn()  # recovered
        daemon.release()
    assert len(desk.kept().pending) == 5


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"causes": {"x": {"event": "y"}}}'])
def test_a_damaged_file_repeats_a_message_and_stops_nothing(tmp_path: Path, hook: Webhook, content: bytes) -> None:
    desk = Desk(tmp_path, hook.url)
    desk.turn()
    StateFolders(tmp_path).notified.write_bytes(content)
    desk.restart()
    desk.turn()
    desk.turn()
    assert hook.types == ["warning", "warning"]


def test_a_state_that_cannot_be_written_repeats_nothing(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch, events: Callable[[], list[dict[str, Any]]]
) -> None:
    logs.configure()
    desk = Desk(tmp_path, hook.url)
    monkeypatch.setattr("service.documents.write", failing(OSError(28, "No space left on device")))
    for _ in range(3):
        desk.turn()
    assert hook.types == ["warning"]
    assert [it["event"] for it in events()].count("notification.unwritten") == 1


# ------------------------------------------------------------------------------------------------ the command line


def run_notify(monkeypatch: pytest.MonkeyPatch, urls: str, *arguments: str) -> int:
    monkeypatch.setenv("SERVICE_NOTIFY_URLS", urls)
    return cli.main(["notify", *arguments])


def test_a_test_message_says_whether_it_arrived(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_notify(monkeypatch, hook.url, "--test") == 0
    assert [message["title"] for message in hook.received] == ["Customer integration: a test"]
    assert capfd.readouterr().err == "recipient 1 (JSON): the message arrived\n"
    hook.status = 500
    assert run_notify(monkeypatch, f"{hook.url}\n json://127.0.0.1:1/s3cret", "--test") == 1
    shown = capfd.readouterr()
    assert shown.err.count("did not arrive") == 2
    assert "s3cret" not in shown.err + shown.out


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ("", "no recipient of notifications is set"),
        ("s3cret-word", "SERVICE_NOTIFY_URLS must be URLs of Apprise"),
        ("json://127.0.0.1 nonsense://s3cret-word", "URL 2 of SERVICE_NOTIFY_URLS is none that Apprise can use"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], urls: str, message: str
) -> None:
    assert run_notify(monkeypatch, urls) == 2
    shown = capfd.readouterr()
    assert message in shown.err
    assert "s3cret" not in shown.err + shown.out


def test_urls_are_separated_by_commas_blanks_and_line_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "urls"
    secret.write_text("mailto://ann:pass@example.com?to=a@x.org,b@x.org,\n\njson://localhost, xml://localhost\n")
    monkeypatch.setenv("SERVICE_NOTIFY_URLS_FILE", str(secret))
    settings, _ = load(tmp_path)
    assert settings.notify_urls is not None
    assert "pass" not in repr(settings)
    assert split_urls(settings.notify_urls) == [
        "mailto://ann:pass@example.com?to=a@x.org,b@x.org",
        "json://localhost",
        "xml://localhost",
    ]


def test_a_second_process_for_the_same_state_is_refused(tmp_path: Path, hook: Webhook) -> None:
    first = Lock(StateFolders(tmp_path).notify_lock, locks="it", hint="")
    assert first.acquire()
    with pytest.raises(UsageError, match="another process sends the notifications"):
        notify.run(settings_of(tmp_path, hook.url), local_now)
    first.release()


@pytest.mark.large
@pytest.mark.slow
def test_the_process_reports_a_killed_daemon_and_ends_on_a_signal(house: House, hook: Webhook) -> None:
    (house.root / "urls").write_text(hook.url)
    output = house.root / "notify.log"
    daemon = house.watch()
    with open(output, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "notify"],
            cwd=house.root,
            env=house.environment(notify_urls_file="urls", notify_after_seconds="0.1"),
            stdout=log,
            stderr=log,
        )
    wait_until(lambda: "notifier.started" in output.read_text())
    daemon.kill()
    wait_until(lambda: "notification.sent" in output.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert hook.types == ["warning"]
    names = ["notifier.started", "notification.sent"]
    assert [json.loads(line)["event"] for line in output.read_text().splitlines()] == names
    assert "s3cret" not in output.read_text() + StateFolders(house.state).notified.read_text()
