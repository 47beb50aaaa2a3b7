"""Confusion of classes and the measures of segmentation, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ndtools.numerics.confusion import Segmented, confusion

metrics = pytest.importorskip("sklearn.metrics")


@st.composite
def label_maps(draw):
    """Number of classes, predicted classes, and labels of which some are 255; some classes occur nowhere."""
    classes = draw(st.integers(1, 6))
    shape = draw(st.sampled_from([(7,), (3, 4), (2, 3, 5)]))
    predicted = draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, classes - 1)))
    known = st.sampled_from([*range(classes), 255])
    return classes, predicted, draw(arrays.arrays(np.uint8, shape, elements=known))


@given(label_maps())
@settings(max_examples=60)
def test_counts_and_measures_are_those_of_scikit_learn(maps):
    classes, predicted, labels = maps
    known = labels != 255
    assume(known.any())
    counts = confusion(torch.from_numpy(predicted), torch.from_numpy(labels).long(), classes)
    truth, found = labels[known], predicted[known]
    wanted = metrics.confusion_matrix(truth, found, labels=range(classes))
    assert counts.dtype == torch.int64
    assert np.array_equal(counts, wanted)
    measured = Segmented(counts)
    assert measured.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth, found), rel=1e-12)
    occurring = np.union1d(truth, found).tolist()
    ious = metrics.jaccard_score(truth, found, labels=occurring, average=None)
    assert measured.iou[occurring].tolist() == pytest.approx(ious, rel=1e-12)
    absent = sorted(set(range(classes)) - set(occurring))
    assert measured.iou[absent].isnan().all()
    assert measured.mean_iou == pytest.approx(ious.mean(), rel=1e-12)


@given(label_maps())
@settings(max_examples=25)
def test_void_is_left_out_of_all_measures_but_the_official_one(maps):
    classes, predicted, labels = maps
    assume((labels != 255).any())
    predicted, labels = torch.from_numpy(predicted), torch.from_numpy(labels)
    without, whole = confusion(predicted, labels, classes), confusion(predicted, labels, classes, keep_ignored=True)
    assert torch.equal(whole[:-1, :-1], without)
    assert whole.sum() == labels.numel()
    assert not whole[:, -1].any()
    ours, usual = Segmented(whole, void=classes), Segmented(without)
    assert torch.equal(ours.iou.nan_to_num(-1), usual.iou.nan_to_num(-1))
    assert (ours.mean_iou, ours.pixel_accuracy) == (usual.mean_iou, usual.pixel_accuracy)
    # void is a class that is never predicted, and classes that do not occur count as 0
    truth = np.where(labels == 255, classes, labels).ravel()
    official = metrics.jaccard_score(truth, predicted.ravel(), labels=range(classes + 1), average=None, zero_division=0)
    assert ours.mean_iou_official() == pytest.approx(official.mean(), rel=1e-12)
    assert ours.mean_iou_official(rows=21) == pytest.approx(official.sum() / 21, rel=1e-12)


def test_the_published_mean_has_21_rows():
    """19 classes from 1 on, void as class 0 and a class that never occurs: by hand from one matrix."""
    counts = torch.zeros(21, 21, dtype=torch.int64)
    counts[range(1, 20), range(1, 20)] = 6
    counts[1, 2] = 2  # a mistake: the unions of classes 1 and 2 have 8 pixels
    counts[0, 0], counts[0, 1], counts[3, 0] = 5, 3, 4  # void found, void taken for 1, and 3 taken for void
    found = Segmented(counts, void=0)
    assert found.mean_iou_official() == pytest.approx((5 / 12 + 6 / 11 + 6 / 8 + 6 / 10 + 16) / 21)
    assert found.mean_iou == pytest.approx((6 / 8 + 6 / 8 + 6 / 10 + 16) / 19)
    assert found.pixel_accuracy == pytest.approx(6 * 19 / (6 * 19 + 2 + 4))
    assert found.iou.shape == (20,)
    assert math.isnan(found.iou[-1])
    assert found.iou[2] == pytest.approx(0.6)


def test_counts_of_batches_add_up():
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(4, (6, 5, 5), generator=generator)
    labels = torch.randint(4, (6, 5, 5), generator=generator)
    parts = sum(confusion(p, t, 4) for p, t in zip(predicted.split(2), labels.split(2), strict=True))
    assert torch.equal(parts, confusion(predicted, labels, 4))


def test_without_pixels_nothing_is_measured():
    found = Segmented(confusion(torch.tensor([1]), torch.tensor([255]), 2))
    assert all(map(math.isnan, (found.pixel_accuracy, found.mean_iou, *found.iou.tolist())))
    assert found.mean_iou_official() == 0


def test_another_label_or_none_may_be_ignored():
    predicted, labels = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
    assert confusion(predicted, labels, 2, ignore=0).tolist() == [[0, 0], [0, 1]]
    assert confusion(predicted, labels, 2, ignore=None).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("predicted", "labels", "ignore", "message"),
    [
        ([0, 1], [0, 2], 255, "^labels must be classes from 0 to 1, got 2$"),
        ([0, 1], [0, -1], 255, "^labels must be classes from 0 to 1, got -1$"),
        ([0, 1], [0, 255], None, "^labels must be classes from 0 to 1, got 255$"),
        ([0, 2], [0, 1], 255, "^predicted must be classes from 0 to 1, got 2$"),
        ([-1, 1], [0, 1], 255, "^predicted must be classes from 0 to 1, got -1$"),
        ([0], [0, 1], 255, r"^predicted and labels must have one shape, got \[1\], \[2\]$"),
    ],
)
def test_what_is_no_class_is_refused(predicted, labels, ignore, message):
    with pytest.raises(ValueError, match=message):
        confusion(torch.tensor(predicted), torch.tensor(labels), 2, ignore)


def test_predictions_at_ignored_pixels_do_not_matter():
    assert confusion(torch.tensor([0, 9]), torch.tensor([0, 255]), 2).tolist() == [[1, 0], [0, 0]]


def test_other_mistakes_are_refused():
    whole = torch.tensor([0])
    with pytest.raises(TypeError, match=r"^predicted must hold whole numbers, got torch.float32$"):
        confusion(torch.zeros(1), whole, 2)
    with pytest.raises(ValueError, match="^classes must be at least 1, got 0$"):
        confusion(whole, whole, 0)
    with pytest.raises(ValueError, match=r"^matrix must be square, got shape \(2, 3\)$"):
        Segmented(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="^void must be a class from 0 to 1, got 2$"):
        Segmented(torch.zeros(2, 2), void=2)
    with pytest.raises(ValueError, match="^rows must be at least 2, the classes of the matrix, got 1$"):
        Segmented(torch.zeros(2, 2)).mean_iou_official(1)
