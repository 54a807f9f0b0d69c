"""Requests one page of the customers API, with retries, until it is complete.

An answer is validated inside the retry loop: a page is complete when its body is whole, JSON, of the known shape,
and the requested page. Whatever an answer holds ends as a page, a fault, a limit or a rejection.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from types import TracebackType

import aiohttp

from service.api import rejections
from service.api.clock import Clock
from service.api.connection import open_session
from service.api.endpoint import Endpoint
from service.api.headers import is_rate_limit, requested_pause_seconds, usable_etag
from service.api.pacing import RETRY_SECONDS, Gate, Jitter
from service.api.pages import NotAPage, Page, WrongShape, empty_page, has_no_rows, parse_page
from service.errors import RateLimitedError

_MOST_PAUSES = 10
"""Rate limits in a row, without a page between them."""
_MOST_TIMEOUTS_OF_AN_OPTIONAL_PAGE = 2
_RETRIED_STATUSES = frozenset({304, 408, 425})
_NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
_GONE = frozenset({204, 404, 410})


class PageFailed(Exception):
    """All attempts for a page failed; the reason is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Figures:
    """Counts of a run so far."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    pages: int = 0
    unchanged_pages: int = 0
    bytes: int = 0


class _Fault(Exception):
    """This attempt failed and may be repeated."""

    def __init__(self, reason: str, pause_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause_seconds = pause_seconds


class _Limited(Exception):
    """A rate limit, with the requested pause; None where the answer has none."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(frozen=True)
class _Wanted:
    """One page to request, and what is known about it."""

    number: int
    etag: str | None
    is_beyond: bool
    is_optional: bool


class ApiClient:
    """Reads pages from one endpoint, several at a time. Use it in ``async with``."""

    def __init__(
        self, endpoint: Endpoint, gate: Gate, clock: Clock, jitter: Jitter, report: Callable[..., object]
    ) -> None:
        """``report(event, **counts)`` is called for every retry and pause."""
        self._endpoint = endpoint
        self._gate = gate
        self._clock = clock
        self._jitter = jitter
        self._report = report
        self.figures = Figures()
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> ApiClient:
        self._http = open_session(self._endpoint)
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def page(
        self, number: int, etag: str | None = None, *, is_beyond: bool = False, is_optional: bool = False
    ) -> Page | None:
        """The page of this number; None where it is unchanged since ``etag``.

        A fault is retried after 1, 2 and 4 seconds; a rate limit pauses every request. Where the API has no such page,
        other than the first, the result is a page without rows.
        ``is_beyond``: the page lies beyond the last, where a page of another number is no fault. ``is_optional``: it is
        not needed, so a page that does not arrive in time is not requested often.
        Raises: PageFailed, UpstreamRejectedError, RateLimitedError, RunExpired.
        """
        wanted = _Wanted(number, etag, is_beyond, is_optional)
        faults = 0
        while True:
            try:
                return await self._attempt(wanted, is_first=not faults)
            except _Limited:
                continue  # the pause holds for all requests; this one waits for it with the others
            except _Fault as fault:
                if fault.pause_seconds:
                    self._pause(fault.pause_seconds)
                faults += 1
                is_late = is_optional and fault.reason == "timeout" and faults >= _MOST_TIMEOUTS_OF_AN_OPTIONAL_PAGE
                if faults > len(RETRY_SECONDS) or is_late:
                    raise PageFailed(fault.reason) from None
                seconds = RETRY_SECONDS[faults - 1] + self._jitter.seconds()
                self.figures.retries += 1
                self._report("request.retried", page=number, reason=fault.reason, wait_seconds=round(seconds, 3))
                await self._gate.rest(seconds)

    async def _attempt(self, wanted: _Wanted, *, is_first: bool) -> Page | None:
        async with self._gate.admitted() as sent_at:
            try:
                page = await self._answer(wanted)
            except _Limited as limited:
                self._limit(sent_at, limited.seconds)
                raise
            except _Fault as fault:
                is_overload = fault.reason == "status_503" and not fault.pause_seconds
                if not (is_overload and self._gate.count_overload(is_first=is_first)):
                    raise
                self._limit(sent_at, None)
                raise _Limited(None) from None
            self._gate.arrived(sent_at)
        return page

    def _limit(self, sent_at: float, requested_seconds: float | None) -> None:
        """Pause all requests. Raises: RateLimitedError where the pause is too long, or one of too many."""
        self.figures.rate_limited += 1
        learned_seconds = self._gate.refused(sent_at, is_stated=requested_seconds is not None)
        seconds = learned_seconds if requested_seconds is None else requested_seconds
        if seconds is None:
            return  # sent before the limit showed, which has been counted
        if self._gate.refusals > _MOST_PAUSES:
            raise self._rate_limited(seconds)
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        """Pause all requests. Raises: RateLimitedError where the pause is longer than allowed."""
        if seconds > self._endpoint.longest_wait_seconds:
            raise self._rate_limited(seconds)
        self._report("requests.paused", wait_seconds=math.floor(1000 * seconds) / 1000)
        self._gate.pause(seconds + self._jitter.seconds())

    def _rate_limited(self, seconds: float) -> RateLimitedError:
        # Rounded up: never earlier than requested.
        return RateLimitedError(self._clock.now().astimezone(UTC) + timedelta(seconds=math.ceil(seconds) + 1))

    async def _answer(self, wanted: _Wanted) -> Page | None:
        self.figures.requests += 1
        try:
            # Around everything, so that an answer that arrives byte by byte ends, too.
            async with asyncio.timeout(self._endpoint.request_seconds):
                page = await self._request(wanted)
        except TimeoutError:
            raise _Fault("timeout") from None
        except aiohttp.ClientError as error:
            if (lasting := rejections.lasting(error, self._endpoint)) is not None:
                raise lasting from None
            raise _Fault(_snake(type(error).__name__)) from None
        except ValueError:
            # Something in the answer that the HTTP library cannot read.
            raise _Fault("unreadable_answer") from None
        if page is not None and page.stated_number != wanted.number and not wanted.is_beyond:
            raise _Fault("other_page")
        return page

    async def _request(self, wanted: _Wanted) -> Page | None:
        query = {"page": wanted.number, "per_page": self._endpoint.per_page}
        headers = {"if-none-match": wanted.etag} if wanted.etag else {}
        url, proxy = self._endpoint.url, self._endpoint.proxy
        # Redirects are not followed: the key would be sent to another host.
        async with self._http.get(url, params=query, headers=headers, proxy=proxy, allow_redirects=False) as response:
            if response.status == 304 and wanted.etag:
                self.figures.unchanged_pages += 1
                return None
            if self._is_no_such_page(response, wanted):
                return empty_page(wanted.number)
            self._refuse_other_than_ok(response, wanted.number)
            body = await self._body(response)
        try:
            page = parse_page(body, wanted.number, usable_etag(response.headers.get("etag")))
        except NotAPage as error:
            if wanted.is_beyond and has_no_rows(body):
                return empty_page(wanted.number)
            if isinstance(error, WrongShape) and wanted.number == 1:
                raise rejections.wrong_shape(error.explanation, self._endpoint) from None
            raise _Fault(error.reason) from None
        self.figures.pages += 1
        return page

    @staticmethod
    def _is_no_such_page(response: aiohttp.ClientResponse, wanted: _Wanted) -> bool:
        statuses = _NO_SUCH_PAGE | _GONE if wanted.is_beyond else _GONE
        return (
            wanted.number > 1 and response.status in statuses and not is_rate_limit(response.status, response.headers)
        )

    def _refuse_other_than_ok(self, response: aiohttp.ClientResponse, page: int) -> None:
        status, headers = response.status, response.headers
        if is_rate_limit(status, headers):
            raise _Limited(requested_pause_seconds(headers, self._clock.now()))
        if status >= 500 or status in _RETRIED_STATUSES:
            pause = requested_pause_seconds(headers, self._clock.now()) if "retry-after" in headers else None
            raise _Fault(f"status_{status}", pause or 0.0)
        if 300 <= status < 400:
            raise rejections.redirect(headers.get("location"), self._endpoint)
        if status != 200:
            raise rejections.rejection(status, page, self._endpoint)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise _Fault("no_json")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            self.figures.bytes += len(chunk)
            if len(body) > self._endpoint.max_response_bytes:
                raise _Fault("too_large")
        return bytes(body)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
