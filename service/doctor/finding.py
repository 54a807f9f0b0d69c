"""A finding: what a check found, and the step that mends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from msgspec import Struct

from service.folders import Folders
from service.settings import Settings

Status = Literal["pass", "warn", "fail"]
"""``fail``: the service cannot work, or loses something. ``warn``: it works, but a person should look at it."""


class Finding(Struct, frozen=True, kw_only=True):
    """The result of one check. Paths, ids and numbers only; never a value of a customer, never a secret."""

    name: str = ""
    status: Status
    found: str
    """One sentence."""
    hint: str = ""
    """The step that mends it; empty where nothing is wrong."""
    command: str = ""
    """The command that does that, as it is typed where the service runs; empty where no single command does."""


class Advice(NamedTuple):
    """How to mend something."""

    hint: str
    command: str = ""


@dataclass(frozen=True)
class Examined:
    """The service that is examined."""

    settings: Settings
    folders: Folders
    clock: Callable[[], datetime]

    @property
    def now(self) -> datetime:
        """The time; a check of a cluster may take minutes."""
        return self.clock()


class Check(NamedTuple):
    """A check by its name."""

    name: str
    run: Callable[[Examined], Finding]


def passed(found: str) -> Finding:
    """Nothing is wrong."""
    return Finding(status="pass", found=found)


def warned(found: str, advice: Advice) -> Finding:
    """The service works, but a person should look at it."""
    return Finding(status="warn", found=found, hint=advice.hint, command=advice.command)


def failed(found: str, advice: Advice) -> Finding:
    """The service cannot work, or loses something."""
    return Finding(status="fail", found=found, hint=advice.hint, command=advice.command)
