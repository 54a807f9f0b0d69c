"""``dashboard``: the pages and the API under waitress, as a process of its own beside the watcher."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

from service import logs
from service.commands import command
from service.container import is_image
from service.dashboard.pages import UPLOADS
from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.dashboard.web.intake import IDLE_SECONDS, MOST_CONNECTIONS
from service.dashboard.web.receiving import SMALL_BYTES, EarlyGuard, channel_class
from service.errors import UsageError
from service.files import make_folder, read_regular, replace_text
from service.folders import StateFolders
from service.inbox import remove_partial_uploads
from service.settings import Settings

_NICENESS = 10
"""Readers wait for the processor sooner than a running batch."""
_THREADS = 4
_MOST_HEADER_BYTES = 1 << 16
_READ_BYTES = 1 << 16
_HIGHEST_PORT = 65_535
_MOST_TOKEN_BYTES = 1024


def serve(settings: Settings, now: Callable[[], datetime], say: Callable[[str], None]) -> None:
    """Serve until the process is stopped. ``say`` prints to the console, which is not the structured log.

    Raises: UsageError where the address cannot be used.
    """
    with suppress(OSError):
        os.nice(_NICENESS)
    token, is_new = token_for(settings)
    site = Site(settings, now)
    server = listen(site, token)
    port = _port_of(server)
    logs.get().info("dashboard.started", port=port, needs_token=token is not None)
    if is_new:
        say(f"log in at {address_of(settings, port)}/login?token={token}")
    elif token is not None and settings.token is None:
        where = StateFolders(settings.state).token
        say(f"the token is in {where}; print it with: {command('dashboard', '--show-token')}")
    # Ends the loop below. The first process of a container would ignore the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    remove_partial_uploads(site.inbox.root)
    try:
        server.run()
    finally:
        remove_partial_uploads(site.inbox.root)


def listen(site: Site, token: str | None) -> BaseWSGIServer | MultiSocketServer:
    """The server of the pages, which listens already. Raises: UsageError where the address cannot be used."""
    app, settings = create_app(site, token), site.settings
    endpoints = frozenset(name for route in UPLOADS for name in (route.name, f"api_{route.name}"))
    try:
        server = create_server(
            app,
            host=settings.http_host,
            port=settings.http_port,
            threads=_THREADS,
            connection_limit=2 * MOST_CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            max_request_header_size=_MOST_HEADER_BYTES,
            # What a request may be is decided by its header: service.dashboard.web.receiving.
            max_request_body_size=sys.maxsize,
            inbuf_overflow=2 * SMALL_BYTES,
            recv_bytes=_READ_BYTES,
            clear_untrusted_proxy_headers=True,
            ident=None,
        )
    except OSError as error:
        where = f"{settings.http_host}:{settings.http_port}"
        hint = "choose another address with SERVICE_HTTP_HOST and SERVICE_HTTP_PORT"
        if error.errno == errno.EADDRINUSE and settings.http_port < _HIGHEST_PORT:
            hint = f"choose another port: export SERVICE_HTTP_PORT={settings.http_port + 1}"
        raise UsageError(f"cannot listen on {where}: {error.strerror}", hint=hint) from error
    connections = channel_class(EarlyGuard(app, site, endpoints))
    # A host name may stand for several addresses, each with a server of its own.
    for listening in [server] if isinstance(server, BaseWSGIServer) else (server.map or {}).values():
        if isinstance(listening, BaseWSGIServer):
            listening.channel_class = connections
    return server


def _port_of(server: BaseWSGIServer | MultiSocketServer) -> int:
    """The port that was taken, which is another one than the setting where that is 0."""
    addresses = server.effective_listen if isinstance(server, MultiSocketServer) else [server.getsockname()]
    return int(addresses[0][1])


def token_for(settings: Settings) -> tuple[str | None, bool]:
    """The token that the pages need, None on loopback outside of a container; and whether it was made now.

    The first start without SERVICE_TOKEN makes one in ``state/token``.

    Raises: UsageError where the setting is an empty text, which would let in everyone, or the file is damaged; OSError.
    """
    if settings.token is not None:
        if given := settings.token.get_secret_value().strip():
            return given, False
        raise UsageError("SERVICE_TOKEN is empty", hint="give it a long random text, or leave it out")
    if _is_loopback(settings.http_host) and not is_image():
        return None, False
    path = StateFolders(settings.state).token
    with suppress(FileNotFoundError):
        if kept := _read_secret(path):
            return kept, False
    make_folder(settings.state)
    token = secrets.token_urlsafe(24)
    _write_secret(path, token)
    return token, True


def token_of(settings: Settings) -> str:
    """The token that a dashboard with these settings needs, for a person to log in; none is made.

    Raises: UsageError where there is none; OSError.
    """
    path = StateFolders(settings.state).token
    if settings.token is not None or path.is_file():
        token, _ = token_for(settings)
        if token is not None:
            return token
    hint = (
        f"on loopback outside of a container none is needed; elsewhere the dashboard writes one to {path} at its start"
    )
    raise UsageError("there is no token", hint=hint)


def _read_secret(path: Path) -> str:
    try:
        return read_regular(path, _MOST_TOKEN_BYTES).decode().strip()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is damaged", hint="remove it: the next start writes another token") from None


def _write_secret(path: Path, token: str) -> None:
    replace_text(path, f"{token}\n")
    path.chmod(0o600)


def address_of(settings: Settings, port: int) -> str:
    """The address of the page as a browser reaches it; ``port``: the one that listens."""
    if settings.page_url:
        return settings.page_url
    host = "localhost" if settings.http_host in ("0.0.0.0", "::", "") else settings.http_host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
