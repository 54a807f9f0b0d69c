"""``python -m service VERB`` without the second that its imports take: forked from a server that has them loaded.

The verb runs in a process of its own, through ``cli.main``, with its own environment, folder, output and clock.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest import mock

from service import cli, files

SERVER = multiprocessing.get_context("forkserver")
_VERBS = ("by_hand", "check", "decide", "integration", "analytics", "sync", "retry")
# One list for all tests, because the server starts once. Where Python itself lies in a folder of root, other users can
# only import what the server has loaded.
SERVER.set_forkserver_preload(
    [
        *("service.watch.daemon", "service.verify", "service.doctor"),
        *(f"service.jobs.{name}" for name in _VERBS),
        *("tests.warm", "tests.attacks.everything"),
    ]
)


def start_server() -> None:
    """Start the server of verbs where it does not run; in the working folder that the modules are found from.

    Python 3.11 hands it no ``sys.path``, and it skips what it cannot import: started while a test is in another folder,
    it would have nothing loaded, and every verb would import all of it again.
    """
    forkserver.ensure_running()


MOST_SECONDS = 60.0
# A start also polls the other processes; of two polls at the same time each may miss an end.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Ended:
    """A verb that ended; ``code`` is minus the signal that killed it."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Setting:
    """Where and how a verb runs."""

    folder: Path
    """Its working folder."""
    output: Path
    """The folder for what it prints: files ``out`` and ``err``."""
    environment: Mapping[str, str]
    now: datetime | None = None
    """The clock stands still at this time; None: the real clock."""
    is_awaited: bool = False
    """It begins only when a process traces it."""


class Verb:
    """A running verb."""

    def __init__(self, arguments: list[str], setting: Setting) -> None:
        self._output = setting.output
        for name in ("out", "err"):
            (self._output / name).write_bytes(b"")  # it may be killed before it opens them
        self._process: ForkServerProcess = SERVER.Process(target=_run, args=(arguments, setting), daemon=True)
        with _one_at_a_time:
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def wait(self, seconds: float = MOST_SECONDS) -> Ended:
        """Wait for its end; a verb that hangs is killed and fails the test."""
        connection.wait([self._process.sentinel], seconds)
        with _one_at_a_time:
            self._process.join(0)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"it was not done after {seconds} s")
        texts = ((self._output / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Ended(self._process.exitcode, *texts)


def _run(arguments: list[str], setting: Setting) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(setting.output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(setting.folder)
    os.environ.clear()
    os.environ.update(setting.environment)
    time.tzset()
    while setting.is_awaited and not _is_traced():
        time.sleep(0.002)
    now = setting.now
    if now is None:
        sys.exit(cli.main(arguments))
    # The same time in every run, so the same batch ids and the same bytes; and the same temp files, because a point is
    # a call on a path.
    with mock.patch.object(cli, "_local_now", lambda: now), mock.patch.object(files, "_staged_path", staged_path):
        sys.exit(cli.main(arguments))


def staged_path(path: Path, number: int = 0) -> Path:
    """The first free one of the names for a temp file, instead of a random one."""
    staged = path.with_name(f".{path.name}.{number:016x}.new")
    return staged_path(path, number + 1) if os.path.lexists(staged) else staged


def _is_traced() -> bool:
    return "TracerPid:\t0\n" not in Path("/proc/self/status").read_text(encoding="utf-8")
