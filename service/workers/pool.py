"""Processes that call functions, and the parts that each of them is given."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

import msgspec

from service.errors import TransientError
from service.workers.worker import Answers, Calls, receive, send

Arguments = Sequence[list[str]]
"""A list for each parameter."""
_PACKAGE = Path(__file__).resolve().parents[2]
_WAITING = 2
"""So many parts wait for each worker, so that none is idle while the results are taken."""


class Workers:
    """Processes that call functions of modules; see ``open_workers``."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], threads: ThreadPoolExecutor) -> None:
        self._processes = processes
        self._threads = threads
        self._most_waiting = _WAITING * len(processes)
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in processes:
            self._idle.put(process)

    def results(self, function: Callable[..., str | None], parts: Iterable[Arguments]) -> Iterator[list[str | None]]:
        """The results of each part, in their order; ``function`` is one of a module.

        Raises: TransientError where a worker has ended.
        """
        waiting: deque[Future[list[str | None]]] = deque()
        for part in parts:
            waiting.append(self._threads.submit(self._ask, function, part))
            if len(waiting) > self._most_waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def end(self) -> None:
        """End the processes, whatever they do, from any thread: ``results`` raises."""
        for process in self._processes:
            process.kill()

    def _ask(self, function: Callable[..., str | None], part: Arguments) -> list[str | None]:
        process = self._idle.get()
        try:
            assert process.stdin is not None, "it is a pipe"
            assert process.stdout is not None, "it is a pipe"
            send(Calls(function.__module__, function.__name__, list(part)), process.stdin)
            content = receive(process.stdout)
        except OSError:
            content = b""
        finally:
            self._idle.put(process)
        if not content:
            raise TransientError(
                "a worker process has ended",
                hint="check that the memory suffices; with SERVICE_THREADS=1 there are no worker processes",
            )
        found = msgspec.msgpack.decode(content, type=Answers)
        if found.error:
            raise RuntimeError(f"{function.__name__} raised {found.error}")
        return found.results


@contextmanager
def open_workers(count: int) -> Iterator[Workers]:
    """``count`` worker processes, which end with the block, and with this process. Raises: OSError."""
    processes: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(count) as threads:
        try:
            for _ in range(count):
                processes.append(_started())
            yield Workers(processes, threads)
        finally:
            # Before the threads are waited for: what they ask for is not needed any more.
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
            threads.shutdown(cancel_futures=True)
            for process in processes:
                _close(process)


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "service.workers.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_PACKAGE,  # where -m finds it
    )


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # the rest of a request that it did not read
                stream.close()
