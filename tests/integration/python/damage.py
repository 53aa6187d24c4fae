"""Damages a local lake on purpose, each time in one way; answers with the file that was damaged, if one was."""

import glob
import json
import os
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from answer import answer

lake, damage = sys.argv[1:]


class Table:
    """A table of the lake as its log has it, changed by writing to the log by hand."""

    def __init__(self, name):
        self.root = f"{lake}/{name}"
        self.adds, self.marks = {}, {}
        for path in sorted(glob.glob(f"{self.root}/_delta_log/*.json")):
            with open(path) as commit:
                for action in map(json.loads, commit):
                    if "add" in action:
                        self.adds[action["add"]["path"]] = action["add"]
                    if "remove" in action:
                        self.adds.pop(action["remove"]["path"], None)
                    if "txn" in action:
                        self.marks[action["txn"]["appId"]] = action["txn"]["version"]

    def file(self, index):
        return sorted(self.adds)[index]

    def path(self, file):
        return f"{self.root}/{file}"

    def commit(self, *actions):
        version = DeltaTable(self.root).version() + 1
        with open(f"{self.root}/_delta_log/{version:020}.json", "x") as log:
            log.writelines(json.dumps(action) + "\n" for action in actions)

    def move_mark(self, of_first, by):
        name = next(name for name in self.marks if name.endswith("/first") == of_first)
        self.commit({"txn": {"appId": name, "version": self.marks[name] + by}})

    def rewrite(self, file, change, honest=True):
        """Other rows in a file's place. An honest log has the new size, and no checksum."""
        path = self.path(file)
        rows = change(pq.read_table(path, partitioning=None))
        pq.write_table(rows, path)
        if honest:
            add = dict(self.adds[file], size=os.path.getsize(path))
            add["tags"] = {name: value for name, value in add["tags"].items() if name != "lakebed.crc32"}
            self.commit({"add": add})

    def ledger(self, file, change):
        add = dict(self.adds[file])
        ledger = change(json.loads(add["tags"]["lakebed.ledger"]))
        add["tags"] = dict(add["tags"], **{"lakebed.ledger": ledger if isinstance(ledger, str) else json.dumps(ledger)})
        self.commit({"add": add})


def entry_with(**values):
    def change(ledger):
        for entry in ledger["partitions"].values():
            entry.update(values)
        return ledger

    return change


def without_row(index):
    return lambda rows: pa.concat_tables([rows.slice(0, index), rows.slice(index + 1)])


def with_row_twice(rows):
    return pa.concat_tables([rows, rows.slice(0, 1)])


def with_offset(offset):
    """The last row says that it is another."""

    def change(rows):
        column = rows.schema.names.index("_offset")
        offsets = rows["_offset"].to_pylist()[:-1] + [offset]
        return rows.set_column(column, rows.schema.field(column), pa.array(offsets, pa.int64()))

    return change


events, quarantine = Table("raw_events"), Table("quarantine")
file = events.file(3)
path = events.path(file)
full = max((quarantine.adds[name]["size"], name) for name in quarantine.adds)[1]
first_row = pq.read_table(path, partitioning=None).slice(0, 1).to_pylist()[0]

if damage == "delete_file":
    os.remove(path)
elif damage == "cut_file":
    os.truncate(path, os.path.getsize(path) // 2)
elif damage == "corrupt_file":
    with open(path, "r+b") as damaged:
        damaged.seek(os.path.getsize(path) // 2)
        byte = damaged.read(1)
        damaged.seek(-1, os.SEEK_CUR)
        damaged.write(bytes([byte[0] ^ 0xFF]))
elif damage == "corrupt_footer":
    with open(path, "r+b") as damaged:
        damaged.seek(os.path.getsize(path) - 40)
        damaged.write(b"\xff" * 30)
elif damage == "swap_files":
    sizes = {name: add["size"] for name, add in events.adds.items()}
    other = events.path(next(name for name in sorted(sizes) if sizes[name] != sizes[file]))
    os.rename(path, f"{path}.away")
    os.rename(other, path)
    os.rename(f"{path}.away", other)
elif damage == "unreadable_file":
    os.remove(path)
    os.mkdir(path)
elif damage == "remove_from_log":
    events.commit({"remove": {"path": file, "dataChange": True, "deletionTimestamp": 0}})
elif damage == "double_row":
    events.rewrite(file, lambda rows: pa.concat_tables([rows.slice(0, 1), rows.slice(0, rows.num_rows - 1)]))
elif damage == "row_added":
    events.rewrite(file, with_row_twice)
elif damage == "lose_offset":
    events.rewrite(file, without_row(5))
elif damage == "lying_log":
    events.rewrite(file, without_row(5), honest=False)
elif damage == "offset_elsewhere":
    events.rewrite(file, with_offset(1_000_000))
elif damage == "offset_of_another":
    events.rewrite(file, with_offset(0 if first_row["_offset"] > 0 else 199))
elif damage == "file_twice":
    twice = file.replace("wiki_events", "wiki_events_twice")
    shutil.copy(path, events.path(twice))
    events.commit({"add": dict(events.adds[file], path=twice)})
elif damage == "file_twice_as_another_flush":
    twice = file.replace("wiki_events", "wiki_events_twice")
    shutil.copy(path, events.path(twice))
    add = dict(events.adds[file], path=twice)
    ledger = dict(json.loads(add["tags"]["lakebed.ledger"]), flush="00000000-0000-4000-8000-000000000000")
    events.commit({"add": dict(add, tags=dict(add["tags"], **{"lakebed.ledger": json.dumps(ledger)}))})
elif damage == "foreign_file":
    rows = {"timestamp": [1767225600], "year": pa.array([2026], pa.int32()), "month": pa.array([1], pa.int32())}
    write_deltalake(events.root, pa.table(rows), mode="append", schema_mode="merge")
elif damage == "stray_file":
    pq.write_table(pa.table({"timestamp": [1767225600]}), f"{os.path.dirname(path)}/stray.parquet")
elif damage == "optimize":
    DeltaTable(events.root).optimize.compact()
elif damage == "mark_forward":
    events.move_mark(of_first=False, by=7)
elif damage == "mark_back":
    events.move_mark(of_first=False, by=-7)
elif damage == "first_forward":
    events.move_mark(of_first=True, by=7)
elif damage == "range_of_nothing":
    events.ledger(file, entry_with(end=0, start=10))
elif damage == "range_below_zero":
    events.ledger(file, entry_with(start=-(2**63)))
elif damage == "range_too_full":
    events.ledger(file, entry_with(rows=2**64 - 1, tombstones=2))
elif damage == "ledger_garbled":
    events.ledger(file, lambda ledger: "{")
elif damage == "range_without_end":
    events.ledger(file, entry_with(end=2**63 - 1))
elif damage == "quarantine_deleted":
    shutil.rmtree(quarantine.root)
elif damage == "quarantine_file_deleted":
    os.remove(quarantine.path(full))
elif damage == "quarantine_file_removed_from_log":
    quarantine.commit({"remove": {"path": full, "dataChange": True, "deletionTimestamp": 0}})
elif damage == "quarantine_row_doubled":
    quarantine.rewrite(full, with_row_twice)
elif damage == "quarantine_row_lost":
    quarantine.rewrite(full, without_row(0))
elif damage == "quarantine_emptied":
    quarantine.rewrite(full, lambda rows: rows.slice(0, 0))
elif damage == "row_in_quarantine_too":
    topic = json.loads(events.adds[file]["tags"]["lakebed.ledger"])["topic"]
    row = {"topic": topic, "partition": first_row["_partition"], "offset": first_row["_offset"], "value": b"{}"}
    columns = pq.read_schema(quarantine.path(full))
    write_deltalake(quarantine.root, pa.Table.from_pylist([row], schema=columns), mode="append")
elif damage == "quarantine_of_unknown_topic":
    row = {"topic": "nobody-knows", "partition": 0, "offset": 3, "value": b"{}", "reason": "not_json"}
    columns = pq.read_schema(quarantine.path(full))
    write_deltalake(quarantine.root, pa.Table.from_pylist([row], schema=columns), mode="append")
else:
    raise ValueError(damage)
answer({"file": file, "quarantine_file": full, "offset": first_row["_offset"]})
