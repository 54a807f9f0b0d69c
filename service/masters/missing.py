"""What a path names and does not exist: the answer is 404, with what to do instead."""

from __future__ import annotations


class MissingThing(Exception):
    """What the path names does not exist. ``hint`` says what to do instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
