"""The application of this process on a cluster of Spark: started once, and again where it has ended."""

from __future__ import annotations

import atexit
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from service.engine.spark_master import unreachable
from service.errors import TransientError
from service.printable import printable

_PACKAGE = Path(__file__).resolve().parents[2]
_LEAST_DRIVER_MB = 1024
_MOST_CHARACTERS = 200
"""Of the text of a Java error."""
_JAVA_OPTIONS = "spark.executor.extraJavaOptions"
SILENT_LOGS = _PACKAGE / "service" / "data" / "spark_executors.log4j2.properties"
"""What executors log, which is nothing: a line of theirs may quote a value, too."""
_TALKATIVE = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
"""Loggers of ``pyspark`` whose lines have the text of errors."""
_CONF = {
    "spark.app.name": "customer-integration-service",
    "spark.submit.deployMode": "client",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # The text of an error may hold a customer's value: neither the driver's log nor the cluster's has it.
    "spark.log.level": "OFF",
    "spark.eventLog.enabled": "false",
    "spark.executorEnv.PYTHONPATH": str(_PACKAGE),
    # These decide about values and rows, so a cluster's own configuration must not.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.legacy.charVarcharAsString": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.sources.default": "parquet",
    "spark.sql.sources.useV1SourceList": "parquet",
    "spark.sql.defaultCatalog": "spark_catalog",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.variable.substitute": "false",
    # Else a text of 4 KB leaves a column without statistics, and so without its number of nulls.
    "spark.hadoop.parquet.statistics.truncate.length": "64",
    # The driver collects what it broadcasts. Of a file it knows the size packed, in which ordinals are a tenth.
    "spark.sql.autoBroadcastJoinThreshold": "1m",
    # A worker in Python has so many rows or bytes at a time.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
}
"""What every application is configured with, whatever ``spark-defaults.conf`` says."""


class _Application(NamedTuple):
    master: str
    session: SparkSession


_applications: list[_Application] = []
"""The application of this process, which has at most one; starting it takes seconds."""


def start(master: str, memory_limit_mb: int) -> SparkSession:
    """A new session of this process's application on this master; each engine has one of its own.

    The application is started where there is none on this master, or where it has ended: its JVM died, or the master
    removed it.

    Raises: TransientError.
    """
    try:
        if not all(it.master == master and _is_alive(it.session) for it in _applications):
            end()
        if not _applications:
            _refuse_unreachable(master)
            _applications.append(_Application(master, _started(master, memory_limit_mb)))
        return _applications[0].session.newSession()
    except (PySparkException, Py4JError, OSError, RuntimeError) as error:
        # The master may only be restarting: a batch is retried.
        raise TransientError(
            f"Spark does not start: {_reason(error)}",
            hint="check SERVICE_SPARK_MASTER; spark.driver.host must be an address of this machine; the cluster needs"
            " the version of Spark that pyspark has here, and Java 17 or later",
        ) from None


def kind_of(error: Exception) -> str:
    """The class of an error and its condition in Spark's list; not its text, which may quote a customer's value."""
    condition = error.getCondition() if isinstance(error, PySparkException) else None
    return f"{type(error).__name__}{f' ({condition})' if condition else ''}"


def _reason(error: Exception) -> str:
    """Class and first line of the innermost Java error: an application that starts has read no value of a customer."""
    if isinstance(error, Py4JJavaError):
        with suppress(Py4JError, OSError):
            cause = error.java_exception
            while (further := cause.getCause()) is not None:
                cause = further
            first_line = (cause.getMessage() or "").partition("\n")[0]
            return printable(f"{cause.getClass().getSimpleName()}: {first_line}"[:_MOST_CHARACTERS])
    return kind_of(error)


def end() -> None:
    """End the application of this process, if there is one: its executors leave the cluster."""
    while _applications:
        _stop(_applications.pop().session)


atexit.register(end)


def _started(master: str, memory_limit_mb: int) -> SparkSession:
    for name in _TALKATIVE:
        PySparkLogger.getLogger(name).disabled = True
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # what it logs is an error that we get, too
    if SparkContext._gateway is not None and SparkContext._gateway.proc.poll() is not None:
        _forget_jvm()  # it died while the application started
    conf = SparkConf().setAll(_CONF.items()).setMaster(master)
    conf.set("spark.driver.memory", f"{max(_LEAST_DRIVER_MB, memory_limit_mb // 2)}m")
    # The JVM reads spark-defaults.conf. In a session of its own it does not get the signals by which we are stopped.
    gateway = SparkContext._gateway or launch_gateway(conf, {"start_new_session": True})
    SparkContext._ensure_initialized(gateway=gateway)
    options = SparkConf().get(_JAVA_OPTIONS, "")
    conf.set(_JAVA_OPTIONS, f"{options} -Dlog4j2.configurationFile={SILENT_LOGS.as_uri()}".strip())
    application = SparkSession.builder.config(conf=conf).getOrCreate()
    application.sparkContext.pythonExec = sys.executable
    return application


def _refuse_unreachable(master: str) -> None:
    """Raises: TransientError at once, where Spark would try for minutes."""
    if failures := unreachable(master):
        raise TransientError(
            f"the master of Spark cannot be reached: {', '.join(failures)}",
            hint="start the master, or correct SERVICE_SPARK_MASTER",
        )


def _is_alive(application: SparkSession) -> bool:
    try:
        return not application.sparkContext._jsc.sc().isStopped()
    except (Py4JError, OSError):
        return False


def _stop(application: SparkSession) -> None:
    try:
        application.stop()
    except (Py4JError, OSError):
        with suppress(OSError):
            application.sparkContext._accumulatorServer.shutdown()
        _forget_jvm()


def _forget_jvm() -> None:
    """Remove what ``pyspark`` keeps of a JVM that is gone, so that another can start."""
    if SparkContext._gateway is not None:
        with suppress(OSError):
            SparkContext._gateway.proc.stdin.close()
    SparkSession._instantiatedSession = SparkSession._activeSession = None
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
