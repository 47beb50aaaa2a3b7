"""Optimisers of a recipe: those of torch, and Muon for the kernels of convolutions."""

from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.numerics.orthogonal import orthogonalised
from ndtools.training.recipe import Recipe

__all__ = ["Muon", "optimiser_of"]


class Muon(torch.optim.Optimizer):
    """Steps along orthogonalised momentum for matrices, and plain momentum for all other parameters.

    A kernel (O, C, k, k) counts as a matrix of O rows and C k² columns. With the gradient g, M ← μ M + g, and the step
    is −lr·√max(1, rows/columns)·orthogonalised(g + μ M), after weights have shrunk by lr times the weight decay. Other
    parameters take the steps of SGD, whose weight decay is added to the gradient.

    Parameters
    ----------
    matrices : iterable of Tensor
        Parameters with two or more axes.
    others : iterable of Tensor
        All other parameters.
    lr, momentum, weight_decay : float
        Learning rate, momentum μ and weight decay, the same for both.

    References
    ----------
    Jordan et al. 2024, Muon, https://kellerjordan.github.io/posts/muon/
    """

    def __init__(
        self, matrices: Iterable[Tensor], others: Iterable[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        groups = [{"params": list(matrices), "orthogonal": True}, {"params": list(others), "orthogonal": False}]
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ANN401, ARG002, D102
        for group in self.param_groups:
            lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not (state := self.state[p]):
                    state["momentum_buffer"] = torch.zeros_like(p)
                buffer = state["momentum_buffer"]
                if group["orthogonal"]:
                    buffer.mul_(momentum).add_(p.grad)
                    direction = (p.grad + momentum * buffer).flatten(1)
                    scale = max(1, direction.shape[0] / direction.shape[1]) ** 0.5
                    p.mul_(1 - lr * decay).add_(orthogonalised(direction).view(p.shape), alpha=-lr * scale)
                else:
                    buffer.mul_(momentum).add_(p.grad).add_(p, alpha=decay)
                    p.add_(buffer, alpha=-lr)


def optimiser_of(
    model: nn.Module, recipe: Recipe, faster: Mapping[str, float] = MappingProxyType({})
) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe for all parameters of a network that are trained.

    Parameters
    ----------
    model : Module
        Network whose parameters are trained.
    recipe : Recipe
        Settings of the run.
    faster : mapping of str to float
        Factors of the learning rate, by the name of the network's part that they hold for. Groups of parameters have
        them as ``factor``.

    Returns
    -------
    Optimizer
        An optimiser that has made no step.
    """
    parts = {name: {id(p) for p in model.get_submodule(name).parameters()} for name in faster}
    optimiser = _optimiser_of(model, recipe, list(parts.values()))
    for name, factor in faster.items():
        ids = parts[name]
        for group in list(optimiser.param_groups):
            chosen = [p for p in group["params"] if id(p) in ids]
            if chosen:
                group["params"] = [p for p in group["params"] if id(p) not in ids]
                optimiser.param_groups.append({**group, "params": chosen, "factor": factor})
    return optimiser


def _optimiser_of(model: nn.Module, recipe: Recipe, parts: Sequence[Set[int]]) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    lr, momentum, decay = recipe.lr, recipe.momentum, recipe.weight_decay
    if recipe.opt == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay)
    if recipe.opt == "muon":
        matrices = [p for p in parameters if p.dim() > 1]
        rest = [p for p in matrices if not any(id(p) in part for part in parts)]
        last = [rest[-1:], *([p for p in matrices if id(p) in part][-1:] for part in parts)]  # the classifiers
        apart = {id(p) for classifier in last for p in classifier}
        others = [p for p in parameters if p.dim() < 2 or id(p) in apart]
        matrices = [p for p in matrices if id(p) not in apart]
        return Muon(matrices, others, lr, momentum, decay)
    make = torch.optim.Adam if recipe.opt == "adam" else torch.optim.AdamW
    return make(parameters, lr=lr, betas=(momentum, 0.999), weight_decay=decay)
