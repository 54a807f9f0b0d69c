"""What a path names and does not exist."""

from __future__ import annotations


class MissingThing(Exception):
    """What the path names does not exist; becomes 404.

    ``hint`` says what to do instead.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
