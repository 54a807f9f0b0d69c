"""A window onto part of a file, which the engine reads as if it were a file of its own.

``{"customers": [ … ]}`` becomes ``[ … ]`` this way, in bounded memory whatever the size: DuckDB would else
have to hold the one object whole, and stops at 4 GiB.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

SCHEME = "window"


class _Window(io.RawIOBase):
    """``[`` + the bytes of a file between two offsets + ``]``, as a file of its own."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._start = start
        self.size = end - start + 2
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = {0: 0, 1: self._at, 2: self.size}[whence] + offset
        return self._at

    def read(self, length: int = -1) -> bytes:
        wanted = self.size - self._at if length < 0 else min(length, self.size - self._at)
        parts: list[bytes] = []
        while wanted > 0 and (part := self._part(wanted)):
            parts.append(part)
            wanted -= len(part)
            self._at += len(part)
        return b"".join(parts)

    def _part(self, wanted: int) -> bytes:
        if self._at == 0:
            return b"["
        if self._at == self.size - 1:
            return b"]"
        inside = min(wanted, self.size - 1 - self._at)
        return os.pread(self._descriptor, inside, self._start + self._at - 1)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class WindowFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The file system ``window://`` under which DuckDB reads parts of files."""

    protocol = SCHEME
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._open_windows: dict[str, tuple[Path, int, int]] = {}

    @contextmanager
    def onto(self, path: Path, window: tuple[int, int]) -> Iterator[str]:
        """A URL under which the window can be read until the block ends."""
        name = f"{len(self._open_windows)}"
        self._open_windows[name] = (path, *window)
        try:
            yield f"{SCHEME}://{name}"
        finally:
            del self._open_windows[name]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _Window:
        return _Window(*self._open_windows[self._name(path)])

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        __, start, end = self._open_windows[self._name(path)]
        return {"name": path, "size": end - start + 2, "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        return [path]

    @staticmethod
    def _name(path: str) -> str:
        return path.rpartition("/")[2]
