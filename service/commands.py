"""How hints print commands: as they are typed where the service runs."""

from __future__ import annotations

DEFAULT = "python -m service"

_prefix = DEFAULT


def configure(prefix: str) -> None:
    """Begin commands with ``prefix`` from now on: ``SERVICE_COMMAND``."""
    global _prefix
    _prefix = prefix


def command(*words: str) -> str:
    """The command with these words.

    >>> command("retry", "20240115T120000Z-0a1b2c")
    'python -m service retry 20240115T120000Z-0a1b2c'
    """
    return " ".join((_prefix, *words))
