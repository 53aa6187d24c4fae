"""Compares published tables, exported as <table>.parquet, with what Spark computes straight from NDJSON events.

Arguments: the events' file, the window's first and last second, the folder of the exports.
Prints the differences of each table, row by row.
"""

import pathlib
import sys

from answer import answer
from spark import make_views, session
from tables import differences

events, first, last, exports = sys.argv[1:]
schema = (
    "timestamp BIGINT, user STRING, title STRING, server_name STRING, type STRING, "
    "bytes_changed BIGINT, is_bot BOOLEAN, is_new_page BOOLEAN, language STRING, project STRING"
)


def rows(frame):
    return [tuple(row) for row in frame.collect()]


found = {}
with session() as spark:
    make_views(spark, spark.read.schema(schema).json(events, mode="FAILFAST"), first, last)
    for export in sorted(pathlib.Path(exports).glob("*.parquet")):
        published = rows(spark.read.parquet(str(export)))
        found[export.stem] = differences(published, rows(spark.table(f"oracle_{export.stem}")))
answer(found)
