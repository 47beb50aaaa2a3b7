"""Speed and time left, as they follow from the records; signals that ask a run to stop."""

import math
import os
import signal

import pytest

from ndtools.runs.display import Pace, _Live, display, duration
from ndtools.runs.signals import stop_requests
from ndtools.training.records import EpochRecord, StepRecord


def step(number, seconds, loss=1.0):
    return StepRecord(number, number / 10, loss, 0.1, seconds, 64)


def epoch(number, seconds):
    return EpochRecord(number, 10 * number, 1.5, 40.0, 1.25, 50.0, 0.1, seconds)


def test_speed_and_time_left_are_those_of_the_last_steps():
    pace = Pace(steps=100, epochs=10)
    assert math.isnan(pace.seconds_left) and pace.words == "starting"
    pace.after_step(step(1, 0.5, loss=3.0))
    pace.after_step(step(2, 1.0, loss=2.0))
    assert (pace.loss, pace.images_per_second, pace.seconds_left) == (2.5, 128.0, 98 * 0.5)
    assert pace.words == "loss 2.5000  128 images/s  49 s left"


def test_a_resumed_run_knows_its_epoch():
    pace = Pace(steps=100, epochs=10)
    pace.after_step(step(45, 20.0))
    assert pace.epoch == 4
    pace.after_step(step(50, 22.5))
    assert pace.epoch == 4  # the fifth ends with its evaluation
    pace.after_epoch(epoch(5, 22.5))
    assert pace.epoch == 5


def test_a_resumed_run_knows_its_epoch_before_its_first_step():
    with display(print, quiet=True) as shown:
        shown.begin("run", steps=100, epochs=10, per_epoch=10, done=45)
        assert shown.pace.epoch == 4


def test_a_line_for_each_epoch_where_there_is_no_terminal():
    lines = []
    with display(lines.append) as shown:
        shown.begin("run", steps=20, epochs=2, per_epoch=10, done=0)
        for number in range(1, 11):
            shown.step(step(number, number / 4))
        shown.epoch(epoch(1, 2.5))
    assert len(lines) == 1
    assert lines[0].startswith(
        "run  epoch 1/2  train loss 1.5000  40.00 %  evaluation loss 1.2500  50.00 %  256 images/s"
    )


def test_an_epoch_that_was_resumed_at_its_end_has_no_speed():
    lines = []
    with display(lines.append) as shown:
        shown.begin("run", steps=20, epochs=2, per_epoch=10, done=10)
        shown.epoch(epoch(1, 2.5))
    assert lines == ["run  epoch 1/2  train loss 1.5000  40.00 %  evaluation loss 1.2500  50.00 %"]


def test_an_epoch_that_was_cut_short_says_so():
    lines = []
    with display(lines.append) as shown:
        shown.begin("run", steps=13, epochs=2, per_epoch=10, done=10)
        shown.epoch(EpochRecord(2, 13, 1.5, 40.0, 1.25, 50.0, 0.1, 2.5))
    assert lines[0].startswith("run  epoch 2/2 (cut short: 3 of 10 steps)  train loss 1.5000")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (7500, "2 h 05 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_second_signal_interrupts():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_requests() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_signal_is_noted_at_once(capfd):
    for quiet in (False, True):
        with (
            display(print, quiet=quiet) as shown,
            stop_requests(noted=lambda shown=shown: shown.stopping("so")) as stop,
        ):
            assert capfd.readouterr().err == ""
            os.kill(os.getpid(), signal.SIGINT)
            assert stop()
            assert capfd.readouterr().err == ("" if quiet else "so\n")


def test_a_live_display_says_below_the_bar_that_it_stops():
    live = _Live()
    live.begin("run", steps=10, epochs=1, per_epoch=10, done=0)
    for stopping in (False, True):
        if stopping:
            live.stopping("stopping soon")
        with live.console.capture() as shown:
            live.console.print(live.render())
        assert ("stopping soon" in shown.get()) == stopping


def test_several_processes_wait_for_one_another():
    with stop_requests(insistent=False) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
