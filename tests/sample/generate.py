"""Generates events.ndjson: two days of events that are hard on the five tables.

Nulls in every column, an hour without events and one without any bytes_changed, ties at the cuts to 100 contributors
and 50 servers, names that differ only in case or normal form, negative bytes, events on both edges of the window
[2026-01-15T00:00:00Z, 2026-01-17T00:00:00Z] and one second outside it.

    python3 tests/sample/generate.py | gzip -9n > tests/sample/events.ndjson.gz
"""

import json
import random
import unicodedata

FIRST, LAST = 1_768_435_200, 1_768_608_000
EMPTY_HOURS = {5, 6, 30}
NO_BYTES_HOUR = 12

draw = random.Random(20260115)
users = [f"User {number}" for number in range(140)] + ["user 1", "USER 1", "é", unicodedata.normalize("NFD", "é"), "", None]
servers = [f"w{number:02}.wikipedia.org" for number in range(70)] + ["W01.wikipedia.org", "www.wikidata.org", None]


def one(timestamp, **fixed):
    server = draw.choice(servers)
    labels = (server or ".").split(".")
    hour = (timestamp - FIRST) // 3600
    event = {
        "timestamp": timestamp,
        "user": draw.choice(users),
        "title": draw.choice(["Page", "Страница", "頁", None]),
        "server_name": server,
        "type": draw.choice(["edit", "new", "log", None]),
        "bytes_changed": None if hour == NO_BYTES_HOUR or draw.random() < 0.1 else draw.randint(-5000, 9000),
        "is_bot": draw.choice([True, False, False, None]),
        "is_new_page": draw.choice([True, False, False, None]),
        "language": draw.choice([labels[0], labels[0], None]),
        "project": draw.choice([labels[1], labels[1], None]),
    }
    return {**event, **fixed}


events = []
for _ in range(3000):
    timestamp = draw.randint(FIRST, LAST)
    if (timestamp - FIRST) // 3600 not in EMPTY_HOURS:
        events.append(one(timestamp))
for timestamp in (FIRST, LAST, FIRST - 1, LAST + 1):
    events += [one(timestamp, user="Edge", server_name="edge.wikipedia.org", language="edge", project="wikipedia")] * 3
draw.shuffle(events)
for event in events:
    print(json.dumps(event, ensure_ascii=False))
