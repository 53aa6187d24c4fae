"""The rows of a Parquet file, in its order."""

import sys

import pyarrow.parquet as pq

from answer import answer

answer(pq.read_table(sys.argv[1]).to_pylist())
