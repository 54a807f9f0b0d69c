"""``python -m service VERB``."""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    if sys.argv[1:2] in (["watch"], ["simulate-api"]):
        # FieldSpec to stop while we are still starting, before the verb listens: there is nothing to put in order. An
        # exception would not do: raised while a compiled module is imported it can end in an abort.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(130 if "--once" in sys.argv else 0))
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    from service.cli import main

    sys.exit(main())
