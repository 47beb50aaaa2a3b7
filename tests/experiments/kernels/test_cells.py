"""Kernels measured as cells: nearly equal ones, and those that older versions saved."""

import json
from dataclasses import replace

import numpy as np
import pytest

import ndtools as nd
from ndtools.experiments.kernels.cells import CellMeasures
from ndtools.numerics.difference_of_gaussians import PARAMETERS
from ndtools.results.files import strict_json
from tests.oracles.gaussians import dog
from tests.places import real

KERNEL = dog((1, 0.75, 0.2, 0.9), 7) + 1e-3 * np.random.default_rng(0).standard_normal((7, 7))


def saved(cell):
    return json.loads(strict_json(cell.numbers()))


def test_measures_survive_a_file():
    cell = CellMeasures.of(KERNEL)
    again = CellMeasures.from_numbers(saved(cell), KERNEL, varies=True)
    assert again.dog == cell.dog
    assert again.measures == cell.measures
    assert saved(again) == saved(cell)
    further = saved(cell)
    for part in (further, further["dog"], further["center_surround"], further["frequency_response"]):
        part["a key of a later version"] = 1
    assert CellMeasures.from_numbers(further, KERNEL, varies=True).dog == cell.dog


def test_files_of_older_versions_are_read():
    """They have neither intervals nor measures without a fit: these are measured again from the kernels in the file."""
    cell = CellMeasures.of(KERNEL)
    old = saved(cell)
    del old["center_surround"], old["dog_missing"]
    for name in ("intervals", "center_radius", "surround_radius"):
        del old["dog"][name]
    again = CellMeasures.from_numbers(old, KERNEL, varies=True)
    assert again.measures == cell.measures
    assert again.dog.intervals == {}
    assert (again.dog.center_sigma, again.dog.center_limit) == (cell.dog.center_sigma, cell.dog.center_limit)
    assert again.errors == {}


def agree(one, other):
    """Whether two intervals have values in common."""
    low = max((end for end in (one[0], other[0]) if end is not None), default=-np.inf)
    high = min((end for end in (one[1], other[1]) if end is not None), default=np.inf)
    return low <= high


def test_grey_photographs_have_stable_numbers():
    """Two draws of photographs: whatever the fit says of one is within the intervals of the other."""
    source = str(real("imagenet-sample"))
    config = nd.KernelsConfig(source=source, images=60, resize=100, kernel_size=9, gray=True, fit=True)
    one, other = (nd.run_kernels(replace(config, seed=seed)).cells[0] for seed in range(2))
    for name in PARAMETERS:
        assert agree(one.dog.intervals[name], other.dog.intervals[name])
    for name in ("zero_crossing", "surround_ratio"):
        assert getattr(other.measures, name) == pytest.approx(getattr(one.measures, name), rel=0.03)


@pytest.mark.parametrize("eps", [1e-3, 1e-2])
def test_channels_of_dead_leaves_that_are_nearly_equal_have_nearly_equal_cells(eps):
    result = nd.run_kernels(nd.KernelsConfig(source="sample", images=12, kernel_size=9, eps=eps, fit=True))
    cells, kernels = result.cells, [result.kernels[i, i] for i in range(3)]
    apart = np.linalg.norm(kernels[0] - kernels[1]) / np.linalg.norm(kernels[0])
    assert apart < 0.05  # red and green
    for name in ("zero_crossing", "surround_half_width"):
        assert getattr(cells[1].measures, name) == pytest.approx(getattr(cells[0].measures, name), rel=2 * apart)
    ratios = [cell.measures.surround_ratio for cell in cells[:2]]
    summed = float(np.abs(kernels[0] - kernels[1]).sum() / kernels[0][4, 4])  # as sums may change, by the centre
    assert ratios[1] == pytest.approx(ratios[0], abs=2 * summed)
    assert agree(cells[0].dog.intervals["center_sigma"], cells[1].dog.intervals["center_sigma"])
    assert agree(cells[0].dog.intervals["surround_sigma"], cells[1].dog.intervals["surround_sigma"])
