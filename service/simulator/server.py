"""A customers API of a third party, simulated: real HTTP over real sockets, and every trouble such an API makes.

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
_MAX_KEPT_BYTES = 128 << 20
_STOPS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Terms:
    """What the provider decides."""

    api_key: str = "demo"
    per_page: int = 6
    """Where the request does not say."""
    latency_seconds: float = 0.0
    elsewhere: str = "http://customers.example"
    """Where ``redirect`` sends everybody."""


@dataclass(frozen=True)
class Visit:
    """One request for a page and what it got; noted just before the answer is sent."""

    page: int
    status: int
    send_mode: SendMode
    body_bytes: int
    """Of the body as it should be."""
    is_page: bool
    """Whether all of the page was sent, or 304."""
    at_seconds: float
    """By the monotonic clock of the event loop."""


class Simulator:
    """The API: its answers, and a note of every visit. ``listening`` or ``running`` puts it on a socket.

    ``on_visit`` is told every visit by the thread that serves, which waits for it before it answers.
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
        self._listing = CustomerList(world, scenarios)
        self._now = now
        self._on_visit = on_visit
        self._asked: dict[int, int] = {}
        self._given = 0
        self._kept: dict[tuple[int, int, int], tuple[bytes, str]] = {}
        self._kept_bytes = 0

    @property
    def asked(self) -> dict[int, int]:
        """How often each page was asked for."""
        return dict(self._asked)

    @property
    def fetched(self) -> list[int]:
        """The pages that were sent whole, or told to be as before, in order."""
        return [visit.page for visit in self.visits if visit.is_page]

    def truth(self, per_page: int | None = None) -> list[Customer]:
        """The customer rows that a perfect client ends with, by the list as it was at the last answer.

        What changes right after that is for the next one who reads it. See ``CustomerList.truth``.
        """
        size = per_page or self.terms.per_page
        return self._listing.truth(self._listing.changes(max(self._given - 1, 0), size), size)

    def departed(self, per_page: int | None = None) -> list[Customer]:
        """Rows of those who left since the start."""
        size = per_page or self.terms.per_page
        return self._listing.departed(self._listing.changes(max(self._given - 1, 0), size))

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        goes_on = True
        while goes_on:
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
            goes_on = await send(writer, answer, keeps_alive=request.keeps_alive)

    def _answer(self, request: Request) -> tuple[Answer, float]:
        """The answer to a request, and the seconds it takes."""
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
        times = self._asked.get(page, 0)
        self._asked[page] = times + 1
        answer = self._page(request, page, min(per_page, MAX_PER_PAGE), times)
        return answer, delay_seconds + self._mix.delay_seconds(page, times)

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
        """The answer to ``/api/users/<id>``; nothing goes wrong with it."""
        index = _count(number) - 1
        if not 0 <= index < self.world.customers:
            return Answer.error(404, "Not Found")
        return Answer(200, _json({"data": self.world.customer(index), "support": _SUPPORT}))

    def _page(self, request: Request, page: int, per_page: int, times: int) -> Answer:
        """The answer to the request for a page, noted among the visits."""
        fault = self._mix.fault(page, times, Scene(self._now(), request.target, self.terms.elsewhere))
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
        self._given += is_page
        seconds = asyncio.get_running_loop().time()
        visit = Visit(page, answer.status, answer.send_mode, len(answer.body or b""), is_page, seconds)
        self.visits.append(visit)
        self._on_visit(visit)
        return answer

    def _body(self, page: int, per_page: int) -> tuple[bytes, str]:
        """The bytes of a page and their ETag, kept as long as there is room."""
        asked = page, per_page, self._listing.changes(self._given, per_page)
        kept = self._kept.get(asked)
        if kept is None:
            body = _json(self._listing.envelope(*asked) | {"support": _SUPPORT})
            kept = self._kept[asked] = body, f'"{blake2b(body, digest_size=16).hexdigest()}"'
            self._kept_bytes += len(body)
            if self._kept_bytes > _MAX_KEPT_BYTES:
                self._kept, self._kept_bytes = {asked: kept}, len(body)
        return kept


def _count(text: str) -> int:
    """A number from 1; 0 for whatever else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header If-None-Match names the ETag."""
    return any(part.strip().removeprefix("W/") in (etag, "*") for part in if_none_match.split(","))


@asynccontextmanager
async def listening(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve from this event loop while the block runs; gives the URL of the collection. Port 0 = a free one."""
    talks: set[asyncio.Task[None] | None] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        talks.add(task)
        try:
            await simulator.converse(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went away, or the server ends
        finally:
            talks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(talk, host, port, backlog=1024)
    bound = server.sockets[0].getsockname()
    try:
        yield f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}{PATH}"
    finally:
        server.close()
        open_talks = [task for task in talks if task]
        for task in open_talks:
            task.cancel()
        await asyncio.gather(*open_talks, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets of aborted connections are closed one step later
        await server.wait_closed()


@contextmanager
def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """As ``listening``, from a thread of its own."""
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
        except BaseException as error:  # handed to the thread that waits for the start
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
    """Serve from this thread until SIGTERM or SIGINT; ``on_listening`` is told the URL."""

    async def serve_until_signalled() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in _STOPS:
            loop.add_signal_handler(number, stop.set)
        async with listening(simulator, host, port) as url:
            on_listening(url)
            await stop.wait()
            for number in _STOPS:  # closing, the loop would give them their deadly default back
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    with suppress(KeyboardInterrupt):  # one that came before we listened to signals
        asyncio.run(serve_until_signalled())
