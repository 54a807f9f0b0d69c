"""An API on a real socket; the test provides every answer."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Answer:
    """One answer, as it is sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claims_bytes: int | None = None
    """A wrong Content-Length."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    page: int
    nth: int
    """How often this page was requested, this request included."""
    headers: dict[str, str]


def page(number: int, ids: Sequence[Any], *, total: int, total_pages: int, **changes: Any) -> Answer:
    """The answer that is a page with customers of these ids."""
    rows = [{"id": id_, "email": f"customer.{id_}@example.com", "first_name": "A", "last_name": "B"} for id_ in ids]
    envelope = {"page": number, "per_page": 2, "total": total, "total_pages": total_pages, "data": rows} | changes
    return Answer(body=json.dumps(envelope).encode(), headers={"content-type": "application/json; charset=utf-8"})


def four_customers(request: Request) -> Answer:
    """Four customers on two pages."""
    ids = {1: [1, 2], 2: [3, 4]}.get(request.page, [])
    return page(request.page, ids, total=4, total_pages=2)


@dataclass
class ScriptedApi:
    """The running server: its URL, and the requests that it received."""

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def pages(self) -> list[int]:
        """The requested pages, in order."""
        return [request.page for request in self.requests]


@contextmanager
def serving(answer_to: Callable[[Request], Answer]) -> Iterator[ScriptedApi]:
    """A server with these answers, until the block ends."""
    counts: Counter[int] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query).get("page", ["0"])[0])
            counts[number] += 1
            request = Request(number, counts[number], {name.lower(): value for name, value in self.headers.items()})
            api.requests.append(request)
            answer = answer_to(request)
            self.send_response_only(answer.status)  # ``send_response`` would add a Date
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header(
                "content-length", str(len(answer.body) if answer.claims_bytes is None else answer.claims_bytes)
            )
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.claims_bytes is not None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api = ScriptedApi(f"http://127.0.0.1:{server.server_address[1]}/api/users")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
