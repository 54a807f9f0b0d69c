"""A random campaign of faults in one set of folders; at the end the faults are removed and verify finds no problem.

``CAMPAIGN_MINUTES`` and ``CAMPAIGN_SEED`` set length and seed. By itself:
``python -m tests.faults.test_campaign --minutes 60 --seed 7``. The actions depend only on the seed; their moments do
not, so a seed that failed once may have to be run several times.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.ledger import Ledger
from tests.faults.injection import MUTATIONS
from tests.required import needs_strace
from tests.sizes import CAMPAIGN_MINUTES, IS_FULL
from tests.worlds import CRM, ECOM, Daemon, House

if TYPE_CHECKING:
    from tests.faults.conftest import Tally

SETTINGS = {"settle_seconds": "0.2", "rescan_seconds": "0.2", "retry_seconds": "0.1", "min_free_mb": "0"}
ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES", "EDQUOT")
MOST_CALLS = 120
MOST_INJECTED_SECONDS = 20
MOST_STOPPING_SECONDS = 60  # test_stop checks the promised time; here it must only not hang
MOST_HEALING_RUNS = 10


class Campaign:
    """The folders, the seed, and the versions of files that were dropped."""

    def __init__(self, root: Path, seed: int) -> None:
        os.environ["PYTHONFAULTHANDLER"] = "1"
        self.random = random.Random(seed)
        self.house = House(root)
        self.settings = SETTINGS | {"keep_batches": self.random.choice(["0", "3"])}
        self.done: Counter[str] = Counter()
        self._daemon: Daemon | None = None
        self._version = 0
        self._dropped: dict[str, str] = {}
        self._may_be_gone: set[str] = set()

    def run(self, minutes: float) -> None:
        """Do random things for ``minutes``, then remove all faults. Raises: AssertionError for a broken promise."""
        steps: list[tuple[Callable[[], None], int]] = [
            (self.drop_pair, 10),
            (self.drop_one_export, 4),
            (self.replace_a_waiting_export, 3),
            (self.drop_a_wrong_pair, 2),
            (self.drop_another_file, 1),
            (self.retry, 2),
            (self.empty_the_outbox, 1),
            (self.wait, 6),
            (self.start, 6),
            (self.kill, 4),
            (self.stop, 2),
            (self.freeze, 2),
            (self.verify_beside_the_service, 3),
            (self.inject, 3),
        ]
        ends_at = time.monotonic() + 60 * minutes
        try:
            while time.monotonic() < ends_at:
                (step,) = self.random.choices([step for step, _ in steps], [weight for _, weight in steps])
                self.done[step.__name__] += 1
                step()
            self.heal()
        finally:
            self.house.close()
        self.judge()

    # ------------------------------------------------------------------------------------------ what users do

    def drop_pair(self) -> None:
        """Under the plain names, a date, a number or a word."""
        suffix = self._suffix()
        self._drop(CRM, suffix)
        self._drop(ECOM, suffix)

    def drop_one_export(self) -> None:
        self._drop(self.random.choice([CRM, ECOM]), self._suffix())

    def replace_a_waiting_export(self) -> None:
        """Replace a waiting file by a newer version, in one rename."""
        waiting = sorted(self.house.inbox.glob("*_customers*"))
        if waiting:
            path = self.random.choice(waiting)
            self._put(path, is_wrong=False)

    def drop_a_wrong_pair(self) -> None:
        suffix = self._suffix()
        for name in (CRM, ECOM):
            self._drop(name, suffix, is_wrong=name == ECOM)

    def drop_another_file(self) -> None:
        (self.house.inbox / f"notes {self.random.randrange(5)}.txt").write_text("not ours", encoding="utf-8")

    def retry(self) -> None:
        """Retry one quarantined batch, whatever the service does meanwhile."""
        quarantined = sorted((self.house.inbox / "quarantine").glob("*"))
        if quarantined:
            batch = self.random.choice(quarantined).name
            accept = self.random.choice([["--accept"], []])
            assert self.house.run("retry", *accept, batch, **self.settings).code in (0, 2)

    def empty_the_outbox(self) -> None:
        """Empty the outbox, which users may do at any time."""
        for path in self.house.outbox.glob("*"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def wait(self) -> None:
        time.sleep(self.random.uniform(0.05, 1.5))

    # ---------------------------------------------------------------------------------- faults

    def start(self) -> None:
        if self._daemon is None:
            self._daemon = self.house.watch(**self.settings)

    def kill(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon = None

    def stop(self) -> None:
        if self._daemon is not None:
            try:
                code = self._daemon.stop(signal.SIGTERM, MOST_STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                code = self._daemon.stop(signal.SIGABRT)  # its log then ends with the stack of each thread
            assert code == 0, (self.house.root / "daemon.log").read_text(encoding="utf-8")[-4000:]
            self._daemon = None

    def freeze(self) -> None:
        """Stop the process for a while, as on a laptop that sleeps."""
        if self._daemon is not None:
            self._daemon.process.send_signal(signal.SIGSTOP)
            self.random.choice([self.drop_pair, self.replace_a_waiting_export, self.wait])()
            self._daemon.process.send_signal(signal.SIGCONT)

    def inject(self) -> None:
        """A run that is killed, or whose calls fail, at a random point."""
        if shutil.which("strace") is None:
            return
        self.stop()
        calls = ",".join(MUTATIONS[self.random.choice(sorted(MUTATIONS))])
        how = self.random.choice(["signal=SIGKILL", *(f"error={error}" for error in ERRORS)])
        when = f"{self.random.randint(1, MOST_CALLS)}{self.random.choice(['', '+'])}"
        strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={calls}",
            "-e",
            f"inject={calls}:{how}:when={when}",
        ]
        command = [*strace, sys.executable, "-m", "service", "watch", "--once"]
        environment = self.house.environment(**self.settings)
        # Some faults make it hang; then it is killed, which is one more fault.
        with subprocess.Popen(
            command,
            cwd=self.house.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as ran:
            try:
                ran.wait(MOST_INJECTED_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(ran.pid, signal.SIGKILL)

    def verify_beside_the_service(self) -> None:
        """Verify finds nothing while a service works, whatever it is doing."""
        if self._daemon is not None and self._daemon.process.poll() is None:
            found = self._verify()
            assert found == [], f"beside the service: {found}"

    # ------------------------------------------------------------------------------------------- the end

    def heal(self) -> None:
        """Complete every pair, and let the service work until nothing is left to do."""
        self.stop()
        for _ in range(MOST_HEALING_RUNS):
            for path in list(self.house.inbox.glob("*_customers*")):
                other = self._other(path)
                if not other.exists():
                    self._put(other, is_wrong=False)
            ended = self.house.run("watch", "--once", **self.settings)
            assert ended.code in (0, 1, 3), ended.err
            left = [*self.house.inbox.glob("*_customers*"), *(self.house.inbox / ".claimed").glob("*")]
            if not left:
                return
        raise AssertionError(f"not done after {MOST_HEALING_RUNS} runs: {left}")

    def judge(self) -> None:
        """Verify finds nothing, and no version that was accepted is lost."""
        ended = self.house.run("verify", **self.settings)
        assert (ended.code, ended.out.startswith("ok: ")) == (0, True), ended.out
        entries, _ = Ledger(self.house.state, self.house.outbox, self.house.inbox).entries()
        accounted = {entry.sha256 for line in entries for entry in line.outcome.inputs}
        lying = Counter(_sha256(path) for path in self.house.inbox.rglob("*_customers*"))
        lost = {name for digest, name in self._dropped.items() if digest not in accounted | set(lying)}
        assert lost <= self._may_be_gone, f"lost: {lost - self._may_be_gone}"
        assert [self._dropped[digest] for digest, places in lying.items() if places > 1] == [], "in two places"

    # -------------------------------------------------------------------------------------------- helpers

    def _verify(self) -> list[str]:
        return self.house.verified().findings

    def _suffix(self) -> str:
        number = self.random.randint(1, 30)
        return self.random.choice(["", "", f"_2024-01-{number:02}", f"_{number}", f"-{'abc'[number % 3]}"])

    def _drop(self, name: str, suffix: str, *, is_wrong: bool = False) -> None:
        stem, _, kind = name.partition(".")
        self._put(self.house.inbox / f"{stem}{suffix}.{kind}", is_wrong=is_wrong)

    def _put(self, path: Path, *, is_wrong: bool) -> None:
        """A new version: in one rename, or (only if there is no file yet) written in two steps."""
        content = self._content(path.suffix, is_wrong=is_wrong)
        name = f"{path.name} v{self._version}"
        self._dropped[hashlib.sha256(content).hexdigest()] = name
        if not path.exists() and self.random.random() < 0.5:
            with path.open("wb") as file:
                file.write(content[: len(content) // 2])
                file.flush()
                time.sleep(self.random.choice([0, 0, 0.1]))
                file.write(content[len(content) // 2 :])
        else:
            if path.exists():
                self._may_be_gone.add(self._dropped.get(_sha256(path), ""))
            staged = self.house.root / "staged"
            staged.write_bytes(content)
            staged.rename(path)

    def _content(self, suffix: str, *, is_wrong: bool) -> bytes:
        self._version += 1
        people = [(n, self.random.randrange(40)) for n in range(self.random.randint(1, 30))]
        if suffix == ".csv":
            rows = [f"C{n},Person {who} Number{self._version},p{who}@mail.org" for n, who in people]
            return "\n".join(["customer_id,full_name,email", *rows, ""]).encode()
        shop = [
            f'{{"id": "E{n}", "name": "V{self._version}", "contact": {{"email": "p{w}@mail.org"}}}}' for n, w in people
        ]
        return f'{{"customers": [{", ".join(shop)}{"" if is_wrong else "]}"}'.encode()

    def _other(self, path: Path) -> Path:
        is_crm = path.name.startswith("crm")
        stem, other = ("crm_customers", "ecommerce_customers")[:: 1 if is_crm else -1]
        return path.with_name(path.stem.replace(stem, other) + (".json" if is_crm else ".csv"))


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


@pytest.mark.large
@pytest.mark.slow
@needs_strace
def test_after_a_random_campaign_of_faults_verify_finds_nothing(tmp_path: Path, tally: Tally) -> None:
    seed = int(os.environ.get("CAMPAIGN_SEED") or (random.SystemRandom().randrange(1_000_000) if IS_FULL else 1))
    campaign = Campaign(tmp_path / "house", seed)
    try:
        campaign.run(CAMPAIGN_MINUTES)
    except BaseException as error:
        error.add_note(f"CAMPAIGN_SEED={seed} CAMPAIGN_MINUTES={CAMPAIGN_MINUTES}  {dict(campaign.done)}")
        raise
    tally(f"campaign, seed {seed}", campaign.done.elements())


@pytest.mark.large
def test_a_daemon_that_was_stopped_and_continued_ends_on_sigterm(house: House) -> None:
    """Found by the campaign: after SIGSTOP and SIGCONT the kernel sends SIGTERM to any thread, not to the first."""
    for _ in range(3):
        daemon = house.watch(**SETTINGS)
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.stop(signal.SIGTERM, 5) == 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    print(f"seed {asked.seed}, {asked.minutes} minutes, in {folder}", flush=True)  # noqa: T201
    chosen = Campaign(folder / "house", asked.seed)
    chosen.run(asked.minutes)
    print(f"green: {dict(chosen.done)}")  # noqa: T201
    shutil.rmtree(folder)
