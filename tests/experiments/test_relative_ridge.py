"""Every command that whitens images takes its ridge in units of the mean variance, and tells the absolute one."""

import numpy as np
import pytest

from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.experiments.deblur.run import run as run_deblur
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.ns_stability.run import run as run_ns_stability
from tests.commands import invoke, numbers

pytestmark = [
    pytest.mark.usefixtures("unpainted"),
    pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning"),
]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("kernels", ()),
        ("covariance", ()),
        ("deconvolve", ()),
        ("sparsity", ("--bootstrap", 0)),
        ("sparsity", ("--bootstrap", 0, "--whitening", "channel")),
    ],
)
def test_the_ridge_of_patches_in_both_units(command, arguments, photos, tmp_path):
    source = photos / "0.jpg" if command == "deconvolve" else photos
    found = []
    for unit in (("--relative-eps",), ()):
        result = invoke(command, source, "-k", 3, "--eps", "1e-5", *unit, *arguments, "-o", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        found.append(numbers(tmp_path / "out", command))
        assert f"{found[-1]['eps_relative_to_mean_variance']:.2g} of the mean variance" in result.stdout
    relative, absolute = found
    assert (relative["relative_eps"], absolute["relative_eps"]) == (True, False)
    assert relative["eps_relative_to_mean_variance"] == pytest.approx(1e-5)
    assert relative["eps"] == pytest.approx(1e-5 * relative["deconvolution"]["mean_variance"])
    assert absolute["eps"] == 1e-5
    assert relative["eps"] * absolute["eps_relative_to_mean_variance"] == pytest.approx(1e-10)
    assert 0 < relative["covariance_error"] < 1e-6  # float64, as the ridge asks for


def test_the_ridge_of_a_matrix(tmp_path):
    np.save(tmp_path / "m.npy", np.diag([1.0, 2.0, 6.0]))
    relative, absolute = (
        run_ns_stability(
            NsStabilityConfig(source=str(tmp_path / "m.npy"), eps=eps, relative_eps=relative, iterations=3)
        )
        for eps, relative in ((0.01, True), (0.03, False))
    )
    assert relative.eps == pytest.approx(0.03)
    assert relative.condition == pytest.approx(absolute.condition)
    assert relative.numbers()["relative_eps"] is True
    assert "plus eps 0.03 (0.01 of the mean variance)" in relative.caption
    assert "eps 0.03 ·" in repr(relative)


def test_the_ridge_of_a_blurred_image():
    relative = run_deblur(DeblurConfig(eps=1e-3, relative_eps=True, iterations=1, kernel_size=5, blur="gaussian:0.5"))
    assert 1e-5 < relative.eps < 1e-3  # the variance of a photograph is below 1
    absolute = run_deblur(DeblurConfig(eps=relative.eps, iterations=1, kernel_size=5, blur="gaussian:0.5"))
    assert absolute.condition == pytest.approx(relative.condition)
    assert f"eps {relative.eps:.3g} ·" in repr(relative)
    assert relative.numbers()["relative_eps"] is True
