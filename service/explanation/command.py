"""``explain``: a customer, or two records, explained for a person or as a JSON document."""

from __future__ import annotations

import msgspec

from service.errors import UsageError
from service.explanation.questions import explain_one, explain_two
from service.explanation.text import customer_text, pair_text
from service.folders import Folders
from service.masters.missing import MissingThing


def explain(asked: str, other: str | None, folders: Folders, *, as_json: bool) -> str:
    """What is printed for one name, or for two. It may quote customers: the user asked for them.

    Raises: UsageError, ChangedSet, OSError.
    """
    try:
        if other is None:
            customer = explain_one(asked, folders)
            return _json(customer) if as_json else customer_text(customer)
        pair = explain_two((asked, other), folders)
        return _json(pair) if as_json else pair_text(pair)
    except MissingThing as missing:
        raise UsageError(missing.message, hint="a newer set took its place meanwhile: ask again") from None


def _json(document: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
