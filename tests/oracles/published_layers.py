"""Layers of the published code: their outputs for recorded inputs; see ``make_reference_layers.py``."""

from pathlib import Path

REFERENCE = Path(__file__).parent / "reference_layers.npz"
# Input channels, output channels, kernel size, arguments of the convolution, and settings of the deconvolution.
CASES = {
    "blocks": (8, 6, 3, {"padding": 1}, {"block_size": 4}),
    "groups": (8, 8, 3, {"padding": 1, "groups": 4}, {}),
    "pointwise": (8, 6, 1, {}, {"block_size": 4}),
    "stride": (6, 4, 3, {"stride": 2}, {"block_size": 2}),
    "first": (3, 6, 3, {"padding": 1}, {"n_iter": 15}),
}
