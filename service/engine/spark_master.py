"""The addresses of a master of Spark, and whether one of them answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

_CONNECT_SECONDS = 5.0
_HTTPS = 443


def unreachable(master: str) -> list[str]:
    """``host:port (reason)`` of each address of a master; none where one answers, or the master has no address."""
    failures = []
    for host, port in addresses(master):
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
            return []
        except OSError as error:
            failures.append(f"{host}:{port} ({error.strerror or 'does not answer'})")
    return failures


def addresses(master: str) -> Iterator[tuple[str, int]]:
    """Hosts and ports of a master; none where it is this machine."""
    kind, _, rest = master.partition("://")
    for address in rest.split(",") if kind in ("spark", "k8s") else ():
        parts = urlsplit(address if "://" in address else f"//{address}")
        with suppress(ValueError):
            yield parts.hostname or "", parts.port or _HTTPS  # a master of Spark has its port in the setting
