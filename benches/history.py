"""The history beside DuckDB, which runs the same five queries over the same files: one run, ratios.

    cargo build --release --bin lakebed
    scripts/python benches/history.py [--events 10000 1000000 10000000] [--unique] [--days 7]
    LAKEBED_TEST_SPARK=1 scripts/python benches/history.py --spark      # Apache Spark too, which takes minutes

Makes a lake of generated events, the same ones each time, in files of 5,000 rows over seven days. Then runs lakebed
process three times: over everything, after one per cent of new files, and with nothing new; and DuckDB over the same
files, straight from Parquet and by way of a table of its own. CPU and memory are the operating system's own figures of
each whole process, start-up included. --unique gives nearly every event a user of its own.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import duckdb
import pyarrow.parquet as pq

FILE_ROWS, FILES_PER_COMMIT = 5000, 50
FIRST = 1_767_225_600  # 2026-01-01T00:00:00Z
here = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser(description="Measure lakebed process against DuckDB")
parser.add_argument("--events", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
parser.add_argument("--days", type=int, default=7)
parser.add_argument("--unique", action="store_true", help="nearly every event has a user of its own")
parser.add_argument("--skip-duckdb", action="store_true")
parser.add_argument("--spark", action="store_true", help="Spark too, with the packages of LAKEBED_TEST_SPARK=1")
parser.add_argument("--folder", help="where to make the lakes, and to leave them")
parser.add_argument("--profile", default="release", help="the folder of the program under cargo's target folder")
options = parser.parse_args()
target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", here.parent / "target")) / options.profile
SECONDS = options.days * 86_400

USER = "'User ' || i" if options.unique else "'User ' || (300000 * pow(u / 1e9, 5))::BIGINT"
EVENTS = f"""
SELECT {FIRST} + i * {SECONDS} // $count AS "timestamp",
       CASE WHEN hash(i, 1) % 50 = 0 THEN NULL ELSE {USER} END AS "user",
       'A page with a title of some length, number ' || hash(i, 2) % 300007 AS title,
       language || '.' || project || '.org' AS server_name,
       CASE WHEN new THEN 'new' ELSE 'edit' END AS type,
       (hash(i, 3) % 4001)::BIGINT - 1000 AS bytes_changed,
       u < 200000000 AS is_bot,
       new AS is_new_page,
       language,
       project,
       NULL::VARCHAR AS log_params,
       1735000000 + i AS id,
       '/* History */ a comment that somebody wrote, with a link to [[Page ' || hash(i, 4) % 1000003 || ']]' AS comment,
       NULL::VARCHAR AS _rescued,
       (i % 4)::INTEGER AS _partition,
       i // 4 AS _offset
FROM (
    SELECT i, (hash(i, 5) % 1000000000)::BIGINT AS u, hash(i, 6) % 19 = 0 AS new,
           CASE WHEN hash(i, 7) % 3 = 0 THEN 'en' ELSE 'l' || (300 * pow((hash(i, 8) % 1000000) / 1e6, 3))::INTEGER END AS language,
           CASE WHEN hash(i, 9) % 5 < 4 THEN 'wikipedia' ELSE 'wiktionary' END AS project
    FROM range($low::BIGINT, $high::BIGINT) AS numbers(i)
)
ORDER BY i
"""


class Table:
    """A Delta table of raw events, whose log is written here so that a lake is made in seconds."""

    def __init__(self, lake):
        self.folder, self.version = pathlib.Path(lake) / "raw_events", 0
        (self.folder / "_delta_log").mkdir(parents=True)
        kinds = {"int64": "long", "int32": "integer", "string": "string", "bool": "boolean"}
        names = [(field.name, kinds[str(field.type)]) for field in events(0, 1, 1).schema]
        names += [("year", "integer"), ("month", "integer")]
        fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in names]
        metadata = {
            "id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": fields}),
            "partitionColumns": ["year", "month"], "configuration": {}, "createdTime": 0,
        }
        self.commit([{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}])

    def commit(self, actions):
        lines = "\n".join(json.dumps(action) for action in actions)
        (self.folder / "_delta_log" / f"{self.version:020}.json").write_text(lines + "\n")
        self.version += 1

    def add(self, low, high, count):
        """Events low to high of count, in files of 5,000 rows."""
        adds = []
        for start in range(low, high, 50 * FILE_ROWS):
            rows = events(start, min(high, start + 50 * FILE_ROWS), count)
            for offset in range(0, rows.num_rows, FILE_ROWS):
                adds.append(self.write(rows.slice(offset, FILE_ROWS)))
        for start in range(0, len(adds), FILES_PER_COMMIT):
            self.commit([{"add": add} for add in adds[start : start + FILES_PER_COMMIT]])

    def write(self, rows):
        path = f"year=2026/month=01/wiki_events_{uuid.uuid4().hex}.parquet"
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, place, compression="snappy")
        first, last = rows["timestamp"][0].as_py(), rows["timestamp"][-1].as_py()
        stats = {"numRecords": rows.num_rows, "minValues": {"timestamp": first}, "maxValues": {"timestamp": last}}
        return {
            "path": path, "partitionValues": {"year": "2026", "month": "1"}, "size": place.stat().st_size,
            "modificationTime": 0, "dataChange": True, "stats": json.dumps(stats),
        }


def grown(table, low, high, count):
    table.add(low, high, count)
    return table.version


def add_apart(table, low, high, count):
    """In a process of its own: what a parent holds when it starts another counts as that one's peak too."""
    with concurrent.futures.ProcessPoolExecutor(1) as apart:
        table.version = apart.submit(grown, table, low, high, count).result()


def events(low, high, count):
    return duckdb.execute(EVENTS, {"low": low, "high": high, "count": count}).to_arrow_table()


def usage(command, environment={}):
    """CPU seconds, wall seconds and peak memory in MB of one whole process, and what it printed."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=answer, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        answer.seek(0), errors.seek(0)
        if status:
            sys.exit(f"{command} failed:\n{errors.read().decode()[-2000:]}")
        return used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, answer.read().decode()


def process(lake, *flags):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(FIRST + SECONDS))
    command = [target / "lakebed", "process", "--days", str(options.days), "--now", now, "--format", "json", *flags]
    *figures, answer = usage(command, {"DATA_LAKE_PATH": lake, "POSTGRES_HOST": "", "LOG_LEVEL": "warn"})
    return figures, json.loads(answer)


TABLES = ("hourly_patterns", "hourly_trends", "top_contributors", "language_distribution", "server_rankings")

DUCKDB = """
import pathlib, sys, duckdb
files, oracle, first, last, how, *tables = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
kind = "TABLE" if how == "table" else "VIEW"
connection.execute(f"CREATE {kind} events AS SELECT * FROM read_parquet('{files}')")
connection.execute(f"SET VARIABLE window_first = {first}::BIGINT; SET VARIABLE window_last = {last}::BIGINT")
connection.execute(pathlib.Path(oracle).read_text())
for table in tables:
    connection.execute(f"SELECT * FROM oracle_historical_{table}").fetchall()
"""


def against_duckdb(lake, how):
    files = f"{lake}/raw_events/year=*/month=*/*.parquet"
    oracle = here.parent / "tests" / "oracle" / "duckdb.sql"
    *figures, _ = usage([sys.executable, "-c", DUCKDB, files, oracle, str(FIRST), str(FIRST + SECONDS), how, *TABLES])
    return figures


SPARK = """
import sys
from spark import make_views, session
files, first, last, *tables = sys.argv[1:]
with session() as spark:
    make_views(spark, spark.read.parquet(files), first, last)
    for table in tables:
        spark.table(f"oracle_historical_{table}").collect()
"""


def against_spark(lake):
    modules = {"PYTHONPATH": str(here.parent / "tests" / "integration" / "python")}
    command = [sys.executable, "-c", SPARK, f"{lake}/raw_events", str(FIRST), str(FIRST + SECONDS), *TABLES]
    *figures, _ = usage(command, modules)
    return figures


def one(count):
    lake = tempfile.mkdtemp(prefix="lakebed-bench-", dir=options.folder)
    table, most = Table(lake), max(count - max(count // 100, FILE_ROWS), FILE_ROWS)
    add_apart(table, 0, most, count)
    figures = {}
    figures["lakebed, all but the last 1 %"], first = process(lake)
    add_apart(table, most, count, count)
    figures["lakebed, 1 % more"], refreshed = process(lake)
    figures["lakebed, nothing new"], current = process(lake)
    figures["lakebed --full"], full = process(lake, "--full")
    states = [report["rollup"]["state"] for report in (first, refreshed, current, full)]
    assert states == ["rebuilt", "refreshed", "current", "rebuilt"], states
    if not options.skip_duckdb:
        for how in ("view", "table"):
            figures[f"DuckDB, by a {how}"] = against_duckdb(lake, how)
    if options.spark:
        figures["Spark"] = against_spark(lake)
    print(f"\n{count:,} events in {-(-count // FILE_ROWS):,} files of {options.days} days" + (", unique users" if options.unique else ""))
    print(f"{'':32}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}{'CPU of --full':>15}{'wall of --full':>16}")
    whole = figures["lakebed --full"]
    for name, (cpu, wall, memory) in figures.items():
        print(f"{name:32}{cpu:9.2f}{wall:9.2f}{memory:9.0f}{cpu / whole[0]:14.3f}x{wall / whole[1]:15.3f}x")
    if not options.folder:
        shutil.rmtree(lake)


for count in options.events:
    one(count)
