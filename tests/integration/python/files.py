"""The data files of a local lake: names, rows, compression, and rows by month as DuckDB reads the folders."""

import glob
import os
import sys

import duckdb
import pyarrow.parquet as pq

from answer import answer

root = f"{sys.argv[1]}/raw_events"
files = sorted(glob.glob(f"{root}/year=*/month=*/*.parquet"))
metadata = [pq.read_metadata(file) for file in files]
reader = "read_parquet(?, union_by_name = true, hive_partitioning = true, hive_types = {'year': INT, 'month': INT})"
answer(
    {
        "names": [os.path.relpath(file, root) for file in files],
        "rows": [one.num_rows for one in metadata],
        "compression": metadata[0].row_group(0).column(0).compression,
        "by_month": duckdb.execute(f"SELECT year, month, count(*) FROM {reader} GROUP BY ALL ORDER BY ALL", [files]).fetchall(),
    }
)
