"""The rows of a Parquet file, in its order."""

import json
import sys

import pyarrow.parquet as pq

print(json.dumps(pq.read_table(sys.argv[1]).to_pylist()))
