"""The input features of a layer and their deconvolution: the result of ``ndtools features``, live or read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.features.config import FeaturesConfig
from ndtools.results.read import SavedResult
from ndtools.text import counted, percent, shortened, source_name, with_error

__all__ = ["SIDES", "FeaturesResult"]

SIDES = {"input": "input", "centred": "input - mean", "deconvolved": "deconvolved"}
"""Names of the values whose sparsity is measured: input, input less the mean of each channel, deconvolved input."""


@dataclass(frozen=True, eq=False, repr=False)
class FeaturesResult(ShownResult):
    """Input of a layer before and after its deconvolution.

    Attributes
    ----------
    config : FeaturesConfig
        The configuration of this run.
    source : str
        Name of the image, printable.
    network : str
        Network in words, such as "vgg11, deconv".
    trained : bool
        Whether the network was trained.
    layer : str
        Name of the layer within the network.
    number : int
        Number of the layer among the convolutions, from 1.
    kernel : tuple of int
        Height and width of the layer's kernel in pixels.
    total : int
        Number of all input channels of the layer.
    block : int
        Number of channels that are decorrelated together.
    own : bool
        Whether D was computed from this input itself; else it is that of the layer, from its training.
    samples : int
        Number of patches that D was computed from if it is of this input; else 0.
    image : array of shape (C, H, W)
        uint8: the image as the network saw it, before it was standardised.
    inputs, outputs : array of shape (channels, h, w)
        float32: the first input channels, and the centre outputs of D(x - μ) at the same pixels.
    measures : dict of str to dict
        Measures of sparsity by name for each of :data:`SIDES`, over all input channels; None where undefined.
    device : str
        Device that the network ran on.
    """

    config: FeaturesConfig
    source: str
    network: str
    trained: bool
    layer: str
    number: int
    kernel: tuple[int, int]
    total: int
    block: int
    own: bool
    samples: int
    image: NDArray[np.uint8]
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    measures: dict[str, dict[str, float | None]]
    device: str

    @property
    def features(self) -> int:
        """Number of features that are decorrelated together: channels of a block times pixels of the kernel."""
        return self.block * self.kernel[0] * self.kernel[1]

    @property
    def without_training(self) -> str:
        """Words to add to the name of a network that has seen no training batch; empty if it has."""
        return "" if self.trained else ", never trained" if self.config.checkpoint is None else ", without statistics"

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        side = "×".join(map(str, self.inputs.shape[:0:-1]))
        sides = " -> ".join(
            f"{with_error(self.measures[name]['kurtosis'])}, {_share(self.measures[name]['near_zero'])}"
            for name in ("centred", "deconvolved")
        )
        return (
            f"{source_name(self.source)} · {self.network}{self.without_training} ·"
            f" {shortened(self.layer)} (convolution {self.number})",
            f"{counted(self.total, 'channel')} of {side} pixels · {self.features} features decorrelated together",
            f"before -> after: kurtosis, within 0.1 σ: {sides}",
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {"image": self.image, "inputs": self.inputs, "outputs": self.outputs}

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "network": self.network,
            "trained": self.trained,
            "layer": self.layer,
            "number": self.number,
            "kernel": self.kernel,
            "input_channels": self.total,
            "block_channels": self.block,
            "features": self.features,
            "deconvolution_of_this_input": self.own,
            "samples": self.samples,
            "sparsity": self.measures,
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "FeaturesResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("features"):
            numbers = saved.numbers
            return cls(
                config=saved.configuration(FeaturesConfig),
                source=saved.source,
                **{name: numbers[name] for name in ("network", "trained", "layer", "number", "samples")},
                kernel=tuple(numbers["kernel"]),
                total=numbers["input_channels"],
                block=numbers["block_channels"],
                own=numbers["deconvolution_of_this_input"],
                image=saved.arrays["image"],
                inputs=saved.arrays["inputs"],
                outputs=saved.arrays["outputs"],
                measures={name: numbers["sparsity"][name] for name in SIDES},
                device=saved.device,
            )


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
