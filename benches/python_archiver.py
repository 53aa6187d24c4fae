"""A straight Python archiver, as it would be written: confluent-kafka, json, pyarrow. Not exactly once.

Takes the brokers, the topic, the number of messages and a folder.
"""

import datetime
import json
import os
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer

brokers, topic, messages, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
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


def flush(events):
    by_month = {}
    for event in events:
        time = datetime.datetime.fromtimestamp(event["timestamp"], datetime.timezone.utc)
        by_month.setdefault((time.year, time.month), []).append(event)
    for (year, month), rows in by_month.items():
        path = f"{folder}/year={year}/month={month:02}"
        os.makedirs(path, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), f"{path}/{uuid.uuid4().hex}.parquet", compression="snappy")
    consumer.commit(asynchronous=False)


read, buffer = 0, []
while read < messages:
    for message in consumer.consume(1000, 0.1):
        event = json.loads(message.value())
        if isinstance(event.get("log_params"), (dict, list)):
            event["log_params"] = json.dumps(event["log_params"], ensure_ascii=False)
        buffer.append(event)
        read += 1
        if len(buffer) == 5000:
            flush(buffer)
            buffer = []
if buffer:
    flush(buffer)
consumer.close()
