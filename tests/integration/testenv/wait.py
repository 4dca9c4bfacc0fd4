"""Waiting for a condition, with a deadline, in place of sleeping."""

import time

DEADLINE_S = 20.0  # generous: a missed one is a failed test, not a slow one


def wait_for(condition, what="the condition", deadline=DEADLINE_S):
    """Asks again and again until condition() is true; returns what it gave."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")
        time.sleep(0.005)
