"""The one tolerance of tests that compare a computed inverse square root with an exact one."""

import torch

LIMIT = 1e-2


def rtol(dtype: torch.dtype, condition: float) -> float:
    """Return 4·eps(dtype)·condition, the relative error that rounding explains.

    Beyond 1e-2 (float32 past condition 2e4) a test would not notice a mistake: it must use float64.
    """
    value = 4 * torch.finfo(dtype).eps * condition
    assert value <= LIMIT, f"condition {condition:.1e} is too much for a test in {dtype}: use a wider dtype"
    return value
