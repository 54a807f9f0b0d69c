"""The pages of the quarantine say why, show the lines at fault as text, and bring a batch back."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import documents
from service.dashboard.sets import preview as previews
from service.dashboard.sets.preview import Location, Preview, location_of, preview
from service.documents import Reason
from tests.dashboard.house import (
    BROKEN_LINE,
    FORMULA,
    LONG,
    RIGHT_TO_LEFT,
    SCRIPT,
    DashboardHouse,
    data_of,
    tags_of,
    text_of,
)
from tests.small_documents import reason

ID = "20240115T120000Z-0a1b2c"


# ------------------------------------------------------------------------------------------------------ the list


def test_the_list_says_why_where_and_what_to_do(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    text = text_of(client.get("/quarantine"))
    assert "1 batch waits for you" in text
    assert "ecommerce_customers_3.json: the document ends too early (it is truncated)" in text
    assert "line 2, byte 102" in text
    assert "Export it again and drop it again with the other exports of its batch" in text
    (batch,) = data_of(client.get("/api/v1/quarantine"))["batches"]
    assert (batch["batch_id"], batch["condition"]) == (shared_house.quarantined, "waiting")
    assert batch["file_names"] == ["crm_customers_3.csv", "ecommerce_customers_3.json"]


def test_a_command_in_the_hint_stands_as_code_and_can_be_copied(own_house: DashboardHouse) -> None:
    batch_id = own_house.quarantined
    path = own_house.works.inbox / "quarantine" / batch_id / "reason.json"
    command = f"python -m service retry --accept {batch_id}"
    text = reason(
        batch_id, None, hint=f"if the exports are right: {command}", retry=f"python -m service retry {batch_id}"
    )
    path.chmod(0o600)
    documents.write(path, text)
    client = own_house.client()
    assert f'If the exports are right: <code class="command">{command}</code>' in client.get("/quarantine").text
    page = client.get(f"/quarantine/{batch_id}").text
    assert "<strong>If the exports are right:</strong>" in page
    assert f'data-copy="{command}"' in page


def test_an_empty_quarantine_says_so(tmp_path: Path) -> None:
    client = DashboardHouse(tmp_path / "new").client()
    assert "Nothing is in quarantine" in text_of(client.get("/quarantine"))
    assert data_of(client.get("/api/v1/quarantine")) == {"batches": [], "waiting": 0, "next_before": None}


def test_a_folder_that_was_removed_emptied_or_damaged_is_said_so(own_house: DashboardHouse) -> None:
    client, batch_id = own_house.client(), own_house.quarantined
    folder = own_house.works.inbox / "quarantine" / batch_id

    def condition() -> str:
        (listed,) = data_of(client.get("/api/v1/quarantine"))["batches"]
        one = data_of(client.get(f"/api/v1/quarantine/{batch_id}"))["batch"]
        assert listed == one
        assert client.get("/quarantine").status_code == client.get(f"/quarantine/{batch_id}").status_code == 200
        return str(one["condition"])

    (folder / "ecommerce_customers_3.json").unlink()
    assert condition() == "waiting"
    assert "the file is not there any more" in text_of(client.get(f"/quarantine/{batch_id}"))
    (folder / "crm_customers_3.csv").unlink()
    assert condition() == "emptied"
    (folder / "reason.json").chmod(0o600)
    (folder / "reason.json").write_bytes(b"[")
    assert condition() == "damaged"
    shutil.rmtree(folder)
    assert condition() == "removed"
    assert "removed or moved by hand" in text_of(client.get(f"/quarantine/{batch_id}"))


def test_a_version_that_was_set_aside_is_listed_though_it_is_no_outcome(own_house: DashboardHouse) -> None:
    folder = own_house.works.inbox / "quarantine" / ID
    folder.mkdir()
    (folder / "crm_customers.csv").write_text("x", encoding="utf-8")
    set_aside = json.loads(documents.to_text(reason(ID, None)))
    del set_aside["former_outcome_sha256"]
    (folder / "reason.json").write_text(json.dumps(set_aside), encoding="utf-8")
    client = own_house.client()
    assert {it["batch_id"] for it in data_of(client.get("/api/v1/quarantine"))["batches"]} == {
        ID,
        own_house.quarantined,
    }
    page = client.post(f"/quarantine/{ID}/retry", follow_redirects=True)
    assert "Moved back into the inbox: crm_customers.csv." in text_of(page)
    assert client.get(f"/quarantine/{ID}").status_code == 404


def test_what_is_not_in_quarantine_is_not_found(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    for batch_id in (shared_house.masters[0], "x", "..", ID):
        assert client.get(f"/api/v1/quarantine/{batch_id}").status_code == 404
        assert client.post(f"/api/v1/quarantine/{batch_id}/retry").status_code in (404, 405)


# ------------------------------------------------------------------------------------------------------ one batch


def test_the_lines_at_fault_are_shown_as_text(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    page = client.get(f"/quarantine/{shared_house.quarantined}")
    assert "script" not in [tag for tag in tags_of(page.text.partition("<main")[2])]
    assert BROKEN_LINE.strip() in text_of(page)
    assert "the file ends here" in text_of(page)
    assert f"python -m service retry {shared_house.quarantined}" in text_of(page)
    assert "ERROR - Pipeline failed" in text_of(page)
    lines = data_of(client.get(f"/api/v1/quarantine/{shared_house.quarantined}"))["preview"]["lines"]
    assert [(it["number"], it["is_named"]) for it in lines] == [(1, False), (2, True)]


def test_hostile_texts_stay_text_and_no_log_holds_them(
    own_house: DashboardHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own_house.works.inbox / "quarantine" / own_house.quarantined
    (folder / "ecommerce_customers_3.json").write_text(
        "\n".join((SCRIPT, FORMULA, LONG, RIGHT_TO_LEFT, "\u202eevil\x1b[2J", "x" * 5000)), encoding="utf-8"
    )
    text = reason(own_house.quarantined, None, where=f"a, ecommerce_customers_3.json, line 3{SCRIPT}", found=FORMULA)
    hostile = Reason(**{**{name: getattr(text, name) for name in text.__struct_fields__}, "message": SCRIPT})
    inputs = {"crm_customers_3.csv": "a" * 64, "ecommerce_customers_3.json": "a" * 64}
    hostile = Reason(**{**{name: getattr(hostile, name) for name in hostile.__struct_fields__}, "inputs": inputs})
    (folder / "reason.json").chmod(0o600)
    documents.write(folder / "reason.json", hostile)
    client = own_house.client()
    capsys.readouterr()
    page = client.get(f"/quarantine/{own_house.quarantined}")
    shown = text_of(page)
    assert "script" not in tags_of(page.text.partition("<main")[2])
    for text_of_customer in (SCRIPT, FORMULA, LONG, RIGHT_TO_LEFT):
        assert text_of_customer in shown
    assert "\\u202eevil\\x1b[2J" in shown
    assert "\u202e" not in page.text
    assert "x" * 250 not in page.text
    assert "script" not in tags_of(client.get("/quarantine").text.partition("<main")[2])
    logged = capsys.readouterr().out
    assert not any(it in logged for it in (SCRIPT, FORMULA, LONG, RIGHT_TO_LEFT))


def test_its_files_are_saved_by_number(shared_house: DashboardHouse) -> None:
    client, batch_id = shared_house.client(), shared_house.quarantined
    folder = shared_house.works.inbox / "quarantine" / batch_id
    answer = client.get(f"/quarantine/{batch_id}/files/2", buffered=True)
    assert answer.data == (folder / "ecommerce_customers_3.json").read_bytes()
    assert answer.headers["Content-Disposition"] == "attachment; filename=ecommerce_customers_3.json"
    assert answer.mimetype == "application/octet-stream"
    assert "ETag" not in answer.headers
    for number in ("0", "3", "reason.json", "-1"):
        assert client.get(f"/api/v1/quarantine/{batch_id}/files/{number}").status_code in (400, 404)


def test_a_link_in_place_of_a_file_is_not_followed(own_house: DashboardHouse) -> None:
    path = own_house.works.inbox / "quarantine" / own_house.quarantined / "ecommerce_customers_3.json"
    path.unlink()
    path.symlink_to("/etc/passwd")
    client = own_house.client()
    assert client.get(f"/quarantine/{own_house.quarantined}/files/2").status_code == 409
    page = client.get(f"/quarantine/{own_house.quarantined}")
    assert "a symbolic link, which is not followed" in text_of(page)
    assert "root:" not in page.text


# ---------------------------------------------------------------------------------------------- retry and accept


def test_a_retry_moves_the_files_back_and_says_what_comes(own_house: DashboardHouse) -> None:
    client, batch_id = own_house.client(), own_house.quarantined
    page = client.post(f"/quarantine/{batch_id}/retry", follow_redirects=True)
    text = text_of(page)
    assert "Moved back into the inbox: crm_customers_3.csv, ecommerce_customers_3.json." in text
    assert "the watcher is not running" in text
    assert "It was moved back into the inbox." in text
    assert (own_house.works.inbox / "ecommerce_customers_3.json").exists()
    assert data_of(client.get("/api/v1/quarantine"))["batches"] == []
    again = client.post(f"/api/v1/quarantine/{batch_id}/retry")
    assert (again.status_code, data_of(again)["hint"]) == (409, "check the name")


def test_of_several_retries_at_once_one_moves_every_file(own_house: DashboardHouse) -> None:
    batch_id, client = own_house.quarantined, own_house.client()
    client.post("/quarantine/20240115T120000Z-0a1b2c/retry")  # loads what the first retry loads
    begun, path = threading.Barrier(8), f"/api/v1/quarantine/{batch_id}/retry"

    def retried(_: int) -> tuple[int, int]:
        browser = client.application.test_client()
        begun.wait()
        answer = browser.post(path)
        return answer.status_code, len(data_of(answer).get("file_names", ()))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(retried, range(8)))[:2] == [(200, 2), (409, 0)]
    assert not (own_house.works.inbox / "quarantine" / batch_id).exists()


def test_after_a_retry_the_page_leads_to_the_new_batch(own_house: DashboardHouse) -> None:
    client, former = own_house.client(), own_house.quarantined
    assert client.post(f"/api/v1/quarantine/{former}/retry").status_code == 200
    own_house.works.once()
    became = data_of(client.get(f"/api/v1/quarantine/{former}"))["became"]
    assert became["batch_id"] == own_house.quarantined != former
    assert f"The same files are batch {became['batch_id']} now." in text_of(client.get(f"/quarantine/{former}"))


def test_the_page_says_where_the_files_are_and_which_to_drop_again(own_house: DashboardHouse) -> None:
    client, batch_id = own_house.client(), own_house.quarantined
    text = text_of(client.get(f"/quarantine/{batch_id}"))
    folder = own_house.works.inbox.absolute() / "quarantine" / batch_id
    assert f"Correct ecommerce_customers_3.json , or copy a new export over it, in {folder} ." in text
    assert "Or drop all exports of the batch again crm_customers_3.csv and ecommerce_customers_3.json" in text
    for name, end in (("crm_customers_3.csv", ""), ("ecommerce_customers_3.json", "}]}")):
        content = (folder / name).read_text(encoding="utf-8")
        (own_house.works.inbox / name).write_text(content + end, encoding="utf-8")
    own_house.works.once()
    assert len(own_house.masters) == 3


def test_in_the_image_the_page_names_the_folder_on_the_host(
    own_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.dashboard.site.is_image", lambda: True)
    page = data_of(own_house.client().get(f"/api/v1/quarantine/{own_house.quarantined}"))
    assert page["folder"] == f"./inbox/quarantine/{own_house.quarantined}"


def test_the_runbook_page_names_the_folders_of_this_service(own_house: DashboardHouse) -> None:
    page = own_house.client().get("/runbook").text
    assert f"cat {own_house.works.inbox.absolute()}/quarantine/BATCH/reason.json" in page
    assert "INBOX/" not in page
    assert "STATE/" not in page


def test_a_retry_of_mended_files_is_published(own_house: DashboardHouse) -> None:
    former = own_house.quarantined
    path = own_house.works.inbox / "quarantine" / former / "ecommerce_customers_3.json"
    path.chmod(0o600)
    path.write_text(f"{path.read_text(encoding='utf-8')}}}]}}", encoding="utf-8")
    assert own_house.client().post(f"/quarantine/{former}/retry").status_code == 303
    own_house.works.once()
    assert len(own_house.masters) == 3
    page = data_of(own_house.client().get(f"/api/v1/quarantine/{former}"))
    assert (page["became"]["outcome"], page["is_became_unchanged"]) == ("published", False)
    assert "The next batch with files of these names is" in text_of(own_house.client().get(f"/quarantine/{former}"))


def test_a_name_that_waits_already_is_refused_with_what_to_do(own_house: DashboardHouse) -> None:
    (own_house.works.inbox / "crm_customers_3.csv").write_text("x", encoding="utf-8")
    page = own_house.client().post(f"/quarantine/{own_house.quarantined}/retry")
    assert page.status_code == 409
    assert "crm_customers_3.csv waits in the inbox already" in page.text
    assert "drop the other exports of its batch as well" in page.text
    (own_house.works.inbox / "crm_customers_3.csv").unlink()  # as the hint says first
    assert own_house.client().post(f"/quarantine/{own_house.quarantined}/retry").status_code == 303


@pytest.mark.large
def test_only_what_a_guard_holds_back_can_be_accepted_and_only_on_purpose(own_house: DashboardHouse) -> None:
    works = own_house.works
    works.drop("_5", crm="customer_id,full_name,email\nA1,Ann,ann@example.com\n", ecom='{"customers": []}')
    works.once(volume_guard_rows=1, min_volume_percent=50)
    held = own_house.quarantined
    client = own_house.client()
    assert "Accept once" not in client.get(f"/quarantine/{works.quarantine()[0].name}").text
    page = client.get(f"/quarantine/{held}")
    assert "Accept once" in page.text
    assert 'name="is_understood" value="true" required' in page.text
    refused = client.post(f"/quarantine/{held}/accept")
    assert refused.status_code == 409
    assert "which must be confirmed" in refused.text
    assert held == own_house.quarantined
    assert client.post(f"/quarantine/{held}/accept", data={"is_understood": "true"}).status_code == 303
    works.once(volume_guard_rows=1, min_volume_percent=50)
    assert len(works.rows("customer_master.csv")) == 1


# -------------------------------------------------------------------------------------------------- the preview


def lines_of(path: Path, line: int | None, byte: int | None = None) -> Preview:
    return preview(path.parent, Location(path.name, line, byte))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_reason_names_a_file_a_line_and_a_byte() -> None:
    def location(**texts: str) -> Location | None:
        inputs = {"crm_customers.csv": "a" * 64, "crm_customers.csv.gz": "b" * 64}
        return location_of(reason(ID, None, inputs=inputs, **texts))

    assert location(where="batch B, crm_customers.csv.gz, line 12, byte 345") == Location(
        "crm_customers.csv.gz", 12, 345
    )
    assert location(where="batch B, crm_customers.csv, line 3") == Location("crm_customers.csv", 3, None)
    assert location(where="batch B, crm_customers.csv") == Location("crm_customers.csv", None, None)
    assert location(where="batch B", message="crm_customers.csv: too small") == Location(
        "crm_customers.csv", None, None
    )
    assert location(where="batch B", message="something") is None


def test_three_lines_before_and_after_are_shown(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"".join(b"line %d\r\n" % number for number in range(1, 100_000)))
    for number in (1, 2, 50, 99_998):
        found = lines_of(path, number)
        expected = [it for it in range(number - 3, number + 4) if 1 <= it < 100_000]
        assert [(it.number, it.text) for it in found.lines] == [(it, f"line {it}") for it in expected]
        assert [it.number for it in found.lines if it.is_named] == [number]
    at = path.read_bytes().index(b"line 50000") + 5
    found = lines_of(path, 50_000, at + 1)
    assert [it.number for it in found.lines] == [*range(49_997, 50_004)]
    assert (found.lines[3].text, found.lines[3].rest) == ("line ", "50000")
    assert not any(it.is_named for it in lines_of(path, None).lines)


def test_a_line_without_end_is_cut_round_the_byte(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", b"[" + b"1234567890" * 1_000_000)
    (line,) = lines_of(path, 1, 5_000_001).lines
    assert line.is_cut
    assert len(line.text) == len(line.rest) == 120
    assert line.rest.startswith("0123")
    (line,) = lines_of(path, 1).lines
    assert (line.text[:4], len(line.text), line.is_cut) == ("[123", 240, True)


def test_packed_and_other_encodings_are_read(tmp_path: Path) -> None:
    text = "id,name\n1,Zoë\n2,محمد\n"
    packed = written(tmp_path / "a.csv.gz", gzip.compress(text.encode()))
    assert [it.text for it in lines_of(packed, 2).lines] == ["id,name", "1,Zoë", "2,محمد"]
    wide = written(tmp_path / "b.csv", text.encode("utf-16"))
    assert [it.text for it in lines_of(wide, 3).lines][1:] == ["1,Zoë", "2,محمد"]
    windows = written(tmp_path / "c.csv", "id,name\n1,Zoë Brown\n".encode("cp1252"))
    assert lines_of(windows, 2).lines[1].text == "1,Zoë Brown"
    cut = written(tmp_path / "d.csv.gz", packed.read_bytes()[:-12])
    assert lines_of(cut, None).note == "the file cannot be unpacked up to this place"


def test_what_is_not_text_is_shown_in_hex(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"PK\x03\x04\x00\x01" + bytes(range(256)) * 8)
    found = lines_of(path, 1)
    assert found.is_binary
    assert found.lines[0].text.startswith("50 4b 03 04 00 01")
    assert found.lines[0].text.endswith("PK..............")
    assert len(found.lines) == 16
    assert [it.number for it in found.lines[:2]] == [1, 17]


def test_a_preview_reads_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "_MOST_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(previews, "_MOST_READ_BYTES", 2 << 20)
    bomb = written(tmp_path / "a.csv.gz", gzip.compress(b"\n" * (8 << 20)))
    plain = written(tmp_path / "b.csv", b"\n" * (8 << 20))
    for path, line, byte in ((bomb, 7 << 20, None), (bomb, 1, 7 << 20), (plain, 7 << 20, None)):
        found = lines_of(path, line, byte)
        assert (found.lines, found.note) == ((), "the place is too far from the beginning of the file to be shown here")
    assert lines_of(plain, 7 << 20, 7 << 20).lines


def test_without_lines_a_preview_says_why(tmp_path: Path) -> None:
    assert lines_of(written(tmp_path / "a.csv", b""), None).note == "the file is empty"
    assert lines_of(written(tmp_path / "b.csv", b"1\n2\n"), 40).note == "the file ends before this line"
    assert lines_of(tmp_path / "c.csv", 1).note == "the file is not there any more"
