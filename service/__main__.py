"""``python -m service VERB``: one program on a machine and in the image, where it gives up root first.

What runs before ``become_user`` may run as root, so it imports the standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from service import container

USAGE, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code. The console script ``customer-integration`` calls it, too."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _end_on_signals(given)
    try:
        if container.is_image() and not container.become_user(given[0] if given else ""):
            return USAGE
        from service import cli

        return cli.main(given)
    except KeyboardInterrupt:
        return INTERRUPTED


def _end_on_signals(arguments: Sequence[str]) -> None:
    """Handle SIGTERM from the start: the kernel does not deliver it to a process 1 without a handler."""
    if arguments[:1] in (["watch"], ["simulate-api"]):
        # Until the verb sets its own handlers there is nothing to clean up. An exception would not do: one that is
        # raised while a compiled module is imported can end in an abort.
        code = INTERRUPTED if "--once" in arguments else 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(code))
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main())
