"""Whole processes, measured: elapsed and CPU seconds, peak memory, and how much others computed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_tree import Sample, Watch, others_seconds

_SHOWN_LINES = 4


@dataclass(frozen=True)
class Ran:
    """A process that ended: user and system time include its children; the peak is that of the process tree."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    others_seconds: float
    """CPU seconds of other processes meanwhile: a run beside much of that says little."""
    started_at: float = 0.0
    """As ``time.time``."""
    samples: tuple[Sample, ...] = ()


class Failed(Exception):
    """The process failed, or was stopped at a limit; the text says which."""

    def __init__(self, text: str, ran: Ran) -> None:
        super().__init__(text)
        self.ran = ran


@dataclass(frozen=True)
class Limits:
    """Beyond them a process is killed."""

    seconds: float = float("inf")
    mb: float = float("inf")


def measured(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, stdout: Path | None = None
) -> Ran:
    """Run ``python`` with these arguments to its end; a failure ends the benchmark."""
    try:
        return run_measured([sys.executable, *command], environment, stdout=stdout)
    except Failed as failed:
        raise SystemExit(f"{' '.join(command)}: {failed}") from None


def run_measured(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    stdout: Path | None = None,
    limits: Limits | None = None,
) -> Ran:
    """Run a program to its end. Raises: Failed."""
    limits = limits or Limits()
    others = others_seconds()
    started, started_at = time.perf_counter(), time.time()
    environment = usual_environment() | dict(environment or {})
    with open(stdout or os.devnull, "wb") as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        watch = Watch(process.pid, started, limits.seconds, limits.mb)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            seconds = time.perf_counter() - started
            watch.end()
        errors.seek(0)
        message = _message(errors.read())
    process.returncode = os.waitstatus_to_exitcode(status)
    ran = Ran(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=watch.peak_mb,  # the kernel's own figure includes this process, which it was forked from
        others_seconds=max(0.0, others_seconds() - others),
        started_at=started_at,
        samples=tuple(watch.samples),
    )
    if status:
        raise Failed(watch.stopped_for or f"ended with {process.returncode}: {message}", ran)
    return ran


def _message(errors: bytes) -> str:
    """The last lines: what a program says before them, such as the JVM, does not say why it failed."""
    lines = errors.decode(errors="replace").strip().splitlines() or ["no message"]
    return " | ".join(lines[-_SHOWN_LINES:])


def usual_environment() -> dict[str, str]:
    """The environment, without settings of the service, and with compiled modules kept between processes."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("SERVICE_")
    }


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
