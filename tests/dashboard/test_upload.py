"""Uploads land like dropped files, whole or not at all, under names that no client chooses freely."""

from __future__ import annotations

import doctest
import gzip
import io
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import logs
from service.dashboard.site import Site
from service.dashboard.web import receiving
from service.dashboard.web.app import create_app
from service.files import remove_staged
from service.inbox import StagedUpload, remove_partial_uploads, upload
from service.settings import Settings
from tests.dashboard.house import text_of
from tests.dashboard.live_server import LiveServer, header_of, reply, serving
from tests.worlds import CRM, ECOM, QUICK, SAMPLE, Works, local_now, wait_until

CRM_BYTES = (SAMPLE / CRM).read_bytes()
ECOM_BYTES = (SAMPLE / ECOM).read_bytes()
MB = 1 << 20
TO_CRM, TO_ECOM = "POST /api/v1/inbox/CRM", "POST /api/v1/inbox/ECOM"


def _site(root: Path, **settings: Any) -> Site:
    folders = {"inbox": root / "inbox", "outbox": root / "outbox", "state": root / "state"}
    return Site(Settings(**(QUICK | folders | {"http_port": 0, "upload_limit_mb": 4} | settings)), local_now)


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    logs.configure()
    return create_app(_site(tmp_path)).test_client()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    logs.configure()
    with serving(_site(tmp_path)) as running:
        yield running


def _post(client: FlaskClient, content: bytes, name: str | None = None, source: str = "CRM") -> TestResponse:
    headers = {} if name is None else {"X-File-Name": quote(name, safe="")}
    return client.post(f"/api/v1/inbox/{source}", data=content, headers=headers)


def _submit(client: FlaskClient, content: bytes, name: str, source: str = "CRM", **fields: Any) -> TestResponse:
    data = {"file": (io.BytesIO(content), name)} | fields
    return client.post(f"/inbox/{source}", data=data, content_type="multipart/form-data")


def _entries(folder: Path) -> list[str]:
    """Everything in the inbox, hidden files too."""
    inbox = folder / "inbox"
    return sorted(path.name for path in inbox.iterdir()) if inbox.exists() else []


def _large(size: int) -> bytes:
    line = b"CRM1,Ann Lee,ann@example.com,,2024-01-01,active\n"
    return (b"customer_id,full_name,email,phone,signup_date,status\n" + line * (size // len(line) + 1))[:size]


# ----------------------------------------------------------------------------------------------------- landing


def test_both_files_uploaded_become_a_customer_master(works: Works) -> None:
    site = Site(Settings(**(QUICK | {"inbox": works.inbox, "outbox": works.outbox, "state": works.state})), local_now)
    client = create_app(site).test_client()
    assert _submit(client, CRM_BYTES, CRM).status_code == 303
    assert _post(client, ECOM_BYTES, ECOM, "ECOM").json == {
        "message": "ecommerce_customers.json is in the inbox now.",
        "source": "ECOM",
        "file_name": ECOM,
        "size_bytes": len(ECOM_BYTES),
    }
    assert works.once().published == 1
    assert len(works.rows("customer_master.csv")) == 5


def test_the_form_leads_back_to_the_overview_and_says_what_landed(client: FlaskClient) -> None:
    answer = _submit(client, CRM_BYTES, CRM)
    assert answer.location == "/"
    assert "crm_customers.csv is in the inbox now." in text_of(client.get("/"))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(upload).failed == 0


@pytest.mark.parametrize(
    ("given", "landed"),
    [
        ("crm_customers.csv", "crm_customers.csv"),
        ("CRM_Customers_2024-01-15.CSV", "CRM_Customers_2024-01-15.CSV"),
        ("crm_customers_Ann Lee.csv", "crm_customers_Ann Lee.csv"),
        ("crm_customers (1).csv", "crm_customers.csv"),
        ("Müller, Export.TSV", "crm_customers.tsv"),
        (".bashrc.csv", "crm_customers.csv"),
        ("a\u202eb\x07.csv", "crm_customers.csv"),
        (None, "crm_customers.csv"),
    ],
)
def test_only_the_name_of_an_export_of_the_source_is_kept(
    client: FlaskClient, tmp_path: Path, given: str | None, landed: str
) -> None:
    answer = _post(client, CRM_BYTES, given)
    assert (answer.status_code, _entries(tmp_path)) == (200, [landed])
    assert (tmp_path / "inbox" / landed).read_bytes() == CRM_BYTES


def test_packed_files_and_other_kinds_keep_their_extension(client: FlaskClient, tmp_path: Path) -> None:
    assert _post(client, gzip.compress(CRM_BYTES), "x.csv.GZ").status_code == 200
    assert (
        _post(client, b'{"id": "1", "name": "Ann Lee", "email": "a@example.com"}\n', "x.jsonl", "ECOM").status_code
        == 200
    )
    assert _entries(tmp_path) == ["crm_customers.csv.gz", "ecommerce_customers.jsonl"]


def test_the_log_names_the_upload_and_no_person(
    client: FlaskClient, events: Callable[[], list[dict[str, Any]]]
) -> None:
    _post(client, CRM_BYTES, "crm_customers_Ann Lee.csv")
    (line,) = [event for event in events() if event["event"] == "dashboard.acted"]
    assert line["action"] == "upload"
    assert (line["source"], line["size_bytes"]) == ("CRM", len(CRM_BYTES))
    assert line["file"].startswith("crm_customers_#")
    assert "Ann" not in str(line)


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../x.csv", "a path"),
        ("a/b.csv", "a path"),
        ("a\\b.csv", "a path"),
        ("..", "a path"),
        ("crm_customers.csv\0.csv", "a path"),
        (f"{'x' * 300}.csv", "more than 255 bytes"),
        (f"{'ü' * 130}.csv", "more than 255 bytes"),
        ("customers.xlsx", "of this kind is not read"),
        ("crm_customers", "of this kind is not read"),
        ("crm_customers.csv.part", "of this kind is not read"),
        ("crm_customers.part.csv", "unfinished transfer"),
        ("ecommerce_customers.json", "the name of an export of ECOM"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_advice(
    client: FlaskClient, tmp_path: Path, name: str, words: str
) -> None:
    answer = _post(client, CRM_BYTES, name)
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    problem = answer.json or {}
    assert words in problem["detail"]
    assert problem["hint"]
    assert _entries(tmp_path) == []
    assert _entries(tmp_path.parent) == []


@pytest.mark.parametrize("name", ["../../x.csv", "a/b.csv", "customers.xlsx"])
def test_a_form_with_such_a_name_is_refused_too(client: FlaskClient, tmp_path: Path, name: str) -> None:
    assert _submit(client, CRM_BYTES, name).status_code == 400
    assert _entries(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"PK\x03\x04....xl/workbook.xml", "an Excel workbook"),
        (ECOM_BYTES, "JSON, not a CSV table"),
    ],
)
def test_contents_of_another_kind_are_refused_with_advice(
    client: FlaskClient, tmp_path: Path, content: bytes, words: str
) -> None:
    answer = _post(client, content, CRM)
    assert answer.status_code == 400
    assert words in (answer.json or {})["detail"]
    assert _entries(tmp_path) == []


@pytest.mark.parametrize("name", ["crm_customers.csv", "CRM_customers.json", "other.tsv"])
def test_a_file_that_waits_is_never_replaced(client: FlaskClient, tmp_path: Path, name: str) -> None:
    _post(client, CRM_BYTES, CRM)
    content = (
        b'[{"customer_id": "1", "full_name": "Ann"}]' if name.endswith(".json") else b"customer_id,email\n1,a@b.c\n"
    )
    answer = _post(client, content, name)
    assert answer.status_code == 409
    assert "waits in the inbox already" in (answer.json or {})["detail"]
    assert _entries(tmp_path) == [CRM]
    assert (tmp_path / "inbox" / CRM).read_bytes() == CRM_BYTES


def test_another_suffix_is_another_export(client: FlaskClient, tmp_path: Path) -> None:
    _post(client, CRM_BYTES, CRM)
    assert _post(client, CRM_BYTES, "crm_customers_2.csv").status_code == 200
    assert _entries(tmp_path) == ["crm_customers.csv", "crm_customers_2.csv"]


def test_an_unknown_source_and_a_form_without_a_file_are_refused(client: FlaskClient, tmp_path: Path) -> None:
    assert _post(client, CRM_BYTES, CRM, "SHOP").status_code == 404
    assert _post(client, CRM_BYTES, CRM, "..").status_code == 400
    assert _submit(client, b"", "").status_code == 400
    assert client.post("/inbox/CRM", data={"file": "no file"}).status_code == 400
    assert client.post("/inbox/CRM", data=b"--x", content_type="multipart/form-data; boundary=x").status_code == 400
    two = {"file": [(io.BytesIO(CRM_BYTES), CRM), (io.BytesIO(CRM_BYTES), CRM)]}
    assert client.post("/inbox/CRM", data=two, content_type="multipart/form-data").status_code == 400
    assert _entries(tmp_path) == []


def test_a_foreign_page_and_a_client_without_the_token_cannot_upload(tmp_path: Path) -> None:
    client = create_app(_site(tmp_path), "secret").test_client()
    assert _post(client, CRM_BYTES, CRM).status_code == 401
    headers = {"Authorization": "Bearer secret", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/api/v1/inbox/CRM", data=CRM_BYTES, headers=headers).status_code == 403
    assert _entries(tmp_path) == []
    assert (
        client.post("/api/v1/inbox/CRM", data=CRM_BYTES, headers={"Authorization": "Bearer secret"}).status_code == 200
    )


# -------------------------------------------------------------------------------------------- the real server


def test_a_large_file_goes_to_the_disk_once_and_not_into_memory(server: LiveServer, tmp_path: Path) -> None:
    content = _large(3 * MB)
    with server.connect() as client:
        client.sendall(header_of(TO_CRM, {"content_length": len(content), "x_file_name": "crm_customers_9.csv"}))
        client.sendall(content[: 2 * MB])
        wait_until(lambda: sum(path.stat().st_size for path in (tmp_path / "inbox").glob(".*")) > MB, 10)
        (hidden,) = (tmp_path / "inbox").iterdir()
        number = hidden.stat().st_ino
        client.sendall(content[2 * MB :])
        assert reply(client).status == 200
    landed = tmp_path / "inbox" / "crm_customers_9.csv"
    assert _entries(tmp_path) == [landed.name]
    assert (landed.read_bytes(), landed.stat().st_ino) == (content, number)


def test_a_large_form_lands_as_well(server: LiveServer, tmp_path: Path) -> None:
    content = _large(3 * MB)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="export.csv"\r\n\r\n'
    body = head + content + b"\r\n--x--\r\n"
    form = {"content_length": len(body), "content_type": "multipart/form-data; boundary=x"}
    assert server.send("POST /inbox/CRM", body, **form).status == 303
    assert _entries(tmp_path) == [CRM]
    assert (tmp_path / "inbox" / CRM).read_bytes() == content


def test_a_file_over_the_limit_is_refused_before_it_is_received(server: LiveServer, tmp_path: Path) -> None:
    ten_gb = 10 << 30
    refused = server.send(TO_CRM, b"x" * MB, content_length=ten_gb, x_file_name=CRM)
    assert (refused.status, refused.json["detail"]) == (413, "the file is larger than 4 MB")
    form = {"content_length": ten_gb, "content_type": "multipart/form-data; boundary=x"}
    assert server.send("POST /inbox/CRM", b"--x\r\n", **form).status == 413
    assert _entries(tmp_path) == []


def test_a_form_whose_file_is_over_the_limit_by_a_byte_is_refused(server: LiveServer, tmp_path: Path) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="export.csv"\r\n\r\n'
    for size, status in ((4 * MB + 1, 413), (4 * MB, 303)):
        body = head + _large(size) + b"\r\n--x--\r\n"
        form = {"content_length": len(body), "content_type": "multipart/form-data; boundary=x"}
        assert server.send("POST /inbox/CRM", body, **form).status == status
        assert _entries(tmp_path) == ([] if status == 413 else [CRM])


def test_other_pages_take_no_large_body_with_or_without_a_length(server: LiveServer, tmp_path: Path) -> None:
    assert server.send("POST /login", b"x" * 2 * MB, content_length=2 * MB).status == 413
    chunks = b"100000\r\n" + b"x" * MB + b"\r\n" + b"100000\r\n" + b"x" * MB + b"\r\n"
    assert server.send(TO_CRM, chunks, transfer_encoding="chunked").status == 411
    assert _entries(tmp_path) == []


def test_the_guards_answer_before_the_body_is_received(tmp_path: Path) -> None:
    logs.configure()
    with serving(_site(tmp_path), "secret") as server:
        cases: list[tuple[dict[str, object], int]] = [
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": "Bearer secret", "origin": "http://evil.example"}, 403),
            ({"authorization": "Bearer secret", "x_file_name": "..%2Fx.csv"}, 400),
        ]
        for headers, status in cases:
            with server.connect() as client:  # not one byte of the body is sent
                client.sendall(header_of(TO_CRM, {"content_length": 2 * MB} | headers))
                assert reply(client).status == status
    assert _entries(tmp_path) == []


def test_an_upload_that_breaks_off_leaves_nothing(server: LiveServer, tmp_path: Path) -> None:
    for reset in (False, True):
        with server.connect() as client:
            client.sendall(header_of(TO_CRM, {"content_length": 3 * MB, "x_file_name": CRM}) + b"x" * 2 * MB)
            wait_until(lambda: _entries(tmp_path), 10)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: not _entries(tmp_path), 10)
    assert server.send("GET /healthz").status == 200


def test_a_disk_without_room_is_said_and_nothing_is_left(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.dashboard.pages.upload.free_bytes", lambda folder: MB)
    refused = server.send(TO_CRM, b"x" * 2 * MB, content_length=2 * MB, x_file_name=CRM)
    assert (refused.status, "no room" in refused.json["detail"]) == (507, True)
    monkeypatch.undo()
    # The kernel refuses every byte beyond two megabytes of a file, as a full disk would.
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MB, limits[1]))
    try:
        refused = server.send(TO_CRM, b"x" * 3 * MB, content_length=3 * MB, x_file_name=CRM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert (refused.status, "no room" in refused.json["detail"]) == (507, True)
    assert _entries(tmp_path) == []


def test_a_slow_sender_is_cut_off_and_leaves_nothing(
    server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(receiving, "_LEAST_BYTES_PER_SECOND", 10 * MB)
    with server.connect() as client:
        client.sendall(header_of(TO_CRM, {"content_length": 3 * MB, "x_file_name": CRM}))
        wait_until(lambda: _entries(tmp_path), 10)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                client.sendall(b"x" * 100)
                client.settimeout(0.05)
                try:
                    client.recv(1, socket.MSG_PEEK)
                except TimeoutError:
                    continue
                break
            raise BrokenPipeError  # it was answered
        client.settimeout(20)
        assert reply(client).status == 408
    with server.connect() as client:  # a header that never ends
        client.settimeout(20)
        client.sendall(b"GET / HTTP/1.1\r\n")
        wait_until(lambda: _drip(client), 10)
    assert _entries(tmp_path) == []


def _drip(client: socket.socket) -> bool:
    """Send one more byte of a header; whether the server has closed the connection."""
    client.settimeout(0.05)
    try:
        client.sendall(b"x")
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_what_a_killed_dashboard_had_received_is_removed_at_the_start(tmp_path: Path) -> None:
    left = StagedUpload(tmp_path / "inbox", 1)
    other = tmp_path / "inbox" / ".api_customers.json.0011.new"
    other.touch()
    remove_partial_uploads(tmp_path / "inbox")
    assert _entries(tmp_path) == [other.name]
    left.discard()
    remove_staged(tmp_path / "inbox")
