"""The screen of a command: what is printed where, and computing apart from the thread that handles signals."""

import json
import threading
from contextlib import nullcontext

import pytest

from ndtools.console.heartbeat import heartbeat
from ndtools.console.output import Output
from ndtools.console.tables import new_table
from tests.waiting import wait_for


def speak(output):
    """Use every way of printing."""
    table = new_table(["name"], ["a number with a heading wider than its value"])
    table.add_row("x" * 60, "1")
    output.json({"value": float("nan")})
    output.text("in words")
    output.table(table, "A [title]")
    output.note("by the way")
    output.warning("look here")


@pytest.mark.parametrize(
    ("settings", "text", "remarks"),
    [
        ({}, True, ["by the way", "warning: look here"]),
        ({"quiet": True}, False, ["warning: look here"]),
        ({"as_json": True}, False, ["by the way", "warning: look here"]),
        ({"as_json": True, "quiet": True}, False, ["warning: look here"]),
    ],
)
def test_results_and_remarks_are_apart(capsys, settings, text, remarks):
    speak(Output(**settings))
    screen = capsys.readouterr()
    assert screen.err.splitlines() == remarks
    if settings.get("as_json"):
        assert json.loads(screen.out) == {"value": None}
    elif text:
        words, title, headings, row = screen.out.splitlines()
        assert (words, title) == ("in words", "A [title]")
        assert len(headings.rstrip()) > 80  # no number is cut to the width of a terminal
        assert row.split() == ["x" * 60, "1"]
    else:
        assert screen.out == ""


def test_computing_happens_in_a_thread_of_its_own():
    output = Output()
    assert output.compute(threading.current_thread) is not threading.main_thread()
    assert output.compute(lambda a, *, b: (a, b), 1, b=2) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        output.compute(lambda: 1 / 0)


def test_a_counted_computation_is_given_its_progress():
    output = Output(quiet=True)
    assert output.compute(lambda progress: progress, counting="images") is None


@pytest.mark.parametrize(("of_bytes", "shown"), [(False, "3/4"), (True, "3/4 bytes")])
def test_progress_is_shown_on_a_terminal(monkeypatch, capsys, of_bytes, shown):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Output().progress("things", of_bytes=of_bytes) as progress:
        progress(3, 4)
    screen = capsys.readouterr()
    assert "things" in screen.err and shown in screen.err
    assert screen.out == ""


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
    assert Output().compute(lambda progress: progress, counting="images") == "update"
    assert used
    used.clear()
    Output(quiet=True).compute(lambda progress: progress, counting="images")
    assert not used
