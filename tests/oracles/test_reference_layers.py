"""The recorded outputs of the published layers follow from their published arithmetic."""

import numpy as np

from tests.oracles.make_reference_layers import EPS, REFERENCE, committed, differences, draw, named, outputs

# D of covariance + EPS, whose largest eigenvalues are of order 1, amplifies rounding by up to EPS^(-1/2) and its
# derivative by up to EPS^(-1).
ROUNDING = np.finfo(np.float64).eps / EPS


def test_the_committed_outputs_are_made_by_this_arithmetic():
    drawn = draw()
    made = outputs(committed(drawn))
    assert not {name: value for name, value in differences(made).items() if value > ROUNDING}
    with np.load(REFERENCE) as file:
        assert set(file.files) == set(named(drawn)) | set(named(made))


def test_the_committed_inputs_are_drawn_from_this_seed():
    """Up to the rounding of weights in float32, which torch's generator does differently on each kind of processor."""
    rounding = 10 * float(np.finfo(np.float32).eps)
    assert not {name: value for name, value in differences(draw()).items() if value > rounding}
