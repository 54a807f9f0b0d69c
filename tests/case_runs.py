"""Each case folder is integrated once in a test run, and all tests look at that one result.

The workers of pytest-xdist share a folder; a lock file for each case makes the first worker run it and the others wait.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service import cli
from service.settings import Settings
from tests.small_batches import NOON, exports_in
from tests.worlds import CASES


@dataclass(frozen=True)
class CaseRun:
    """What ``integrate`` did with the exports of a case, after those of ``before/`` and ``between/`` if it has them."""

    outbox: Path
    code: int
    out: str
    """Standard output of all runs: the structured log."""
    err: str
    """Standard error of the last run."""


def case_names() -> list[str]:
    """The names of all cases, the sample first."""
    names = sorted(path.parent.name for path in CASES.glob("*/why.md"))
    return sorted(names, key=lambda name: name != "the_sample")


def settings_of(case: Path) -> dict[str, Any]:
    """The settings of a case, by name; most have none."""
    given = case / "settings.json"
    return json.loads(given.read_text(encoding="utf-8")) if given.exists() else {}


def batches_of(case: Path) -> list[Path]:
    """The folders of a case that hold exports, in the order in which they are integrated."""
    return [exports for exports in (case / "before", case / "between", case) if exports.is_dir()]


def commands_after(exports: Path, case: Path) -> list[list[str]]:
    """The commands that a user gives after these exports of the case were integrated; most cases have none."""
    given = case / "commands.json"
    commands: dict[str, list[list[str]]] = json.loads(given.read_text(encoding="utf-8")) if given.exists() else {}
    return commands.get(exports.name, [])


def run_case(case: Path, folder: Path) -> CaseRun:
    """Integrate a case in this process, by the command line, in the working folder ``folder``."""
    settings, outbox = settings_of(case), folder / "outbox"
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SERVICE_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(f"SERVICE_{name.upper()}", value if isinstance(value, str) else json.dumps(value))
        patch.chdir(folder)
        patch.setattr(cli, "_local_now", lambda: NOON)
        for exports in batches_of(case):
            err = io.StringIO()
            paths = exports_in(exports, Settings(**settings))
            with redirect_stdout(out), redirect_stderr(err):
                code = cli.main(["integrate", *map(str, paths), "--outbox", str(outbox)])
            for command in commands_after(exports, case):
                with redirect_stdout(out), redirect_stderr(io.StringIO()):
                    assert cli.main([*command, "--outbox", str(outbox)]) == 0, command
    return CaseRun(outbox, code, out.getvalue(), err.getvalue())


def shared_run(name: str, shared: Path) -> CaseRun:
    """The run of the case ``name`` in the folder ``shared``, made by the first test that asks for it."""
    folder = shared / name
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "run.json"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            made = run_case(CASES / name, folder)
            record.write_text(json.dumps({"code": made.code, "out": made.out, "err": made.err}), encoding="utf-8")
    return CaseRun(folder / "outbox", **json.loads(record.read_text(encoding="utf-8")))
