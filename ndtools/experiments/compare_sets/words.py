"""Sentences of the captions of compared sets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ndtools.experiments.compare_sets.panels import kernel_norm
from ndtools.numerics.colour import channel_words, units_in_words

if TYPE_CHECKING:
    from ndtools.experiments.compare_sets.result import CompareSetsResult

__all__ = ["bands_in_words", "differences_in_words", "of_channel", "pictures_in_words", "sets_in_words"]


def sets_in_words(result: "CompareSetsResult") -> str:
    """Name the sets with the numbers of their images, and their ridges."""
    space = result.config.space
    sets = "; ".join(
        f"{each.name} is {each.source} ({each.images.counted}, eps {each.fit.eps:.3g}"
        + ("" if each.fit.relative_eps is None else f", {each.fit.relative_eps:.2g} of the mean variance")
        + (f", {each.ridge.in_words}" if each.ridge else "")
        + ")"
        for each in result.sets
    )
    return sets if space == "srgb" else f"{sets}; {units_in_words(space)}"


def of_channel(result: "CompareSetsResult") -> str:
    """Say which kernel is meant where there are several."""
    middle = channel_words(result.config.space)[1]
    return f" of the kernel from {middle} to {middle}" if len(result.sets[0].kernels) > 1 else ""


def bands_in_words(result: "CompareSetsResult") -> str:
    """Say what the bands are, if there are any."""
    return " Bands reach two standard errors to either side." if result.sets[0].groups > 1 else ""


def pictures_in_words(results: "Sequence[CompareSetsResult]") -> str:
    """Describe the pictures of kernels and of their differences."""
    first, norm = results[0], kernel_norm(results[0])
    red, green, blue = channel_words(first.config.space)
    colours = len(first.sets[0].kernels) > 1
    what = "kernel"
    if colours:
        what = (
            f"weights of the {red}, {green} and {blue} input of output {green}, as the red, green and blue of one"
            " picture (grey is 0)"
        )
    unit = "in standard errors: white is within two" if first.in_errors(0) is not None else "in weights"
    scale = f"on one scale, which is linear within ±{norm.linthresh:.2g} and logarithmic beyond"
    if len(results) > 1:
        scale = "on a scale for each column, which is linear up to the median weight at most and logarithmic beyond"
    return (
        f"(a) The {what}, {scale}; below or"
        f" beside them the difference of the kernels{f' from {green} to {green}' if colours else ''}, {unit}."
    )


def differences_in_words(results: "Sequence[CompareSetsResult]") -> str:
    """Say by how much the kernels of each pair differ, and what they would differ by if the images were the same."""
    sentences = []
    for i, pair in enumerate(results[0].differences):
        found = [result.differences[i].kernels for result in results]
        text = f"The kernels of {' and '.join(pair.names)} differ by {', '.join(map(str, found))}"
        errors = [each.in_errors for each in found if each.in_errors is not None]
        limits = [each.in_errors_chance for each in found if each.in_errors_chance is not None]
        if errors:
            text += (
                f", which is {_numbers(errors)} standard errors (of sets of the same images, 95 in 100 pairs are below"
                f" {_numbers(limits)})"
            )
        sentences.append(f"{text}.")
    return " ".join(sentences)


def _numbers(values: "Sequence[float]") -> str:
    return ", ".join(f"{value:.1f}" for value in values)
