"""Outcomes of the checks of the paper's propositions: the result of ``ndtools check``, live or read back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.errors import OptionError
from ndtools.experiments.check.config import CheckConfig
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult, optional_float
from ndtools.text import counted, source_name

__all__ = ["APPROXIMATE", "LARGEST_BOUND", "CheckResult", "Comparison", "Curve", "Outcome", "Verdict"]

Verdict = Literal["holds", "holds approximately", "cannot be decided", "does not hold"]

APPROXIMATE = 0.1
"""Largest relative difference beyond rounding with which a statement still holds approximately."""
LARGEST_BOUND = 1e-2
"""Largest effect of rounding, as a relative difference, with which a statement can be decided."""


@dataclass(frozen=True)
class Comparison:
    """Two quantities that a statement says are equal.

    Attributes
    ----------
    name : str
        Case that is compared, in a few words.
    difference : float
        Largest relative difference ‖found − expected‖/‖expected‖; NaN if this precision has no result.
    bound : float
        Relative difference that rounding can cause.
    decides : bool
        Whether the verdict on the statement rests on this comparison. Others show what happens where the assumptions
        of the statement are not met.
    """

    name: str
    difference: float
    bound: float
    decides: bool = True

    @property
    def verdict(self) -> Verdict:
        """Whether both quantities are equal, as far as rounding can tell."""
        if math.isnan(self.difference):
            return "cannot be decided"
        if self.bound > LARGEST_BOUND:
            return "does not hold" if self.difference > max(APPROXIMATE, self.bound) else "cannot be decided"
        if self.difference <= self.bound:
            return "holds"
        return "holds approximately" if self.difference <= APPROXIMATE else "does not hold"

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            "name": self.name,
            "difference": self.difference,
            "bound": self.bound,
            "decides": self.decides,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, eq=False)
class Curve:
    """Line of a figure.

    Attributes
    ----------
    key : str
        Name of the line in the .npz file, within its check.
    x, y : array of shape (n,)
        Points of the line.
    """

    key: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of one check.

    Attributes
    ----------
    name : str
        One of :data:`ndtools.experiments.check.config.NAMES`.
    where : str
        Place of the statement in the paper.
    statement : str
        Statement that is checked, in a sentence.
    compared : str
        Quantities that are compared, in a few words.
    comparisons : tuple of Comparison
        Comparisons, those that decide before the others.
    finding : str
        Sentences that say what was found, with numbers.
    curves : tuple of Curve
        Lines of the figure.
    values : dict of str to float
        Further numbers that the figure or the finding has, by name.
    """

    name: str
    where: str
    statement: str
    compared: str
    comparisons: tuple[Comparison, ...]
    finding: str
    curves: tuple[Curve, ...]
    values: dict[str, float] = field(default_factory=dict)

    @property
    def deciding(self) -> tuple[Comparison, ...]:
        """Comparisons on which the verdict rests."""
        return tuple(each for each in self.comparisons if each.decides)

    @property
    def verdict(self) -> Verdict:
        """Worst verdict among the comparisons that decide; without any, it cannot be decided."""
        if not self.deciding:
            return "cannot be decided"
        verdicts = {each.verdict for each in self.deciding}
        order: tuple[Verdict, ...] = ("does not hold", "cannot be decided", "holds approximately")
        return next((each for each in order if each in verdicts), "holds")

    @property
    def difference(self) -> float:
        """Largest relative difference among the comparisons that decide; NaN if one has no result."""
        return float(np.max([each.difference for each in self.deciding]))

    def comparison(self, name: str) -> Comparison:
        """Return the comparison with a name; KeyError if there is none."""
        for each in self.comparisons:
            if each.name == name:
                return each
        raise KeyError(name)

    def curve(self, key: str) -> Curve:
        """Return the curve with a key; KeyError if there is none."""
        for each in self.curves:
            if each.key == key:
                return each
        raise KeyError(key)

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            "name": self.name,
            "where": self.where,
            "statement": self.statement,
            "compared": self.compared,
            "verdict": self.verdict,
            "comparisons": [each.numbers() for each in self.comparisons],
            "finding": self.finding,
            "curves": [curve.key for curve in self.curves],
            "values": self.values,
        }


@dataclass(frozen=True, eq=False, repr=False)
class CheckResult(ShownResult):
    """Outcomes of the checks of a run.

    Attributes
    ----------
    config : CheckConfig
        Configuration of this run.
    images : ImagesUsed
        Images that were used and skipped.
    patches : int
        Number of patches that stand for the images.
    features : int
        Number of features of a patch: channels times pixels.
    condition : float
        Condition number of the covariance of the patches, without a ridge.
    outcomes : tuple of Outcome
        Outcomes in the order in which they were asked for.
    device : str
        Device on which the result was computed.
    """

    config: CheckConfig
    images: ImagesUsed
    patches: int
    features: int
    condition: float
    outcomes: tuple[Outcome, ...]
    device: str

    @property
    def source(self) -> str:
        """Name of the image source, printable."""
        return self.images.label

    def outcome(self, name: str) -> Outcome:
        """Return the outcome of a check.

        Parameters
        ----------
        name : str
            Name of the check, such as "prop1".

        Returns
        -------
        Outcome
            Verdict, numbers and curves of that check.

        Raises
        ------
        OptionError
            If the check was not asked for.
        """
        for each in self.outcomes:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.outcomes)
        raise OptionError("names", f"must hold {name!r} for this outcome; this result has {known}")

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        verdicts = " · ".join(f"{each.name} {each.verdict}" for each in self.outcomes)
        return (
            f"{source_name(self.source)} · {self.images.counted} · {counted(self.features, 'feature')} ·"
            f" eps {self.config.eps:.3g} · {self.config.dtype}",
            verdicts,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {
            f"{_key(each.name, curve.key)}_{axis}": getattr(curve, axis)
            for each in self.outcomes
            for curve in each.curves
            for axis in ("x", "y")
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "images": self.images.numbers(),
            "patches": self.patches,
            "features": self.features,
            "condition": self.condition,
            "eps": self.config.eps,
            "dtype": self.config.dtype,
            "checks": [each.numbers() for each in self.outcomes],
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "CheckResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("check"):
            numbers = saved.numbers
            return cls(
                config=saved.configuration(CheckConfig),
                images=ImagesUsed.from_numbers(saved.source, numbers["images"]),
                patches=numbers["patches"],
                features=numbers["features"],
                condition=numbers["condition"],
                outcomes=tuple(_saved_outcome(each, saved) for each in numbers["checks"]),
                device=saved.device,
            )


def _key(check: str, curve: str) -> str:
    return f"{check.replace('-', '_')}_{curve}"


def _saved_outcome(numbers: dict[str, Any], saved: SavedResult) -> Outcome:
    name = numbers["name"]
    return Outcome(
        **{key: numbers[key] for key in ("name", "where", "statement", "compared", "finding", "values")},
        comparisons=tuple(
            Comparison(each["name"], optional_float(each["difference"]), each["bound"], each["decides"])
            for each in numbers["comparisons"]
        ),
        curves=tuple(
            Curve(key, *(saved.arrays[f"{_key(name, key)}_{axis}"] for axis in ("x", "y"))) for key in numbers["curves"]
        ),
    )
