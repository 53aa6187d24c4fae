"""Rows of a lake on an S3 server through deltalake, and how many places in Kafka they come from."""

import os
import sys

from deltalake import DeltaTable

from answer import answer

options = {"aws_endpoint": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
table = DeltaTable(f"{sys.argv[1]}/raw_events", storage_options=options)
rows = table.to_pyarrow_table(columns=["_partition", "_offset"]).to_pylist()
answer({"rows": len(rows), "places": len({(row["_partition"], row["_offset"]) for row in rows})})
