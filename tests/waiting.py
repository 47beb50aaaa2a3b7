"""Wait for what other threads do."""

import time


def wait_for(condition):
    """Wait until it holds; a busy machine may take its time."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "a minute was not enough"
        time.sleep(0.01)
