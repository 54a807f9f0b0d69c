"""Kill the service, or fail it, at one chosen system call, with strace.

strace counts calls separately for each thread and each call, so "the 7th write" is random where an engine writes from
several threads. A point is therefore a call *on a path*: "the 2nd fsync of outbox/.staging/…". The clock does not
advance in these runs (see ``warm``), so batch ids and paths are the same in all of them, and an undisturbed run shows
the points. Two threads that each write once to one file (the engine does: header and rows) share a point: the kill
comes at the first, while the file is staged and no reader can see it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.warm import Ended, Setting, Verb
from tests.worlds import House

# Everything by which a process changes a disk; the *at and vector forms are what some C libraries call instead.
MUTATIONS: dict[str, tuple[str, ...]] = {
    "mkdir": ("mkdir", "mkdirat"),
    "create": ("openat", "creat"),
    "write": ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice"),
    "clone": ("ioctl",),
    "truncate": ("ftruncate", "truncate", "fallocate"),
    "chmod": ("chmod", "fchmod", "fchmodat", "utimensat", "fchown", "fsetxattr"),
    "fsync": ("fsync", "fdatasync", "sync_file_range", "syncfs"),
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat", "symlink", "symlinkat"),
    "unlink": ("unlink", "unlinkat", "rmdir"),
}
KIND_OF = {call: kind for kind, calls in MUTATIONS.items() for call in calls}

_ENTERED = re.compile(r"^(\d+) +(\w+)\((.*)$")
_ON_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_CHANGES_NOTHING = {
    "openat": re.compile(r"^(?!.*O_(?:CREAT|TRUNC))"),
    "ioctl": re.compile(r"^(?!.*FICLONE)"),
}


@dataclass(frozen=True)
class Point:
    """The ``nth`` time that a thread makes this ``call`` on ``path``, which is relative to the house."""

    call: str
    path: str
    nth: int

    @property
    def kind(self) -> str:
        """The key in ``MUTATIONS``."""
        return KIND_OF[self.call]

    @property
    def is_of_the_moment(self) -> bool:
        """Whether not every run has it: health depends on the clock, the engine writes from any thread."""
        return "health" in self.path or (self.call == "pwrite64" and self.nth > 1)

    def __str__(self) -> str:
        return f"{self.call} {self.nth} on {self.path}"


@dataclass(frozen=True)
class Call:
    """One system call as strace saw it enter."""

    thread: str
    name: str
    arguments: str

    def paths(self) -> list[str]:
        """The paths in its arguments, the one that it changes first."""
        on_descriptor = _ON_DESCRIPTOR.match(self.arguments)
        if on_descriptor is None or self.name.endswith("at"):
            return [*([on_descriptor[1]] if on_descriptor else []), *_QUOTED.findall(self.arguments)]
        return [on_descriptor[1]]

    def is_change(self) -> bool:
        """Whether it changes something; opening a file to read does not."""
        harmless = _CHANGES_NOTHING.get(self.name)
        return harmless is None or not harmless.match(self.arguments)


@dataclass(frozen=True)
class Run:
    """One run of a verb, ``watch --once`` by default: its folders, the time of its clock, its settings."""

    house: House
    now: datetime
    settings: Mapping[str, str]
    arguments: tuple[str, ...] = ("watch", "--once")

    def undisturbed(self) -> Ended:
        """Run it without a fault."""
        return self._verb(is_awaited=False).wait()

    def traced(self) -> tuple[Ended, list[Point]]:
        """Run it without a fault; also returns the points at which inbox, outbox and state were changed."""
        ended, lines = self.under_strace("-y", "-e", f"trace={','.join(KIND_OF)}")
        return ended, list(_points(self.house.root, calls_in(lines)))

    def killed_at(self, point: Point) -> Ended:
        """Kill it when it enters that call, which then does not happen."""
        return self._injected(point, f"signal=SIGKILL:when={point.nth}")[0]

    def failing_at(self, point: Point, error: str, *, lasting: bool) -> tuple[Ended, bool]:
        """Let that call fail with ``error``; ``lasting``: all later ones on that path, too.

        Returns whether the call was made at all, too.
        """
        ended, lines = self._injected(point, f"error={error}:when={point.nth}{'+' if lasting else ''}")
        return ended, any("(INJECTED)" in line for line in lines)

    def under_strace(self, *options: str) -> tuple[Ended, list[str]]:
        """The run and its trace."""
        return _under_strace(self._verb(is_awaited=True), *options)

    def _injected(self, point: Point, how: str) -> tuple[Ended, list[str]]:
        verb = self._verb(is_awaited=True)
        path = str(self.house.root / point.path)
        return _under_strace(verb, "-P", path, "-e", f"trace={point.call}", "-e", f"inject={point.call}:{how}")

    def _verb(self, *, is_awaited: bool) -> Verb:
        house = self.house
        # Absolute paths: strace compares the arguments of a call as text.
        folders = {path.name: str(path) for path in (house.inbox, house.outbox, house.state)}
        settings = {**folders, "settle_seconds": "0.1", "retry_seconds": "0.1", "min_free_mb": "0", **self.settings}
        environment = {f"SERVICE_{name.upper()}": value for name, value in settings.items()}
        environment["PATH"] = os.environ["PATH"]
        return Verb([*self.arguments], Setting(house.root, house.root, environment, self.now, is_awaited))


def _under_strace(verb: Verb, *options: str) -> tuple[Ended, list[str]]:
    with tempfile.NamedTemporaryFile(prefix="strace-") as log:
        # "-qq": no message about a path that does not exist yet.
        command = ["strace", "-f", "-qq", "-o", log.name, "-p", str(verb.pid), *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:
            ended = verb.wait()
            strace.wait(20)
        return ended, Path(log.name).read_text(encoding="utf-8", errors="replace").splitlines()


def calls_in(lines: list[str]) -> Iterator[Call]:
    """The calls of a trace in the order in which they were entered."""
    for line in lines:
        if found := _ENTERED.match(line):
            yield Call(*found.groups())


def _points(root: Path, calls: Iterator[Call]) -> Iterator[Point]:
    seen: Counter[tuple[str, str, str]] = Counter()
    known: set[Point] = set()
    for call in calls:
        paths = call.paths()
        seen.update((call.thread, call.name, path) for path in set(paths))
        for folder in ("inbox", "outbox", "state"):
            if paths and paths[0].startswith(f"{root / folder}") and call.is_change():
                path = str(Path(paths[0]).relative_to(root))
                point = Point(call.name, path, seen[call.thread, call.name, paths[0]])
                if point not in known:
                    known.add(point)
                    yield point
