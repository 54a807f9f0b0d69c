"""Access: who may use the dashboard, from which host name and origin, and how often a wrong token is tried."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

MOST_FAILURES = 10
"""Wrong tokens within ``FAILURE_SECONDS``, from all addresses together; then every attempt waits."""
FAILURE_SECONDS = 60.0
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an IP address, ``localhost``, or one of ``names``.

    A foreign name that was made to resolve to us (DNS rebinding) is none of these.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name in names or _is_address(name)


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
    return origin is not None and urlsplit(origin).netloc != host
