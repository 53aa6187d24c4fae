"""Apache Spark in this process, on two cores, with the oracle's views over events."""

import contextlib
import pathlib

from pyspark.sql import SparkSession

ORACLE = pathlib.Path(__file__).parents[2] / "oracle" / "spark.sql"


@contextlib.contextmanager
def session():
    """A session, whose Java process has ended when the context is left: what it used counts as this process's then."""
    builder = SparkSession.builder.master("local[2]")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": "2",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    java = spark.sparkContext._gateway.proc
    try:
        yield spark
    finally:
        spark.stop()
        java.stdin.close()
        java.wait()


def make_views(spark, events, first, last):
    """The views oracle_<table> over a frame of events, of the window from the first to the last second."""
    events.createTempView("events")
    spark.conf.set("oracle.window_first", first)
    spark.conf.set("oracle.window_last", last)
    for statement in ORACLE.read_text().split(";\n"):
        if statement.strip():
            spark.sql(statement)
