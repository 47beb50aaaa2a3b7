"""The screen of a command: computing with a progress bar, apart from the thread that handles signals."""

import threading

import pytest

from ndtools.console.options import SharedOptions
from ndtools.console.output import Output


def test_computing_happens_in_a_thread_of_its_own():
    output = Output(SharedOptions(), "kernels")
    assert output.compute(threading.current_thread) is not threading.main_thread()
    assert output.compute(lambda a, *, b: (a, b), 1, b=2) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        output.compute(lambda: 1 / 0)


def test_a_counted_computation_is_given_its_progress():
    output = Output(SharedOptions(quiet=True), "kernels")
    assert output.compute(lambda progress: progress, counting="images") is None
