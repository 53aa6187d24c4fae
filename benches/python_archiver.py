"""A Python archiver on confluent-kafka and pyarrow. Not exactly once.

Takes the brokers, the topic, the number of messages, a folder, and who reads the JSON: `json`, as it would be written
straight away, or `pyarrow`, whose own reader is the fastest that Python has and knows no mixed types.
"""

import datetime
import json
import os
import sys
import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq
from confluent_kafka import Consumer

brokers, topic, messages, folder, reader = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": f"python-{os.getpid()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "fetch.queue.backoff.ms": 10,
    }
)
consumer.subscribe([topic])


def straight(values):
    by_month = {}
    for value in values:
        event = json.loads(value)
        if isinstance(event.get("log_params"), (dict, list)):
            event["log_params"] = json.dumps(event["log_params"], ensure_ascii=False)
        time = datetime.datetime.fromtimestamp(event["timestamp"], datetime.timezone.utc)
        by_month.setdefault((time.year, time.month), []).append(event)
    return {month: pa.Table.from_pylist(rows) for month, rows in by_month.items()}


def by_pyarrow(values):
    rows = pyarrow.json.read_json(pa.BufferReader(b"\n".join(values)))
    months = pc.strftime(pc.cast(rows["timestamp"], pa.timestamp("s", "UTC")), "%Y-%m")
    return {tuple(map(int, month.split("-"))): rows.filter(pc.equal(months, month)) for month in pc.unique(months).to_pylist()}


def flush(values):
    tables = straight(values) if reader == "json" else by_pyarrow(values)
    for (year, month), rows in tables.items():
        path = f"{folder}/year={year}/month={month:02}"
        os.makedirs(path, exist_ok=True)
        pq.write_table(rows, f"{path}/{uuid.uuid4().hex}.parquet", compression="snappy")
    consumer.commit(asynchronous=False)


read, buffer = 0, []
while read < messages:
    for message in consumer.consume(1000, 0.1):
        buffer.append(message.value())
        read += 1
        if len(buffer) == 5000:
            flush(buffer)
            buffer = []
if buffer:
    flush(buffer)
consumer.close()
