"""The watcher and the dashboard as processes beside each other, over the folders of one service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.worlds import ROOT, World, wait_until

TOKEN = "a-long-and-random-token"
"""Of the dashboard that is guarded."""
_END_SECONDS = 30.0
_START_SECONDS = 60.0


class Verb:
    """A running ``python -m service VERB`` in the folder of a service, and the files there with what it prints."""

    def __init__(self, root: Path, verb: str, **settings: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}
        given = {f"SERVICE_{name.upper()}": value for name, value in settings.items()}
        self._files = root / f"{verb}-{len(list(root.glob(f'{verb}-*.out')))}"
        with open(self._file("out"), "ab") as out, open(self._file("err"), "ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", verb],
                cwd=root,
                env=kept | {"PYTHONPATH": str(ROOT)} | given,
                stdout=out,
                stderr=err,
            )

    def _file(self, kind: str) -> Path:
        return self._files.with_suffix(f".{kind}")

    def log(self) -> list[dict[str, Any]]:
        """Its structured log so far."""
        lines = self._file("out").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def printed(self) -> str:
        """All that it printed so far."""
        return "".join(self._file(kind).read_text(encoding="utf-8", errors="replace") for kind in ("out", "err"))

    def memory_mb(self) -> int:
        """The most memory it ever had in RAM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) >> 10

    def end(self) -> int:
        """Stop it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Served(World):
    """A service whose dashboard is served at ``url``."""

    def __init__(self, root: Path, dashboard: Verb) -> None:
        super().__init__(root)
        self.dashboard = dashboard
        started: list[dict[str, Any]] = []

        def has_started() -> bool:
            if dashboard.process.poll() is not None:
                raise AssertionError(f"the dashboard ended: {dashboard.printed()}")
            started[:] = [event for event in dashboard.log() if event["event"] == "dashboard.started"]
            return bool(started)

        wait_until(has_started, _START_SECONDS)
        self.port: int = started[-1]["port"]
        self.url = f"http://127.0.0.1:{self.port}"


@contextmanager
def served(root: Path, *, is_watched: bool = True, **settings: str) -> Iterator[Served]:
    """The service in ``root`` until the block ends: its dashboard, and its watcher unless ``is_watched`` is false."""
    quick = {"settle_seconds": "0.2", "rescan_seconds": "0.2", "threads": "1", "retry_seconds": "0.05"}
    (root / "inbox").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if is_watched:
            health = root / "state" / "health.json"
            health.unlink(missing_ok=True)
            watcher = Verb(root, "watch", **quick)
            stack.callback(watcher.end)
            wait_until(lambda: health.exists() or watcher.process.poll() is not None, _START_SECONDS)
        dashboard = Verb(root, "dashboard", **(quick | {"http_port": "0"} | settings))
        stack.callback(dashboard.end)
        yield Served(root, dashboard)
