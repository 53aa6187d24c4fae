"""Damages a local lake on purpose, each time in one way."""

import glob
import json
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from answer import answer

lake, damage = sys.argv[1:]
root = f"{lake}/raw_events"
table = DeltaTable(root)
file = sorted(table.get_add_actions(flatten=True)["path"].to_pylist())[3]


def rewrite(change):
    """Puts another file in the place of one that keeps its ledger: as a disk that rots, or a writer that lies."""
    path = f"{root}/{file}"
    rows = pq.read_table(path)
    pq.write_table(change(rows), path)


if damage == "delete_file":
    os.remove(f"{root}/{file}")
elif damage == "remove_from_log":
    version = table.version() + 1
    remove = {"path": file, "dataChange": True, "deletionTimestamp": 0}
    with open(f"{root}/_delta_log/{version:020}.json", "w") as log:
        log.write(json.dumps({"remove": remove}) + "\n")
elif damage == "double_row":
    rewrite(lambda rows: pa.concat_tables([rows.slice(0, 1), rows.slice(0, rows.num_rows - 1)]))
elif damage == "lose_offset":
    rewrite(lambda rows: rows.slice(0, rows.num_rows - 1))
elif damage == "foreign_file":
    write_deltalake(root, pa.table({"timestamp": [1767225600], "year": pa.array([2026], pa.int32()), "month": pa.array([1], pa.int32())}), mode="append", schema_mode="merge")
assert glob.glob(f"{root}/_delta_log/*.json")
answer(None)
