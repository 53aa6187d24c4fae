"""The archiver beside a consumer that discards and beside two Python archivers: one topic, one run, ratios.

    cargo build --release --example discard --bin lakebed
    scripts/services up && eval "$(scripts/services env)"
    scripts/python benches/archive.py [--events 500000] [--rounds 3]

CPU and memory are the operating system's own figures of each whole process, start-up included; the median of the
rounds is shown. BATCH_SIZE is 5000, the lake a folder on the local disk.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

here = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser(description="Measure the archiver against a discarding consumer and Python archivers")
parser.add_argument("--events", type=int, default=500_000)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--partitions", type=int, default=4)
parser.add_argument("--skip-python", action="store_true")
options = parser.parse_args()
target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", here.parent / "target")) / "release"
brokers = os.environ["KAFKA_BROKERS"]
topic = f"bench-{uuid.uuid4().hex}"


def event(number):
    wiki = ("en", "de", "fr", "ja", "ru", "vi", "zh", "sr")[number * 7919 % 8]
    return json.dumps(
        {
            "timestamp": 1_767_225_600 + number * 86_400 // options.events,
            "user": f"User {number * 104_729 % 20_011}",
            "title": f"A page with a title of some length, number {number * 31 % 300_007}",
            "server_name": f"{wiki}.wikipedia.org",
            "type": "edit",
            "bytes_changed": number * 37 % 4001 - 1000,
            "is_bot": number % 4 == 0,
            "is_new_page": number % 19 == 0,
            "language": wiki,
            "project": "wikipedia",
            "log_params": None,
            "id": 1_735_000_000 + number,
            "wiki": f"{wiki}wiki",
            "namespace": number % 5,
            "comment": "/* History */ a comment that somebody wrote, with a link to [[Another page]] and more " + "x" * (number % 23),
            "minor": number % 3 == 0,
            "revision_old": 1_195_000_000 + number,
            "revision_new": 1_195_000_001 + number,
        }
    )


def produce():
    # Held for as long as its answers are waited for.
    admin = AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([NewTopic(topic, options.partitions, 1)]).values():
        made.result()
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    size = 0
    for number in range(options.events):
        value = event(number)
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, partition=number % options.partitions)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    return size


def measure(command, environment):
    """CPU seconds, wall seconds and peak memory in MB of one whole process."""
    begun = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed:\n{errors.decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024


def lakebed(folder):
    command = [target / "lakebed", "archive", "--until-end", "--log-level", "warn"]
    settings = {
        "KAFKA_TOPIC": topic, "KAFKA_GROUP": f"bench-{uuid.uuid4().hex}", "AUTO_OFFSET_RESET": "earliest",
        "DATA_LAKE_PATH": folder, "BATCH_SIZE": "5000",
    }
    return command, settings


def one(make):
    folder = tempfile.mkdtemp(prefix="lakebed-bench-")
    command, environment = make(folder)
    result = measure(command, environment)
    shutil.rmtree(folder)
    return result


def rounds(makers):
    """The medians of each; a round is one of each after the other, so that what else the machine does meets all alike."""
    results = [[one(make) for make in makers.values()] for _ in range(options.rounds)]
    medians = [[statistics.median(column) for column in zip(*runs)] for runs in zip(*results)]
    return dict(zip(makers, medians))


# In a process of its own: what a parent holds when it starts another counts as that one's peak too.
with concurrent.futures.ProcessPoolExecutor(1) as apart:
    size = apart.submit(produce).result()
print(f"{options.events:,} events of {size // options.events} bytes in {options.partitions} partitions; median of {options.rounds} rounds")
count = str(options.events)
makers = {
    "discarding consumer": lambda folder: ([target / "examples" / "discard", brokers, topic, count], {}),
    "lakebed archive": lakebed,
}
if not options.skip_python:
    python = [sys.executable, here / "python_archiver.py", brokers, topic, count]
    makers["Python, json"] = lambda folder: ([*python, folder, "json"], {})
    makers["Python, pyarrow's json"] = lambda folder: ([*python, folder, "pyarrow"], {})
figures = rounds(makers)
print(f"{'':24}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}{'CPU of lakebed':>17}{'wall of lakebed':>17}")
ours = figures["lakebed archive"]
for name, (cpu, wall, memory) in figures.items():
    print(f"{name:24}{cpu:9.2f}{wall:9.2f}{memory:9.0f}{ours[0] / cpu:16.2f}x{ours[1] / wall:16.2f}x")
admin = AdminClient({"bootstrap.servers": brokers})
admin.delete_topics([topic])[topic].result()
