"""Times of whole networks at testing time: the result of ``ndtools inference``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.inference.config import InferenceConfig
from ndtools.results.read import SavedResult
from ndtools.text import counted, shortened

__all__ = ["ARMS", "InferenceResult", "NetworkTimes"]

ARMS = ("deconv", "folded", "bn", "none")
"""Networks with deconvolution, with D folded into their weights, with batch normalisation, and without either."""


@dataclass(frozen=True, eq=False)
class NetworkTimes:
    """Seconds that one network takes for a batch.

    Attributes
    ----------
    arch : str
        Name of the network.
    seconds : dict of str to array of shape (repeats,)
        Seconds of a batch, for each of :data:`ARMS`. All arms are timed in turn in each repeat.
    difference : float
        Largest difference between the outputs of the network with deconvolution and the folded one, in units of the
        largest output.
    """

    arch: str
    seconds: dict[str, NDArray[np.float64]]
    difference: float

    def median(self, arm: str) -> float:
        """Return the median seconds of a batch."""
        return float(np.median(self.seconds[arm]))

    def ratio(self, arm: str, other: str) -> float:
        """Return the time of an arm in units of that of another, by their medians."""
        return self.median(arm) / self.median(other)


@dataclass(frozen=True, eq=False, repr=False)
class InferenceResult(ShownResult):
    """Times of whole networks at testing time.

    Attributes
    ----------
    config : InferenceConfig
        Configuration of this run.
    networks : tuple of NetworkTimes
        Times of each network, in the order of the configuration.
    device : str
        Device on which the networks were timed.
    processor : str
        Name of the device, as far as the system tells.
    threads : int
        Number of threads of torch's operators.
    torch : str
        Version of torch that was timed.
    """

    config: InferenceConfig
    networks: tuple[NetworkTimes, ...]
    device: str
    processor: str
    threads: int
    torch: str

    source: ClassVar[str] = "random images"

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        size = self.config.size
        return (
            f"Testing time · batches of {self.config.batch_size} images of {size}×{size} pixels · median of"
            f" {self.config.repeats} · {self.device}, {shortened(self.processor)}, {counted(self.threads, 'thread')}",
            *(
                f"{each.arch}: folded, {each.ratio('folded', 'deconv'):.2f} times as long as with {self.config.norm},"
                f" {each.ratio('folded', 'bn'):.2f} times as batch normalisation, and"
                f" {each.ratio('folded', 'none'):.2f} times as a plain network"
                for each in self.networks
            ),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {
            "arms": np.array(ARMS),
            "seconds": np.array([[each.seconds[arm] for arm in ARMS] for each in self.networks]),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        images = self.config.batch_size
        return {
            "environment": {"processor": self.processor, "threads": self.threads, "torch": self.torch},
            "networks": [
                {
                    "name": each.arch,
                    "seconds_per_image": {arm: each.median(arm) / images for arm in ARMS},
                    "range": {
                        arm: [float(values.min()) / images, float(values.max()) / images]
                        for arm, values in each.seconds.items()
                    },
                    "folded_in_units_of": {arm: each.ratio("folded", arm) for arm in ARMS if arm != "folded"},
                    "difference": each.difference,
                }
                for each in self.networks
            ],
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "InferenceResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("inference"):
            environment = saved.numbers["environment"]
            arms = saved.arrays["arms"].tolist()
            return cls(
                config=saved.configuration(InferenceConfig),
                networks=tuple(
                    NetworkTimes(each["name"], dict(zip(arms, seconds, strict=True)), float(each["difference"]))
                    for each, seconds in zip(saved.numbers["networks"], saved.arrays["seconds"], strict=True)
                ),
                device=saved.device,
                processor=environment["processor"],
                threads=environment["threads"],
                torch=environment["torch"],
            )
