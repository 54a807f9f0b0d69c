"""Volume: the rows of each source against the published set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SHRUNK_BELOW_PERCENT = 90
"""A source with a smaller share of its published rows gets a line in the log …"""
SHRUNK_BY_ROWS = 100
"""… but only if it lost so many rows: the size of small exports varies."""


@dataclass(frozen=True)
class Volume:
    """Rows of a source in this batch and in the published set; None if the source is not there."""

    rows_now: int | None
    rows_published: int | None

    @property
    def is_shrunk(self) -> bool:
        """Whether the source lost so many rows that the log reports it."""
        former = self.rows_published or 0
        if self.rows_now is None:
            return former > 0
        return former - self.rows_now >= SHRUNK_BY_ROWS and 100 * self.rows_now < SHRUNK_BELOW_PERCENT * former

    def figures(self) -> dict[str, int | float | None]:
        """Both, their difference, and the rows now as a percentage of those published."""
        former, now = self.rows_published, self.rows_now or 0
        return {
            "rows_now": now,
            "rows_published": former,
            "difference": None if former is None else now - former,
            "percent": round(100 * now / former, 1) if former else None,
        }


def volumes_of(source_rows: Mapping[str, int], former: Mapping[str, int]) -> dict[str, Volume]:
    """Source -> its volume, also for sources of the published set (``former``) that are not in this batch."""
    now: dict[str, int | None] = {**dict.fromkeys(former), **source_rows}
    return {name: Volume(rows, former.get(name)) for name, rows in now.items()}


def shrunk_sources(volumes: Mapping[str, Volume]) -> dict[str, str]:
    """Source -> a sentence, for each source that shrank noticeably or is missing."""
    few, none = "fewer rows than the {0} of the published set: {1}", "not in this batch; it had {0} rows before"
    return {
        name: (none if volume.rows_now is None else few).format(volume.rows_published, volume.rows_now)
        for name, volume in volumes.items()
        if volume.is_shrunk
    }
