"""Facts that make a result reproducible: the command, its configuration, and the versions of the software."""

import dataclasses
import platform
from typing import Any

import matplotlib
import numpy
import PIL
import scipy
import torch

from ndtools import __version__

__all__ = ["manifest", "versions"]


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python, and of the packages that compute and draw, by name."""
    return {
        "ndtools": __version__,
        "python": platform.python_version(),
        **{m.__name__: str(m.__version__) for m in (torch, numpy, scipy, matplotlib)},
        "pillow": PIL.__version__,
    }


def manifest(*, command: str, config: object, seed: int, device: str, source: str, seconds: float) -> dict[str, Any]:
    """Return a description of a run that makes its result reproducible.

    Parameters
    ----------
    command : str
        Command line of the run.
    config : dataclass instance
        Configuration of the experiment.
    seed : int
        Seed of all random numbers of the run.
    device : str
        Device that ran the computation.
    source : str
        Source of the data.
    seconds : float
        Duration of the run in seconds, which is rounded to milliseconds.

    Returns
    -------
    dict
        Entries ``command``, ``config``, ``seed``, ``versions``, ``device``, ``input`` (the source) and ``seconds``.
    """
    assert dataclasses.is_dataclass(config) and not isinstance(config, type)
    return {
        "command": command,
        "config": dataclasses.asdict(config),
        "seed": seed,
        "versions": versions(),
        "device": device,
        "input": source,
        "seconds": round(seconds, 3),
    }
