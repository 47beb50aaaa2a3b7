"""Section 4.5.1: with D folded into its weights, a network is faster at testing time."""

import math

from ndtools.experiments.inference.config import InferenceConfig
from ndtools.reproduction.chance import beyond, noise_of_times
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.results.reproductions import Grade
from ndtools.text import counted, percent

__all__ = ["TESTING"]

FASTER = "claim/faster-testing"
AS_FAST = 1.1  # factor within which a network is as fast as another


def _levels(setting: Setting) -> list[Level]:
    config = InferenceConfig(norm="deconv-reference", repeats=9, **setting.run)
    return [
        Level(
            title="VGG-16 and ResNet-18, folded and not",
            parts=(Part(name="testing time", experiment="inference", config=config, work=9.2),),
            full=True,
            concludes="Whether folding makes two networks faster, and as fast as plain ones, on this machine.",
            not_concluded="Nothing about other machines and networks: the paper names none.",
        )
    ]


def _grade(level: Level, results: Results) -> list[Grade]:
    if not results:
        return []
    result = results["testing time"]
    held: list[bool | None] = []
    for network in result.networks:
        for other, factor in (("deconv", 1.0), ("none", AS_FAST)):
            noise = noise_of_times(*(list(network.seconds[arm]) for arm in ("folded", other)))
            above = beyond(math.log(network.ratio("folded", other)), noise, math.log(factor))
            held.append(None if above is None else not above)
    ratios = "; ".join(
        f"{network.arch} takes {network.ratio('folded', 'deconv'):.2f} times as long as without folding,"
        f" {network.ratio('folded', 'bn'):.2f} times as with batch normalisation, and"
        f" {network.ratio('folded', 'none'):.2f} times as a plain network"
        for network in result.networks
    )
    config = result.config
    return [
        grade_claim(
            FASTER,
            held,
            full=level.full,
            measured=max(network.ratio("folded", "none") for network in result.networks),
            reason=f"Folded, {ratios}. The claim is that this is faster than without folding, and as fast as a plain"
            f" network, here within {percent(AS_FAST - 1)}.",
            conditions=f"deconvolution of the published code, batches of {config.batch_size} images of"
            f" {config.size}×{config.size} pixels, {result.processor}, {counted(result.threads, 'thread')}, torch"
            f" {result.torch}, {counted(config.repeats, 'repeat')}",
        )
    ]


TESTING = Item(
    id="testing",
    title="testing time of folded networks",
    where="sec. 4.5.1 of both versions",
    needs=(),
    subjects=(FASTER,),
    levels=_levels,
    grade=_grade,
)
"""Time of folded networks."""
