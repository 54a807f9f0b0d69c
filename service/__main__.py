"""``python -m service VERB``."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

_STOPS = (signal.SIGTERM, signal.SIGINT)


def _leave(*_: object) -> NoReturn:
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)  # a second one would meet the deadly default while the interpreter ends
    sys.exit(0)


if __name__ == "__main__":
    if "watch" in sys.argv[1:2]:
        # Asked to stop while we are still starting, before the daemon listens: there is nothing to put in order.
        for number in _STOPS:
            signal.signal(number, _leave)
    from service.cli import main

    sys.exit(main())
