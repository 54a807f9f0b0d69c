"""Connections that stall or are very many take nothing from others, and every answer of the server is a safe one."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response

from service import logs
from service.dashboard.site import Site
from service.dashboard.web import intake
from service.dashboard.web.app import create_app
from service.settings import Settings
from tests.dashboard.live_server import LiveServer, header_of, reply, serving
from tests.dashboard.served.sockets import received
from tests.worlds import local_now, wait_until

# waitress leaves a buffer's file to the garbage collector when the buffer has become small again.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)

STREAMED_BYTES = 64 << 20
MB = 1 << 20


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    """The dashboard of an empty service, with one more page, ``/endless``; idle connections end after a second."""
    logs.configure()

    def with_endless_page(site: Site, token: str | None = None) -> Flask:
        app = create_app(site, token)
        many = STREAMED_BYTES // 65_536
        app.add_url_rule("/endless", "endless", lambda: Response(b"x" * 65_536 for _ in range(many)))
        return app

    monkeypatch.setattr("service.dashboard.web.server.create_app", with_endless_page)
    monkeypatch.setattr(intake, "IDLE_SECONDS", 1)
    folders: dict[str, Any] = {name: tmp_path / name for name in ("inbox", "outbox", "state")}
    with serving(Site(Settings(http_port=0, **folders), local_now)) as running:
        yield running
    gc.collect()


def is_served(live: LiveServer) -> bool:
    """Whether another reader gets an answer within two seconds."""
    began = time.monotonic()
    with live.connect() as connection:
        connection.settimeout(2)
        try:
            connection.sendall(header_of("GET /healthz", {"connection": "close"}))
            return received(connection).startswith(b"HTTP/1.1 200") and time.monotonic() - began < 2
        except TimeoutError:
            return False


def opened(stack: ExitStack, live: LiveServer, many: int) -> list[socket.socket]:
    """So many connections, which stay until the stack is closed."""
    return [stack.enter_context(live.connect()) for _ in range(many)]


@pytest.mark.large
def test_readers_who_stop_reading_keep_no_thread_from_others(live: LiveServer) -> None:
    with ExitStack() as stack:
        for connection in opened(stack, live, 6):
            connection.sendall(header_of("GET /endless", {}))
        wait_until(lambda: is_served(live), 20)


@pytest.mark.large
def test_a_reader_who_reads_gets_the_whole_of_a_long_answer(live: LiveServer) -> None:
    with live.connect() as connection:
        connection.sendall(header_of("GET /endless", {"connection": "close"}))
        assert len(received(connection)) > STREAMED_BYTES


def test_very_many_connections_leave_room_for_another_reader(live: LiveServer) -> None:
    with ExitStack() as stack:
        idle = opened(stack, live, intake.MOST_CONNECTIONS + 60)
        for connection in idle[::2]:
            connection.sendall(b"GET / HT")
        wait_until(lambda: is_served(live), 20)
        wait_until(lambda: is_closed(idle[0]), 5)
        assert not is_closed(idle[-1])


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_uploads_that_the_disk_has_no_room_for_together_are_refused(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("web.receiving", "pages.upload"):
        monkeypatch.setattr(f"service.dashboard.{module}.free_bytes", lambda folder: 10 * MB)
    head = {"content_length": 6 * MB, "x_file_name": "crm_customers_1.csv"}
    with live.connect() as first, live.connect() as second:
        first.sendall(header_of("POST /api/v1/inbox/CRM", head))
        wait_until(lambda: list((tmp_path / "inbox").glob(".*upload*")), 10)
        second.sendall(header_of("POST /api/v1/inbox/CRM", head | {"x_file_name": "crm_customers_2.csv"}))
        assert reply(second).status == 507
    wait_until(lambda: list((tmp_path / "inbox").iterdir()) == [], 10)
    with live.connect() as third:
        third.sendall(header_of("POST /api/v1/inbox/CRM", head | {"content_length": 2 * MB}) + b"a" * 2 * MB)
        assert reply(third).status in (200, 400)


def test_what_is_not_http_gets_a_problem_that_does_not_repeat_it(live: LiveServer) -> None:
    long_chunk = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nJohn"
    heads = (b"GET / HTTP/1.1\r\nJohn Smith", b"GET\0/ HTTP/1.1", b"GET /" + b"a" * 70_000, b"John\r\n", long_chunk)
    for head in heads:
        with live.connect() as connection:
            connection.sendall(head + b"\r\n\r\n")
            answer = received(connection).decode()
        assert answer.split(" ")[1] in ("400", "431"), head[:40]
        assert "application/problem+json" in answer
        assert "Content-Security-Policy: default-src 'none'" in answer
        assert "John" not in answer


def test_a_request_with_two_lengths_is_refused_and_nothing_behind_it_is_taken(live: LiveServer) -> None:
    lengths = (
        b"HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked",
    )
    for head in lengths:
        with live.connect() as connection:
            connection.sendall(b"POST /customers/search " + head + b"\r\nHost: localhost\r\n\r\n0\r\n\r\n")
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = received(connection)
        assert (answer.split(b" ")[1], answer.count(b"HTTP/1.")) == (b"400", 1), head
