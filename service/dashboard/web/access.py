"""Access: who may use the dashboard, from which host name and origin, and how often a wrong token is tried."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection

from werkzeug.datastructures import Headers

MOST_FAILURES = 10
"""Wrong tokens within ``FAILURE_SECONDS``, from all addresses together; then every attempt waits."""
FAILURE_SECONDS = 60.0
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""What every answer has."""
_HOST = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_REFUSAL_SECONDS = 60.0


class TooManyAttempts(Exception):
    """So many wrong tokens were tried that none is looked at for ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many wrong tokens: try again in {seconds} s")
        self.seconds = seconds


class TokenCheck:
    """Compares tokens with the one that is needed, in constant time, and bounds the attempts.

    All addresses share one limit: behind a proxy, and in a container, all have the same one.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._hash = hashlib.sha256(token.encode()).digest()
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)
        self._lock = threading.Lock()

    def is_right(self, token: str) -> bool:
        """Whether this is the token. Raises: TooManyAttempts, also for the right one."""
        now = self._clock()
        with self._lock:
            if len(self._failures) == MOST_FAILURES and (left := self._failures[0] + FAILURE_SECONDS - now) > 0:
                raise TooManyAttempts(int(left) + 1)
            if hmac.compare_digest(hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), self._hash):
                return True
            self._failures.append(now)
            return False

    def session_key(self) -> bytes:
        """The key that signs session cookies: another token ends all sessions."""
        return hashlib.sha256(b"session of the dashboard:" + self._hash).digest()


class RefusalLog:
    """Bounds what refused requests write to the log: for each reason at most one line a minute, with a count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, why: str) -> int:
        """The number of refusals for this reason since its last line, with this one; 0 where no line is due yet."""
        now = self._clock()
        with self._lock:
            self._counts[why] += 1
            if now < self._written.get(why, -_REFUSAL_SECONDS) + _REFUSAL_SECONDS:
                return 0
            self._written[why] = now
            return self._counts.pop(why)


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an IP address, ``localhost``, or one of ``names``.

    A foreign name that was made to resolve to us (DNS rebinding) is none of these.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1].lower().strip("[]")
    return name == "localhost" or name in {known.lower() for known in names} or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_foreign_write(method: str, headers: Headers, host: str) -> bool:
    """Whether another site makes a browser send this request, by ``Sec-Fetch-Site``, else by ``Origin``.

    A request with neither does not come from a browser, so it carries no cookie that its sender does not know.
    """
    if method in SAFE_METHODS:
        return False
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != host
