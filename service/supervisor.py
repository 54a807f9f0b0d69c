"""``run``: the watcher, and beside it the dashboard and the notifications, as processes that begin and end together.

The watcher is what counts: when it ends, all end, with its exit code. The others are started again when they end, with
growing pauses. A process of ours that is killed takes them along: the kernel signals them when their parent dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service import logs

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FIRST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 1.0, 30.0
_STEADY_SECONDS = 60.0
"""A process that lived for so long is started again after the first pause."""
_HELPER_STOP_SECONDS, _GRACE_SECONDS = 3.0, 2.0
_IDLE_SECONDS = 60.0
_WRONG_USAGE = 2
"""Exit code for a setting that does not fit, such as a port that is taken: to start again soon does not help."""
_NOT_STARTED = 126
"""Exit code of a command that could not be started, as a shell gives it."""
_KILLED = 128
"""Exit codes above it: of a process that a signal ended."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class _Helper:
    """A process beside the watcher, and when it is started next."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    pause_seconds: float = _FIRST_PAUSE_SECONDS

    def tend(self, now: float) -> None:
        """Start it if it is due; if it has ended, note when it is due again."""
        if self.process is None and now >= self.due_at:
            self.started_at = now
            try:
                self.process = _start(self.name, self.command, signal.SIGKILL)
            except (OSError, subprocess.SubprocessError):  # too many processes, too little memory
                self._postpone(now, _NOT_STARTED)
        elif self.process is not None and (code := self.process.poll()) is not None:
            self._postpone(now, _exit_code(code))

    def _postpone(self, now: float, code: int) -> None:
        if now - self.started_at >= _STEADY_SECONDS:
            self.pause_seconds = _FIRST_PAUSE_SECONDS
        pause = self.pause_seconds if code != _WRONG_USAGE else _MOST_PAUSE_SECONDS
        self.process, self.due_at = None, now + pause
        self.pause_seconds = min(2 * pause, _MOST_PAUSE_SECONDS)
        logs.get().warning("process.ended", name=self.name, code=code, restart_in_seconds=pause)


def supervise(
    watcher: Sequence[str],
    helpers: Mapping[str, Sequence[str]],
    say: Callable[[str], None],
    *,
    stop_seconds: float,
) -> int:
    """Run the command ``watcher`` until it ends or a signal stops it, and the ``helpers`` beside it, by their names.

    ``say`` prints to the console why all end, where no signal asked for it.
    After a signal the watcher has ``stop_seconds``, and a little more, to end by itself. Returns its exit code.
    Only for the main thread: the kernel signals the children when the thread ends that started them.
    """
    stops = {number for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN}  # nohup
    awaited = stops | {signal.SIGCHLD}
    # Blocked signals wait until they are asked for, so none is lost between two looks at the children.
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    watching = _start("watcher", watcher, signal.SIGTERM)
    kept = [_Helper(name, command) for name, command in helpers.items()]
    while watching.poll() is None:
        now = time.monotonic()
        for helper in kept:
            helper.tend(now)
        due = [helper.due_at - now for helper in kept if helper.process is None]
        received = signal.sigtimedwait(awaited, max(min(due, default=_IDLE_SECONDS), 0.0))
        if received is not None and received.si_signo in stops:
            break
    has_failed = bool(watching.poll())
    code = _stop_all(watching, kept, stop_seconds)
    (logs.get().error if has_failed else logs.get().info)("process.ended", name="watcher", code=code)
    if has_failed:
        say(_why_all_end(code))
    return code


def _why_all_end(code: int) -> str:
    """One line for the console."""
    if code > _KILLED:
        return f"the watcher was killed ({code}); nothing is lost: start it again"
    return f"the watcher ended with code {code}, and so do all: the lines above say why"


def _stop_all(watching: subprocess.Popen[bytes], kept: Sequence[_Helper], stop_seconds: float) -> int:
    """End the helpers, then the watcher, which may finish its batch; returns its exit code."""
    running = [helper.process for helper in kept if helper.process is not None]
    for process in (*running, watching):
        process.terminate()
    for process in running:
        _wait_or_kill(process, _HELPER_STOP_SECONDS)
    return _exit_code(_wait_or_kill(watching, stop_seconds + _GRACE_SECONDS))


def _wait_or_kill(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _exit_code(code: int) -> int:
    """As a shell gives it: 128 and the number of the signal for a process that one ended."""
    return code if code >= 0 else _KILLED - code


def _start(name: str, command: Sequence[str], at_our_death: signal.Signals) -> subprocess.Popen[bytes]:
    """A child with our environment and streams, in a process group of its own: Ctrl-C reaches us alone."""
    parent = os.getpid()

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(at_our_death))
        if os.getppid() != parent:  # it died before that
            signal.raise_signal(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    process = subprocess.Popen(command, preexec_fn=prepare, process_group=0, stdin=subprocess.DEVNULL)
    logs.get().info("process.started", name=name, pid=process.pid)
    return process
