"""The front door of the image: settles who the service is, for good, and opens the command line.

Started as root it becomes ``PUID``/``PGID``, else the owner of the inbox, else 1000:1000, and gives that user
the folders it needs. Started as anybody else it stays as it is. Root's part imports nothing but the standard
library. It all happens in the one process of the container. Source: CONTRACT section 9.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from service.errors import SettingsError

ROOT = 0
HIGHEST_ID = 2**32 - 2  # the one above means "leave as it is" to chown and setuid
STATE_IN_IMAGE = "/data/state"

_WORKING_IN_FOLDERS = frozenset({"watch", "retry", "sync"})
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What the service itself makes in the inbox and in the outbox.
_OUR_FOLDERS = frozenset({".claimed", "archive", "quarantine", ".staging", "batches", "failed"})
_LOCK = ".lock"
_NEVER_MIND = "lost+found"  # every fresh ext4 volume has one, root's for good


@dataclass(frozen=True)
class Identity:
    """Who a process is, or who owns a file."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


NOBODY_IN_PARTICULAR = Identity(1000, 1000)


@dataclass(frozen=True)
class Folders:
    """The three folders of the service, as mounted."""

    inbox: Path
    outbox: Path
    state: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Folders:
        """The folders the environment names; the image names all three."""
        names = ("inbox", "outbox", "state")
        return cls(*(Path(environment.get(f"SERVICE_{name.upper()}") or name) for name in names))

    def __iter__(self) -> iter[Path]:
        return iter((self.inbox, self.outbox, self.state))


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the user of the service, then run one verb as ``service.cli`` does; returns its exit code."""
    asked = list(sys.argv[1:] if arguments is None else arguments) or ["watch"]
    _answer_signals(asked[0])
    try:
        _settle_in(asked[0])
        from service import cli  # not before the process has ceased to be root

        return cli.main(asked)
    except SettingsError as error:
        _say(error.explained())
        return 2
    except KeyboardInterrupt:
        return 130
