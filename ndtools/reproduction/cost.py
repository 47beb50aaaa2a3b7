"""Time that work takes on this machine, by a short probe, and budgets in words."""

import math
import re
import time

from ndtools.errors import OptionError

__all__ = ["REFERENCE", "budget_from", "probe", "slowness"]

REFERENCE = 0.0085
"""Seconds of :func:`probe` on the machine whose seconds are the ``work`` of parts: two threads of an
AMD EPYC on which nothing else runs."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PASSES = 5


def budget_from(text: str) -> float | None:
    """Read a budget, such as "90s", "15m", "2h", "1h30m" or "none".

    Parameters
    ----------
    text : str
        Numbers with units s, m, h or d, one after the other; or "none".

    Returns
    -------
    float or None
        Seconds; None for no limit.

    Raises
    ------
    OptionError
        If the text is no such time, or not above 0.
    """
    word = text.strip().lower()
    if word == "none":
        return None
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)\s*([smhd])\s*", word)
    whole = re.fullmatch(r"((\d+(?:\.\d*)?|\.\d+)\s*[smhd]\s*)+", word)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if whole is None or not (0 < seconds < math.inf):
        raise OptionError("budget", f"must be a time such as 90s, 15m or 2h, or none, got {text!r}")
    return seconds


def probe() -> float:
    """Time a fixed mixture of the arithmetic of experiments, a few hundredths of a second.

    Returns
    -------
    float
        Median seconds of several passes over matrix products, Fourier transforms and a convolution.
    """
    import torch
    from torch.nn.functional import conv2d

    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(384, 384, generator=generator)
    images = torch.randn(8, 3, 128, 128, generator=generator)
    features, weight = torch.randn(8, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    times = []
    with torch.no_grad():
        for _ in range(_PASSES + 1):
            start = time.perf_counter()
            for _ in range(4):
                matrix @ matrix
            torch.fft.rfft2(images)
            conv2d(features, weight, padding=1)
            torch.linalg.eigvalsh(matrix + matrix.mT)
            times.append(time.perf_counter() - start)
    return sorted(times[1:])[_PASSES // 2]  # the first pass also makes plans


def slowness() -> float:
    """Return how many times as long as the reference this machine takes, now."""
    return probe() / REFERENCE
