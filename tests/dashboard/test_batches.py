"""The pages of batches say what became of every record, read sets with care, and hand out their files as they are."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.dashboard import verification
from service.dashboard.sets import scanned_rows
from service.dashboard.sets.scanned_rows import CsvShape, DamagedSet, Scans, page_of_rows
from service.dashboard.sets.set_contents import SetReader
from tests.dashboard.house import DashboardHouse, data_of, tags_of, text_of
from tests.worlds import wait_until

SHAPE = CsvShape(("unified_id", "change", "from_ids", "to_ids", "reason"), ("change",))


# --------------------------------------------------------------------------------------------------- all batches


def test_the_list_has_every_batch_with_its_figures(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    text = text_of(client.get("/batches"))
    for batch_id in (*shared_house.masters, shared_house.export, shared_house.quarantined):
        assert batch_id in text
    view = data_of(client.get("/api/v1/batches"))
    assert [it["outcome"] for it in view["batches"]] == ["published", "quarantined", "published", "published"]
    assert view["batches"][-1]["counts"] == {"records": 8, "rejects": 0, "duplicates": 3, "customers": 5}
    assert len(view["days"]) == 30
    assert sum(day["records"] for day in view["days"]) == 19
    assert "The numbers of each day" in text


def test_filters_stand_in_the_url_and_pages_follow_each_other(
    shared_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = shared_house.client()
    assert len(data_of(client.get("/api/v1/batches?job=analytics"))["batches"]) == 1
    only = data_of(client.get("/api/v1/batches?outcome=quarantined&job=integration"))["batches"]
    assert [it["batch_id"] for it in only] == [shared_house.quarantined]
    monkeypatch.setattr("service.dashboard.pages.batches.ROWS", 2)
    first = data_of(client.get("/api/v1/batches"))
    second = data_of(client.get(f"/api/v1/batches?before={first['next_before']}"))
    assert [it["batch_id"] for it in second["batches"]] == [*reversed(shared_house.masters)]
    assert second["next_before"] is None
    assert f"before={first['next_before']}" in client.get("/batches?job=").text
    assert client.get("/batches?job=other").status_code == 400
    assert client.get("/batches?outcome=published&job=analytics&before=1").status_code == 200


def test_without_a_batch_the_list_says_what_to_drop(tmp_path: Path) -> None:
    text = text_of(DashboardHouse(tmp_path / "new").client().get("/batches"))
    assert "crm_customers.csv and ecommerce_customers.json" in text
    assert str(tmp_path / "new" / "inbox") in text


# ----------------------------------------------------------------------------------------------------- one batch


def test_the_page_begins_with_what_became_of_the_records(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    first, second = shared_house.masters
    assert "8 records became 5 customers; 3 were duplicates." in text_of(client.get(f"/batches/{first}"))
    text = text_of(client.get(f"/batches/{second}"))
    assert "11 records became 8 customers; 3 were duplicates, 2 rows were rejected." in text
    assert "too_many_cells" in text
    assert "line 10: 8 cells where the header has 6" in text
    assert "rows that could not enter, see rejects.csv: 2" in text


def test_each_source_and_field_has_its_counts(shared_house: DashboardHouse) -> None:
    contents = data_of(shared_house.client().get(f"/api/v1/batches/{shared_house.masters[1]}"))["contents"]
    crm, ecom = contents["integration"]["sources"]
    assert (crm["rows"], crm["rejects"], crm["records"], crm["duplicates"], crm["records_before"]) == (10, 2, 8, 1, 5)
    assert (ecom["rows"], ecom["duplicates"]) == (3, 2)
    (phone,) = (it for it in contents["integration"]["fields"] if (it["source"], it["field"]) == ("CRM", "phone"))
    assert (phone["filled"], phone["missing"], phone["unusable"], phone["distinct"]) == (6, 2, 0, 6)
    reasons = {it["rules"]: it["records"] for it in contents["integration"]["duplicates"]}
    assert reasons == {"email+phone": 2, "email": 1}
    assert contents["warnings"]["count"] == 1
    assert not any("merged with" in line for line in contents["warnings"]["shown"])


def test_changes_of_ids_can_be_chosen_by_kind(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    path = f"batches/{shared_house.masters[1]}"
    every = data_of(client.get(f"/api/v1/{path}"))["contents"]["integration"]["changes"]
    assert every["counts"] == {"created": 4, "merged": 1, "retired": 1, "split": 1}
    split = data_of(client.get(f"/api/v1/{path}?change=split"))["contents"]["integration"]["changes"]
    assert [(it["unified_id"], it["to_ids"]) for it in split["shown"]] == [("CUST001", ["CUST001", "CUST006"])]
    assert split["rows"] == 1
    assert client.get(f"/{path}?change=retired&changes_page=9&rejects_page=7").status_code == 200
    assert client.get(f"/{path}?changes_page=0").status_code == 400


def test_a_batch_leads_to_the_one_before_and_after_it(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    first, second = shared_house.masters
    view = data_of(client.get(f"/api/v1/batches/{second}"))
    assert (view["former"]["batch_id"], view["following"]["batch_id"]) == (first, shared_house.quarantined)
    assert f"/quarantine/{shared_house.quarantined}" in client.get(f"/batches/{second}").text
    alone = data_of(client.get(f"/api/v1/batches/{shared_house.export}"))
    assert (alone["former"], alone["following"]) == (None, None)


def test_an_export_shows_its_own_figures(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    contents = data_of(client.get(f"/api/v1/batches/{shared_house.export}"))["contents"]
    assert contents["integration"] is None
    assert contents["export"]["master"] == shared_house.masters[1]
    text = text_of(client.get(f"/batches/{shared_house.export}"))
    assert "4 API records became 4 customers; none was a duplicate." in text
    assert "Data quality" in text


def test_no_page_of_a_batch_holds_a_customers_value(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    for row in shared_house.works.rows("customer_master.csv", shared_house.masters[1]):
        for batch_id in shared_house.masters:
            for page in (client.get(f"/batches/{batch_id}"), client.get(f"/api/v1/batches/{batch_id}")):
                assert row["full_name"].lower() not in page.text.lower()
                assert row["email"] not in page.text.lower()


def test_an_unknown_batch_is_not_found(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    for path in ("x", "20240115T120000Z-aaaaaa", "..", "%2e%2e"):
        assert client.get(f"/batches/{path}").status_code in (404, 308)
        assert client.get(f"/api/v1/batches/{path}/files/manifest.json").status_code == 404
        assert client.post(f"/batches/{path}/verify").status_code in (404, 405)


# ------------------------------------------------------------------------------------------------- damaged sets


def broken(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"{\x00\xff broken")


def gone(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def enlarged(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 1 << 40)  # it takes no room


@pytest.mark.parametrize("damage", [broken, gone, linked, a_pipe, enlarged])
@pytest.mark.parametrize(
    "name",
    [
        *("quality_report.json", "rejects.csv", "id_changes.csv", "match_evidence.csv", "manifest.json"),
        "integration_log.txt",
    ],
)
def test_damage_gives_a_sentence_that_names_the_file(
    own_house: DashboardHouse, damage: Callable[[Path], None], name: str
) -> None:
    batch_id = own_house.masters[1]
    damage(own_house.set_of(batch_id) / name)
    client = own_house.client()
    text = text_of(client.get(f"/batches/{batch_id}"))
    assert f"{name} is " in text.lower() or f"{name} cannot" in text.lower()
    assert "11 records became 8 customers" in text
    assert data_of(client.get(f"/api/v1/batches/{batch_id}"))["troubles"]


@pytest.mark.large
def test_a_set_that_retention_removed_keeps_its_figures(own_house: DashboardHouse) -> None:
    own_house.works.drop("_8")
    own_house.works.once(keep_batches=1)
    first = data_of(own_house.client().get("/api/v1/batches"))["batches"][-1]
    assert first["removed"] == "removed by retention"
    text = text_of(own_house.client().get(f"/batches/{first['batch_id']}"))
    assert "Removed by retention: its files are not there any more." in text
    assert "8 records became 5 customers" in text


# ------------------------------------------------------------------------------------------------ large CSV files


def changes_file(path: Path, rows: int) -> Path:
    lines = ["unified_id,change,from_ids,to_ids,reason\n"]
    for number in range(rows):
        merged = f'CUST{number},merged,"CUST{number},CUST{number + 1}",CUST{number},"two\nlines"\n'
        lines.append(merged if number % 7 == 0 else f"CUST{number},created,,CUST{number},new\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_pages_of_a_large_file_are_read_by_position(tmp_path: Path) -> None:
    path = changes_file(tmp_path / "id_changes.csv", 2500)
    scan = Scans().rows_of(path, SHAPE)
    assert dict(scan.counts) == {("created",): 2142, ("merged",): 358}
    every = [row[0] for page in range(1, 27) for row in page_of_rows(path, SHAPE, scan, page)]
    assert every == [f"CUST{number}" for number in range(2500)]
    merged = [row[0] for page in range(1, 6) for row in page_of_rows(path, SHAPE, scan, page, ("merged",))]
    assert merged == [f"CUST{number}" for number in range(0, 2500, 7)]


def test_a_scan_is_made_once_for_each_state_of_a_file_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, scans = changes_file(tmp_path / "id_changes.csv", 50), Scans()
    first = scans.rows_of(path, SHAPE)
    assert scans.rows_of(path, SHAPE) is first
    changes_file(path, 60)
    assert scans.rows_of(path, SHAPE).rows == 60
    monkeypatch.setattr(scanned_rows, "MOST_ROWS", 20)
    bounded = Scans().rows_of(path, SHAPE)
    assert (bounded.rows, bounded.is_whole) == (20, False)
    reader = SetReader(tmp_path, Scans())
    assert reader.changes(1, None).rows == 20
    assert reader.troubles == ["id_changes.csv is very long: only its first 20 rows are counted here"]


@pytest.mark.parametrize(
    "content",
    [b"", b"other,columns\n", b"\xff\xfe\n", b'unified_id,change,from_ids,to_ids,reason\nA,"b\n', b"A" * (2 << 20)],
)
def test_another_file_is_damage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "id_changes.csv"
    path.write_bytes(content)
    with pytest.raises(DamagedSet, match=r"id_changes\.csv is damaged"):
        page_of_rows(path, SHAPE, Scans().rows_of(path, SHAPE), 1)


# ------------------------------------------------------------------------------------------------------ downloads


def test_every_file_of_a_set_is_saved_as_it_is(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    for batch_id in (*shared_house.masters, shared_house.export):
        for path in sorted(shared_house.set_of(batch_id).iterdir()):
            answer = client.get(f"/batches/{batch_id}/files/{path.name}", buffered=True)
            assert answer.data == path.read_bytes(), path.name
            assert answer.headers["Content-Disposition"].startswith("attachment")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.data).hexdigest()}"'
            assert answer.content_length == len(answer.data)
            assert path.name in client.get(f"/batches/{batch_id}").text


def test_a_download_can_be_continued_and_is_not_repeated(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    url = f"/api/v1/batches/{shared_house.masters[0]}/files/customer_master.csv"
    whole = client.get(url, buffered=True)
    assert whole.mimetype == "text/csv"
    part = client.get(url, headers={"Range": "bytes=10-"}, buffered=True)
    assert (part.status_code, part.data) == (206, whole.data[10:])
    known = client.get(url, headers={"If-None-Match": whole.headers["ETag"]}, buffered=True)
    assert (known.status_code, known.data) == (304, b"")


@pytest.mark.parametrize(
    "name",
    [
        *("../manifest.json", "..%2f..%2fcustomer_master.csv", "%2e%2e", "..", "unknown.csv", "/etc/passwd"),
        *("customer_master.csv%00", "./customer_master.csv", "CUSTOMER_MASTER.CSV", "a" * 300),
    ],
)
def test_a_name_that_the_manifest_does_not_list_is_not_found(shared_house: DashboardHouse, name: str) -> None:
    answer = shared_house.client().get(f"/batches/{shared_house.masters[0]}/files/{name}")
    assert answer.status_code in (400, 404, 308)
    assert b"unified_id" not in answer.data


def endless(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 1 << 40)  # it takes no room


@pytest.mark.parametrize("damage", [broken, gone, linked, a_pipe, endless])
def test_a_file_that_is_not_as_published_is_not_handed_out(
    own_house: DashboardHouse, damage: Callable[[Path], None]
) -> None:
    batch_id = own_house.masters[0]
    damage(own_house.set_of(batch_id) / "customer_master.csv")
    answer = own_house.client().get(f"/api/v1/batches/{batch_id}/files/customer_master.csv")
    assert answer.status_code in (404, 409)
    assert "customer_master.csv" in data_of(answer)["detail"]


def test_a_manifest_that_names_other_files_opens_none(own_house: DashboardHouse) -> None:
    batch_id = own_house.masters[0]
    manifest = own_house.set_of(batch_id) / "manifest.json"
    document = json.loads(manifest.read_bytes())
    document["files"]["passwd"] = {"size_bytes": 1, "sha256": "a" * 64}
    manifest.chmod(0o600)
    manifest.write_text(json.dumps(document), encoding="utf-8")
    client = own_house.client()
    assert client.get(f"/batches/{batch_id}/files/passwd").status_code == 404
    assert client.get(f"/batches/{batch_id}/files/customer_master.csv").status_code == 404


# ------------------------------------------------------------------------------------------------------- verify


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that waits for the end of a verification, also on a busy machine."""
    monkeypatch.setattr("service.dashboard.pages.batch._WAIT_SECONDS", 30)


@pytest.mark.usefixtures("patient")
def test_verify_says_that_everything_is_as_published(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    url = f"/batches/{shared_house.masters[0]}"
    assert data_of(client.get(f"/api/v1{url}"))["verification"] is None
    found = data_of(client.post(f"/api/v1{url}/verify"))
    assert (found["state"], found["sentence"]) == ("passed", "every file is as it was published")
    assert "Every file is as it was published." in text_of(client.get(url))
    assert data_of(client.get(f"/api/v1/batches/{shared_house.masters[1]}"))["verification"] is None


def test_verify_names_what_was_changed(own_house: DashboardHouse) -> None:
    batch_id = own_house.masters[0]
    broken(own_house.set_of(batch_id) / "crosswalk.csv")
    client = own_house.client()
    page = client.post(f"/batches/{batch_id}/verify", follow_redirects=True)

    def found() -> bool:
        return bool(data_of(client.get(f"/api/v1/batches/{batch_id}"))["verification"]["state"] == "found")

    assert page.status_code == 200
    wait_until(found, 30)
    assert "1 finding." in text_of(client.get(f"/batches/{batch_id}"))
    assert f"outbox/batches/{batch_id}/crosswalk.csv has" in text_of(client.get(f"/batches/{batch_id}"))


def test_a_long_verification_holds_up_no_other_page_and_runs_alone(
    shared_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = shared_house.masters
    release = threading.Event()
    original = verification._verified
    monkeypatch.setattr(verification, "_verified", lambda *them: release.wait(30) and original(*them))
    monkeypatch.setattr("service.dashboard.pages.batch._WAIT_SECONDS", 0.05)
    client = shared_house.client()
    assert data_of(client.post(f"/api/v1/batches/{first}/verify"))["state"] == "running"
    page = client.get(f"/batches/{first}")
    assert 'hx-trigger="every 2s"' in page.text
    assert "progress" in tags_of(page.text)
    assert data_of(client.post(f"/api/v1/batches/{first}/verify"))["state"] == "running"
    refused = client.post(f"/api/v1/batches/{second}/verify")
    assert refused.status_code == 409
    assert first in data_of(refused)["detail"]
    release.set()
    wait_until(lambda: data_of(client.get(f"/api/v1/batches/{first}"))["verification"]["state"] == "passed", 30)
    assert "hx-trigger" not in client.get(f"/batches/{first}").text


@pytest.mark.usefixtures("patient")
def test_a_verification_that_cannot_be_carried_out_says_why(own_house: DashboardHouse) -> None:
    batch_id, client = own_house.masters[0], own_house.client()
    own_house.works.inbox.rename(own_house.root / "away")
    found = data_of(client.post(f"/api/v1/batches/{batch_id}/verify"))
    assert (found["state"], found["sentence"]) == ("failed", "the folder is not there")
