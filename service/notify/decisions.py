"""Which messages a look at the state gives rise to: each cause once, and one that comes and goes at most so often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from service.documents import NotifiedCause
from service.notify.causes import Look

Event = Literal["failed", "stuck", "recovered"]
MOST_LINES = 10
_HEADLINES: Mapping[Event, str] = {
    "failed": "needs attention",
    "stuck": "is stuck",
    "recovered": "has recovered",
}


@dataclass(frozen=True)
class Message:
    """What is sent: one message for all causes of one event that are seen together."""

    event: Event
    text: str

    @property
    def title(self) -> str:
        """The subject."""
        return f"Customer integration {_HEADLINES[self.event]}"


def decide(
    notified: Mapping[str, NotifiedCause], look: Look, now: datetime, repeat: timedelta
) -> tuple[dict[str, NotifiedCause], list[Message]]:
    """What users will have been notified of, and the messages to send for it, in order.

    A cause that began again within ``repeat`` of its last message is not sent before that time is over.
    """
    causes = dict(notified)
    lines: dict[Event, list[str]] = {"recovered": [], "failed": [], "stuck": []}
    seen = {cause.key for cause in look.causes}
    for key, known in notified.items():
        if known.is_over and key not in seen and not _is_recent(known, now, repeat):
            del causes[key]
        elif not known.is_over and key not in seen | look.kept:
            causes[key] = replace(known, is_over=True)
            lines["recovered"].append(f"over: {known.text.partition(';')[0]}")
    for cause in look.causes:
        former = notified.get(cause.key)
        if former is None or (former.is_over and not _is_recent(former, now, repeat)):
            causes[cause.key] = NotifiedCause(event=cause.event, text=cause.text, notified_at=now)
            lines[cause.event].append(cause.text)
    return causes, [Message(event, _bounded(texts)) for event, texts in lines.items() if texts]


def _is_recent(cause: NotifiedCause, now: datetime, repeat: timedelta) -> bool:
    """Whether its last message is younger than ``repeat``; one from the future is not: a clock was set back."""
    return timedelta(0) <= now - cause.notified_at < repeat


def _bounded(texts: list[str]) -> str:
    more = len(texts) - MOST_LINES
    return "\n".join(texts[:MOST_LINES] + ([f"and {more} more"] if more > 0 else []))
