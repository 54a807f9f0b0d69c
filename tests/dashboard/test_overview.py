"""The overview answers "did it work?" first, and then what to do."""

from __future__ import annotations

import re
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from msgspec.structs import replace

from service import documents, logs
from service.dashboard.pages.live import STAGES
from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.documents import HealthReport, StageProgress, WaitingExport
from service.folders import StateFolders
from service.jobs import JOBS
from service.settings import Settings
from service.state import State
from tests.dashboard.house import DashboardHouse, text_of
from tests.small_documents import DocumentFolders, batch
from tests.worlds import CRM, ECOM, QUICK, SAMPLE, Works, local_now, wait_until


class Watched:
    """A service whose watcher is a lock and a health file that a test writes, and the dashboard over it."""

    def __init__(self, house: DashboardHouse) -> None:
        self._house = house
        self.state = State(house.works.state)
        self.state.take()
        self.client = house.client()

    def says(self, **members: Any) -> None:
        """Write the health file; as of now, if ``members`` give no other time."""
        members = {"written_at": local_now().isoformat()} | members
        path = StateFolders(self._house.works.state).health
        documents.write(path, HealthReport(**members), durable=False)

    def text(self) -> str:
        """The page as a person reads it."""
        return text_of(self.client.get("/"))

    def live(self) -> dict[str, Any]:
        """The live part as JSON."""
        found: dict[str, Any] = self.client.get("/api/v1/live").json or {}
        return found


@pytest.fixture
def watched(own_house: DashboardHouse) -> Any:
    logs.configure()
    found = Watched(own_house)
    yield found
    found.state.release()


def _client(works: Works) -> FlaskClient:
    folders = {"inbox": works.inbox, "outbox": works.outbox, "state": works.state}
    return create_app(Site(Settings(**(QUICK | folders)), local_now)).test_client()


def _lead(client: FlaskClient) -> str:
    """The first sentence."""
    found = re.search(r'<p class="lead">(.*?)</p>', client.get("/").text, re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found[1])).strip()


# ------------------------------------------------------------------------------------------------ did it work?


def test_from_the_first_look_to_the_published_master(works: Works) -> None:
    client = _client(works)
    assert _lead(client) == "Nothing is processed at the moment: the watcher is not running."
    with works.watching():
        assert _lead(client) == "Nothing was dropped into the inbox yet."
        empty = text_of(client.get("/"))
        assert "Drop crm_customers.csv and ecommerce_customers.json to begin" in empty
        assert f"copy the files into the folder {works.inbox}" in empty
        assert "Show me the sample" in empty
        shutil.copyfile(SAMPLE / CRM, works.inbox / CRM)
        works.waits_to_be(lambda health: health["waiting"] and health["waiting"][0]["waits_for"] == ECOM)
        assert _lead(client) == "Waiting for ecommerce_customers.json."
        clock = rf"{CRM} is here since \d\d:\d\d ?; {ECOM} is missing ?\."
        assert re.search(clock, text_of(client.get("/")))
        assert "Drop ecommerce_customers.json to begin" in text_of(client.get("/"))
        slots = (client.get("/api/v1/overview").json or {})["slots"]
        assert [slot["source"] for slot in slots if slot["is_here"]] == ["CRM"]
        shutil.copyfile(SAMPLE / ECOM, works.inbox / ECOM)
        works.waits_to_be(lambda health: health["last_batch"] and not health["busy_since"])
        wait_until(lambda: "published" in _lead(client), 10)
        assert _lead(client).startswith("3 of 8 records were duplicates; 5 customers published")
    done = text_of(client.get("/"))
    assert "Customers 5" in done
    assert "customer_master.csv" in done


def test_the_master_its_files_and_the_last_batches_stand_on_the_page(watched: Watched) -> None:
    watched.says()
    shown = watched.text()
    assert "Customers 8 +3 since the batch before" in shown
    assert "27.3 % of the records" in shown
    assert all(name in shown for name in ("customer_master.csv", "duplicate_report.csv", "sample_output.json"))
    assert re.search(r"Quarantined \S+ (Copy )?UnreadableFile", shown)
    assert "Customers over the last 2 masters: 5 8" in shown
    view = watched.client.get("/api/v1/overview").json or {}
    assert [(it["job"], it["counts"]["customers"]) for it in view["latest"]] == [("integration", 8), ("analytics", 4)]
    assert [line["outcome"] for line in view["batches"]].count("quarantined") == 1
    assert view["trend"] == [5, 8]
    assert [(slot["source"], slot["is_required"]) for slot in view["slots"]] == [
        ("CRM", True),
        ("ECOM", True),
        ("API", False),
    ]


def test_a_batch_in_quarantine_is_the_answer_with_its_reason(own_house: DashboardHouse) -> None:
    works = own_house.works
    works.drop("_4", crm="no header, and nothing else")
    works.once()
    answer = (own_house.client().get("/api/v1/live").json or {})["answer"]
    assert answer["kind"] == "silent"
    state = State(works.state)
    state.take()
    found = own_house.client().get("/api/v1/live").json or {}
    state.release()
    assert found["answer"]["kind"] == "quarantined"
    assert found["answer"]["sentence"].startswith("The last batch is not published but in quarantine: ")
    assert found["answer"]["batch_id"] == works.quarantine()[-1].name


@pytest.mark.parametrize(
    ("members", "kind", "sentence"),
    [
        (
            {"state": "failing", "reasons": ("the inbox is gone",)},
            "failing",
            "Nothing can be processed: the inbox is gone.",
        ),
        ({"state": "degraded", "reasons": ("the disk runs low",)}, "published", "4 customers exported for analytics"),
        ({"waiting": ("its writer",)}, "waiting", "Waiting until a.csv is complete."),
        ({"waiting": ("its turn",)}, "published", "4 customers exported for analytics"),
        ({"waiting": ("b, c", "c")}, "waiting", "Waiting for b and c."),
        ({"waiting": ("b, c, d, e, f",)}, "waiting", "Waiting for b, c, d and 2 more."),
    ],
)
def test_the_first_sentence_says_what_matters_most(
    watched: Watched, members: dict[str, Any], kind: str, sentence: str
) -> None:
    waits = members.get("waiting", ())
    since = local_now().isoformat()
    waiting = tuple(WaitingExport(file_name="a.csv", since=since, waits_for=cause) for cause in waits)
    watched.says(**(members | {"waiting": waiting}))
    assert (watched.live()["answer"]["kind"], watched.live()["answer"]["sentence"]) == (kind, sentence)
    assert sentence in watched.text()


def test_each_reason_is_shown_with_its_code(watched: Watched) -> None:
    reasons, codes = ("the disk runs low", "<script>alert(1)</script> waits"), ("disk_low", "partner_missing")
    watched.says(state="degraded", reasons=reasons, codes=codes)
    assert [(it["code"], it["text"]) for it in watched.live()["reasons"]] == list(zip(codes, reasons, strict=True))
    assert "The disk runs low." in watched.text()
    assert "<script>alert" not in watched.client.get("/").text
    watched.says(state="degraded", reasons=reasons)  # an earlier version of the watcher
    assert [it["code"] for it in watched.live()["reasons"]] == ["", ""]


def test_a_watcher_that_died_or_hangs_is_the_first_thing_the_page_says(watched: Watched) -> None:
    watched.says()
    assert watched.live()["state"] == "ok"
    path = StateFolders(watched.state.root).health
    report = documents.read(path, HealthReport)
    long_ago = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    documents.write(path, replace(report, written_at=long_ago), durable=False)
    hung = watched.live()
    assert (hung["state"], hung["answer"]["kind"], hung["reasons"][0]["code"]) == (
        "failing",
        "silent",
        "watcher_silent",
    )
    watched.state.release()
    dead = watched.live()
    assert dead["answer"]["sentence"] == "Nothing is processed at the moment: the watcher is not running."
    assert "Start the watcher: python -m service watch" in watched.text()


# ------------------------------------------------------------------------------------------- the batch in work


def _busy(stage: str = "load", done: int = 50_000, rate: int = 10_000) -> dict[str, Any]:
    now = local_now().isoformat(timespec="seconds")
    progress = StageProgress(
        stage_number=6,
        stage_count=7,
        rows_done=done,
        rows_in_all=100_000,
        rows_per_second=rate,
        moved_at=now,
    )
    return {"busy_since": now, "stage": stage, "stage_since": now, "batch_id": "x", "progress": progress}


def test_the_batch_in_work_shows_stage_rows_rate_and_what_is_left(watched: Watched) -> None:
    watched.says(**_busy())
    found = watched.live()["progress"]
    assert (found["share"], found["stage_seconds_left"], found["seconds_left"]) == (0.7857, 5.0, None)
    shown = watched.text()
    assert "Writing the files: stage 6 of 7." in shown
    assert "50,000 of 100,000 rows · 10,000 rows/s" in shown
    assert "About 5.0 s left in this stage." in shown
    assert '<progress max="1" value="0.7857"' in watched.client.get("/").text
    watched.says(**_busy(done=0, rate=0))
    assert "How long it takes is known after the first rows." in watched.text()
    watched.says(**_busy(done=100_000))
    assert "This stage is done." in watched.text()


def test_the_time_left_is_estimated_by_the_last_batch_of_a_size_that_can_be_compared(
    watched: Watched, own_house: DashboardHouse
) -> None:
    with sqlite3.connect(StateFolders(own_house.works.state).ledger) as db:
        db.execute(
            "update outcomes set records = 50000, seconds = 30 where outcome = 'published' and job = 'integration'"
        )
    db.close()
    watched.says(**_busy())
    left = watched.live()["progress"]["seconds_left"]
    assert 55 <= left <= 60
    assert "left, by the speed of the last batch." in watched.text()


def test_every_stage_of_every_job_has_a_title() -> None:
    assert {stage for job in JOBS.values() for stage in job.stages} == set(STAGES)


# ---------------------------------------------------------------------------------------------------- polling


def test_polling_gets_no_content_until_something_changes(watched: Watched, own_house: DashboardHouse) -> None:
    now = local_now().replace(second=0)
    watched.client = create_app(Site(own_house.settings(), lambda: now)).test_client()
    watched.says(written_at=now.isoformat())
    page = watched.client.get("/").text
    url = re.search(r'hx-get="(/live[^"]+)"', page)
    assert url is not None
    path = url[1].replace("&amp;", "&")
    now += timedelta(seconds=1)
    quiet = watched.client.get(path)
    assert (quiet.status_code, quiet.data) == (204, b"")
    now += timedelta(minutes=1)
    assert watched.client.get(path).status_code == 200, "the page shows hours and minutes"
    watched.says(**_busy())
    changed = watched.client.get(path)
    assert changed.status_code == 200
    assert 'id="live"' in changed.text
    assert 'id="pill" hx-swap-oob="true"' in changed.text
    assert "<html" not in changed.text
    assert len(changed.data) < 4000
    assert 'hx-select="#latest"' not in changed.text
    watched.says(last_batch="20240115T120000Z-0a1b2c")
    ended = watched.client.get(path).text
    assert 'hx-select="#latest"' in ended
    assert 'hx-select-oob="#batches,#add-head,#sample"' in ended


def test_the_page_needs_no_script_to_upload_or_to_be_current(watched: Watched) -> None:
    watched.says()
    page = watched.client.get("/").text
    forms = re.findall(r'<form class="slot" method="post"[^>]* enctype="multipart/form-data" action="([^"]+)"', page)
    assert forms == ["/inbox/CRM", "/inbox/ECOM", "/inbox/API"]
    assert page.count('<button class="button">Upload') == 3
    assert all(f'id="{part}"' in page for part in ("live", "state", "pill", "latest", "batches", "add-head"))


def test_the_view_of_a_service_that_never_ran_is_empty(tmp_path: Path) -> None:
    folders: dict[str, Any] = {"inbox": tmp_path / "inbox", "outbox": tmp_path / "outbox", "state": tmp_path / "state"}
    client = create_app(Site(Settings(**folders), local_now)).test_client()
    view = client.get("/api/v1/overview").json or {}
    assert (view["latest"], view["batches"], view["trend"], view["sample_made_at"]) == ([], [], [], None)
    assert list(tmp_path.iterdir()) == []


def test_the_latest_set_stays_on_the_page_behind_any_number_of_quarantined_batches(tmp_path: Path) -> None:
    folders = DocumentFolders(tmp_path)
    former = folders.publish(batch(2), folders.publish(batch(1), None))
    for number in range(3, 35):
        former = folders.quarantine(batch(number), former)
    folders.ledger.open()
    given: dict[str, Any] = {"inbox": folders.inbox.root, "outbox": folders.outbox.root, "state": folders.state.root}
    client = create_app(Site(Settings(**given), local_now)).test_client()
    view = client.get("/api/v1/overview").json or {}
    assert [(it["batch_id"], it["former"] is not None) for it in view["latest"]] == [(batch(2), True)]


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nowhere", 404, "There is no such page"),
        ("POST", "/batches", 405, "This page cannot be asked for in this way"),
    ],
)
def test_an_address_that_is_none_is_answered_in_plain_words(
    shared_house: DashboardHouse, method: str, path: str, status: int, sentence: str
) -> None:
    answer = shared_house.client().open(path, method=method)
    assert answer.status_code == status
    assert f"<h1>{sentence}</h1>" in answer.text
    assert "<p>Go to the overview.</p>" in answer.text


def test_in_the_container_the_inbox_is_named_as_the_host_has_it(
    own_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"Or copy the files into the folder {own_house.works.inbox}" in text_of(own_house.client().get("/"))
    monkeypatch.setenv("IS_CUSTOMER_INTEGRATION_IMAGE", "1")
    text = text_of(own_house.client().get("/"))
    assert "Or copy the files into the inbox folder on the host ( ./inbox in compose)" in text
    assert str(own_house.works.inbox) not in text


def test_the_open_page_learns_of_later_scans(watched: Watched) -> None:
    scan = datetime.now(UTC).isoformat()
    watched.says(last_scan=scan)
    answer = watched.client.get("/live").text
    assert re.search(
        rf'<div id="scan" hx-swap-oob="true".*<time class="relative" datetime="{re.escape(scan[:19])}', answer
    )
