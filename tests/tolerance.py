"""How far rounding may carry a computed value from the exact one: derived from conditioning, or measured."""

import torch
from torch import Tensor

LIMIT = 1e-2


def rtol(dtype: torch.dtype, condition: float) -> float:
    """Return 4·eps(dtype)·condition, the relative error that rounding explains.

    Beyond 1e-2 (float32 past condition 2e4) a test would not notice a mistake: it must use float64.
    """
    value = 4 * torch.finfo(dtype).eps * condition
    assert value <= LIMIT, f"condition {condition:.1e} is too much for a test in {dtype}: use a wider dtype"
    return value


def assert_equal_to_rounding(found: Tensor, wanted: Tensor, *, single: Tensor, name: str = "") -> None:
    """Compare float64 results whose conditioning nobody has derived: float32 measures it.

    Rounding errors scale with the precision. The same computation in float32 is off by what its conditioning makes
    of 1.2e-7, so the one in float64 is off by 2^-29 as much, on any processor and in any order of sums. Another
    order draws other errors of that size: sixteen times it is allowed, and no less than sixteen roundings of the
    largest value, as the float32 result may be right by chance.

    Parameters
    ----------
    found : Tensor
        The float64 result of the code under test.
    wanted : Tensor
        The float64 result that it should be, by another way or on another machine.
    single : Tensor
        What the code under test gives in float32 for the same input.
    name : str
        What is compared, for the message.
    """
    double, float32 = torch.finfo(torch.float64).eps, torch.finfo(torch.float32).eps
    assert (found.dtype, wanted.dtype, single.dtype) == (torch.float64, torch.float64, torch.float32), name
    assert found.shape == wanted.shape, f"{name}: shape {tuple(found.shape)}, wanted {tuple(wanted.shape)}"
    largest = wanted.abs().max().item()
    amplified = (found - single.double()).abs().max().item() / float32
    assert amplified * float32 <= 0.5 * largest, f"{name}: float32 keeps no digit and so measures nothing"
    allowed = 16 * double * max(amplified, largest)
    difference = (found - wanted).abs().max().item()
    assert difference <= allowed, f"{name}: off by {difference:.2e} of {largest:.2e}, rounding explains {allowed:.2e}"
