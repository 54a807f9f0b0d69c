"""The check of the dashboard's port: free, or used by our own dashboard."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from service.doctor import advice
from service.doctor.finding import Examined, Finding, failed, passed
from service.raw_settings import PREFIX

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"
_HIGHEST = 65_535
_FIRST_UNPRIVILEGED = 1024
_TRIES = 100


def check_port(it: Examined) -> Finding:
    """The dashboard can listen at its address, or does."""
    host, port = it.settings.http_host, it.settings.http_port
    try:
        _listen(host, port)
    except socket.gaierror:
        return failed(f"{PREFIX}HTTP_HOST={host} is no address", advice.set_setting("http_host", "127.0.0.1"))
    except OSError as error:
        return _not_free(error, host, port)
    return passed(f"port {port} of {host} is free" if port else f"a free port of {host} is taken at the start")


def _not_free(error: OSError, host: str, port: int) -> Finding:
    match error.errno:
        case errno.EADDRINUSE:
            holder = _holder_of(port)
            if _is_dashboard(holder):
                return passed(f"port {port} of {host} is used by our own dashboard")
            by = f"process {holder}" if holder else "another process"
            return failed(f"port {port} of {host} is used by {by}", advice.set_setting("http_port", _free(host, port)))
        case errno.EADDRNOTAVAIL:
            return failed(f"{host} is no address of this machine", advice.set_setting("http_host", "127.0.0.1"))
        case errno.EACCES | errno.EPERM:
            free = _free(host, max(port, _FIRST_UNPRIVILEGED))
            found = f"user {advice.our_user()} may not listen on port {port}"
            return failed(found, advice.set_setting("http_port", free))
        case _:
            found = f"nothing can listen on port {port} of {host} ({error.strerror})"
            return failed(found, advice.set_setting("http_port", _free(host, port)))


def _listen(host: str, port: int) -> None:
    """Listen for a moment, as the dashboard does. Raises: OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)


def _free(host: str, port: int) -> int:
    """The next free port; 0, by which the system chooses one, where none is near."""
    for other in range(port + 1, min(port + _TRIES, _HIGHEST) + 1):
        with suppress(OSError):
            _listen(host, other)
            return other
    return 0


def _holder_of(port: int) -> int | None:
    """The process that listens on the port; None where it is one of another user."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(str(link.readlink()) in sockets for link in folder.iterdir()):
                return int(folder.parent.name)
    return None


def _listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on the port."""
    found: set[str] = set()
    for table in _TABLES:
        with suppress(OSError):
            rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
            found |= {row[9] for row in rows if row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port}
    return found


def _is_dashboard(process: int | None) -> bool:
    """Whether the process was started as ``… -m service dashboard``, or by our console script."""
    if process is None or process == os.getpid():
        return False
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return False
    return "dashboard" in words and any(Path(word).name in ("service", "customer-integration") for word in words)
