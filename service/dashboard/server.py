"""``dashboard``: the pages and the API under waitress, as a process of its own beside the watcher."""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from flask import Flask
from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

from service import logs
from service.dashboard.app import admits, create_app
from service.dashboard.intake import IDLE_SECONDS, MOST_CONNECTIONS, MOST_HEADER_BYTES, Limits, bound_intake
from service.dashboard.site import Site
from service.errors import UsageError
from service.files import make_folder, read_regular, replace_text
from service.folders import StateFolders
from service.settings import Settings

_NICENESS = 10
"""Readers wait for the processor sooner than a running batch."""
_THREADS = 4
_MOST_FORM_BYTES = 1 << 16
"""Of a multipart body, besides its file."""
_MOST_TOKEN_BYTES = 1024
_IN_IMAGE = "IS_CUSTOMER_INTEGRATION_IMAGE"


def serve(settings: Settings, now: Callable[[], datetime], say: Callable[[str], None]) -> None:
    """Serve until the process is stopped. ``say`` prints to the console, which is not the structured log.

    Raises: UsageError where the address cannot be used.
    """
    with suppress(OSError):
        os.nice(_NICENESS)
    token = token_for(settings, say)
    app = create_app(Site(settings, now), token)
    server = listening(app, settings)
    logs.get().info("dashboard.started", port=_port_of(server), needs_token=token is not None)
    # Ends the loop below. The first process of a container would ignore the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server.run()


def listening(app: Flask, settings: Settings) -> BaseWSGIServer | MultiSocketServer:
    """The server of the application, which accepts connections once its ``run`` is called.

    Raises: UsageError where the address cannot be used.
    """
    upload_bytes = (settings.upload_limit_mb << 20) + _MOST_FORM_BYTES
    try:
        server = create_server(
            app,
            host=settings.http_host,
            port=settings.http_port,
            threads=_THREADS,
            connection_limit=2 * MOST_CONNECTIONS,
            channel_timeout=IDLE_SECONDS,
            max_request_header_size=MOST_HEADER_BYTES,
            max_request_body_size=upload_bytes + 1,
            clear_untrusted_proxy_headers=True,
            ident=None,
        )
    except OSError as error:
        where = f"{settings.http_host}:{settings.http_port}"
        hint = "choose another address with SERVICE_HTTP_HOST and SERVICE_HTTP_PORT"
        raise UsageError(f"cannot listen on {where}: {error.strerror}", hint=hint) from error
    bound_intake(server, Limits(upload_bytes, partial(admits, app)))
    return server


def _port_of(server: BaseWSGIServer | MultiSocketServer) -> int:
    """The port that was taken, which is another one than the setting where that is 0."""
    addresses = server.effective_listen if isinstance(server, MultiSocketServer) else [server.getsockname()]
    return int(addresses[0][1])


def token_for(settings: Settings, say: Callable[[str], None]) -> str | None:
    """The token that the pages need; None on loopback outside of a container.

    The first start without SERVICE_TOKEN makes one in ``state/token`` and prints the address to log in, once.

    Raises: UsageError where the setting is an empty text, which would let in everyone.
    """
    if settings.token is not None:
        if given := settings.token.get_secret_value().strip():
            return given
        raise UsageError("SERVICE_TOKEN is empty", hint="give it a long random text, or leave it out")
    if _is_loopback(settings.http_host) and os.environ.get(_IN_IMAGE) != "1":
        return None
    path = StateFolders(settings.state).token
    with suppress(FileNotFoundError):
        if kept := read_regular(path, _MOST_TOKEN_BYTES).decode("ascii").strip():
            return kept
    make_folder(settings.state)
    token = secrets.token_urlsafe(24)
    _write_secret(path, token)
    say(f"log in at {address_of(settings)}/login?token={token}")
    return token


def _write_secret(path: Path, token: str) -> None:
    replace_text(path, f"{token}\n")
    path.chmod(0o600)


def address_of(settings: Settings) -> str:
    """The address of the page as a browser on this machine reaches it."""
    host = "localhost" if settings.http_host in ("0.0.0.0", "::", "") else settings.http_host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
