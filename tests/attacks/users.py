"""Two users on one machine: the service runs as one of them, the other attacks it.

A process of another user is forked from a server that runs as root and has imported everything: the interpreter's
own folder may be closed to other users.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from service import cli
from tests.warm import SERVER
from tests.worlds import CASES, CRM, ECOM, Finished, World, put_in_place, wait_until

SERVICE_USER, ATTACKER = 61001, 61002
MOST_SECONDS = 20.0


def _become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o022)


def _run_service(
    user: int, folder: Path, arguments: list[str], settings: Mapping[str, str], log: tuple[str, str]
) -> None:
    for descriptor, name in zip((1, 2), log, strict=True):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({"PATH": "/usr/bin:/bin", **settings})
    _become(user)
    sys.exit(cli.main(arguments))


def _run_attack(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.setgroups([])
    os.setgid(ATTACKER)
    os.setuid(ATTACKER)
    try:
        function(*arguments)
    except BaseException:  # noqa: BLE001  # whatever it is, its traceback is what the failed test shows
        traceback.print_exc()
        os._exit(1)


class SharedHouse(World):
    """Inbox and outbox that every user may write to, and a service that runs as a user of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        for folder, mode in ((root, 0o755), (self.inbox, 0o777), (self.outbox, 0o777)):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
            os.chown(folder, SERVICE_USER, SERVICE_USER)
        self.secret = root / "secret.csv"
        """A file that only the service may read: what the attacker wants to read or to destroy."""
        self.secret.write_text("customer_id,full_name\nS1,Very Secret\n", encoding="utf-8")
        self.secret.chmod(0o600)
        os.chown(self.secret, SERVICE_USER, SERVICE_USER)
        self._log = tempfile.mkdtemp(prefix="attack-log-")

    def service(self, *arguments: str, **settings: str) -> Finished:
        """Run a verb to its end; one that hangs fails the test."""
        process, out, err = self._start(arguments, settings)
        connection.wait([process.sentinel], MOST_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise AssertionError(f"{arguments} hangs: {err.read_text(encoding='utf-8')}")
        process.join()
        assert process.exitcode is not None
        return Finished(process.exitcode, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def once(self, **settings: str) -> Finished:
        """``watch --once``."""
        return self.service("watch", "--once", **settings)

    @contextmanager
    def watching(self, **settings: str) -> Iterator[ForkServerProcess]:
        """``watch``, until the block ends."""
        (self.state / "health.json").unlink(missing_ok=True)
        process, _, err = self._start(("watch",), settings)
        try:
            wait_until(lambda: (self.state / "health.json").exists() or not process.is_alive(), MOST_SECONDS)
            assert process.is_alive(), err.read_text(encoding="utf-8")
            yield process
        finally:
            if process.is_alive():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGTERM)
            process.join(20)
            process.kill()

    def health_is(self, state: str, reason: str = "", file: str = "health.json") -> None:
        """Wait until the health has this state, and a reason that contains the text."""

        def is_so() -> bool:
            found = next(iter(self.state.glob(file)), None)
            if found is None:
                return False
            text = found.read_text(encoding="utf-8")
            return f'"state": "{state}"' in text and reason in text

        wait_until(is_so, MOST_SECONDS)

    def attack(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run a function of a test module as the attacker; it must succeed."""
        process = SERVER.Process(target=_run_attack, args=(function, arguments), daemon=True)
        process.start()
        process.join(MOST_SECONDS)
        assert process.exitcode == 0, "the attack itself failed"

    @contextmanager
    def attacking(self, function: Callable[..., None], *arguments: Any) -> Iterator[ForkServerProcess]:
        """Run a function as the attacker until the block ends."""
        process = SERVER.Process(target=_run_attack, args=(function, arguments), daemon=True)
        process.start()
        try:
            yield process
        finally:
            process.kill()
            process.join()

    @contextmanager
    def standing_by(self) -> Iterator[None]:
        """``watch`` while another process holds the lock, until the block ends."""
        process, _, _ = self._start(("watch",), {})
        try:
            yield
        finally:
            process.kill()
            process.join()

    def make_target(self) -> Path:
        """A folder of the service's user with one file in it: what a link leads to."""
        target = self.root / "elsewhere"
        target.mkdir()
        (target / "precious").write_text("precious", encoding="utf-8")
        for path in (target, target / "precious"):
            os.chown(path, SERVICE_USER, SERVICE_USER)
        return target

    def drop(self, suffix: str = "") -> None:
        """The attacker, who is a user like others, drops the sample."""
        for name in (CRM, ECOM):
            stem, _, kind = name.partition(".")
            self.attack(copy, CASES / "the_sample" / name, self.inbox / f"{stem}{suffix}.{kind}")

    def is_secret_kept(self) -> bool:
        """Whether the secret is as it was, and no published file or waiting file holds it."""
        intact = "Very Secret" in self.secret.read_text(encoding="utf-8")
        return intact and stat.S_IMODE(self.secret.stat().st_mode) == 0o600 and not self._leaks()

    def _leaks(self) -> list[Path]:
        files = (path for root in (self.inbox, self.outbox) for path in root.rglob("*"))
        regular = (path for path in files if not path.is_symlink() and path.is_file())
        return [path for path in regular if b"very secret" in path.read_bytes().lower()]

    def _start(self, arguments: tuple[str, ...], settings: Mapping[str, str]) -> tuple[ForkServerProcess, Path, Path]:
        quick = {"settle_seconds": "0.2", "rescan_seconds": "0.1", "retry_seconds": "0.05", "threads": "1"}
        environment = {f"SERVICE_{name.upper()}": value for name, value in {**quick, **settings}.items()}
        log = (f"{self._log}/out", f"{self._log}/err")
        process = SERVER.Process(
            target=_run_service, args=(SERVICE_USER, self.root, list(arguments), environment, log), daemon=True
        )
        process.start()
        return process, Path(log[0]), Path(log[1])

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._log)
        shutil.rmtree(self.root)


@contextmanager
def shared_house() -> Iterator[SharedHouse]:
    """A house until the block ends; not under ``tmp_path``, which other users may not enter."""
    house = SharedHouse(Path(tempfile.mkdtemp(prefix="shared-")))
    try:
        yield house
    finally:
        house.close()


# --------------------------------------------------------------------------------- what the attacker does to a path


def copy(source: Path, target: Path) -> None:
    """Copy a file, as ``cp`` does."""
    shutil.copyfile(source, target)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def link(path: Path, target: Path) -> None:
    """Put a link in the place of whatever is there."""
    _put(path, lambda: path.symlink_to(target))


def fifo(path: Path) -> None:
    """Put a pipe in the place of whatever is there."""
    _put(path, lambda: os.mkfifo(path, 0o666))


def folder(path: Path, mode: int = 0o777) -> None:
    """Put a folder in the place of whatever is there."""
    _put(path, path.mkdir)
    path.chmod(mode)


def remove(path: Path) -> None:
    """Remove a name."""
    path.unlink()


def _put(path: Path, put: Callable[[], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    put_in_place(path, put)
