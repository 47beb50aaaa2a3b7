"""The progress of training runs on standard error: a live display in a terminal, lines elsewhere."""

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ndtools.training.records import EpochRecord, StepRecord

__all__ = ["Display", "Pace", "display", "duration"]

INTERVAL = 30.0
"""Seconds between two lines where standard error is no terminal."""
_WINDOW = 50  # steps over which loss and speed are averaged
_REFRESHES = 4  # a second


class Pace:
    """Speed of one run, and the time that it will still take.

    Parameters
    ----------
    steps : int
        Number of steps of the whole run.
    epochs : int
        Number of epochs of the whole run.
    per_epoch : int
        Number of steps of a whole epoch. Default 0: no epoch is shown as one that was cut short.
    """

    def __init__(self, steps: int, epochs: int, per_epoch: int = 0) -> None:
        self.steps, self.epochs, self.per_epoch = steps, epochs, per_epoch
        self.step, self.epoch, self.score, self.measure = 0, 0, math.nan, "accuracy"
        self._recent: deque[StepRecord] = deque(maxlen=_WINDOW + 1)
        self._last_step = time.monotonic()
        self._evaluations: list[float] = []

    def after_step(self, record: "StepRecord") -> None:
        """Take a step into account."""
        self.step = record.step
        self.epoch = max(self.epoch, math.ceil(record.epoch) - 1)  # of a run that was resumed
        self._recent.append(record)
        self._last_step = time.monotonic()

    def after_epoch(self, record: "EpochRecord") -> None:
        """Take an epoch, which ends with an evaluation, into account."""
        self.epoch, self.score = record.epoch, record.score
        self.measure = "accuracy" if record.eval_mean_iou is None else "mean IoU"
        self._evaluations.append(time.monotonic() - self._last_step)

    @property
    def loss(self) -> float:
        """Mean loss of the last steps; NaN before the first."""
        return sum(r.loss for r in self._recent) / len(self._recent) if self._recent else math.nan

    @property
    def images_per_second(self) -> float:
        """Number of training images per second in the last steps; NaN before the second step."""
        if len(self._recent) < 2:
            return math.nan
        first, *others = self._recent
        seconds = others[-1].seconds - first.seconds
        return sum(r.images for r in others) / seconds if seconds > 0 else math.nan

    @property
    def seconds_left(self) -> float:
        """Seconds that the remaining steps and evaluations will take; NaN before the second step."""
        if len(self._recent) < 2:
            return math.nan
        per_step = (self._recent[-1].seconds - self._recent[0].seconds) / (len(self._recent) - 1)
        per_evaluation = sum(self._evaluations) / len(self._evaluations) if self._evaluations else 0.0
        return (self.steps - self.step) * per_step + (self.epochs - self.epoch) * per_evaluation

    @property
    def words(self) -> str:
        """Loss, last accuracy or mean intersection over union, speed and time left, as far as they are known."""
        parts = [] if math.isnan(self.loss) else [f"loss {self.loss:.4f}"]
        parts += [] if math.isnan(self.score) else [f"{self.measure} {self.score:.2f} %"]
        parts += [] if math.isnan(self.images_per_second) else [f"{self.images_per_second:,.0f} images/s"]
        parts += [] if math.isnan(self.seconds_left) else [f"{duration(self.seconds_left)} left"]
        return "  ".join(parts) or "starting"


def _write(line: str) -> None:
    """Write a line to standard error past its buffer, in which a handler of signals must not write."""
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())


class Display:
    """Progress of several runs, one after the other: a line for each epoch, and every 30 s.

    Parameters
    ----------
    say : callable
        Function that prints a line.
    at_once : callable
        Function that prints a line from a handler of signals. By default nothing is printed then.
    """

    def __init__(self, say: Callable[[str], None], at_once: Callable[[str], None] = lambda _: None) -> None:
        self.say, self._at_once = say, at_once
        self.name, self.pace, self._said = "", Pace(0, 0), time.monotonic()

    def begin(self, name: str, *, steps: int, epochs: int, per_epoch: int, done: int) -> None:
        """Show that a run begins, with ``done`` steps that were made before it was resumed."""
        self.name, self.pace = name, Pace(steps, epochs, per_epoch)
        self.pace.step, self.pace.epoch = done, max(-(-done // per_epoch) - 1, 0)  # not before its evaluation
        self._said = time.monotonic()

    def step(self, record: "StepRecord") -> None:
        """Show a step of the run that began last."""
        self.pace.after_step(record)
        if time.monotonic() - self._said >= INTERVAL:
            self._said = time.monotonic()
            self.say(f"{self.name}  step {record.step:,} of {self.pace.steps:,}  {self.pace.words}")

    def epoch(self, record: "EpochRecord") -> None:
        """Show an epoch of the run that began last."""
        self.pace.after_epoch(record)
        self._said = time.monotonic()
        self.say(_line(self.name, record, self.pace))

    def stopping(self, words: str) -> None:
        """Show that a request to stop was noted, and what it waits for; may be called by a handler of signals."""
        self._at_once(words)


class _Live(Display):
    """Bar of the running run with its numbers below, and a line that stays for each epoch."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False, markup=False)
        super().__init__(lambda line: self.console.print(line, soft_wrap=True))
        self._stopping = ""

    def step(self, record: "StepRecord") -> None:
        self.pace.after_step(record)

    def stopping(self, words: str) -> None:
        self._stopping = words  # drawn soon, by another thread

    def render(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        pace = self.pace
        if not pace.steps:
            return Text("loading the images")
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(self.name, overflow="ellipsis", no_wrap=True),
            ProgressBar(total=pace.steps, completed=pace.step, width=30),
            Text(f"epoch {min(pace.epoch + 1, pace.epochs)}/{pace.epochs}  step {pace.step:,}/{pace.steps:,}"),
        )
        words = [pace.words, *filter(None, [self._stopping])]
        return Group(bar, *(Text(line, no_wrap=True, overflow="ellipsis") for line in words))


@contextmanager
def display(say: Callable[[str], None], *, quiet: bool = False) -> Iterator[Display]:
    """Show the progress of runs while the body of a ``with`` statement makes them.

    Parameters
    ----------
    say : callable
        Function that prints a line.
    quiet : bool
        Whether to show nothing. Default False.

    Yields
    ------
    Display
        Display that is to be told of steps and epochs.
    """
    if quiet:
        yield Display(lambda _: None)
    elif sys.stderr.isatty():
        from rich.live import Live

        live = _Live()
        with Live(get_renderable=live.render, console=live.console, refresh_per_second=_REFRESHES, transient=True):
            yield live
    else:
        yield Display(say, at_once=_write)


def _line(name: str, record: "EpochRecord", pace: Pace) -> str:
    left = pace.seconds_left
    speed = "" if math.isnan(pace.images_per_second) else f"  {pace.images_per_second:,.0f} images/s"
    remaining = "" if math.isnan(left) or pace.step >= pace.steps else f"  {duration(left)} left"
    short = record.step < record.epoch * pace.per_epoch
    part = f" (cut short: {record.step - (record.epoch - 1) * pace.per_epoch:,} of {pace.per_epoch:,} steps)"
    pixels, mean_iou = "", ""
    if record.eval_mean_iou is not None:
        pixels, mean_iou = "pixels ", f"  mean IoU {record.eval_mean_iou:.2f} %"
    return (
        f"{name}  epoch {record.epoch}/{pace.epochs}{part if short else ''}"
        f"  train loss {record.train_loss:.4f}  {pixels}{record.train_top1:.2f} %"
        f"  evaluation loss {record.eval_loss:.4f}  {pixels}{record.eval_top1:.2f} %{mean_iou}{speed}{remaining}"
    )


def duration(seconds: float) -> str:
    """Write a duration in words, as in "45 s", "12 min" or "3 h 05 min"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
