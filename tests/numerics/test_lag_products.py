"""The terms of the lag-domain second moment, each against the sum that it stands for."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ndtools.numerics.correlations import CornerProducts, LagSpectra, StripSpectra, Total
from ndtools.numerics.lag_products import (
    WindowProducts,
    window_products,
    window_sums,
)
from ndtools.numerics.tiles import LONGEST_TRANSFORM, Centred, borders_of, cut, transform_length
from tests.oracles.patches import patch_matrix

CPU = torch.device("cpu")


def integers(*shape, seed=0):
    """Small whole numbers: their sums of products are exact, so equality is equality."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float64)


def lag_sum(x, y, lag):
    """Σ_q x[q] y[q + lag] over all q of two equally long rows."""
    n = len(x)
    return sum(x[q] * y[q + lag] for q in range(n) if 0 <= q + lag < n)


@given(n=st.integers(1, 12), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_window_products_follow_from_lags_and_borders(n, k, seed):
    if k > n:
        return
    x, y = integers(2, n, seed=seed)
    lags = [lag_sum(x, y, lag) for lag in range(1 - k, k)]
    first = np.outer(x[: k - 1], y[: k - 1])
    last = np.outer(x[n - k + 1 :], y[n - k + 1 :])
    positions = range(n - k + 1)
    expected = [[sum(x[p + d] * y[p + e] for p in positions) for e in range(k)] for d in range(k)]
    result = window_products(torch.tensor(lags), torch.tensor(first), torch.tensor(last))
    assert result.tolist() == expected


def test_lag_spectra_correlate_all_channel_pairs_at_all_lags():
    tiles = [integers(3, 5, 7, seed=s) for s in range(2)]
    ky, kx = 3, 4
    spectra = LagSpectra(3, (ky, kx), (8, 10), torch.float64, CPU)
    for tile in tiles:
        spectra.add(torch.nn.functional.pad(torch.tensor(tile), (0, 3, 0, 3)))
    assert len(spectra) == 2
    lags = spectra.take()
    assert len(spectra) == 0
    assert torch.count_nonzero(spectra.take()) == 0
    assert lags.shape == (2 * ky - 1, 2 * kx - 1, 3, 3)
    for lx, ly, c, d in itertools.product(range(1 - kx, kx), range(1 - ky, ky), range(3), range(3)):
        expected = sum(
            tile[c, y, x] * tile[d, y + ly, x + lx]
            for tile in tiles
            for y, x in itertools.product(range(5), range(7))
            if 0 <= y + ly < 5 and 0 <= x + lx < 7
        )
        assert lags[ly + ky - 1, lx + kx - 1, c, d].item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("length", [8, 9])
def test_strip_spectra_correlate_all_pairs_of_lines(length):
    count, k_along = 5, 3
    strips = integers(count, 2, 2, 2, 6)  # tiles, both sides, two channels, two lines
    spectra = StripSpectra(2, (2,), (k_along,), (length,), torch.float64, CPU)
    for strip in strips:
        spectra.add(torch.nn.functional.pad(torch.tensor(strip), (0, length - 6)))
    lags = spectra.take()
    assert len(spectra) == 0
    lines = strips.transpose(1, 0, 2, 3, 4).reshape(2, count, 4, 6)
    for side, lag, i, j in itertools.product(range(2), range(-2, 3), range(4), range(4)):
        expected = sum(lag_sum(line[i], line[j], lag) for line in lines[side])
        assert lags[side, lag + 2, i, j].item() == pytest.approx(expected, abs=1e-9)


def test_corner_products_are_those_of_all_pairs_of_pixels():
    corners = torch.tensor(integers(7, 2, 2, 3, 2, 4))
    products = CornerProducts(3, (2, 4), torch.float64, CPU)
    for corner in corners:
        products.add(corner)
    vectors = corners.flatten(3)
    assert torch.equal(products.take(), torch.einsum("tvhi,tvhj->vhij", vectors, vectors))
    assert len(products) == 0


class Sums:
    """The simplest thing that a total can be made of."""

    at_once = 3

    def __init__(self, factor):
        self.factor, self.waiting = factor, []

    def __len__(self):
        return len(self.waiting)

    def add(self, tensor):
        assert len(self) < self.at_once
        self.waiting.append(tensor)

    def take(self):
        assert self.waiting, "nothing to take"
        total = self.factor * torch.stack(self.waiting).sum(0)
        self.waiting = []
        return total


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(-9, 9)), max_size=40), st.integers(1, 4))
def test_totals_lose_nothing_whatever_comes_when(additions, most):
    total = Total((2,), CPU, Sums, most)
    other = Total((2,), CPU, Sums, most)
    for n, (key, value) in enumerate(additions):
        (total if n % 3 else other).add((key,), torch.full((2,), float(value)))
        assert len(total._recent) <= most
    total.merge(other)
    assert total.sum().tolist() == [sum(key * value for key, value in additions)] * 2


def test_borders_of_a_tile():
    tile = torch.zeros(2, 9, 12)
    tile[:, :7, :10] = torch.tensor(integers(2, 7, 10))
    borders = borders_of(tile, (7, 10), (3, 5))
    assert torch.equal(borders[()], tile)
    assert torch.equal(borders[(0,)], torch.stack([tile[:, :2], tile[:, 5:7]]))
    assert torch.equal(borders[(1,)], torch.stack([tile[..., :4].mT, tile[..., 6:10].mT]))
    for y, rows in enumerate((slice(2), slice(5, 7))):
        for x, columns in enumerate((slice(4), slice(6, 10))):
            assert torch.equal(borders[0, 1][y, x], tile[:, rows, columns])


@given(n=st.integers(1, 12), k=st.integers(1, 12))
def test_window_sums_follow_from_the_total_and_borders(n, k):
    if k > n:
        return
    x = torch.tensor(integers(n, 2))
    expected = [x[d : d + n - k + 1].sum(0).tolist() for d in range(k)]
    assert window_sums(x.sum(0), x[: k - 1], x[n - k + 1 :]).tolist() == expected


@given(length=st.integers(1, 5000), k=st.integers(1, 300), longest=st.sampled_from([*LONGEST_TRANSFORM.values()]))
def test_cuts_hold_every_window_once_and_fit_their_transform(length, k, longest):
    if k > length:
        return
    pieces = cut(length, k, longest)
    windows = [p for piece in pieces for p in range(piece.start, piece.stop - k + 1)]
    assert windows == list(range(length - k + 1))
    assert pieces[-1].stop == length
    sizes = [piece.stop - piece.start for piece in pieces]
    assert sizes[0] == max(sizes)
    transform = transform_length(sizes[0], k)
    assert sizes[0] + k - 1 <= transform <= 1.25 * max(longest, 4 * k)
    assert transform % 2 == 0


def test_strips_with_several_free_axes_correlate_all_pairs_of_lines():
    strips = integers(6, 2, 1, 2, 4, 5)  # tiles (more than are held at once), both ends, a channel, two slices
    spectra = StripSpectra(1, (2,), (3, 2), (6, 7), torch.float64, CPU)
    lags = torch.zeros(2, 5, 3, 2, 2, dtype=torch.float64)
    for strip in strips:
        spectra.add(torch.nn.functional.pad(torch.tensor(strip), (0, 2, 0, 2)))
        if len(spectra) == spectra.at_once:
            lags += spectra.take()
    lags += spectra.take()
    for side, ly, lx, i, j in itertools.product(range(2), range(-2, 3), range(-1, 2), range(2), range(2)):
        expected = sum(
            strip[side, 0, i, y, x] * strip[side, 0, j, y + ly, x + lx]
            for strip in strips
            for y, x in itertools.product(range(4), range(5))
            if 0 <= y + ly < 4 and 0 <= x + lx < 5
        )
        assert lags[side, ly + 2, lx + 1, i, j].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("kernel_size", "sizes"),
    [(k, ((4, 3), (9, 12), (4, 400), (300, 5))) for k in ((1, 1), (1, 3), (3, 1), (2, 2), (4, 3))]
    + [(k, ((4,), (9,), (5000,))) for k in ((1,), (2,), (4,))]
    + [(k, ((4, 3, 2), (5, 9, 12), (4, 100, 3))) for k in ((1, 1, 1), (1, 3, 2), (3, 1, 1), (2, 2, 2), (4, 3, 2))],
)
def test_second_moments_of_windows(kernel_size, sizes):
    images = [integers(2, *size, seed=size[0]) for size in sizes]
    products = WindowProducts(2, kernel_size, device=CPU)
    for image in images:
        zero = torch.zeros(2, dtype=torch.float64)
        sums = products.add(Centred(torch.tensor(image), zero, 1.0, torch.float64))
        both = products.first_moments(torch.stack([sums, -2 * sums], dim=1))
        assert both.shape == (2, *kernel_size, 2)
        assert both[..., 0].flatten().tolist() == patch_matrix(image, kernel_size).sum(0).tolist()
        assert torch.equal(both[..., 1], -2 * both[..., 0])
    total = products.total()
    assert total.shape == (2, *kernel_size, 2, *kernel_size)
    patches = np.concatenate([patch_matrix(image, kernel_size) for image in images])
    np.testing.assert_allclose(total.reshape(patches.shape[1], -1), patches.T @ patches, rtol=0, atol=1e-9)
