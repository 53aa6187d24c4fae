"""What a local lake's quarantine holds: a count for each reason, and the first row of the first partition."""

import sys
from collections import Counter

from deltalake import DeltaTable

import pyarrow as pa

from answer import answer

rows = pa.table(DeltaTable(f"{sys.argv[1]}/quarantine").to_pyarrow_table()).to_pylist()
rows.sort(key=lambda row: (row["partition"], row["offset"]))
first = rows[0]
assert all(row["topic"] and row["archived_at"] for row in rows)
answer(
    {
        "reasons": Counter(row["reason"] for row in rows),
        "first": [first["topic"], first["key"].decode(), first["reason"], first["value"].hex()],
    }
)
