"""How a script answers the test that asked."""

import json
import os
import sys


def answer(value):
    """Prints the answer and ends at once: libraries' threads that still run at a normal end can abort the process."""
    print(json.dumps(value, default=str))
    sys.stdout.flush()
    os._exit(0)
