"""``python -m service VERB``: one program on a machine and in the image, where it gives up root first.

What runs before ``become_user`` may run as root, so it imports the standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from service import commands, container

USAGE, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code. The console script ``customer-integration`` calls it, too."""
    _open_closed_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    _end_on_signals(given)
    try:
        if container.is_image() and not container.become_user(given[0] if given else ""):
            return USAGE
        if sys.executable and not container.is_image():
            with suppress(OSError):  # the working folder may have been removed
                commands.note_start(sys.executable, Path.cwd())
        from service import cli

        return cli.main(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        _flush()


def _open_closed_streams() -> None:
    """Open the standard streams that are closed: else a file of ours would get their number, and what is printed."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _flush() -> None:
    """Write what is left; a reader that has gone is no failure, so the interpreter must not find it again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _end_on_signals(arguments: Sequence[str]) -> None:
    """Handle SIGTERM from the start: the kernel does not deliver it to a process 1 without a handler."""
    if arguments[:1] in (["watch"], ["run"], ["simulate-api"]):
        # Until the verb sets its own handlers there is nothing to clean up. An exception would not do: one that is
        # raised while a compiled module is imported can end in an abort.
        code = INTERRUPTED if "--once" in arguments else 0
        for number in (signal.SIGTERM, signal.SIGINT, *_hangup()):
            signal.signal(number, lambda *_: os._exit(code))
    else:
        for number in (signal.SIGTERM, *_hangup()):
            signal.signal(number, signal.default_int_handler)


def _hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, which a closed terminal sends; not under nohup, which has it ignored."""
    return () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)


if __name__ == "__main__":
    CODE = main()
    if sys.argv[1:2] == ["healthcheck"]:
        os._exit(CODE)  # it leaves nothing to clean up, and to unload all modules would be a tenth of its CPU time
    sys.exit(CODE)
