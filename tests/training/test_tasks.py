"""Losses and measures of the tasks, against direct computations in double precision."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from ndtools.training.recipe import Recipe
from ndtools.training.segmentation import IGNORED, Segmentation
from ndtools.training.tasks import Classification
from tests.tolerance import rtol


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def labels_of(*shape, classes, ignored=0.2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, shape, generator=generator)
    labels[torch.rand(shape, generator=generator) < ignored] = IGNORED
    return labels


def log_softmax(values):
    return [value - math.log(sum(math.exp(other) for other in values)) for value in values]


def pixel_losses(logits, labels, smoothing=0.0):
    """Losses of the labelled pixels, one after the other."""
    losses = []
    for image, row, column in np.ndindex(*labels.shape):
        label = int(labels[image, row, column])
        if label != IGNORED:
            logs = log_softmax(logits[image, :, row, column].tolist())
            losses.append(-(1 - smoothing) * logs[label] - smoothing * sum(logs) / len(logs))
    return losses


@pytest.mark.parametrize("classes", [3, 10, 11, 40])
def test_accuracies_of_images(classes):
    task, recipe = Classification(classes), Recipe(smoothing=0.1)
    logits, labels = drawn(50, classes), labels_of(50, classes=classes, ignored=0)
    ranks = [
        sum(other > values[label] for other in values)
        for values, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    losses = [-log_softmax(values)[label] for values, label in zip(logits.tolist(), labels.tolist(), strict=True)]
    parts = [task.sums(logits[i], labels[i], recipe) for i in (slice(17), slice(17, 50))]
    found = task.evaluation(parts[0] + parts[1] + task.nothing(logits.device))
    assert found.top1 == pytest.approx(100 * ranks.count(0) / 50)
    assert found.loss == pytest.approx(np.mean(losses), rel=rtol(logits.dtype, 100))
    if classes <= 10:
        assert found.top5 is None
    else:
        assert found.top5 == pytest.approx(100 * sum(rank < 5 for rank in ranks) / 50)
        assert found.top1 < found.top5 < 100
    assert found.mean_iou is None
    assert task.counts(logits, labels).tolist() == [ranks.count(0), 50]


def test_logits_that_are_not_finite_are_not_right():
    logits = torch.full((2, 12), math.nan)
    found = Classification(12).sums(logits, torch.tensor([0, 3]), Recipe())
    assert found[1:].tolist() == [2, 0, 0]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("auxiliary", [0.0, 0.5])
def test_loss_of_pixels(smoothing, auxiliary):
    outputs, labels = (drawn(2, 4, 5, 6), drawn(2, 4, 5, 6, seed=3)), labels_of(2, 5, 6, classes=4)
    main, other = (np.mean(pixel_losses(logits, labels, smoothing)) for logits in outputs)
    task = Segmentation(4, auxiliary=auxiliary)
    found = task.loss(outputs, labels, Recipe(smoothing=smoothing))
    assert found.item() == pytest.approx(main + auxiliary * other, rel=rtol(found.dtype, 100))
    right = [
        int(outputs[0][place[0], :, place[1], place[2]].argmax()) == int(labels[place])
        for place in np.ndindex(*labels.shape)
        if labels[place] != IGNORED
    ]
    assert task.counts(outputs, labels).tolist() == [sum(right), len(right)]


def test_a_batch_without_labelled_pixels_has_no_loss_and_no_gradient():
    outputs = tuple(drawn(2, 4, 5, 6).requires_grad_() for _ in range(2))
    labels = torch.full((2, 5, 6), IGNORED)
    task = Segmentation(4)
    loss = task.loss(outputs, labels, Recipe())
    loss.backward()
    assert loss.item() == 0
    assert not any(logits.grad.any() for logits in outputs)
    assert task.counts(outputs, labels).tolist() == [0, 0]
    found = task.evaluation(task.sums(outputs[0].detach(), labels, Recipe()))
    assert all(map(math.isnan, (found.loss, found.mean_iou, found.top1)))


@pytest.mark.parametrize(("task", "measures"), [(Classification(3), 2), (Classification(11), 3), (Segmentation(3), 2)])
def test_an_evaluation_without_images_has_no_numbers(task, measures):
    found = task.evaluation(task.nothing(torch.device("cpu")))
    numbers = [value for value in (found.loss, found.top1, found.top5) if value is not None]
    assert len(numbers) == measures and all(map(math.isnan, numbers))


def test_logits_are_scaled_to_label_maps_and_measures_add_up():
    task = Segmentation(4)
    logits, labels = drawn(3, 4, 5, 6), labels_of(3, 9, 13, classes=4)
    labels[labels == 3] = 0  # a class that is only predicted
    parts = [task.sums(logits[i], labels[i], Recipe(smoothing=0.3)) for i in (slice(1), slice(1, 3))]
    found = task.evaluation(sum(parts, task.nothing(logits.device)))
    large = interpolate(logits.float(), (9, 13), mode="bilinear", align_corners=False)
    assert found.loss == pytest.approx(np.mean(pixel_losses(large.double(), labels)), rel=rtol(torch.float32, 100))
    predicted = large.argmax(1)
    counted = labels != IGNORED
    ious = []
    for k in range(4):
        truth, guess = counted & (labels == k), counted & (predicted == k)
        ious.append(int((truth & guess).sum()) / int((truth | guess).sum()))
    assert found.top1 == pytest.approx(100 * int((predicted == labels)[counted].sum()) / int(counted.sum()))
    assert found.mean_iou == pytest.approx(100 * np.mean(ious))
    assert int(found.segmented.matrix[:-1].sum()) == int(counted.sum())
    assert int(found.segmented.matrix.sum()) == labels.numel()
    official = []  # pixels of no class are a class that is never found, and one more class never occurs
    for k in range(4):
        truth, guess = labels == k, predicted == k
        official.append(int((truth & guess).sum()) / int((truth | guess).sum()))
    assert found.segmented.mean_iou_official(6) == pytest.approx(sum(official) / 6)
