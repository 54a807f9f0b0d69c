"""HTTP/1.1 on raw sockets, so that an answer can also be sent wrongly: cut, dripped, reset.

An HTTP library would correct exactly these faults.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

SendMode = Literal["whole", "cut", "unended", "dripped", "reset", "reset_amid"]
JSON_TYPE = "application/json; charset=utf-8"
_MAX_REQUEST_BYTES = 65536
DRIP_EVERY_SECONDS = 0.2
DRIPS = 50


class MalformedRequest(Exception):
    """The received bytes are not an HTTP/1.x request."""


@dataclass(frozen=True)
class Request:
    """One request; the names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    keeps_alive: bool

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters; if a name is repeated, the last one."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """One answer, and its send mode."""

    status: int
    body: bytes | None
    """None: the server fills in the page."""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", JSON_TYPE),)
    send_mode: SendMode = "whole"

    @staticmethod
    def error(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
        """An error as JSON."""
        body = json.dumps({"error": text}).encode()
        return Answer(status, body, (("Content-Type", JSON_TYPE), *headers))


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None after the last. A body is read and ignored. Raises: MalformedRequest."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedRequest from error
    try:
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        pairs = [line.split(":", 1) for line in lines]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        length = int(headers.get("content-length", "0"))
        urlsplit(target)
    except ValueError as error:
        raise MalformedRequest from error
    if not version.startswith("HTTP/1.") or not 0 <= length <= _MAX_REQUEST_BYTES or "transfer-encoding" in headers:
        raise MalformedRequest
    if length:
        await reader.readexactly(length)
    return Request(method, target, headers, version == "HTTP/1.1" and headers.get("connection", "").lower() != "close")


async def send(writer: asyncio.StreamWriter, answer: Answer, *, keeps_alive: bool) -> bool:
    """Send an answer in its send mode; returns whether the connection stays open."""
    if answer.send_mode == "whole":
        writer.write(_head(answer, keeps_alive=keeps_alive) + (answer.body or b""))
        await writer.drain()
        return keeps_alive
    await _BROKEN[answer.send_mode](writer, answer)
    return False


def _head(answer: Answer, *, keeps_alive: bool, framing: str | None = None) -> bytes:
    headers = [*answer.headers, ("Connection", "keep-alive" if keeps_alive else "close")]
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if answer.status != HTTPStatus.NOT_MODIFIED:
        lines.append(framing or f"Content-Length: {len(answer.body or b'')}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _half(answer: Answer) -> bytes:
    body = answer.body or b""
    return body[: len(body) // 2]


async def _cut(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(_head(answer, keeps_alive=True) + _half(answer))
    await writer.drain()


async def _unended(writer: asyncio.StreamWriter, answer: Answer) -> None:
    half = _half(answer)
    writer.write(_head(answer, keeps_alive=True, framing="Transfer-Encoding: chunked"))
    writer.write(b"%x\r\n%s\r\n" % (len(half), half))
    await writer.drain()


async def _dripped(writer: asyncio.StreamWriter, answer: Answer) -> None:
    body = answer.body or b""
    writer.write(_head(answer, keeps_alive=True))
    for at in range(min(DRIPS, len(body))):
        writer.write(body[at : at + 1])
        await writer.drain()
        await asyncio.sleep(DRIP_EVERY_SECONDS)


async def _reset(writer: asyncio.StreamWriter, answer: Answer) -> None:
    # Without lingering the kernel sends RST instead of FIN.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _reset_amid(writer: asyncio.StreamWriter, answer: Answer) -> None:
    await _cut(writer, answer)
    await _reset(writer, answer)


_BROKEN: dict[SendMode, Callable[[asyncio.StreamWriter, Answer], Awaitable[None]]] = {
    "cut": _cut,
    "unended": _unended,
    "dripped": _dripped,
    "reset": _reset,
    "reset_amid": _reset_amid,
}
