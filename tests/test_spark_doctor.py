"""``doctor`` finds what a cluster lacks; its advice, followed to the letter, ends that."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import commands
from service.doctor import cluster
from service.engine import refuse_lost_configuration, spark_master, spark_probe
from service.errors import SettingsError
from service.state import State
from tests.required import needs_root
from tests.spark_runs import SparkCluster, end_application
from tests.test_doctor import Clinic

CLUSTER = "cluster"
JAVAS = {
    "is Java 11": "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2",
    "is Java 8": "echo 'java version \"1.8.0_392\"' >&2",
    "does not run": "exit 1",
}


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    """A service that is to work on a cluster."""
    built = Clinic(tmp_path / "house", monkeypatch)
    built.export(engine="spark", min_free_mb=1)
    yield built
    commands.configure(commands.DEFAULT)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra seems to be installed."""
    monkeypatch.setattr(cluster, "refuse_missing", lambda master: None)


def java(folder: Path, script: str) -> Path:
    """A folder for ``JAVA_HOME`` with a program that answers like this."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return folder


def test_without_the_extra_the_step_is_to_install_it_or_to_work_without(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.find_spec", lambda name: None)
    found = clinic.failing(CLUSTER, "packages that are not installed: pyspark")
    assert "pip install --require-hashes -r requirements/spark.txt" in found.hint
    clinic.follow(found)
    clinic.is_mended(CLUSTER)


def test_a_configuration_that_is_not_there_is_refused_and_not_ignored(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.find_spec", lambda name: name)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    found = clinic.failing(CLUSTER, f"SPARK_CONF_DIR is not a folder: {tmp_path / 'conf'}")
    assert found.command == "unset SPARK_CONF_DIR"
    with pytest.raises(SettingsError, match="SPARK_CONF_DIR is not a folder"):
        clinic.works.once(engine="spark")
    (tmp_path / "conf").mkdir()
    refuse_lost_configuration("local[*]")


@pytest.mark.parametrize("words", JAVAS)
def test_a_java_that_is_too_old_or_broken_is_found(
    words: str, installed: None, clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", JAVAS[words])))
    found = clinic.failing(CLUSTER, words)
    assert "Java 17 or later" in found.hint


def test_without_java_it_is_installed(installed: None, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    found = clinic.failing(CLUSTER, "there is no Java")
    assert found.command.endswith("apt-get install -y default-jre-headless")


def test_a_master_that_does_not_answer_is_named(
    installed: None, clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", "echo 'openjdk version \"21\"' >&2")))
    clinic.export(spark_master=f"spark://127.0.0.1:{port}")
    found = clinic.failing(CLUSTER, f"the master cannot be reached: 127.0.0.1:{port} (Connection refused)")
    clinic.follow(found)
    clinic.is_mended(CLUSTER)


def test_yarn_needs_the_configuration_of_its_cluster(
    installed: None, clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", "echo 'openjdk version \"17.0.1\"' >&2")))
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    clinic.export(spark_master="yarn")
    assert "set HADOOP_CONF_DIR" in clinic.failing(CLUSTER, "yarn-site.xml").hint


@pytest.mark.parametrize(
    ("master", "addresses"),
    [
        ("local[*]", []),
        ("spark://one:7077,two:7078", [("one", 7077), ("two", 7078)]),
        ("k8s://https://host:6443", [("host", 6443)]),
        ("k8s://https://host", [("host", 443)]),
        ("yarn", []),
    ],
)
def test_the_addresses_of_a_master_are_known(master: str, addresses: list[tuple[str, int]]) -> None:
    assert list(spark_master.addresses(master)) == addresses


def test_the_probe_of_a_task_says_what_is_missing_and_what_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(module: str) -> None:
        if module.endswith("spark_terms"):
            raise ModuleNotFoundError("no module", name="duckdb")

    monkeypatch.setattr(spark_probe, "import_module", lacking)
    program = tmp_path / "program"
    folders = spark_probe.SharedFolders((str(tmp_path), str(tmp_path / "elsewhere")), str(program))
    (tmp_path / spark_probe.OF_DRIVER).write_bytes(b"1")
    found = folders.found(0)
    assert (found["missing"], found["apart"]) == (["duckdb", f"the program, which has {program}"], [folders.folders[1]])
    program.touch()
    assert folders.found(0)["missing"] == ["duckdb"]
    assert folders.unseen(1) == [folders.folders[1]]
    assert folders.unseen(2) == [*folders.folders]


def test_executors_of_another_user_are_found() -> None:
    task = {"host": "one", "user": os.geteuid() + 1, "missing": [], "apart": []}
    found = cluster._judged({"version": "4", "tasks": [task], "unseen": []}, "yarn", {})
    assert found.status == "fail" and "executors on one run as another user" in found.found


# ------------------------------------------------------------------------------------------------- a real cluster


@pytest.fixture
def free(spark: SparkCluster, clinic: Clinic) -> SparkCluster:
    """A cluster whose cores are free, as the settings of the service name it."""
    end_application()
    clinic.export(**spark.settings)
    for folder in (clinic.works.outbox, clinic.works.state):
        folder.mkdir(parents=True, exist_ok=True)
    clinic.works.state.chmod(0o700)
    return spark


@pytest.mark.slow
def test_a_cluster_that_shares_the_folder_passes(free: SparkCluster, clinic: Clinic) -> None:
    found = clinic.finding(CLUSTER)
    assert (found.status, "which share inbox, outbox and state with us" in found.found) == ("pass", True), found


@pytest.mark.slow
def test_a_cluster_that_has_no_core_to_give_is_waited_for_a_bounded_time(
    free: SparkCluster, clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PROBE_SECONDS", 20.0)
    with free.engine_in(tmp_path / "work"):
        found = clinic.failing(CLUSTER, "within 20 s: no executor has started")
        assert "start a worker" in found.hint and "spark.executor.cores" in found.hint
        monkeypatch.setattr(State, "is_taken", lambda self: True)
        found = clinic.finding(CLUSTER)
        assert found.status == "warn" and "the watcher may hold all cores" in found.hint
    end_application()


@pytest.mark.slow
def test_what_keeps_the_application_from_starting_is_named(
    free: SparkCluster, clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has an address that no machine has (RFC 5737)."""
    (tmp_path / "spark-defaults.conf").write_text("spark.driver.host 192.0.2.1\n", encoding="utf-8")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    found = clinic.failing(CLUSTER, "Spark does not start: BindException: ")
    assert "Cannot assign requested address" in found.found
    assert "spark.driver.host must be an address of this machine" in found.hint


@needs_root
@pytest.mark.slow
def test_executors_that_do_not_see_the_folder_are_found(free: SparkCluster, clinic: Clinic) -> None:
    """A worker in a mount namespace of its own, where an empty file system lies over the state."""
    for worker in list(free.cluster.workers):
        free.cluster.kill_worker(worker)
    script = f'mount -t tmpfs tmpfs {clinic.works.state} && exec "$@"'
    apart = free.cluster.add_worker(("unshare", "--mount", "sh", "-c", script, "sh"))
    try:
        found = clinic.failing(CLUSTER, "and the driver do not see each other's files in state")
        assert f"mount one file system at {clinic.works.state}" in found.hint
        clinic.follow(found)
        clinic.is_mended(CLUSTER)
    finally:
        free.cluster.kill_worker(apart)
        free.cluster.add_worker()
        free.cluster.add_worker()
