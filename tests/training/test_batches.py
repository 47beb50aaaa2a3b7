"""Batches: every image once an epoch, shifted and mirrored as drawn, and the same whenever they are made."""

import numpy as np
import pytest
import torch

from ndtools.errors import OptionError
from ndtools.training.batches import Batches, augmented, derived_seed, seeded
from ndtools.training.recipe import Recipe
from tests.training.networks import small_data


def batches(data=None, **settings):
    rank, processes = settings.pop("rank", 0), settings.pop("processes", 1)
    return Batches(data or small_data(), Recipe(**{"batch_size": 8} | settings), rank, processes)


def test_an_image_is_shifted_and_mirrored_as_by_hand():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (40, 3, 6, 9), dtype=torch.uint8, generator=generator)
    top, left = torch.randint(9, (2, 40), generator=generator)
    mirrored = torch.rand(40, generator=generator) < 0.5
    for image, y, x, mirror, found in zip(
        images, top, left, mirrored, augmented(images, top, left, mirrored), strict=True
    ):
        wanted = np.pad(image.numpy(), ((0, 0), (4, 4), (4, 4)))[:, y : y + 6, x : x + 9]
        np.testing.assert_array_equal(found, wanted[:, :, ::-1] if mirror else wanted)


def test_an_epoch_shows_each_image_once_and_leaves_the_rest_of_a_batch_out():
    data = small_data()
    made = batches(data, augment=False)
    assert made.per_epoch == 8
    orders = []
    for epoch in range(2):
        images = torch.cat([made[step][0] for step in range(8 * epoch, 8 * epoch + 8)])
        place = (images[:, None] == data.normalised(data.train.images)).flatten(2).all(2).int().argmax(1)
        assert len(set(place.tolist())) == 64
        labels = torch.cat([made[step][1] for step in range(8 * epoch, 8 * epoch + 8)])
        assert torch.equal(labels, data.train.labels[place])
        orders.append(place)
    assert not torch.equal(*orders)


def test_a_batch_does_not_depend_on_those_before():
    data = small_data()
    in_order, made = [batches(data)[step] for step in range(20)], batches(data)
    for step in (3, 19, 0, 7, 8, 3):
        assert all(torch.equal(a, b) for a, b in zip(made[step], in_order[step], strict=True))


def test_seeds_give_other_orders_and_shifts():
    one, other = (torch.cat([batches(seed=seed)[step][1] for step in range(8)]) for seed in (1, 2))
    assert not torch.equal(one, other)
    assert derived_seed(1, 0, 2) != derived_seed(2, 0, 1) != derived_seed(1, 0, 1)


def test_all_shifts_and_both_sides_occur_equally_often():
    drawn = batches(small_data(n_train=9000, side=1))._drawn(0)
    for choice, values in ((drawn.top, 9), (drawn.left, 9), (drawn.mirrored.long(), 2)):
        counts = torch.bincount(choice, minlength=values)
        assert len(counts) == values
        expected = 9000 / values
        # Each count is off by more than 4.5 deviations once in 150,000 draws.
        assert (counts - expected).abs().max() < 4.5 * (expected * (1 - 1 / values)) ** 0.5


def test_digits_are_shifted_but_not_mirrored():
    drawn = batches(small_data(name="mnist"))._drawn(0)
    assert not drawn.mirrored.any()
    assert drawn.top.unique().numel() == 9


def test_processes_share_the_batch_of_one():
    whole = batches(batch_size=8)
    for step in (0, 9):
        parts = [batches(batch_size=4, rank=rank, processes=2)[step] for rank in (0, 1)]
        for i, both in enumerate(zip(*parts, strict=True)):
            assert torch.equal(torch.cat(both), whole[step][i])


def test_more_images_in_a_batch_than_there_are():
    with pytest.raises(OptionError, match="batch_size: must be at most the number of training images, 70, got 71"):
        batches(batch_size=71)
    with pytest.raises(OptionError, match="70, got 36 in each of 2 processes"):
        batches(batch_size=36, processes=2)


def test_random_numbers_follow_from_the_seed_and_the_callers_are_left_alone():
    before = torch.get_rng_state()
    drawn = []
    for keys in ((1, 2), (1, 2), (1, 3)):
        with seeded(torch.device("cpu"), *keys):
            drawn.append(torch.rand(5))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
