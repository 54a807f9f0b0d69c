"""``python -m benchmarks [WHAT] [OPTIONS]``: WHAT is report unless it is given.

report       the whole service: against other programs, by size, by stage, on hard data, as a daemon; writes
             docs/performance.md
render       docs/performance.md again, from the recorded figures
dirt         the normalise stage for exports of mixed quality, against clean ones
matching     batches by weighed evidence, against batches by the literal rule
spark        Spark on a cluster of this machine, against the embedded engine; needs the extra spark and Java
dashboard    its pages and searches over a large set, its memory, and a batch beside readers, against one alone
explain      explanations of customers in a large set, by function and by page
sync         the sync, against a loop of requests: processes in turn, with their memory
sync-peers   the same with dlt beside it, and with faults
sync-faults  which client reads which faulty API completely

On a shared machine seconds drift; quote the ratios.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import dashboard, dirt, explain, matching, report, spark, sync, sync_faults


def main() -> None:
    """Measure, and print a table or write the page."""
    what = next((argument for argument in sys.argv[1:] if argument in BENCHMARKS), "report")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("report", "render", *BENCHMARKS), default="report")
    if what in BENCHMARKS:
        parser.add_argument("--records", type=int, default=100_000)
        parser.add_argument("--rounds", type=int, default=3)
        options = parser.parse_args()
        BENCHMARKS[what](options.records, options.rounds)
        return
    report.add_arguments(parser)
    options = parser.parse_args()
    if options.what == "render":
        report.render(options.docs)
    else:
        report.report(options)


BENCHMARKS: dict[str, Callable[[int, int], None]] = {
    "dirt": dirt.report,
    "dashboard": dashboard.report,
    "explain": explain.report,
    "matching": matching.report,
    "spark": spark.report,
    "sync": sync.report,
    "sync-peers": sync.report_peers,
    "sync-faults": lambda records, rounds: sync_faults.report(),
}


if __name__ == "__main__":
    main()
