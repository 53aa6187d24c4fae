"""Compares published tables, exported as <table>.parquet, with what DuckDB computes straight from NDJSON events.

Arguments: the events' file, the window's first and last second, the folder of the exports.
Prints the differences of each table, row by row.
"""

import pathlib
import sys

import duckdb

from answer import answer
from tables import differences

events, first, last, exports = sys.argv[1:]
columns = {
    "timestamp": "BIGINT", "user": "VARCHAR", "title": "VARCHAR", "server_name": "VARCHAR", "type": "VARCHAR",
    "bytes_changed": "BIGINT", "is_bot": "BOOLEAN", "is_new_page": "BOOLEAN", "language": "VARCHAR", "project": "VARCHAR",
}
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(
    f"CREATE TABLE events AS SELECT * FROM read_json('{events}', format = 'newline_delimited', columns = {columns})"
)
connection.execute(f"SET VARIABLE window_first = {first}::BIGINT; SET VARIABLE window_last = {last}::BIGINT")
oracle = pathlib.Path(__file__).parents[2] / "oracle" / "duckdb.sql"
connection.execute(oracle.read_text())


def rows(query):
    return connection.execute(query).fetchall()


found = {}
for export in sorted(pathlib.Path(exports).glob("*.parquet")):
    hour = "REPLACE (hour_bucket::TIMESTAMP AS hour_bucket)" if "hourly" in export.stem else ""
    published = rows(f"SELECT * {hour} FROM read_parquet('{export}')")
    found[export.stem] = differences(published, rows(f"SELECT * FROM oracle_{export.stem}"))
answer(found)
