"""Outputs of the public layers of IterNorm and ND++ for recorded inputs, float64.

``CASE/weight``, ``bias``, ``x0`` to ``x2`` are what the layers were given; ``y0`` to ``y2`` their outputs in three
training steps; ``g`` the gradient that y0 was given, ``dx`` and ``dw`` the gradients that followed; ``yeval`` the
output for x2 in evaluation. Other arrays are buffers after the three steps, under their authors' names. Settings that a
case does not name are those of the layers: eps 1e-5, 5 iterations, momentum 0.1, and a sampling stride of 3.
"""

from pathlib import Path

import numpy as np
import torch


def load():
    """Return arrays by case and name."""
    cases = {}
    with np.load(Path(__file__).parent / "norms_reference.npz") as arrays:
        for key in arrays.files:
            case, name = key.split("/")
            cases.setdefault(case, {})[name] = torch.from_numpy(arrays[key])
    return cases


RECORDED = load()


def step(layer, given, averages):
    """Return what a layer gives where the authors' layer was recorded: three training batches, then evaluation."""
    x = given["x0"].clone().requires_grad_()
    y = layer(x)
    y.backward(given["g"])
    found = {"y0": y.detach(), "dx": x.grad, "dw": layer.weight.grad.view_as(given["dw"])}
    with torch.no_grad():
        found |= {f"y{i}": layer(given[f"x{i}"]) for i in (1, 2)}
        found["yeval"] = layer.eval()(given["x2"])
    return found | {name: getattr(*where).view_as(given[name]) for name, where in averages(layer).items()}
