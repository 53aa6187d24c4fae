"""Outcome and error of each run that the lake's own table of runs holds, in their order."""

import os
import sys

from deltalake import DeltaTable

from answer import answer

options = {"aws_endpoint": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
table = DeltaTable(f"{sys.argv[1]}/history/lakebed_runs", storage_options=options)
rows = table.to_pyarrow_table(columns=["started_at", "outcome", "error"]).to_pylist()
rows.sort(key=lambda row: row["started_at"])
answer([{"outcome": row["outcome"], "error": row["error"]} for row in rows])
