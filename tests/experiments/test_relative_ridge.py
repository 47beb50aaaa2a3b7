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


@pytest.mark.parametrize("command", ["kernels", "covariance", "sparsity", "deconvolve"])
def test_the_ridge_of_patches(command, photos, tmp_path):
    source = photos / "1.jpg" if command == "deconvolve" else photos
    result = invoke(command, source, "-k", 3, "--eps", 0.01, "--relative-eps", "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    content = numbers(tmp_path, command)
    assert content["relative_eps"] is True
    assert content["eps"] == pytest.approx(0.01 * content["deconvolution"]["mean_variance"])


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
