"""Adds rows to a local lake's raw_events, or changes its columns, as no archiver would, each time in one way."""

import json
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from answer import answer

lake, damage = sys.argv[1:]
root = f"{lake}/raw_events"
table = DeltaTable(root)

good = {"timestamp": 1768521600, "_partition": 0, "_offset": 1_000_000, "year": 2026, "month": 1}
types = {
    "timestamp": pa.int64(),
    "_partition": pa.int32(),
    "_offset": pa.int64(),
    "year": pa.int32(),
    "month": pa.int32(),
}


def add(**other):
    row = {name: value for name, value in {**good, **other}.items() if value is not None}
    columns = {name: pa.array([value], types[name]) for name, value in row.items()}
    write_deltalake(root, pa.table(columns), mode="append", schema_mode="merge")


def schema(change):
    """The table's columns, changed in its log alone."""
    log = f"{root}/_delta_log"
    with open(f"{log}/{0:020}.json") as commit:
        metadata = next(action for action in map(json.loads, commit) if "metaData" in action)
    for version in range(1, table.version() + 1):
        with open(f"{log}/{version:020}.json") as commit:
            for action in map(json.loads, commit):
                if "metaData" in action:
                    metadata = action
    fields = json.loads(metadata["metaData"]["schemaString"])
    fields["fields"] = change(fields["fields"])
    metadata["metaData"]["schemaString"] = json.dumps(fields)
    with open(f"{log}/{table.version() + 1:020}.json", "x") as commit:
        commit.write(json.dumps(metadata) + "\n")


def with_type(name, data_type):
    return lambda fields: [dict(field, type=data_type) if field["name"] == name else field for field in fields]


if damage == "no_timestamp":
    add(timestamp=None)
elif damage == "no_place":
    add(_partition=None, _offset=None)
elif damage == "too_old":
    add(timestamp=946684800, year=2000, month=1)
elif damage == "too_new":
    add(timestamp=4102444800, year=2100, month=1)
elif damage == "other_month":
    add(month=2)
elif damage == "other_type":
    schema(with_type("bytes_changed", "integer"))
elif damage == "column_away":
    schema(lambda fields: [field for field in fields if field["name"] != "user"])
elif damage == "added_type":
    schema(lambda fields: fields + [{"name": "born", "type": "timestamp", "nullable": True, "metadata": {}}])
else:
    raise ValueError(damage)
answer({})
