"""The only outgoing socket: requests one page of the customers API, with retries, until it is complete.

An answer is validated inside the retry loop: a page is complete when its body is whole, JSON, of the known shape,
and the requested page. The key is sent to the configured host and nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp

from service.api.clock import Clock
from service.api.pacing import RETRY_SECONDS, Gate, Jitter, guessed_pause_seconds, http_date, retry_after_seconds
from service.api.pages import NotAPage, Page, empty_page, parse_page
from service.errors import RateLimitedError, UpstreamRejectedError

_MOST_PAUSES = 10
_RETRIED_STATUSES = frozenset({408, 425})
_NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
_GONE = frozenset({404, 410})
_HINTS = {
    401: "set SERVICE_API_KEY, or SERVICE_API_KEY_FILE",
    403: "check whether the key in SERVICE_API_KEY may read customers",
    404: "check whether SERVICE_API_URL is the collection of customers",
}


class PageFailed(Exception):
    """All attempts for a page failed; the reason is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Endpoint:
    """URL and key of the collection, and the limits of one request."""

    url: str
    key: str | None = field(repr=False)
    per_page: int
    request_seconds: float
    longest_wait_seconds: float
    max_response_bytes: int
    proxy: str | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """Path of the collection; safe to log."""
        return urlsplit(self.url).path

    @property
    def identity(self) -> str:
        """Hash of URL, page size and key.

        A checkpoint with another identity is not resumed: another key may see other customers.
        """
        return hashlib.sha256(f"{self.url} {self.per_page} {self.key}".encode()).hexdigest()

    @property
    def address(self) -> str:
        """Host and path, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


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
    """429, with the requested pause; None where the answer has none."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self.seconds = seconds


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
        key = self._endpoint.key
        self._http = aiohttp.ClientSession(
            headers={"accept": "application/json"} | ({"x-api-key": key} if key else {}),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Neither proxies nor keys from the environment: only what was set.
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def page(self, number: int, etag: str | None = None, *, is_beyond: bool = False) -> Page | None:
        """The page of this number; None where it is unchanged since ``etag``.

        A fault is retried after 1, 2 and 4 seconds; 429 has a budget of its own and pauses every request. Where the
        API has no such page, other than the first, the result is a page without rows.
        ``is_beyond``: the page lies beyond the last, where a page of another number is no fault.
        Raises: PageFailed, UpstreamRejectedError, RateLimitedError, RunExpired.
        """
        faults = pauses = 0
        while True:
            await self._gate.enter()
            try:
                return await self._attempt(number, etag, is_beyond=is_beyond)
            except _Limited as limited:
                pauses += 1
                self._limit(limited.seconds, pauses)
            except _Fault as fault:
                if fault.pause_seconds:
                    self._pause(fault.pause_seconds)
                if faults == len(RETRY_SECONDS):
                    raise PageFailed(fault.reason) from None
                seconds = RETRY_SECONDS[faults] + self._jitter.seconds()
                faults += 1
                self.figures.retries += 1
                self._report("request.retried", page=number, reason=fault.reason, wait_seconds=round(seconds, 3))
                await self._gate.rest(seconds)

    def _limit(self, requested_seconds: float | None, number: int) -> None:
        self.figures.rate_limited += 1
        seconds = guessed_pause_seconds(number) if requested_seconds is None else requested_seconds
        if number > _MOST_PAUSES:
            raise self._rate_limited(seconds)
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        """Pause all requests. Raises: RateLimitedError where the pause is longer than allowed."""
        if seconds > self._endpoint.longest_wait_seconds:
            raise self._rate_limited(seconds)
        self._report("requests.paused", wait_seconds=round(seconds, 3))
        self._gate.pause(seconds + self._jitter.seconds())

    def _rate_limited(self, seconds: float) -> RateLimitedError:
        # Rounded up: never earlier than requested.
        return RateLimitedError(self._clock.now().astimezone(UTC) + timedelta(seconds=math.ceil(seconds) + 1))

    async def _attempt(self, number: int, etag: str | None, *, is_beyond: bool) -> Page | None:
        self.figures.requests += 1
        try:
            # Around everything, so that an answer that arrives byte by byte ends, too.
            async with asyncio.timeout(self._endpoint.request_seconds):
                page = await self._request(number, etag, is_beyond=is_beyond)
        except TimeoutError:
            raise _Fault("timeout") from None
        except aiohttp.ClientError as error:
            raise _Fault(_snake(type(error).__name__)) from None
        if page is not None and page.stated_number != number and not is_beyond:
            raise _Fault("other_page")
        return page

    async def _request(self, number: int, etag: str | None, *, is_beyond: bool) -> Page | None:
        query = {"page": number, "per_page": self._endpoint.per_page}
        headers = {"if-none-match": etag} if etag else {}
        url, proxy = self._endpoint.url, self._endpoint.proxy
        # Redirects are not followed: the key would be sent to another host.
        async with self._http.get(url, params=query, headers=headers, proxy=proxy, allow_redirects=False) as response:
            if response.status == 304 and etag:
                self.figures.unchanged_pages += 1
                return None
            if response.status in (_NO_SUCH_PAGE if is_beyond else _GONE) and number > 1:
                return empty_page(number)
            self._refuse_other_than_ok(response)
            body = await self._body(response)
        try:
            page = parse_page(body, number, response.headers.get("etag"))
        except NotAPage as error:
            raise _Fault(error.reason) from None
        self.figures.pages += 1
        return page

    def _refuse_other_than_ok(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 429:
            raise _Limited(self._requested_pause(response))
        if status >= 500 or status in _RETRIED_STATUSES:
            raise _Fault(f"status_{status}", self._requested_pause(response) or 0.0)
        if 300 <= status < 400:
            host = urlsplit(response.headers.get("location", "")).hostname or "another host"
            raise UpstreamRejectedError(
                f"the API redirects to {host}, and the key would be sent there",
                where=self._endpoint.address,
                hint="if the API has moved there, set SERVICE_API_URL to it",
            )
        if status != 200:
            raise UpstreamRejectedError(
                f"the API answers {status}",
                where=self._endpoint.address,
                hint=_HINTS.get(status, "check SERVICE_API_URL"),
            )
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise _Fault("no_json")

    def _requested_pause(self, response: aiohttp.ClientResponse) -> float | None:
        # By the sender's clock: ours may be ahead of it, and the next request would come too early.
        now = http_date(response.headers.get("date")) or self._clock.now()
        return retry_after_seconds(response.headers.get("retry-after"), now)

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
