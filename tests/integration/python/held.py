"""The place in Kafka of each row of a local lake: through the Delta log, and from the plain files."""

import glob
import sys

import duckdb
from deltalake import DeltaTable

from answer import answer

lake = sys.argv[1]


def places(files, partition, offset):
    if not files:
        return []
    reader = "read_parquet(?, union_by_name = true, hive_partitioning = true)"
    return duckdb.execute(f"SELECT {partition}, {offset} FROM {reader}", [files]).fetchall()


def delta_files(table):
    return [f"{lake}/{table}/{path}" for path in DeltaTable(f"{lake}/{table}").get_add_actions(flatten=True)["path"].to_pylist()]


plain = glob.glob(f"{lake}/raw_events/year=*/month=*/*.parquet")
answer(
    {
        "delta_rows": places(delta_files("raw_events"), "_partition", "_offset"),
        "plain_rows": places(plain, "_partition", "_offset"),
        "delta_quarantine": places(delta_files("quarantine"), '"partition"', '"offset"'),
    }
)
