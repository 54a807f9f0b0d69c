"""How hints print commands: as they are typed where the service runs."""

from __future__ import annotations

import shlex
from pathlib import Path

DEFAULT = "python -m service"

_start = DEFAULT
_prefix = DEFAULT


def note_start(interpreter: str, folder: Path) -> None:
    """Begin commands as the program was started, where no setting says otherwise: with this interpreter, in ``folder``.

    An interpreter below the folder is named from there: ``.venv/bin/python -m service``.
    """
    global _start, _prefix
    path = Path(interpreter)
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    _start = _prefix = f"{shlex.quote(str(name))} -m service"


def configure(prefix: str | None) -> None:
    """Begin commands with ``prefix`` from now on: ``SERVICE_COMMAND``; None: as the program was started."""
    global _prefix
    _prefix = prefix or _start


def command(*words: str) -> str:
    """The command with these words.

    >>> command("retry", "20240115T120000Z-0a1b2c")
    'python -m service retry 20240115T120000Z-0a1b2c'
    """
    return " ".join((_prefix, *words))
