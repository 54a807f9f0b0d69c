"""Sessions of Spark: errors, stops, progress, other folders, and a JVM that dies."""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from service import engine as engines
from service.engine.contract import DamagedFile, Prepared
from service.errors import Interrupted, TransientError
from service.progress import Meter
from tests.case_runs import CaseRun
from tests.small_batches import integrate_pair, published, write_pair
from tests.spark_runs import MEMORY_LIMIT_MB, SparkCluster, differing, kill_jvm
from tests.test_spark import integrated_by_spark
from tests.worlds import CASES, failing


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_error_of_spark_does_not_quote_a_value(spark: SparkCluster, tmp_path: Path) -> None:
    with spark.engine_in(tmp_path / "work") as engine:
        texts = engine.text_table(("text",), [("ann@example.com",)])
        with pytest.raises(TransientError) as failed:
            texts.derive("select text::bigint as number from this")
        engine.register("refused", lambda text: failing(ValueError(text))())
        with pytest.raises(TransientError) as refused:
            texts.derive("select refused(text) as text from this")
    assert "ann@" not in failed.value.explained() + refused.value.explained()
    logs = [path for path in spark.cluster.folder.rglob("*") if path.name in ("stderr", "stdout")]
    assert logs and not any(b"ann@" in path.read_bytes() for path in logs)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_configuration_of_a_cluster_does_not_change_a_value(
    spark: SparkCluster, case_run: Callable[[str], CaseRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own file system, lenient casts, files that may be missing, a log of what happens, and other partitions."""
    monkeypatch.chdir(tmp_path)
    defaults = spark.cluster.folder / "spark-defaults.conf"
    kept = defaults.read_text(encoding="utf-8")
    hostile = {
        "hadoop.fs.defaultFS": "hdfs://nowhere.invalid:9",
        "sql.ansi.enabled": "false",
        "sql.parser.escapedStringLiterals": "true",
        "sql.sources.useV1SourceList": "csv",
        "sql.sources.default": "json",
        "sql.defaultCatalog": "nowhere",
        "sql.caseSensitive": "true",
        "sql.files.ignoreMissingFiles": "true",
        "sql.shuffle.partitions": "7",
        "eventLog.enabled": "true",
        "eventLog.dir": "/nowhere",
    }
    kill_jvm()
    defaults.write_text(kept + "".join(f"spark.{name} {value}\n" for name, value in hostile.items()), encoding="utf-8")
    try:
        with spark.engine_in(tmp_path / "work", is_small=False) as engine:
            assert engine._session._spark.conf.get("spark.sql.shuffle.partitions") == "7", "it is read"
        found = integrated_by_spark(spark, CASES / "the_sample", tmp_path)
    finally:
        kill_jvm()
        defaults.write_text(kept, encoding="utf-8")
    assert differing(published(case_run("the_sample").outbox), found) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_damaged_file_of_our_own_is_no_fault_of_the_cluster(spark: SparkCluster, tmp_path: Path) -> None:
    with spark.engine_in(tmp_path / "work") as engine:
        path = tmp_path / "rows.parquet"
        engine.text_table(("text",), [("a",), ("b",)]).write_parquet(path, "text")
        assert engine.read_parquet(path).rows() == [("a",), ("b",)]
        whole = path.read_bytes()
        for cut in (0, 4, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:cut])
            with pytest.raises(DamagedFile):
                engine.read_parquet(path)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            engine.read_parquet(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_start_that_fails_is_transient_and_quotes_nothing(
    spark: SparkCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    application, py4j = (importlib.import_module(it) for it in ("service.engine.spark_application", "py4j.protocol"))
    builder = SimpleNamespace(getOrCreate=failing(py4j.Py4JError("ann@example.com")))
    builder.config = lambda **_: builder
    monkeypatch.setattr(application.SparkSession, "builder", builder)
    with pytest.raises(TransientError) as failed:
        application.start("local[1]", 1024)
    assert "ann@" not in failed.value.explained()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_jvm_that_dies_before_the_batch_begins_fails_the_try_only(spark: SparkCluster, tmp_path: Path) -> None:
    def prepare() -> Prepared:
        return engines.prepare_engine(tmp_path, memory_limit_mb=MEMORY_LIMIT_MB, spark_master=spark.master)

    prepared = prepare()
    kill_jvm()
    with pytest.raises(TransientError, match="Spark failed"), prepared.begin(Meter()):
        pass
    prepared.close()
    with prepare().begin(Meter(), is_small=True) as engine:
        assert engine.text_table(("text",), [("a",)]).rows("from this") == [("a",)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_running_statement_shows_its_progress_and_is_stopped(spark: SparkCluster, tmp_path: Path) -> None:
    seen: list[float] = []
    with spark.engine_in(tmp_path / "work") as engine:
        session = engine._session
        ended = session.steps()

        def stop_when_it_is_seen() -> None:
            until = time.monotonic() + 60
            while not seen and time.monotonic() < until:
                time.sleep(0.2)
                if (steps := session.steps()) > ended:
                    seen.append(steps)
            engine.interrupt()

        watcher = threading.Thread(target=stop_when_it_is_seen)
        watcher.start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            session.each([0.5] * 400, time.sleep)
        assert time.monotonic() - began < 90, "it would take longer on two cores"
        with pytest.raises(Interrupted):
            engine.text_table(("text",), [("a",)])
        watcher.join()
    assert seen and seen[0] < ended + 1


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_jvm_is_in_a_session_of_its_own(spark: SparkCluster, tmp_path: Path) -> None:
    """A signal to the group of our processes is ours: the JVM ends with us, not before a batch is abandoned."""
    context = importlib.import_module("pyspark").SparkContext
    with spark.engine_in(tmp_path / "work"):
        assert os.getsid(context._gateway.proc.pid) == context._gateway.proc.pid != os.getsid(0)


@pytest.mark.filterwarnings("default")
def test_a_master_that_is_not_there_is_named_at_once() -> None:
    application = pytest.importorskip("service.engine.spark_application")
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    application.end()
    with pytest.raises(TransientError, match=f"cannot be reached: 127.0.0.1:{free} "):
        application.start(f"spark://127.0.0.1:{free}", 1024)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_folders_may_have_any_name(spark: SparkCluster, tmp_path: Path) -> None:
    folder = tmp_path / "a [b] {c,d} *? \u00fc%20#+"
    with spark.engine_in(folder) as engine:
        path = folder / "rows.parquet"
        engine.text_table(("text",), [("a",), ("b",)]).derive("select text || 'x' as text from this").write_parquet(
            path, "text"
        )
        assert engine.read_parquet(path).rows() == [("ax",), ("bx",)]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_long_texts_leave_the_schema_as_it_is(spark: SparkCluster, tmp_path: Path) -> None:
    names = ["Zz" + 5000 * "z", "Ann Lee"]
    rows = "".join(f"C{number},{name},,,,\n" for number, name in enumerate(names))
    header = "customer_id,full_name,email,phone,signup_date,status\n"
    pair = write_pair(tmp_path / "in", header + rows, '{"customers": []}')
    for outbox, settings in ((tmp_path / "own", {}), (tmp_path / "spark", spark.settings)):
        integrate_pair(pair, outbox, state=outbox / "state", **settings)
    assert differing(published(tmp_path / "own"), published(tmp_path / "spark")) == []
    path = published(tmp_path / "own") / "customer_master.parquet"
    columns = dict(duckdb.execute(f"select name, repetition_type from parquet_schema('{path}')").fetchall())
    assert columns["full_name"] == "REQUIRED"
