"""Optimiser of a recipe."""

import torch
from torch import nn

from ndtools.training.recipe import Recipe

__all__ = ["optimiser_of"]


def optimiser_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe for all parameters of a network that are trained."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
