"""The check of the cluster, with ``SERVICE_ENGINE=spark``: packages, Java, the master, and folders that all share."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from service.doctor import advice
from service.doctor.finding import Advice, Examined, Finding, failed, passed, warned
from service.doctor.probes import new_name
from service.engine import cluster_probe, refuse_lost_configuration, refuse_missing, unreachable_addresses
from service.errors import SettingsError
from service.files import remove_tree
from service.state import State

_OLDEST_JAVA = 17
_JAVA_SECONDS = 20.0
PROBE_SECONDS = 120.0
"""To start an application takes ten seconds, on a busy machine a minute."""
_SHOWN = 5
_FOLDERS_OF_YARN = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")


def check_cluster(it: Examined) -> Finding:
    """A task runs on the cluster, with our packages, and it and the driver see each other's files."""
    master = it.settings.master_of_engine
    if not master:
        return passed("this process works on each batch: SERVICE_ENGINE=embedded")
    try:
        refuse_missing(master)
    except SettingsError as error:
        return failed(error.message, Advice(error.hint, advice.set_setting("engine", "embedded").command))
    return _lost_configuration(master) or _java() or _unreachable(master) or _tried(it, master)


def _lost_configuration(master: str) -> Finding | None:
    """What is wrong with SPARK_CONF_DIR, if something is."""
    try:
        refuse_lost_configuration(master)
    except SettingsError as error:
        return failed(error.message, Advice(error.hint, "unset SPARK_CONF_DIR"))
    return None


def _java() -> Finding | None:
    """What is wrong with Java, if something is."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin", "java")) if home else shutil.which("java")
    more = f"Java {_OLDEST_JAVA} or later"
    install = advice.shell(f"install {more}", "apt-get", "install", "-y", "default-jre-headless", as_root=True)
    if program is None:
        return failed(f"there is no Java: Spark needs {more}", install)
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=_JAVA_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        reset = Advice(f"set JAVA_HOME to the folder of {more}, or unset it", "unset JAVA_HOME")
        return failed(f"{program} does not run: Spark needs {more}", reset if home else install)
    version = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        known = version[1] if version else "of no known version"
        return failed(f"{program} is Java {known}: Spark needs {more}", install)
    return None


def _unreachable(master: str) -> Finding | None:
    """Why the master cannot be reached, if it cannot."""
    if master == "yarn":
        if any(Path(os.environ.get(name) or "missing", "yarn-site.xml").is_file() for name in _FOLDERS_OF_YARN):
            return None
        hint = f"set {_FOLDERS_OF_YARN[0]} to the folder of the cluster's configuration"
        return failed(f"neither {' nor '.join(_FOLDERS_OF_YARN)} is a folder with yarn-site.xml", _or_alone(hint))
    failures = unreachable_addresses(master)
    if not failures:
        return None
    return failed(
        f"the master cannot be reached: {', '.join(failures)}",
        _or_alone("start the master, or correct SERVICE_SPARK_MASTER"),
    )


def _tried(it: Examined, master: str) -> Finding:
    """What tasks on the cluster find."""
    # Before the first start a folder is not there: then it is its parent that must be shared.
    shared = {_existing(folder) for folder in (it.settings.state, it.settings.inbox, it.settings.outbox)}
    with ExitStack() as removed_at_the_end:
        folders = {removed_at_the_end.enter_context(_folder(at)): at for at in sorted(shared)}
        try:
            command, result_file = cluster_probe(master, [*folders])
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_SECONDS,
                check=False,
            )
            result = json.loads(result_file.read_text(encoding="utf-8"))
        except subprocess.TimeoutExpired:
            return _no_executor(it, master)
        except (OSError, ValueError):
            result = {"error": "no result", "hint": ""}
        return _judged(result, master, {str(folder.absolute()): at for folder, at in folders.items()})


def _existing(folder: Path) -> Path:
    """The folder, or the first of those around it that is there."""
    return next(it for it in (folder, *folder.parents) if it.is_dir())


def _no_executor(it: Examined, master: str) -> Finding:
    """The finding where no task ran in time."""
    found = f"no task ran on {master} within {PROBE_SECONDS:g} s: no executor has started, or none reaches the driver"
    free = (
        "start a worker; or free cores and memory for one executor (spark.executor.cores, spark.executor.memory); or"
        " set spark.driver.host to an address that executors reach"
    )
    if State(it.settings.state).is_taken():
        stop = "stop the watcher and run doctor again, or set spark.cores.max: the watcher may hold all cores; else"
        return warned(found, Advice(f"{stop} {free}"))
    return failed(found, _or_alone(free))


def _judged(result: Mapping[str, Any], master: str, shared: Mapping[str, Path]) -> Finding:
    """The finding for the result of ``spark_probe``; ``shared``: its folder -> the one in which it lies."""
    if "error" in result:
        hint = result["hint"] or (
            f"install the same Python and packages on every machine of the cluster, at {sys.executable}, and the same"
            " version of Spark"
        )
        return failed(f"no task runs on {master}: {result['error']}", _or_alone(hint))
    tasks = result["tasks"]
    missing = sorted({name for task in tasks for name in task["missing"]})
    if missing:
        lacking = _hosts(task for task in tasks if task["missing"])
        hint = "install there what requirements/spark.txt lists, and the program at the path that it has here"
        return failed(f"executors lack {', '.join(missing)} on {lacking}", _or_alone(hint))
    apart = {shared[name] for task in tasks for name in task["apart"]} | {shared[name] for name in result["unseen"]}
    if apart:
        where = _hosts(task for task in tasks if task["apart"]) or "executors"
        at = _listed(folder.absolute() for folder in apart)
        hint = f"mount one file system at {at} on every machine, and let executors run as user {advice.our_user()}"
        return failed(f"{where} and the driver do not see each other's files in {_listed(apart)}", _or_alone(hint))
    strangers = _hosts(task for task in tasks if task["user"] != os.geteuid())
    if strangers:
        hint = f"let executors run as user {advice.our_user()}"
        return failed(f"executors on {strangers} run as another user, to whom the state is closed", _or_alone(hint))
    names = _listed(shared.values())
    return passed(f"Spark {result['version']} runs tasks on {_hosts(tasks)}, which share {names} with us")


def _listed(folders: Iterable[Path]) -> str:
    *others, last = map(str, sorted(folders))
    return f"{', '.join(others)} and {last}" if others else last


def _hosts(tasks: Iterable[Mapping[str, Any]]) -> str:
    """The machines of these tasks, of many the first."""
    return ", ".join(sorted({task["host"] for task in tasks})[:_SHOWN])


def _or_alone(hint: str) -> Advice:
    """Mend the cluster, or work without it; the command does the second."""
    alone = advice.set_setting("engine", "embedded")
    return Advice(f"{hint}; or work without a cluster: {alone.hint}", alone.command)


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A new folder; removed when the block ends."""
    folder = parent / new_name()
    folder.mkdir()
    try:
        yield folder
    finally:
        remove_tree(folder)
