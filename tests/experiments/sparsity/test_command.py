"""``ndtools sparsity`` as its user meets it: screen, files, exit codes."""

import numpy as np
import pytest
from PIL import Image

from tests.commands import invoke, numbers, save
from tests.oracles.whitened_pixels import distributions
from tests.places import real

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(source, out, *arguments):
    return invoke("sparsity", source, "--out", out, *arguments)


def test_numbers_and_histograms_are_those_of_the_values(photos, out):  # noqa: F811
    result = run(photos, out, "--bins", 41, "--eps", 1e-2)
    assert result.exit_code == 0, result.stderr
    content = numbers(out, "sparsity")
    with np.load(out / "sparsity.npz") as arrays:
        edges = arrays["edges"]
        densities = {side: arrays[f"density_{side}"] for side in ("before", "after")}
    assert len(edges) == 42
    for side, x in zip(("before", "after"), distributions(photos, 3, 1e-2), strict=True):
        found = content[side]
        assert content["values"] == x.size == 4 * 38 * 28 * 3
        assert found["kurtosis"] == pytest.approx((x**4).mean(), rel=1e-4)
        assert found["near_zero"] == pytest.approx((np.abs(x) < 0.1).mean(), abs=1e-3)
        assert found["clipped"] == pytest.approx((np.abs(x) > 10).mean(), abs=1e-9)
        counts = np.histogram(x, bins=edges)[0] / x.size / np.diff(edges)
        np.testing.assert_allclose(densities[side], counts, atol=2e-3)
        assert (densities[side] * np.diff(edges)).sum() == pytest.approx(1 - found["clipped"])
        for name in ("kurtosis", "hoyer", "gini", "near_zero", "ggd_shape"):
            low, high = found["intervals"][name]
            assert low < found[name] < high, name
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert result.stdout.splitlines()[2].startswith("kurtosis")


def test_threads_and_their_order_change_nothing(photos, out):  # noqa: F811
    found = []
    for jobs in (1, 4):
        assert run(photos, out, "-j", jobs, "--seed", 3).exit_code == 0
        found.append(numbers(out, "sparsity"))
    for side in ("before", "after"):
        for name in ("kurtosis", "hoyer", "gini", "near_zero", "ggd_shape"):
            # One of 12,768 values may change sides of a threshold by rounding, and count up to five times.
            atol = 5e-4 if name == "near_zero" else 0
            assert found[0][side][name] == pytest.approx(found[1][side][name], rel=1e-4, abs=atol)
            intervals = [f[side]["intervals"][name] for f in found]
            assert intervals[0] == pytest.approx(intervals[1], rel=1e-3, abs=atol)


def test_whitening(photos, out):  # noqa: F811
    kurtosis = {}
    for whitening in ("patch", "channel", "none"):
        assert run(photos, out, "--whitening", whitening, "--bootstrap", 0).exit_code == 0
        content = numbers(out, "sparsity")
        kurtosis[whitening] = content["after"]["kurtosis"]
        assert content["after"]["intervals"]["gini"] == [None, None]
        if whitening == "none":
            assert content["condition"] is content["residual"] is None
            assert content["after"] == content["before"]
        else:
            assert content["residual"] < 1e-9
    assert len(set(kurtosis.values())) == 3


def test_constant_images_have_no_sparsity(tmp_path, out):
    folder = tmp_path / "flat"
    folder.mkdir()
    for i in range(2):
        Image.new("RGB", (9, 9), (100, 100, 100)).save(folder / f"{i}.png")
    result = run(folder, out)
    assert result.exit_code == 0
    assert "constant" in result.stderr
    for side in ("before", "after"):
        found = numbers(out, "sparsity")[side]
        assert found["sigma"] == 0
        assert found["kurtosis"] is found["near_zero"] is found["ggd_shape"] is None


def test_a_subset_is_drawn(photos, out):  # noqa: F811
    assert run(photos, out, "-n", 2).exit_code == 0
    assert numbers(out, "sparsity")["images"]["read"] == 2


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("-k", "4"), "--kernel-size"),
        (("--eps", "-1"), "--eps"),
        (("--bins", "9"), "--bins"),
        (("-n", "0"), "--images"),
        (("--bootstrap", "-1"), "--bootstrap"),
        (("--bootstrap", "1"), "--bootstrap"),
    ],
)
def test_bad_options(photos, out, arguments, option):  # noqa: F811
    result = run(photos, out, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {option}")


def test_nothing_usable(tmp_path, out):
    assert run(tmp_path / "nothing", out).exit_code == 3
    assert run(save(tmp_path / "a.png", (2, 9)), out).exit_code == 3


def test_photographs_are_sparser_after(out):
    assert run(real("imagenet-sample"), out, "-n", 40).exit_code == 0
    content = numbers(out, "sparsity")
    before, after = content["before"], content["after"]
    for name in ("kurtosis", "hoyer", "gini", "near_zero"):
        assert before["intervals"][name][1] < after["intervals"][name][0]
    assert after["intervals"]["ggd_shape"][1] < 1.2 < 2 < before["intervals"]["ggd_shape"][0]
