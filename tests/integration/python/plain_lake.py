"""Makes the lake that a Python archiver leaves: Hive folders of Parquet files of other columns, orders and types."""

import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq

from answer import answer

files = {
    "year=2025/month=12/a.parquet": {"timestamp": pa.array([1767225600], pa.int32()), "user": pa.array(["Ada"])},
    "year=2026/month=01/b.parquet": {"user": pa.array(["Bob"], pa.large_string()), "timestamp": pa.array([1767225601])},
    "year=2026/month=01/c.parquet": {
        "language": pa.array(["en"]).dictionary_encode(),
        "user": pa.array(["Cyd"]),
        "timestamp": pa.array([1767225602]),
        "is_bot": pa.array([False]),
        "bytes_changed": pa.array([7]),
    },
}
for name, columns in files.items():
    path = f"{sys.argv[1]}/raw_events/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(pa.table(columns), path)
answer(None)
