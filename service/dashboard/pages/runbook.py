"""The runbook: what each reason of the health means, and what to do."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.dashboard.routes import NoParameters, PageRoute
from service.dashboard.site import Site
from service.runbook import entries


class RunbookStepView(Struct, frozen=True, kw_only=True):
    """One step, with its command as it is typed here; empty where there is none."""

    text: str
    command: str


class RunbookEntryView(Struct, frozen=True, kw_only=True):
    """What one code means, and what to do."""

    code: str
    title: str
    state: str
    means: str
    meanwhile: str
    steps: tuple[RunbookStepView, ...]


class RunbookView(Struct, frozen=True, kw_only=True):
    """The whole runbook."""

    entries: tuple[RunbookEntryView, ...]


def _runbook(_: Site, __: NoParameters) -> RunbookView:
    return RunbookView(
        entries=tuple(
            RunbookEntryView(
                code=entry.code,
                title=entry.title,
                state=entry.state,
                means=entry.means,
                meanwhile=entry.meanwhile,
                steps=tuple(RunbookStepView(text=step.text, command=step.command) for step in entry.steps),
            )
            for entry in entries()
        )
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("runbook", "/runbook", "what each reason means, and what to do", NoParameters, RunbookView, _runbook),
)
