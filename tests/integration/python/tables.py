"""Published tables beside those that another system computes, cell by cell."""

import math


def differences(published, expected):
    """Of two tables' rows, as lists of tuples: what is not the same, as lines to read."""
    published, expected = as_sets(published), as_sets(expected)
    found = [f"{len(published)} rows published, {len(expected)} expected"] if len(published) != len(expected) else []
    for row, (a, b) in enumerate(zip(published, expected)):
        if len(a) != len(b) or not all(map(same, a, b)):
            found.append(f"row {row}: published {a}, expected {b}")
    return found


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
    return type(a) is type(b) and a == b


def as_sets(rows):
    """A table has no order, and what is computed in floats is no key."""
    return sorted(rows, key=lambda row: repr([value for value in row if not isinstance(value, float)]))
