"""An API that sends bytes as the test wrote them, however wrong they are as HTTP; optionally through TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_HELLO = b"\x16"
"""The first byte of a client that speaks TLS."""


@contextmanager
def sending(answer_to: Callable[[str], bytes], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answer each connection once: ``answer_to`` gets the first line of the request; yields the URL."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    has_ended = threading.Event()

    def serve() -> None:
        while not has_ended.is_set():
            with suppress(TimeoutError, OSError):
                connection, _ = server.accept()
                connection.settimeout(5)
                with context.wrap_socket(connection, server_side=True) if context else connection as stream:
                    received = b""
                    while (
                        not received.startswith(_HELLO) and b"\r\n\r\n" not in received and (part := stream.recv(65536))
                    ):
                        received += part
                    stream.sendall(answer_to(received.partition(b"\r\n")[0].decode("latin-1")))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        scheme = "https" if context else "http"
        yield f"{scheme}://localhost:{server.getsockname()[1]}/api/users"
    finally:
        has_ended.set()
        thread.join()
        server.close()


def answer(status: str, body: bytes = b"", *headers: bytes, kind: bytes = b"application/json") -> bytes:
    """One answer, after which the connection is closed."""
    lines = [b"HTTP/1.1 " + status.encode(), b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])
