"""How much the tests try: every size, in three columns, of which ``FAULTS`` chooses one.

============  ======================================================================================
not set       quick: what ``make test`` runs, in under four minutes on two cores. Tests with the mark
              ``large`` are left out: random campaigns, long sweeps and waits, large populations,
              all pages by axe-core, every answer of the API, and most tests that take a CPU second
              or more
FAULTS=sweep  what ``.ci/run`` runs
FAULTS=all    what ``make faults`` runs, for hours; seeds and examples are new in every run
============  ======================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_COLUMNS = ("", "sweep", "all")
_CHOSEN = os.environ.get("FAULTS", "")
if _CHOSEN not in _COLUMNS:
    raise ValueError(f"FAULTS={_CHOSEN} is not a size; leave it out, or set it to sweep or all")

IS_QUICK = _CHOSEN == ""
IS_FULL = _CHOSEN == "all"
"""Seeds and examples are new in every run."""


def _size(quick: T, sweep: T, full: T) -> T:
    return (quick, sweep, full)[_COLUMNS.index(_CHOSEN)]


LAWS_ON_SPARK = IS_FULL and os.environ.get("REQUIRE_SPARK") == "1"
"""Whether laws hold for Spark, too, where an example takes seconds: ``make spark FAULTS=all``."""
_EXAMPLES_ON_SPARK = 3

UNMARKED_SECONDS: float = _size(5.0, 20.0, float("inf"))
"""What a test may take of its own without the mark ``slow``; a larger size tries more."""


def examples(usual: int) -> int:
    """How many generated examples of a property are tried, of which CI tries ``usual``."""
    return _EXAMPLES_ON_SPARK if LAWS_ON_SPARK else _size(max(4, usual // 8), usual, usual)


def seeds(usual: int) -> range:
    """The seeds with which a law is tried that makes its examples itself."""
    return range(min(usual, _EXAMPLES_ON_SPARK) if LAWS_ON_SPARK else usual)


MB, GB = 1 << 20, 1 << 30

# --------------------------------------------------------------------------------- kills, errors, stops (tests/faults)

KILL_STARTS: Sequence[str] | None = _size(("over an earlier set",), None, None)
"""The starts whose runs are killed, of those in ``faults/starts.py``; None: all."""
KILLS_SEEN_BY_OTHERS: int | None = _size(4, None, None)
"""Kills at calls by which a name appears or goes, for each start; None: at every one."""
KILLS_HIDDEN: int | None = _size(3, 8, None)
"""Kills at other calls, for each start."""
KILLS_HIDDEN_IN_THE_FIRST_START: int | None = _size(3, None, None)
DOUBLE_KILL_STARTS: Sequence[str] | None = _size(("over an earlier set",), None, None)
DOUBLE_KILL_FIRST: int = _size(1, 2, 20)
DOUBLE_KILL_SECOND: int = _size(1, 3, 3)
"""Kills during the recovery from each of the first ones."""
ERROR_STARTS: Sequence[tuple[str, int | None]] = _size(
    (("over an earlier set", 1),),
    (("over an earlier set", 3), ("empty outbox", 3), ("wrong pair", 3)),
    (("over an earlier set", None), ("empty outbox", 100), ("wrong pair", 100)),
)
"""Start, and how many of its calls fail with each of five errors; None: every call."""
CAMPAIGN_MINUTES: float = float(os.environ.get("CAMPAIGN_MINUTES") or _size(0.05, 5.0, 5.0))
"""Without the time in which the faults are removed. In the quick size a few actions; the long campaign is CI's."""
KILLED_DAEMONS: int = _size(1, 3, 3)
"""Seeds of the moments at which a daemon with three pairs in its inbox is killed."""
REGISTER_HISTORIES: int = _size(4, 16, 1000)
"""Histories of ids in the register alone."""
ID_HISTORIES: int = _size(1, 8, 50)
"""Histories of ids, from drops to published files."""
STOP_CHAINS: int = _size(1, 2, 16)
STOPS_IN_A_CHAIN: int = _size(3, 13, 13)
STOP_RECORDS: int = _size(3_000, 20_000, 20_000)

# ------------------------------------------------------------------------------------------------------------- spark

SPARK_RECORDS: int = _size(3_000, 100_000, 1_000_000)
"""Of a messy pair, whose set is compared with that of the embedded engine."""
SPARK_IN_A_GROUP: int = _size(2_000, 20_000, 100_000)
"""Customers of one large group."""
SPARK_GROUPS: Sequence[str] = _size(
    ("shuffled chain",), ("shuffled chain",), ("shuffled chain", "one phone number of half of all")
)
"""How they are linked."""
SPARK_KILLED_RECORDS: int = _size(3_000, 20_000, 100_000)
SPARK_KILLS: Sequence[str] | None = _size(("load",), ("normalise", "identify", "load"), None)
"""Stages of one integration in which a worker is killed; None: every stage of both jobs, each in a batch of its own."""
SPARK_DRIVER_KILLS: Sequence[str] = _size(
    ("survive",), ("survive",), ("extract", "normalise", "deduplicate", "survive", "identify", "load")
)
"""Stages in which the driver is killed; the last of them is over in a moment."""

# --------------------------------------------------------------------------------------------- processes side by side

PROGRESS_RECORDS: int = _size(20_000, 400_000, 1_000_000)
"""Records of a pair whose progress is watched; the engine works on some 100,000 at a time."""

METRICS_BATCHES: int = _size(20_000, 1_000_000, 1_000_000)
"""Batches in the ledger whose metrics are rendered."""
READER_PUBLICATIONS: int = _size(20, 200, 1000)
SOAK_BATCHES: int = _size(12, 100, 2000)
SOAK_WARM_UP: int = _size(6, 20, 20)
INSTANCES_BATCHES: int = _size(2, 20, 500)
WRITERS_WHO_COME_BACK: int = _size(1, 3, 30)
DEAFNESS_EVERY: int = _size(7, 1, 1)
"""One in so many of the ways to lose file events is tried."""
DEAFNESS_TRIALS: int = _size(2, 3, 3)
"""A way to lose events may be late this often; only the last time counts."""

# --------------------------------------------------------------------------------------------------- hostile contents

HOLE_BYTES: int = _size(20 * MB, 512 * MB, 10 * GB)
LINE_BYTES: int = _size(34 * MB, 200 * MB, 1024 * MB)
"""The readers refuse a line of more than 16 MB, and for certain an element of more than 32 MB."""
STREAMED_BY_ENGINE_BYTES: int = _size(20 * MB, 50 * MB, 5 * GB)
STREAMED_WITH_CARE_BYTES: int = _size(10 * MB, 30 * MB, 300 * MB)

# ------------------------------------------------------------------------------------------------ models and the sync

PAIRING_PLAYS: int = _size(5, 100, 1000)
PAIRING_STEPS: int = _size(25, 40, 40)
SYNC_CAMPAIGN_RUNS: int = _size(30, 1000, 1000)
NGINX_REQUESTS_PER_SECOND: int = _size(5, 1, 1)
NGINX_TRIALS: int = _size(3, 2, 2)
"""A sync may be late this often; only the last time counts."""
SYNC_CAMPAIGN_PARTS: int = _size(2, 10, 10)

# ---------------------------------------------------------------------------------------------------- rules and values

GENERATED_VALUES: int = 5_000 if LAWS_ON_SPARK else _size(2_000, 120_000, 1_000_000)
"""Made-up cells on which SQL and the Python definition are compared."""
EVERY_LETTER: int = _size(40, 1, 1)
"""One in so many letters of Unicode is tried; all of those in which most special cases are."""
EVERY_READING_REGION: int = _size(300, 30, 1)
"""One in so many regions reads the numbers of all others."""
LAWS_RECORDS: int = _size(2_000, 85_000, 85_000)
"""Rows of the CRM export; 85,000 are more than one row group of the engine, so that its threads share the work."""
NUMBERED_NAMES: int = _size(1_800, 3_000, 3_000)
"""People whose names differ only in a number; 69 or more of them have the same letters."""
GROUPED_RECORDS: int = _size(10_000, 100_000, 100_000)
"""Records of the worst cases that are grouped, and twice as many."""
FUZZ_TIMES: int = _size(1, 1, 20)
VARIANTS_EVERY: int = _size(16, 1, 1)
"""Of the variants of a test that works on files, one in so many is run; case folders are such variants."""
RESTORES: int = _size(1, 8, 8)
"""Random histories in which the state alone is restored."""
REBUILDS: int = _size(1, 2, 8)
"""Random histories whose register and log are rebuilt from the sets."""
ROWS_BEFORE_A_LONG_CELL: int = _size(1_000, 900_000, 900_000)
"""900,000 rows are more than half of what the engine reads at once."""

# ---------------------------------------------------------------------------------------------------------- dashboard

BROWSER_WIDTHS: Sequence[int] = _size((), (1440, 768), (1440, 768))
"""Widths in pixels in which the pages are judged, besides the narrowest."""
PAGE_PROGRESS_RECORDS: int = _size(100_000, 300_000, 600_000)
"""Records of a pair whose progress is seen on the page, which asks every two seconds."""
WRONG_TOKENS: int = _size(100, 1000, 1000)
UPLOADED_BYTES: int = _size(32 * MB, 512 * MB, 1000 * MB)
