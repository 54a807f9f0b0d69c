"""Whole processes, measured: seconds and peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Ran:
    """Seconds and peak memory of a process that succeeded."""

    seconds: float
    peak_mb: float


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ran:
    """Run ``python`` with these arguments to its end; a failure ends the benchmark."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Ran(time.perf_counter() - started, usage.ru_maxrss / 1024)


@contextmanager
def simulated(customers: int, *, latency_ms: int, scenario: str = "") -> Iterator[str]:
    """The simulated API in a process of its own while the block runs; yields the URL of the collection."""
    options = {"--port": 0, "--customers": customers, "--per-page": 100, "--latency-ms": latency_ms}
    command = [sys.executable, "-m", "service", "simulate-api", "--scenario", scenario]
    command += [str(part) for option in options.items() for part in option]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            started = next((line for line in process.stderr if line.startswith("listening on ")), "")
            if not started:
                raise SystemExit("the simulated API does not start")
            yield started.split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
