"""The runbook, read from ``service/data/runbook.toml``: what to do about each reason that health gives.

``docs/runbook.md`` is written from it, and the page shows it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from service.commands import command
from service.data import read_toml
from service.health_reasons import AlertCode, ReasonCode


class RunbookStep(Struct, frozen=True, forbid_unknown_fields=True):
    """One step: what to do, and the command for it, if there is one. Words in capitals are to be replaced."""

    text: str
    verb: str = ""
    """A verb of the service, with its arguments."""
    shell: str = ""
    """Any other command."""

    @property
    def command(self) -> str:
        """The command as it is typed where the service runs; empty where there is none."""
        return command(*self.verb.split()) if self.verb else self.shell


class RunbookEntry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a code means, what happens meanwhile, and what to do."""

    code: ReasonCode | AlertCode
    title: str
    state: Literal["ok", "degraded", "failing"]
    """The worst that it does to the health of the service."""
    means: str
    meanwhile: str
    """What happens until it is mended, and that nothing is lost."""
    steps: tuple[RunbookStep, ...]


CODES: tuple[str, ...] = (*get_args(ReasonCode), *get_args(AlertCode))
"""Every code that has an entry, in the order of the runbook."""


@cache
def entries() -> tuple[RunbookEntry, ...]:
    """The whole runbook."""
    return msgspec.convert(read_toml("runbook.toml")["entries"], tuple[RunbookEntry, ...])


def entry_of(code: str) -> RunbookEntry | None:
    """The entry of a code; None for one that a newer version of the service gave."""
    return next((entry for entry in entries() if entry.code == code), None)
