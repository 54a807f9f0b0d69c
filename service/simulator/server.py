"""A simulated customers API: real HTTP over real sockets, with every fault of such an API.

``GET /api/users?page=&per_page=`` and ``GET /api/users/<id>``, with the header ``x-api-key``, as on reqres.in.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

from service.simulator.customers import Customer, World
from service.simulator.scenarios import CustomerList, Mix, Scene
from service.simulator.wire import JSON_TYPE, Answer, MalformedRequest, Request, SendMode, read_request, send

PATH = "/api/users"
MAX_PER_PAGE = 100
_SUPPORT = {"url": "https://reqres.in/#support-heading", "text": "Simulated; no customer of these exists."}
_MAX_CACHED_BYTES = 128 << 20
_STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Terms:
    """Settings of the provider."""

    api_key: str = "demo"
    per_page: int = 6
    """Rows of a page if the request does not state a number."""
    latency_seconds: float = 0.0
    elsewhere: str = "http://customers.example"
    """The host that ``redirect`` names."""


@dataclass(frozen=True)
class Visit:
    """One request for a page, and its answer; recorded just before the answer is sent."""

    page: int
    status: int
    send_mode: SendMode
    body_bytes: int
    """Size of the complete body."""
    is_page: bool
    """Whether the answer is the complete page, or 304."""
    at_seconds: float
    """By the monotonic clock of the event loop."""


class Simulator:
    """The API: its answers, and a record of every request for a page. ``listening`` and ``running`` serve it.

    ``on_visit`` is called with each record by the thread that serves; the answer is sent after it returns.
    """

    def __init__(
        self,
        world: World,
        scenarios: tuple[str, ...] = (),
        terms: Terms | None = None,
        *,
        now: Callable[[], datetime],
        on_visit: Callable[[Visit], None] = lambda visit: None,
    ) -> None:
        self.world = world
        self.terms = terms or Terms()
        self.visits: list[Visit] = []
        """In the order of the requests."""
        self._mix = Mix(scenarios, world.seed)
        self._list = CustomerList(world, scenarios)
        self._now = now
        self._on_visit = on_visit
        self._requests: dict[int, int] = {}
        self._sent_pages = 0
        self._cache: dict[tuple[int, int, int], tuple[bytes, str]] = {}
        self._cached_bytes = 0

    @property
    def requests(self) -> dict[int, int]:
        """How often each page was requested."""
        return dict(self._requests)

    @property
    def fetched(self) -> list[int]:
        """The pages that were sent completely or answered with 304, in order."""
        return [visit.page for visit in self.visits if visit.is_page]

    def truth(self, per_page: int | None = None) -> list[Customer]:
        """The customer rows that a perfect client ends with, by the list at the time of the last answer.

        A change right after that answer is seen by the next reading only. See ``CustomerList.truth``.
        """
        size = per_page or self.terms.per_page
        return self._list.truth(self._list.changes(max(self._sent_pages - 1, 0), size), size)

    def departed(self, per_page: int | None = None) -> list[Customer]:
        """Rows of the customers who have left since the start."""
        size = per_page or self.terms.per_page
        return self._list.departed(self._list.changes(max(self._sent_pages - 1, 0), size))

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        is_open = True
        while is_open:
            try:
                request = await read_request(reader)
            except MalformedRequest:
                await send(writer, Answer.error(400, "Bad Request"), keeps_alive=False)
                return
            if request is None:
                return
            answer, delay_seconds = self._answer(request)
            if delay_seconds:
                await asyncio.sleep(delay_seconds)
            is_open = await send(writer, answer, keeps_alive=request.keeps_alive)

    def _answer(self, request: Request) -> tuple[Answer, float]:
        """The answer to a request, and the seconds before it is sent."""
        delay_seconds = self.terms.latency_seconds
        refused = self._refusal(request)
        if refused:
            return refused, delay_seconds
        if request.path != PATH:
            return self._one(request.path.removeprefix(f"{PATH}/")), delay_seconds
        query = request.query
        page, per_page = _count(query.get("page", "1")), _count(query.get("per_page", str(self.terms.per_page)))
        if not page or not per_page:
            return Answer.error(400, "page and per_page are numbers from 1"), delay_seconds
        earlier = self._requests.get(page, 0)
        self._requests[page] = earlier + 1
        answer = self._page(request, page, min(per_page, MAX_PER_PAGE), earlier)
        return answer, delay_seconds + self._mix.delay_seconds(page, earlier)

    def _refusal(self, request: Request) -> Answer | None:
        key = request.headers.get("x-api-key")
        if request.path != PATH and not request.path.startswith(f"{PATH}/"):
            return Answer.error(404, "Not Found")
        if request.method != "GET":
            return Answer.error(405, "Method Not Allowed", headers=(("Allow", "GET"),))
        if key is None:
            return Answer.error(401, "Missing API key")
        return Answer.error(403, "Invalid API key") if key != self.terms.api_key else None

    def _one(self, number: str) -> Answer:
        """The answer to ``/api/users/<id>``; scenarios do not apply to it."""
        index = _count(number) - 1
        if not 0 <= index < self.world.customers:
            return Answer.error(404, "Not Found")
        return Answer(200, _json({"data": self.world.customer(index), "support": _SUPPORT}))

    def _page(self, request: Request, page: int, per_page: int, earlier: int) -> Answer:
        """The answer to a request for a page; recorded in ``visits``."""
        fault = self._mix.fault(page, earlier, Scene(self._now(), request.target, self.terms.elsewhere))
        if fault is not None and fault.body is not None:
            answer, is_page = fault, False
        else:
            body, etag = self._body(page, per_page)
            answer = Answer(200, body, (("Content-Type", JSON_TYPE), ("ETag", etag)))
            is_page = fault is None
            if fault is not None:
                answer = replace(answer, send_mode=fault.send_mode)
            elif _names(request.headers.get("if-none-match", ""), etag):
                answer = Answer(304, b"", (("ETag", etag),))
        self._sent_pages += is_page
        seconds = asyncio.get_running_loop().time()
        visit = Visit(page, answer.status, answer.send_mode, len(answer.body or b""), is_page, seconds)
        self.visits.append(visit)
        self._on_visit(visit)
        return answer

    def _body(self, page: int, per_page: int) -> tuple[bytes, str]:
        """The bytes of a page and their ETag, from a cache of limited size."""
        arguments = page, per_page, self._list.changes(self._sent_pages, per_page)
        cached = self._cache.get(arguments)
        if cached is None:
            body = _json(self._list.envelope(*arguments) | {"support": _SUPPORT})
            cached = self._cache[arguments] = body, f'"{blake2b(body, digest_size=16).hexdigest()}"'
            self._cached_bytes += len(body)
            if self._cached_bytes > _MAX_CACHED_BYTES:
                self._cache, self._cached_bytes = {arguments: cached}, len(body)
        return cached


def _count(text: str) -> int:
    """A number from 1; 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header If-None-Match names the ETag."""
    return any(part.strip().removeprefix("W/") in (etag, "*") for part in if_none_match.split(","))


@asynccontextmanager
async def listening(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve in this event loop while the block runs; yields the URL of the collection. Port 0 = a free one."""
    connections: set[asyncio.Task[None] | None] = set()

    async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        connections.add(task)
        try:
            await simulator.serve_connection(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client disconnected, or the server ends
        finally:
            connections.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve_connection, host, port, backlog=1024)
    bound = server.sockets[0].getsockname()
    try:
        yield f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}{PATH}"
    finally:
        server.close()
        open_connections = [task for task in connections if task]
        for task in open_connections:
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets of aborted connections are closed one step later
        await server.wait_closed()


@contextmanager
def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Like ``listening``, in a thread of its own."""
    started: concurrent.futures.Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = (
        concurrent.futures.Future()
    )

    async def serve_until_stopped() -> None:
        stop = asyncio.Event()
        async with listening(simulator, host, port) as url:
            started.set_result((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    def work() -> None:
        try:
            asyncio.run(serve_until_stopped())
        except BaseException as error:  # raised in the thread that waits for the start
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=work, name="simulator", daemon=True)
    thread.start()
    url, loop, stop = started.result()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def serve(simulator: Simulator, host: str, port: int, on_listening: Callable[[str], None]) -> None:
    """Serve in this thread until SIGTERM or SIGINT; ``on_listening`` is called with the URL."""

    async def serve_until_signalled() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in _STOPS:
            loop.add_signal_handler(number, stop.set)
        async with listening(simulator, host, port) as url:
            on_listening(url)
            await stop.wait()
            for number in _STOPS:  # closing the loop would restore the default action, which kills the process
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    with suppress(KeyboardInterrupt):  # one that arrived before the handlers were set
        asyncio.run(serve_until_signalled())
