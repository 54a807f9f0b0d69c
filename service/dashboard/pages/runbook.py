"""The runbook: what each reason of the health means, and what to do."""

from __future__ import annotations

import re
import shlex
from typing import Any

from msgspec import Struct

from service.container import is_image
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


def _runbook(site: Site, _: NoParameters) -> RunbookView:
    folders = {"INBOX": site.settings.inbox, "OUTBOX": site.settings.outbox}
    if not is_image():  # the state of a container is a volume, which has no path on the host
        folders["STATE"] = site.settings.state

    def filled(text: str, *, is_command: bool = False) -> str:
        """The text with the folders of this service."""
        for word, folder in folders.items():
            path = site.place_of(folder)
            # In a command the word stays where a shell would need the path in quotes.
            if not is_command or shlex.quote(path) == path:
                text = path.join(re.split(rf"\b{word}\b", text))
        return text

    return RunbookView(
        entries=tuple(
            RunbookEntryView(
                code=entry.code,
                title=entry.title,
                state=entry.state,
                means=filled(entry.means),
                meanwhile=filled(entry.meanwhile),
                steps=tuple(
                    RunbookStepView(text=filled(step.text), command=filled(step.command, is_command=True))
                    for step in entry.steps
                ),
            )
            for entry in entries()
        )
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("runbook", "/runbook", "what each reason means, and what to do", NoParameters, RunbookView, _runbook),
)
