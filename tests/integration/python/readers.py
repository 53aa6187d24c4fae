"""One count through three readers: DuckDB and pyarrow over the plain files, deltalake over the table."""

import glob
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from answer import answer

root = f"{sys.argv[1]}/raw_events"
fields = 'count(*), sum(bytes_changed), count(DISTINCT "user"), count(*) FILTER (WHERE month = 1), count(*) FILTER (WHERE month = 2)'
names = ["rows", "bytes_changed", "users", "january", "february"]


def count(source):
    values = duckdb.sql(f"SELECT {fields} FROM {source}").fetchone()
    return {name: int(value) for name, value in zip(names, values)}


plain = (
    f"read_parquet('{root}/year=*/month=*/*.parquet', union_by_name = true, hive_partitioning = true,"
    " hive_types = {'year': INT, 'month': INT})"
)
columns = ["bytes_changed", "user"]
partitioning = ds.partitioning(pa.schema([("year", pa.int32()), ("month", pa.int32())]), flavor="hive")
arrow_files = ds.dataset(root, format="parquet", partitioning=partitioning).to_table(columns=[*columns, "month"])
delta_table = DeltaTable(root).to_pyarrow_table(columns=[*columns, "month"])
assert glob.glob(f"{root}/_delta_log/*.checkpoint.parquet"), "no checkpoint was read"
answer({"duckdb": count(plain), "pyarrow": count("arrow_files"), "deltalake": count("delta_table")})
