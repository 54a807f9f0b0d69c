"""``history``: what happened to an id over the batches, and which live customer it stands for. Ids and counts only."""

from __future__ import annotations

import json
from dataclasses import asdict

from service.folders import Folders
from service.register import IdentityEvent, IdentityHistory, history_of

_WORDS = {
    "known": "was there when the log began",
    "created": "is new",
    "revived": "came back",
    "retired": "has no records any more",
    "grew": "grew",
    "shrank": "shrank",
}


def as_text(unified_id: str, as_of: str | None, folders: Folders) -> str:
    """The history of an id for a person, one event a line. Raises: as ``history_of``."""
    found = history_of(unified_id, folders.state, as_of)
    lines = [f"{event.batch_id}  {event_in_words(event)}" for event in found.events]
    return "\n".join([*lines, f"after {found.as_of}: {_resolution(found)}"])


def as_json(unified_id: str, as_of: str | None, folders: Folders) -> str:
    """The same as one JSON document. Raises: as ``history_of``."""
    found = history_of(unified_id, folders.state, as_of)
    return json.dumps(asdict(found) | {"stands_for": found.stands_for}, indent=2)


def event_in_words(event: IdentityEvent) -> str:
    """``CUST001 grew (records: 1, then 2)``."""
    return f"{event.unified_id} {_change(event)} (records: {event.before}, then {event.after})"


def _change(event: IdentityEvent) -> str:
    match event.change:
        case "merged":
            return f"was merged into {event.other} with {event.moved} of its records"
        case "split":
            return f"was split: {event.moved} of its records became {event.other}"
        case "moved":
            return f"gave {event.moved} of its records to {event.other}"
        case "known" if event.other is not None:
            return f"was an alias of {event.other} when the log began"
        case change:
            return _WORDS[change]


def _resolution(found: IdentityHistory) -> str:
    own, *others = found.chain
    if others:
        return f"{own} stands for {' and so '.join(others)}, which is {'live' if found.is_live else 'retired'}"
    return f"{own} is {'live' if found.is_live else 'retired'}"
