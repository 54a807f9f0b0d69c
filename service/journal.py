"""The journal of one batch: its text log for people, and its structured events for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from service import logs
from service.printable import printable
from service.progress import Meter


class Journal:
    """The log of one batch: ``integration_log.txt`` and ``integration_log.jsonl``, and events on stdout.

    ``now`` is the clock; the text log is in its time zone, to the second. ``meter`` gets each stage.
    """

    def __init__(
        self,
        batch_id: str,
        now: Callable[[], datetime],
        meter: Meter | None = None,
    ) -> None:
        self.batch_id = batch_id
        self.now = now
        self.meter = meter or Meter()
        self._text: list[str | Path] = []
        self._events: list[str] = []

    def stage(self, name: str, rows: int) -> None:
        """Report that the batch enters the stage ``name``, which works on so many rows."""
        self.meter.begin(name, rows)

    def line(self, level: str, message: str) -> None:
        """Add one line to the text log."""
        self._text.append(f"{self.prefix(level)}{printable(message)}")

    def prefix(self, level: str) -> str:
        """``YYYY-MM-DD HH:MM:SS - LEVEL - `` as of now."""
        return f"{self.now():%Y-%m-%d %H:%M:%S} - {level} - "

    def lines_of(self, part: Path) -> None:
        """Add the lines of the file ``part``, which have their prefixes already; it is read by ``write_text``."""
        self._text.append(part)

    def event(self, event: str, **counts: Any) -> None:
        """Log a structured event, and keep it for ``write_events``."""
        self._keep(event, counts)
        logs.get().info(event, batch_id=self.batch_id, **counts)

    def warning(self, event: str, **counts: Any) -> None:
        """As ``event``, as a warning."""
        self._keep(event, {**counts, "level": "warning"})
        logs.get().warning(event, batch_id=self.batch_id, **counts)

    def text(self) -> str:
        """The text log without the parts that ``lines_of`` added; for a run that failed."""
        return "".join(f"{entry}\n" for entry in self._text if isinstance(entry, str))

    def write_text(self, path: Path) -> None:
        """Write the text log, its parts included."""
        with path.open("w", encoding="utf-8", newline="\n") as out:
            for entry in self._text:
                if isinstance(entry, Path):
                    _copy_lines(entry, out)
                else:
                    out.write(f"{entry}\n")

    def write_events(self, path: Path) -> None:
        """Write the events, one JSON object per line."""
        path.write_text("".join(f"{line}\n" for line in self._events), encoding="utf-8")

    def _keep(self, event: str, counts: dict[str, Any]) -> None:
        stamp = f"{self.now():%Y-%m-%dT%H:%M:%S%z}"
        self._events.append(json.dumps({"event": event, "batch_id": self.batch_id, **counts, "timestamp": stamp}))


def _copy_lines(part: Path, out: TextIO) -> None:
    with part.open(encoding="utf-8", newline="\n") as lines:
        while chunk := lines.read(1 << 20):
            out.write(chunk)
