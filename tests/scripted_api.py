"""An API on a real socket whose every answer a test writes itself."""

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
    """What goes over the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claims_bytes: int | None = None
    """Content-Length, where it is a lie."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    page: int
    nth: int
    """How often this page was asked for, this time included."""
    headers: dict[str, str]


def page(number: int, ids: Sequence[Any], *, total: int, total_pages: int, **changes: Any) -> Answer:
    """A page as the API gives them."""
    rows = [{"id": id_, "email": f"customer.{id_}@example.com", "first_name": "A", "last_name": "B"} for id_ in ids]
    envelope = {"page": number, "per_page": 2, "total": total, "total_pages": total_pages, "data": rows} | changes
    return Answer(body=json.dumps(envelope).encode(), headers={"content-type": "application/json; charset=utf-8"})


def of_four(asked: Asked) -> Answer:
    """Four customers on two pages."""
    ids = {1: [1, 2], 2: [3, 4]}.get(asked.page, [])
    return page(asked.page, ids, total=4, total_pages=2)


@dataclass
class ScriptedApi:
    """The running server: where it is, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def pages(self) -> list[int]:
        """The pages that were asked for, in order."""
        return [it.page for it in self.asked]


@contextmanager
def serving(answer: Callable[[Asked], Answer]) -> Iterator[ScriptedApi]:
    """A server that answers so, until the block ends."""
    counts: Counter[int] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query).get("page", ["0"])[0])
            counts[number] += 1
            asked = Asked(number, counts[number], {name.lower(): value for name, value in self.headers.items()})
            api.asked.append(asked)
            told = answer(asked)
            self.send_response_only(told.status)  # the other adds a Date of its own
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(told.body) if told.claims_bytes is None else told.claims_bytes))
            self.end_headers()
            self.wfile.write(told.body)
            self.close_connection = told.claims_bytes is not None

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
