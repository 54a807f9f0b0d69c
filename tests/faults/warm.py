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
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest import mock

from service import cli

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["service.watch.daemon", "tests.faults.warm"])
MOST_SECONDS = 60.0
# A start also polls the other processes; of two polls at the same time each may miss an end.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Ended:
    """A verb that ended; ``code`` is minus the signal that killed it."""

    code: int
    out: str
    err: str


class Verb:
    """A running verb. ``is_awaited``: it begins only when a process traces it."""

    def __init__(
        self, folder: Path, arguments: list[str], settings: Mapping[str, str], now: datetime, *, is_awaited: bool
    ) -> None:
        self._folder = folder
        environment = {"PATH": os.environ["PATH"], **settings}
        self._process: ForkServerProcess = SERVER.Process(
            target=_run, args=(folder, arguments, environment, now, is_awaited), daemon=True
        )
        with _one_at_a_time:
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def wait(self) -> Ended:
        """Wait for its end; a verb that hangs is killed and fails the test."""
        connection.wait([self._process.sentinel], MOST_SECONDS)
        with _one_at_a_time:
            self._process.join(0)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"{self._folder} was not done after {MOST_SECONDS} s")
        texts = ((self._folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Ended(self._process.exitcode, *texts)


def _run(folder: Path, arguments: list[str], environment: dict[str, str], now: datetime, is_awaited: bool) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    while is_awaited and not _is_traced():
        time.sleep(0.002)
    # The same time in every run, so the same batch ids and the same bytes.
    with mock.patch.object(cli, "_local_now", lambda: now):
        sys.exit(cli.main(arguments))


def _is_traced() -> bool:
    return "TracerPid:\t0\n" not in Path("/proc/self/status").read_text(encoding="utf-8")
