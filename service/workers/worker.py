"""A process that calls functions for its parent: ``python -m service.workers.worker``.

On standard input: a function, and a list of arguments for each of its parameters. On standard output: the results, in
their order. Both are MessagePack behind their length in four bytes. The process ends with its input, and so with its
parent.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

import msgspec
from msgspec import Struct

_LENGTH_BYTES = 4


class Calls(Struct):
    """``function`` of ``module`` is called once for each position of ``arguments``, a list for each parameter."""

    module: str
    function: str
    arguments: list[list[str]]


class Answers(Struct):
    """``error``: the type of an exception that a call raised, else empty; its text may hold a customer's value."""

    results: list[str | None]
    error: str = ""


def send(message: Struct, stream: IO[bytes]) -> None:
    """Write one message. Raises: OSError."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "big") + content)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """One message, to be decoded; empty at the end of the stream, also where it ends within a message."""
    stated = stream.read(_LENGTH_BYTES)
    length = int.from_bytes(stated, "big") if len(stated) == _LENGTH_BYTES else 0
    content = stream.read(length)
    return content if len(content) == length else b""


def answer(calls: Calls) -> Answers:
    """Call the function."""
    function: Callable[..., Any] = getattr(importlib.import_module(calls.module), calls.function)
    try:
        return Answers(list(map(function, *calls.arguments)))
    except Exception as error:  # noqa: BLE001  # a bug: its text may quote a value; the parent raises it by its class
        return Answers([], type(error).__name__)


def main() -> None:
    """Answer calls until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # for the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # it ends where its parent has ended meanwhile
    while content := receive(sys.stdin.buffer):
        send(answer(msgspec.msgpack.decode(content, type=Calls)), sys.stdout.buffer)


if __name__ == "__main__":
    main()
