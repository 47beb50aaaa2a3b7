"""The recorded outputs of the published layers follow from their published arithmetic."""

import numpy as np

from tests.oracles.make_reference_layers import EPS, differences

# D of covariance + EPS, whose largest eigenvalues are of order 1, amplifies rounding by up to EPS^(-1/2) and its
# derivative by up to EPS^(-1).
ROUNDING = np.finfo(np.float64).eps / EPS


def test_the_committed_file_is_made_by_this_arithmetic():
    different = {name: value for name, value in differences().items() if value > ROUNDING}
    assert not different
