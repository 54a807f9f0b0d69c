"""A connection that is slow, huge or one of very many takes nothing from the others: over real sockets.

The limits are shortened, so that the tests need not wait; the server is the real one in this process.
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from waitress import wasyncore
from waitress.server import BaseWSGIServer

from service.dashboard import intake
from service.dashboard.app import create_app
from service.dashboard.server import listening
from service.dashboard.site import Site
from service.settings import Settings
from tests.dashboard.served.crawl import ask
from tests.dashboard.served.sockets import connected, exchanged, is_closed_within, received
from tests.worlds import local_now, wait_until

# waitress leaves a buffer's file to the garbage collector when the buffer has become small again.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)

HOST = "Host: localhost"
STREAMED_BYTES = 64 << 20


@contextmanager
def running(app: Any, **settings: Any) -> Iterator[BaseWSGIServer]:
    """The server of an application, in a thread, until the block ends."""
    server = listening(app, Settings(http_port=0, **settings))
    assert isinstance(server, BaseWSGIServer)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        stoppable: Any = server  # as its stubs have it, a server has no map
        stoppable.trigger.pull_trigger(lambda: [channel.handle_close() for channel in channels(server)])
        # Its threads first: they use what wakes the loop.
        stoppable.task_dispatcher.shutdown()
        stoppable.trigger.pull_trigger(lambda: wasyncore.close_all(stoppable._map))
        thread.join(10)
        assert not thread.is_alive()
        gc.collect()


def port_of(server: BaseWSGIServer) -> int:
    return int(server.getsockname()[1])


def channels(server: Any) -> list[Any]:
    """Its connections."""
    return list(server.active_channels.values())


def reads(server: BaseWSGIServer) -> int:
    """The status that another reader gets, who waits for two seconds at most."""
    began = time.monotonic()
    status = ask(f"http://127.0.0.1:{port_of(server)}", "/healthz").status
    assert time.monotonic() - began < 2
    return status


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """The dashboard of an empty service, with a token, an action that takes files, and an endless page."""
    folders = {name: tmp_path / name for name in ("inbox", "outbox", "state")}
    app = create_app(Site(Settings(**folders), local_now), token="right")  # type: ignore[arg-type]  # it takes paths
    app.add_url_rule("/anything", "anything", lambda: "kept", methods=["POST"])

    @app.get("/endless")
    def endless() -> Response:
        return Response(b"x" * 65_536 for _ in range(STREAMED_BYTES // 65_536))

    return app


@pytest.fixture
def shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short times and small bodies."""
    monkeypatch.setattr(intake, "HEADER_SECONDS", 0.4)
    monkeypatch.setattr(intake, "IDLE_SECONDS", 1)
    monkeypatch.setattr(intake, "LEAST_BYTES_PER_SECOND", 1_000_000)


def post(path: str, size: int, *more: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", HOST, "Authorization: Bearer right", f"Content-Length: {size}", *more, "", "")
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b"G"),
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        (post("/anything", 300_000), b"a"),
        (post("/anything", 2_000_000), b"ab"),
    ],
    ids=["first line", "headers", "body", "body of a file"],
)
def test_a_request_that_drips_in_is_closed_and_others_are_served(
    app: Flask, shortened: None, begin: bytes, drip: bytes
) -> None:
    with running(app) as server, ExitStack() as stack:
        slow = [stack.enter_context(connected(port_of(server))) for _ in range(8)]
        for connection in slow:
            connection.sendall(begin or drip)
        assert reads(server) == 200
        assert is_closed_within(slow[0], 6, drip)


def test_a_request_that_is_slow_but_makes_progress_is_served(app: Flask, shortened: None) -> None:
    with running(app) as server, connected(port_of(server)) as connection:
        connection.sendall(post("/anything", 1_000_000, "Connection: close"))
        for _ in range(10):
            connection.sendall(b"a" * 100_000)
            time.sleep(0.08)
        assert received(connection).startswith(b"HTTP/1.1 200")


def test_readers_who_stop_reading_keep_no_thread_from_others(app: Flask, shortened: None) -> None:
    with running(app) as server, ExitStack() as stack:
        stalled = [stack.enter_context(connected(port_of(server))) for _ in range(6)]
        for connection in stalled:
            connection.sendall(f"GET /endless HTTP/1.1\r\n{HOST}\r\nAuthorization: Bearer right\r\n\r\n".encode())
        wait_until(lambda: reads_soon(server), 10)


def reads_soon(server: BaseWSGIServer) -> bool:
    try:
        return reads(server) == 200
    except (AssertionError, OSError):
        return False


def test_very_many_connections_leave_room_for_another_reader(app: Flask) -> None:
    with running(app) as server, ExitStack() as stack:
        idle = [stack.enter_context(connected(port_of(server))) for _ in range(intake.MOST_CONNECTIONS + 60)]
        for connection in idle[::2]:
            connection.sendall(b"GET / HT")
        assert reads(server) == 200
        wait_until(lambda: len(channels(server)) <= intake.MOST_CONNECTIONS + 1, 10)


@pytest.mark.parametrize(
    ("path", "token", "size", "status"),
    [
        ("/anything", "right", 10 << 30, 413),
        ("/anything", "right", 99 << 60, 413),
        ("/anything", "right", 2 << 20, 413),
        ("/anything", "wrong", 1_100_000, 413),
        ("/nothing", "right", 1_100_000, 413),
        ("/anything", "wrong", 10, 401),
    ],
)
def test_a_large_body_is_refused_before_it_is_read(app: Flask, path: str, token: str, size: int, status: int) -> None:
    head = (f"POST {path} HTTP/1.1", HOST, f"Authorization: Bearer {token}", f"Content-Length: {size}")
    with running(app, upload_limit_mb=1) as server:
        got, text = exchanged(port_of(server), *head, body=b"0123456789")
        assert (got, "Content-Security-Policy: default-src 'none'" in text) == (status, True), text


def test_a_body_of_unknown_size_is_refused(app: Flask) -> None:
    with running(app) as server:
        head = ("POST /anything HTTP/1.1", HOST, "Authorization: Bearer right", "Transfer-Encoding: chunked")
        assert exchanged(port_of(server), *head, body=b"5\r\nabcde\r\n0\r\n\r\n")[0] == 411


def test_bodies_on_their_way_are_bounded_together_and_leave_nothing_behind(
    app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(app, upload_limit_mb=2) as server, ExitStack() as stack:
        first = [stack.enter_context(connected(port_of(server))) for _ in range(2)]
        for connection in first:
            connection.sendall(post("/anything", 2 << 20) + b"a" * 1_500_000)
        wait_until(lambda: _bytes_on_their_way(server) == 2 * (2 << 20), 10)
        with connected(port_of(server)) as third:
            third.sendall(post("/anything", 2 << 20))
            assert received(third).startswith(b"HTTP/1.1 503")
        assert reads(server) == 200
        stack.close()
        wait_until(lambda: _bytes_on_their_way(server) == 0, 10)
        assert list(tmp_path.glob("tmp*")) == []


def _bytes_on_their_way(server: BaseWSGIServer) -> int:
    return sum(
        channel.request.declared_bytes for channel in channels(server) if isinstance(channel.request, intake._Request)
    )


def test_a_body_that_the_disk_has_no_room_for_is_refused(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    full: Callable[[Path], int] = lambda folder: 1 << 20  # noqa: E731  # shorter than a function
    monkeypatch.setattr(intake, "free_bytes", full)
    with running(app) as server, connected(port_of(server)) as connection:
        connection.sendall(post("/anything", 2 << 20, "Connection: close"))
        assert received(connection).startswith(b"HTTP/1.1 507")


def test_what_is_not_http_gets_a_problem_that_does_not_repeat_it(app: Flask) -> None:
    with running(app) as server:
        for head in ("GET / HTTP/1.1\r\nJohn Smith", "GET\x00/ HTTP/1.1", f"GET /{'a' * 70_000} HTTP/1.1"):
            status, text = exchanged(port_of(server), head)
            assert status in (400, 431), head[:40]
            assert "application/problem+json" in text
            assert "nosniff" in text
            assert "John" not in text


def test_the_endless_page_is_endless_for_a_reader_who_reads(app: Flask) -> None:
    with running(app) as server, connected(port_of(server)) as connection:
        lines = ("GET /endless HTTP/1.1", HOST, "Authorization: Bearer right", "Connection: close", "", "")
        connection.sendall("\r\n".join(lines).encode())
        assert len(received(connection)) > STREAMED_BYTES
