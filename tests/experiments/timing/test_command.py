"""``ndtools timing`` as its user meets it: screen, files, exit codes."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ndtools.errors import OptionError
from ndtools.experiments.timing import run as timing
from ndtools.experiments.timing.command import _cell, rows_from
from ndtools.experiments.timing.table import TABLE_3
from tests.commands import invoke as invoke_any
from tests.commands import numbers


def invoke(*arguments):
    return invoke_any("timing", *arguments, "--device", "cpu")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def clock_of(monkeypatch, *durations):
    """Let the clock pass such times between two looks at it, over and over, whatever the machine."""
    clock = itertools.accumulate(itertools.cycle(durations))
    monkeypatch.setattr(timing, "seconds_at", lambda device: next(clock))


@pytest.fixture
def small(monkeypatch):
    """The table with small images, and shares of the convolution's time of up to three digits."""
    monkeypatch.setattr(timing, "TABLE_3", tuple(replace(layer, size=16) for layer in TABLE_3))
    clock_of(monkeypatch, 0.0121, 0.0047, 0.0079)


def test_screen_and_files(small, out):
    result = invoke("-o", out, "--rows", "1,6,14-15", "--batch-size", 1, "--repeats", 1, "-j", 1)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "Cost of deconvolution layers · batches of 1 · median of 1 · forward · cpu, 1 thread"
    assert lines[2].split()[:6] == ["#", "layer", "im", "cov", "inv", "sum"]
    assert [line.split()[0] for line in lines[3:7]] == ["1", "6", "14", "15"]
    assert "14 1.6 .05  15" in lines[3]  # as published
    assert max(map(len, lines[1:])) <= 80
    assert "…" not in result.stdout
    assert "128 images, taken as 128 times conv" in " ".join(result.stdout.split())
    content = numbers(out, "timing")
    assert content["batch_size"] == 1
    assert content["published_batch_size"] == 128
    assert (content["repeats"], content["backward"], content["left_out"]) == (1, False, [])
    assert content["environment"].keys() == {"processor", "threads", "torch"}
    assert content["environment"]["threads"] == 1
    assert [row["id"] for row in content["rows"]] == ["T3-1", "T3-6", "T3-14", "T3-15"]
    for row in content["rows"]:
        for arm in ("published", "measured", "ours"):
            seconds, shares = row[arm], row["shares"][arm]
            assert {"im2col", "covariance", "inverse", "convolution"} <= set(seconds)
            assert min(seconds.values()) > 0
            assert shares["im2col"] == pytest.approx(seconds["im2col"] / seconds["convolution"])
            scale = 1 if arm == "published" else 128
            assert shares["inverse"] == pytest.approx(seconds["inverse"] / seconds["convolution"] / scale)
            assert shares["total"] == pytest.approx(shares["im2col"] + shares["covariance"] + shares["inverse"])
    with np.load(out / "timing.npz") as arrays:
        assert list(arrays["rows"]) == [1, 6, 14, 15]
        assert arrays["published"][0].tolist() == [0.069, 0.0079, 0.00025, 0.5]
    with Image.open(out / "timing.png") as picture:
        assert picture.width > 1000


def test_numbers_that_need_more_room_are_not_cut(small, out, monkeypatch):
    clock_of(monkeypatch, 5.0, 0.0234, 0.0001)
    result = invoke("-o", out, "--rows", "1,6", "--batch-size", 1, "--repeats", 1)
    assert result.exit_code == 0, result.stderr
    totals = [
        100 * row["shares"][arm]["total"] for row in numbers(out, "timing")["rows"] for arm in ("measured", "ours")
    ]
    assert max(totals) > 10_000
    for total in totals:
        assert total < 1000 or re.search(rf"^ *[16] .* {total:.0f} ", result.stdout, re.MULTILINE)
    assert "…" not in result.stdout


def test_json_and_backward(small, out):
    result = invoke("-o", out, "--rows", "5", "--batch-size", 1, "--repeats", 1, "--backward", "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (out / "timing.json").read_text()
    assert numbers(out, "timing")["backward"] is True
    result = invoke("-o", out, "--rows", "1", "--batch-size", 1, "--repeats", 1, "--backward")
    assert "published (forward only);" in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80


def test_rows_that_do_not_fit_are_named(small, out, monkeypatch):
    monkeypatch.setattr(timing, "available_memory", lambda device: 60_000_000)
    result = invoke("-o", out, "--rows", "5,14", "-b", 1, "--repeats", 1)
    assert result.exit_code == 0, result.stderr
    assert "note: left out row 5, which needs about 0.2 GB for batches of 1, of 0.1 GB free" in result.stderr
    assert [row["id"] for row in numbers(out, "timing")["left_out"]] == ["T3-5"]
    result = invoke("-o", out / "none", "--rows", "5", "--batch-size", 1)
    assert result.exit_code == 2
    assert "--batch-size is too large: row 5 needs" in result.stderr
    assert not (out / "none" / "timing.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "23"), "--rows must be from 1 to 22, the rows of table 3, got '23'"),
        (("--rows", "0-3"), "--rows must be from 1 to 22"),
        (("--rows", "5-3"), "--rows must go upwards, such as 3-5, got '5-3'"),
        (("--rows", ""), "--rows must be numbers and ranges from 1 to 22, such as 1-5,16, got ''"),
        (("--rows", "1,,2"), "--rows must be numbers and ranges"),
        (("--rows", "first"), "got 'first'"),
        (("--repeats", 0), "--repeats must be at least 1, got 0"),
        (("--batch-size", 0), "--batch-size must be at least 1, got 0"),
    ],
)
def test_bad_options(out, arguments, message):
    result = invoke("-o", out, *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not out.exists()


@given(st.sets(st.integers(1, 22), min_size=1), st.data())
def test_any_way_to_write_rows_is_read(rows, data):
    """Ranges and single ones, in any order, repeated, with spaces, with or without the name of the table."""
    parts = [str(row) for row in rows]
    for row in sorted(rows):
        end = row
        while end + 1 in rows:
            end += 1
        parts.append(f"{row}-{data.draw(st.integers(row, end))}")
    written = [
        f"{' ' * data.draw(st.integers(0, 1))}{'T3-' * data.draw(st.integers(0, 1))}{part}"
        for part in data.draw(st.permutations(parts))
    ]
    assert rows_from(",".join(written)) == tuple(sorted(rows))


@given(st.text(alphabet="0123456789-,T abc", max_size=12))
def test_what_is_read_is_rows(text):
    try:
        rows = rows_from(text)
    except OptionError:
        return
    assert rows
    assert set(rows) <= set(range(1, 23))


@given(st.floats(0, 9.99))
def test_percentages_have_three_characters(share):
    written = _cell(share)
    assert len(written) <= 3
    assert abs(float(written) / 100 - share) <= max(0.06 * share, 0.00006)


def test_help_of_shared_options_is_of_this_command():
    text = " ".join(invoke_any("timing", "--help").stdout.replace("│", " ").split())
    assert "decode" not in text
    assert "skipped file" not in text
    assert "Threads that compute" in text
