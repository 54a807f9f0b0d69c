"""Files, or parts of them, that the engine reads through us: each byte is checked before the engine gets it.

So a check of all bytes costs no pass of its own over the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from fsspec import AbstractFileSystem

from service.errors import InputError
from service.readers.json_window import NeedsStrictParser

SCHEME = "served"


@dataclass
class Served:
    """A part of a file, with bytes before and after it, and the check that its bytes must pass."""

    path: Path
    start: int
    end: int
    check: Callable[[bytes], None]
    """Gets the bytes of the part once and in order; raises for bytes that the engine must not read."""
    before: bytes = b""
    after: bytes = b""
    fault: Exception | None = None
    """What the check raised. From there on the engine reads the end of the file."""
    checked_to: int = field(init=False)
    """The offset in the file up to which the check has seen the bytes."""
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.checked_to = self.start

    @property
    def size(self) -> int:
        """In bytes, as the engine sees it."""
        return len(self.before) + self.end - self.start + len(self.after)

    @property
    def is_checked(self) -> bool:
        """Whether the check has seen all bytes, and found no fault."""
        return self.fault is None and self.checked_to == self.end

    def passes(self, offset: int, chunk: bytes) -> bool:
        """Check those bytes of a chunk that come next; False from the first fault on."""
        with self._lock:
            if self.fault is None and offset <= self.checked_to < offset + len(chunk):
                try:
                    self.check(chunk[self.checked_to - offset :])
                    self.checked_to = offset + len(chunk)
                except (InputError, NeedsStrictParser, MemoryError) as error:
                    self.fault = error  # raised later, where the engine was called
            return self.fault is None


class _ServedFile(io.RawIOBase):
    """A ``Served`` as a file of its own."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._descriptor = os.open(served.path, os.O_RDONLY | os.O_CLOEXEC)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = {0: 0, 1: self._at, 2: self._served.size}[whence] + offset
        return self._at

    def read(self, length: int = -1) -> bytes:
        wanted = self._served.size - self._at if length < 0 else min(length, self._served.size - self._at)
        parts: list[bytes] = []
        while wanted > 0 and (part := self._part(wanted)):
            parts.append(part)
            wanted -= len(part)
            self._at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, wanted: int) -> bytes:
        served = self._served
        if self._at < len(served.before):
            return served.before[self._at :][:wanted]
        offset = served.start + self._at - len(served.before)
        if offset >= served.end:
            return served.after[offset - served.end :][:wanted]
        chunk = os.pread(self._descriptor, min(wanted, served.end - offset), offset)
        return chunk if served.passes(offset, chunk) else b""

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class ServedFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The file system ``served://`` that DuckDB reads from."""

    protocol = SCHEME
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._served: dict[str, Served] = {}
        self._numbers = count(1)

    @contextmanager
    def at_url(self, served: Served) -> Iterator[str]:
        """A URL under which the engine can read ``served`` until the block ends."""
        name = f"{next(self._numbers)}"
        self._served[name] = served
        try:
            yield f"{SCHEME}://{name}"
        finally:
            del self._served[name]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _ServedFile:
        return _ServedFile(self._served[self._name(path)])

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": self._served[self._name(path)].size, "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        return [path]

    @staticmethod
    def _name(path: str) -> str:
        return path.rpartition("/")[2]
