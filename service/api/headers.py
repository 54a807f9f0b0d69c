"""What the headers of an answer state: a rate limit, a pause, an ETag. Every value comes from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_STATED_SECONDS = 366.0 * 86_400  # a longer pause is a mistake, and cannot be written as a date
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+", re.ASCII)
_RESETS = ("x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset")
_REMAINDERS = ("x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining")
_FIRST_UNIX_SECONDS = 1e9  # a smaller number is a number of seconds from now
_FIRST_UNIX_MILLISECONDS = 1e12
_HAVE_A_MEANING_OF_THEIR_OWN = frozenset({401, 404, 405, 407, 410})
"""Statuses that are a rate limit only with ``Retry-After``, or if no requests remain: some APIs send the time of the
reset with every answer."""
_LONGEST_ETAG = 1_000


def is_rate_limit(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer is a rate limit: 429, and any other 4xx with ``Retry-After`` or ``X-RateLimit-Reset``."""
    if status == 429:
        return True
    if not 400 <= status < 500:
        return False
    if "retry-after" in headers:
        return True
    remaining = _decimal(_first_of(headers, _REMAINDERS))
    if remaining is not None and remaining > 0:
        return False
    is_clear = remaining == 0 or status not in _HAVE_A_MEANING_OF_THEIR_OWN
    return is_clear and _first_of(headers, _RESETS) is not None


def requested_pause_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer requests, by ``Retry-After``, else by ``X-RateLimit-Reset``; None if neither is readable.

    ``now`` is our time, used if the answer has no ``Date``: our clock may be ahead of the sender's, and the next
    request would come too early.
    """
    now = http_date(headers.get("date")) or now
    seconds = retry_after_seconds(headers.get("retry-after"), now)
    return _reset_seconds(_first_of(headers, _RESETS), now) if seconds is None else seconds


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds that ``Retry-After`` requests, from a number or a date; None where it is neither.

    ``now`` is the time of the sender: the ``Date`` of its answer, where there is one.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> [retry_after_seconds(header, noon) for header in ("7", "0.25", "Sun, 01 Mar 2026 12:01:30 GMT")]
    [7.0, 0.25, 90.0]
    >>> retry_after_seconds("Sun, 01 Mar 2026 11:00:00 GMT", noon), retry_after_seconds("1m0s", noon)
    (0.0, None)
    """
    seconds = _decimal(header)
    return _until(http_date(header), now) if seconds is None else min(seconds, _LONGEST_STATED_SECONDS)


def http_date(text: str | None) -> datetime | None:
    """A parsed HTTP date; None where the text is none."""
    try:
        at = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def usable_etag(text: str | None) -> str | None:
    """An ETag that can be stored and sent back: short, printable ASCII; else None."""
    return text if text and len(text) <= _LONGEST_ETAG and text.isascii() and text.isprintable() else None


def _reset_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds until a reset, written as Unix time (seconds or milliseconds), as seconds from now, or as a date."""
    number = _decimal(header)
    if number is None:
        return _until(http_date(header) or _iso_date(header), now)
    if number >= _FIRST_UNIX_MILLISECONDS:
        number /= 1000
    seconds = number - now.timestamp() if number >= _FIRST_UNIX_SECONDS else number
    return min(max(seconds, 0.0), _LONGEST_STATED_SECONDS)


def _iso_date(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _until(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else min(max((at - now).total_seconds(), 0.0), _LONGEST_STATED_SECONDS)


def _decimal(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if _DECIMAL.fullmatch(text) else None


def _first_of(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((headers[name] for name in names if name in headers), None)
