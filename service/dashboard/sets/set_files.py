"""Small JSON files of published sets, read with care: inbox and outbox are shared folders.

A set is immutable, but retention removes it, and others can damage it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from service.documents import MOST_BYTES
from service.files import read_regular

S = TypeVar("S", bound=Struct)


def read_set_file(path: Path, kind: type[S]) -> S | None:
    """The JSON document at ``path``; None where it is missing, damaged, or not of this form: ``verify`` reports it."""
    try:
        return msgspec.json.decode(read_regular(path, MOST_BYTES), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
