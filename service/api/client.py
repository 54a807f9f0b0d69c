"""The only outgoing socket: requests one page of the customers API, with retries, until it is complete.

An answer is validated inside the retry loop: a page is complete when its body is whole, JSON, of the known shape,
and the requested page. The key is sent to the configured host and nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from service.api.pacing import RETRY_SECONDS, Clock, Gate, Jitter, guessed_pause_seconds, http_date, retry_after_seconds
from service.errors import RateLimitedError, UpstreamRejectedError

KEY_BYTES = 8
_MOST_PAUSES = 10
_RETRIED_STATUSES = frozenset({408, 425})
_NO_SUCH_PAGE = frozenset({400, 404, 410, 416, 422})
_GONE = frozenset({404, 410})
_HAS_NO_ID = 1 << 8 * KEY_BYTES - 1
"""The bit of a key that marks a row without an id."""
_NO_IDS = frozenset({"", "0", "-1"})
_HINTS = {
    401: "set SERVICE_API_KEY, or SERVICE_API_KEY_FILE",
    403: "see whether the key in SERVICE_API_KEY may read customers",
    404: "see whether SERVICE_API_URL is the collection of customers",
}


class PageFailed(Exception):
    """All attempts for a page failed; the reason is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Envelope(BaseModel):
    """The object around the rows of a page; further members are ignored."""

    model_config = ConfigDict(strict=True)

    page: int = Field(ge=1)
    per_page: int = Field(ge=1)
    total: int = Field(ge=0)
    total_pages: int = Field(ge=0)
    # Not a list of models: a row of the wrong shape is a reject of the analytics job, not a fault of the page.
    data: list[Any]


@dataclass(frozen=True)
class Page:
    """One page as received."""

    number: int
    """The requested number."""
    stated_number: int
    """The number in the answer."""
    total: int
    total_pages: int
    keys: bytes
    """Eight bytes for each row: a hash of its id, or of all of a row without one."""
    body: bytes
    """Its rows as JSON, separated by commas."""
    etag: str | None = None

    @property
    def body_sha256(self) -> str:
        """SHA-256 of the rows, in hex."""
        return hashlib.sha256(self.body).hexdigest()


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
                return Page(number, number, total=-1, total_pages=-1, keys=b"", body=b"")
            self._refuse_other_than_ok(response)
            body = await self._body(response)
        page = _page_of(body, number, response.headers.get("etag"))
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
                hint=_HINTS.get(status, "see SERVICE_API_URL"),
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


def _page_of(body: bytes, number: int, etag: str | None) -> Page:
    try:
        envelope = Envelope.model_validate(_parsed(body))
    except ValidationError:
        raise _Fault("other_shape") from None
    except ValueError:
        raise _Fault("malformed_json") from None
    return Page(
        number=number,
        stated_number=envelope.page,
        total=envelope.total,
        total_pages=envelope.total_pages,
        keys=b"".join(map(key_of, envelope.data)),
        body=compact(envelope.data)[1:-1],
        etag=etag,
    )


def _parsed(body: bytes) -> Any:
    """The parsed JSON. Raises: ValueError."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        # Unpaired surrogates, left by programs that cut texts: only the standard library accepts them.
        return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def compact(value: Any) -> bytes:
    """Compact JSON; infinite numbers become null, unpaired surrogates a question mark."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def key_of(row: Any) -> bytes:
    """Eight bytes that identify a row within a run: a hash of its id, or of the whole row; the first bit says which."""
    is_named = has_id(row)
    known_by = f"id {str(row['id']).strip()}".encode() if is_named else b"row " + compact(row)
    number = int.from_bytes(hashlib.blake2b(known_by, digest_size=KEY_BYTES).digest(), "big")
    return (number & ~_HAS_NO_ID if is_named else number | _HAS_NO_ID).to_bytes(KEY_BYTES, "big")


def has_id(row: Any) -> bool:
    """Whether a row has a usable id."""
    id_ = row.get("id") if isinstance(row, dict) else None
    return type(id_) in (int, str) and str(id_).strip() not in _NO_IDS  # not a bool, which is an int too


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
