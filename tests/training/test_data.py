"""Images of a run: which are trained on, which are held out, and how they are normalised."""

import numpy as np
import pytest
import torch
from PIL import Image

from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import OptionError
from ndtools.training.data import PUBLISHED, TrainingData
from tests.places import real
from tests.training.networks import small_set


def rows(images):
    return {bytes(image.numpy()) for image in images}


def test_held_out_images_are_not_trained_on_and_are_the_same_for_all_subsets():
    dataset = small_set()
    whole = TrainingData.of(dataset)
    assert whole.train is dataset.train
    assert whole.eval is whole.test is dataset.test
    assert not whole.held_out
    few, many = (TrainingData.of(dataset, images=n, holdout=15) for n in (10, 50))
    assert few.held_out
    assert few.test is dataset.test
    assert torch.equal(few.eval.images, many.eval.images)
    assert torch.equal(few.train.images, many.train.images[:10])
    assert (len(few.train.labels), len(few.eval.labels)) == (10, 15)
    rest = TrainingData.of(dataset, holdout=15)
    assert not rows(rest.train.images) & rows(rest.eval.images)
    assert rows(rest.train.images) | rows(rest.eval.images) == rows(dataset.train.images)
    chosen = [(dataset.train.images == image).all((1, 2, 3)).nonzero().item() for image in rest.eval.images]
    assert torch.equal(dataset.train.labels[chosen], rest.eval.labels)
    assert chosen != sorted(chosen)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"holdout": 70}, "holdout: must be at least 0 and less than the 70 training images, got 70"),
        ({"holdout": -1}, "holdout"),
        ({"images": 0}, "images: must be at least 1 and at most the 70 training images, got 0"),
        ({"images": 61, "holdout": 10}, "images: .* 70 training images, of which 10 are held out, got 61"),
    ],
)
def test_more_images_than_there_are(settings, message):
    with pytest.raises(OptionError, match=message):
        TrainingData.of(small_set(), **settings)


def test_pixels_are_standardised():
    dataset = small_set()
    data = TrainingData.of(dataset, images=20)
    pixels = dataset.train.images.numpy() / 255
    np.testing.assert_allclose(data.mean.flatten(), pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std.flatten(), pixels.std((0, 2, 3)), rtol=1e-6)
    found = data.normalised(dataset.train.images).double()
    assert found.mean((0, 2, 3)).abs().max() < 1e-6
    assert (found.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-6


def test_a_channel_of_one_value_is_only_centred():
    dataset = small_set()
    dataset.train.images[:, 1] = 7
    assert torch.equal(TrainingData.of(dataset).normalised(dataset.train.images)[:, 1], torch.zeros(70, 9, 9))


def test_published_constants_are_those_of_a_known_set_only():
    data = TrainingData.of(small_set(name="cifar10"), published=True)
    assert data.std.flatten().tolist() == pytest.approx([0.2023, 0.1994, 0.2010])
    pooled = TrainingData.of(small_set())
    assert torch.equal(TrainingData.of(small_set(), published=True).std, pooled.std)


@pytest.mark.parametrize(("name", "mirror"), [("mnist", False), ("glyphs", False), ("cifar10", True)])
def test_digits_are_not_mirrored(name, mirror):
    assert TrainingData.of(small_set(name=name)).mirror == mirror


def test_moving_keeps_what_is_the_same():
    data = TrainingData.of(small_set()).to("meta")
    assert data.eval is data.test
    assert {t.device.type for t in (data.train.images, data.eval.labels, data.mean, data.std)} == {"meta"}


@pytest.mark.parametrize(("name", "mean", "std"), [("mnist", 0.13066, 0.30811), ("fashion-mnist", 0.28604, 0.35302)])
def test_constants_of_real_sets(name, mean, std):
    data = TrainingData.of(load_dataset(name, data_dir=real(name).parent))
    assert data.mean.item() == pytest.approx(mean, abs=5e-6)
    assert data.std.item() == pytest.approx(std, abs=5e-6)


def test_published_deviations_of_colour_images_are_means_of_those_of_single_images():
    with Image.open(real("cifar-10-webp") / "data_batch_1_0.webp") as mosaic:  # 25 rows of 40 images
        tiles = np.asarray(mosaic).reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3).reshape(1000, 3, 32, 32) / 255
    apart, pooled = tiles.std((2, 3)).mean(0), tiles.std((0, 2, 3))
    assert apart == pytest.approx(PUBLISHED["cifar10"][1], abs=5e-3)
    assert (pooled > apart + 0.03).all()
