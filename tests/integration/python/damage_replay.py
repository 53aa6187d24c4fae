"""Damages a local lake of which part of the quarantine was replayed, each time in one way."""

import json
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from answer import answer

lake, damage = sys.argv[1:]


def commit(table, action):
    root = f"{lake}/{table}"
    version = DeltaTable(root).version() + 1
    with open(f"{root}/_delta_log/{version:020}.json", "x") as log:
        log.write(json.dumps(action) + "\n")


def adds(table):
    log = f"{lake}/{table}/_delta_log"
    for version in range(DeltaTable(f"{lake}/{table}").version() + 1):
        with open(f"{log}/{version:020}.json") as commit:
            yield from (action["add"] for action in map(json.loads, commit) if "add" in action)


replayed = next(add for add in adds("raw_events") if "lakebed.replay" in add["tags"])
if damage == "replay_twice":
    twice = replayed["path"].replace("wiki_events", "wiki_events_twice")
    shutil.copy(f"{lake}/raw_events/{replayed['path']}", f"{lake}/raw_events/{twice}")
    commit("raw_events", {"add": dict(replayed, path=twice)})
elif damage == "replay_of_a_row":
    # It says, and holds, offset 30 in place of 19.
    path = f"{lake}/raw_events/{replayed['path']}"
    rows = pq.read_table(path, partitioning=None)
    offsets = pa.array([30 if offset == 19 else offset for offset in rows["_offset"].to_pylist()], pa.int64())
    pq.write_table(rows.set_column(rows.schema.names.index("_offset"), "_offset", offsets), path)
    replay = json.loads(replayed["tags"]["lakebed.replay"])
    replay["partitions"]["0"] = [[0, 18], [30, 30]]
    commit("raw_events", {"add": dict(replayed, tags={"lakebed.replay": json.dumps(replay)})})
elif damage == "quarantine_rows_gone":
    for add in adds("quarantine"):
        path = f"{lake}/quarantine/{add['path']}"
        rows = pq.read_table(path)
        pq.write_table(rows.slice(0, max(0, rows.num_rows - 2)), path)
elif damage == "optimize":
    DeltaTable(f"{lake}/raw_events").optimize.compact()
else:
    raise ValueError(damage)
answer(None)
