"""``python -m benchmarks.staged VERB …``: the service, whose log says when each stage of a batch begins.

The service logs ``batch.progressed`` every five seconds of a long batch; here at the beginning of every stage.
"""

from __future__ import annotations

import sys

from service import progress
from service.cli import main

if __name__ == "__main__":
    progress.LOG_SECONDS = 0.0
    sys.exit(main())
