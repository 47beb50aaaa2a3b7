"""The screen of a command: computing with a progress bar, apart from the thread that handles signals."""

import threading
from contextlib import nullcontext

import pytest

from ndtools.console.heartbeat import heartbeat
from ndtools.console.options import SharedOptions
from ndtools.console.output import Output
from tests.waiting import wait_for


def test_computing_happens_in_a_thread_of_its_own():
    output = Output(SharedOptions(), "kernels")
    assert output.compute(threading.current_thread) is not threading.main_thread()
    assert output.compute(lambda a, *, b: (a, b), 1, b=2) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        output.compute(lambda: 1 / 0)


def test_a_counted_computation_is_given_its_progress():
    output = Output(SharedOptions(quiet=True), "kernels")
    assert output.compute(lambda progress: progress, counting="images") is None


def test_a_run_without_a_terminal_says_how_far_it_is():
    lines = []
    with heartbeat("images", lines.append, interval=0.001) as update:
        wait_for(lambda: lines)
        update(12, 1500)
        wait_for(lambda: any(line.startswith("12 of 1,500 images after ") for line in lines))
    assert lines[0].startswith("counting images after ")
    said = len(lines)
    with heartbeat("images", lines.append) as update:
        update(1, 2)
    assert len(lines) == said  # a short run says nothing


def test_a_quiet_run_says_nothing(monkeypatch):
    used = []
    monkeypatch.setattr("ndtools.console.output.heartbeat", lambda *_: used.append(1) or nullcontext("update"))
    assert Output(SharedOptions(), "kernels").compute(lambda progress: progress, counting="images") == "update"
    assert used
    used.clear()
    Output(SharedOptions(quiet=True), "kernels").compute(lambda progress: progress, counting="images")
    assert not used
