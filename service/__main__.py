"""``python -m service VERB``."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    if "watch" in sys.argv[1:2]:
        # Asked to stop while we are still starting, before the daemon listens: there is nothing to put in order.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(0))
    from service.cli import main

    sys.exit(main())
