"""Fixtures that several test files share, and the report at the end of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from service import logs
from tests.case_runs import CaseRun, shared_run
from tests.required import is_lacking
from tests.sizes import IS_FULL, IS_QUICK, LAWS_ON_SPARK, UNMARKED_SECONDS, VARIANTS_EVERY, examples
from tests.slow import measured
from tests.small_batches import AnyEngine, registered_once, small_engine
from tests.spark_runs import SparkCluster, spark_cluster
from tests.supervised import Supervise, Supervised
from tests.warm import start_server
from tests.worlds import House, Mount, Works

# The same examples every time: a change is judged by itself. ``FAULTS=all`` looks for new ones.
# Without a deadline: on a busy machine any example may take long.
settings.register_profile("same", derandomize=True, max_examples=examples(100), deadline=None)
settings.register_profile("new", print_blob=True, deadline=None)
settings.load_profile("new" if IS_FULL else "same")

# A shell that runs us in the background has interrupts ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More workers than cores: tests of the daemon wait for a third of their time, in the quick size for half of it."""
    cores = len(os.sched_getaffinity(0))
    return 2 * cores if IS_QUICK else cores + cores // 2


def _is_left_out(item: pytest.Item) -> bool:
    """Whether this size leaves out a large test, or a variant of one that works on files; never the first variant."""
    if IS_QUICK and item.get_closest_marker("large"):
        return True
    call = getattr(item, "callspec", None)
    works_on_files = "tmp_path_factory" in getattr(item, "fixturenames", ())
    return call is not None and works_on_files and any(index % VARIANTS_EVERY for index in call.indices.values())


def _shared_out(slow: Sequence[pytest.Item], workers: int) -> list[list[pytest.Item]]:
    """The share of each worker: the tests of a file go to the worker that has the fewest tests so far."""
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    files = [list(tests) for _, tests in groupby(slow, lambda item: item.path)]
    for tests in sorted(files, key=len, reverse=True):
        min(shares, key=len).extend(tests)
    return shares


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every worker begin with its share of the slow tests, so that none of them runs alone at the end.

    xdist gives each worker an equal run of the list, and later takes from the end of one for another. The tests in the
    browser come first in the first, so that one Chromium runs at a time. The slow tests of a file begin
    on one worker: they share fixtures, as others do, which stay in order.
    """
    left_out = [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _is_left_out(item)]
    workers: int = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    first = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
    slow = [item for item in items if item.get_closest_marker("slow") and item not in first]
    others = iter([item for item in items if item not in first and item not in slow])
    bounds = [len(items) * worker // workers for worker in range(workers + 1)]
    begins = [first, *_shared_out(slow, workers - 1)] if workers > 1 else [first + slow]
    shares = [
        begin + list(islice(others, max(0, after - before - len(begin))))
        for begin, (before, after) in zip(begins, pairwise(bounds), strict=True)
    ]
    items[:] = [item for share in shares for item in share] + list(others)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Start the server of verbs before a fixture changes the working folder."""
    start_server()


def _ignored_or_blocked() -> set[int]:
    """The signals that this process ignores or blocks; the processes that it starts inherit that."""
    ignored = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN}
    return ignored | signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that takes too long and is not marked as slow."""
    with measured() as cost:
        yield
    if cost.seconds > UNMARKED_SECONDS and item.get_closest_marker("slow") is None:
        pytest.fail(
            f"{item.nodeid} took {cost.seconds:.1f} s: make it faster, or mark it with @pytest.mark.slow", pytrace=False
        )


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Fail a test that leaves signals ignored or blocked: every process that later tests start would inherit that."""
    before = _ignored_or_blocked()
    yield
    left = sorted(_ignored_or_blocked() - before)
    assert left == [], "restore these signals in the test, or run the daemon in a process of its own"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without settings and a folder without service.toml."""
    for name in [name for name in os.environ if name.upper().startswith("SERVICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house of its own for every test."""
    built = House(tmp_path / "house")
    yield built
    built.close()


@pytest.fixture
def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Works]:
    """A world whose watcher runs in this process."""
    logs.configure()
    # The files of these tests are whole when they are looked at; how long one must stand still is shown elsewhere.
    monkeypatch.setattr("service.inbox.settling.LEASE_STILL_SECONDS", 0.05)
    yield Works(tmp_path / "house")
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def case_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CaseRun]:
    """The run of a case by its name; each case is integrated once, whichever worker needs it first."""
    base = tmp_path_factory.getbasetemp()
    # The temporary folder of a worker lies in the one of the whole run.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cases"
    return lambda name: shared_run(name, shared)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkCluster]:
    """A cluster of Spark; skips where it cannot run. See ``tests.spark_runs``."""
    with spark_cluster() as built:
        yield built


ENGINES = ("embedded", pytest.param("spark", marks=pytest.mark.filterwarnings("default")))


@pytest.fixture(scope="module", params=ENGINES if LAWS_ON_SPARK else ENGINES[:1])
def engine_name(request: pytest.FixtureRequest) -> str:
    """The engine that a law is held against: both in ``make spark FAULTS=all``, else the embedded one."""
    return str(request.param)


@pytest.fixture(scope="module")
def engine(
    engine_name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AnyEngine]:
    """A real engine for all tests of a module; see ``registered_once``."""
    make_engine = request.getfixturevalue("spark").for_laws if engine_name == "spark" else small_engine
    with make_engine(tmp_path_factory.mktemp("engine")) as made, registered_once(made):
        yield made


@pytest.fixture
def fresh_engine(engine_name: str, engine: AnyEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyEngine]:
    """An engine for one test of very many, each of which leaves tables; that of Spark is the one of the module."""
    if engine_name == "spark":
        yield engine
        return
    with small_engine(tmp_path_factory.mktemp("engine")) as made, registered_once(made):
        yield made


@pytest.fixture(scope="module")
def engine_settings(engine_name: str, request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """The settings of a batch that this engine works on."""
    found: Mapping[str, Any] = request.getfixturevalue("spark").settings if engine_name == "spark" else {}
    return found


@pytest.fixture
def events(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The structured events since the last call."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


@pytest.fixture
def supervised(house: House) -> Iterator[Supervise]:
    """Starts a supervisor in the house; nothing of it outlives the test."""
    started: list[Supervised] = []

    def start(watcher: Sequence[str], helpers: Mapping[str, Sequence[str]]) -> Supervised:
        started.append(Supervised(house, watcher, helpers))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(20)
        for pid in one.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount a tmpfs, or change the size of one that is mounted; skips where we may not."""
    mounted: list[Path] = []

    def tmpfs(folder: Path, size: str) -> None:
        options = f"remount,{size}" if folder in mounted else size
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            is_lacking(f"needs a small file system: {done.stderr.strip()}")
        mounted.append(folder)

    yield tmpfs
    for folder in dict.fromkeys(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests tried and measured: every property they recorded."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    properties = [noted for report in reports for noted in getattr(report, "user_properties", [])]
    if properties:
        terminalreporter.section("tried and measured")
    for line in sorted({f"{name}: {value}" for name, value in properties}):
        terminalreporter.write_line(line)
