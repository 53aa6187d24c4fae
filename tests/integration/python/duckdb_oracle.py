"""Compares published tables, exported as <table>.parquet, with what DuckDB computes straight from NDJSON events.

Arguments: the events' file, the window's first and last second, the folder of the exports.
Prints the differences of each table, row by row.
"""

import math
import pathlib
import sys

import duckdb

from answer import answer

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


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
    return type(a) is type(b) and a == b


def sorted_rows(query):
    """Rows as a set of their own: a table has no order, and what is computed in floats is no key."""
    rows = connection.execute(query).fetchall()
    return sorted(rows, key=lambda row: repr([value for value in row if not isinstance(value, float)]))


differences = {}
for export in sorted(pathlib.Path(exports).glob("*.parquet")):
    hour = "REPLACE (hour_bucket::TIMESTAMP AS hour_bucket)" if "hourly" in export.stem else ""
    published = sorted_rows(f"SELECT * {hour} FROM read_parquet('{export}')")
    expected = sorted_rows(f"SELECT * FROM oracle_{export.stem}")
    found = [f"{len(published)} rows published, {len(expected)} expected"] if len(published) != len(expected) else []
    for row, (a, b) in enumerate(zip(published, expected)):
        if len(a) != len(b) or not all(map(same, a, b)):
            found.append(f"row {row}: published {a}, expected {b}")
    differences[export.stem] = found
answer(differences)
