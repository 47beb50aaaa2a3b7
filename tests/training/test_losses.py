"""Losses by their formulas."""

import math

import pytest
import torch

from ndtools.training.losses import loss_of, right

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(6, 4, dtype=torch.float64, generator=GENERATOR)
LABELS = torch.tensor([0, 1, 2, 3, 3, 0])


def target(smoothing):
    wanted = torch.full((6, 4), smoothing / 4, dtype=torch.float64)
    wanted[torch.arange(6), LABELS] += 1 - smoothing
    return wanted


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_cross_entropy(smoothing):
    wanted = -(target(smoothing) * (LOGITS - LOGITS.exp().sum(1, keepdim=True).log())).sum(1).mean()
    assert loss_of(LOGITS, LABELS, "ce", smoothing).item() == pytest.approx(wanted.item(), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_l2_is_half_the_squared_distance_of_each_image(smoothing):
    wanted = ((LOGITS - target(smoothing)) ** 2).sum(1).mean() / 2
    assert loss_of(LOGITS, LABELS, "l2", smoothing).item() == pytest.approx(wanted.item(), rel=1e-12)
    published = torch.nn.MSELoss()(LOGITS, target(smoothing)) * 4 / 2
    assert loss_of(LOGITS, LABELS, "l2", smoothing).item() == pytest.approx(published.item(), rel=1e-12)


def test_half_precision_is_widened():
    assert loss_of(LOGITS.bfloat16(), LABELS, "ce").dtype == torch.float32


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_image_whose_logits_overflow_is_not_right(value):
    logits = torch.nn.functional.one_hot(LABELS).double()
    assert right(logits, LABELS) == 6
    logits[2, 0] = value
    assert right(logits, LABELS) == 5
