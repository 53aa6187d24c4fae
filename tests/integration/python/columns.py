"""Columns of a local lake's raw_events through deltalake, in the order of the messages."""

import sys

from deltalake import DeltaTable

from answer import answer

lake, *columns = sys.argv[1:]
rows = DeltaTable(f"{lake}/raw_events").to_pyarrow_table().to_pylist()
rows.sort(key=lambda row: (row["_partition"], row["_offset"]))
answer([[row[column] for column in columns] for row in rows])
