"""What makes a result reproducible: the command, its configuration, and the versions that ran it."""

import dataclasses
import platform
from typing import Any

import matplotlib
import numpy
import PIL
import scipy
import torch

from ndtools import __version__

__all__ = ["manifest"]


def manifest(*, command: str, config: object, seed: int, device: str, source: str, seconds: float) -> dict[str, Any]:
    """Describe a run.

    Parameters
    ----------
    command : str
        The command line.
    config : dataclass instance
        The configuration of the experiment.
    seed : int
        Of all that was random.
    device : str
        Where it was computed.
    source : str
        What the data came from.
    seconds : float
        How long it took.

    Returns
    -------
    dict
        ``command``, ``config``, ``seed``, ``versions``, ``device``, ``input``, ``seconds``.
    """
    assert dataclasses.is_dataclass(config) and not isinstance(config, type)
    return {
        "command": command,
        "config": dataclasses.asdict(config),
        "seed": seed,
        "versions": {
            "ndtools": __version__,
            "python": platform.python_version(),
            **{m.__name__: str(m.__version__) for m in (torch, numpy, scipy, matplotlib)},
            "pillow": PIL.__version__,
        },
        "device": device,
        "input": source,
        "seconds": round(seconds, 3),
    }
