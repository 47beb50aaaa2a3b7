"""Results of all experiments, restored from their files."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from ndtools.errors import DataError
from ndtools.results import read
from ndtools.results.read import SavedResult
from ndtools.results.series import Series

if TYPE_CHECKING:
    from ndtools.drawing.shown import ShownResult

__all__ = ["EXPERIMENTS", "load", "restore"]

# Command: class of its result, in the folder of the experiment.
EXPERIMENTS = {
    "kernels": "KernelsResult",
    "covariance": "CovarianceResult",
    "deconvolve": "DeconvolveResult",
    "sparsity": "SparsityResult",
    "compare-sets": "CompareSetsResult",
    "signals": "SignalsResult",
    "stats": "StatsResult",
    "ns-stability": "NsStabilityResult",
    "regress": "RegressResult",
    "mlp": "MlpResult",
    "deblur": "DeblurResult",
    "timing": "TimingResult",
    "inference": "InferenceResult",
    "compare": "CompareResult",
    "features": "FeaturesResult",
    "check": "CheckResult",
}


def load(path: str | os.PathLike[str]) -> "ShownResult":
    """Restore the result of an experiment from its files.

    Parameters
    ----------
    path : str or path-like
        The .json or the .npz file, which lie side by side.

    Returns
    -------
    KernelsResult, CovarianceResult, ..., TimingResult, or Series
        The value that the ``run`` function of the experiment returned, or its ``run_series``, with its ``plot()``,
        ``figures()`` and ``caption``. Of the images of ``deblur``, only what is drawn is in the files.

    Raises
    ------
    DataError
        If the files are absent, damaged, no result of an experiment, or of a newer or unknown form.

    Examples
    --------
    >>> import ndtools as nd
    >>> result = nd.load("figures/kernels.npz")  # doctest: +SKIP
    >>> result.plot(width=85).savefig("kernels.pdf")  # doctest: +SKIP
    """
    return restore(read.load(path))


def restore(saved: SavedResult) -> "ShownResult":
    """Restore the result of an experiment from the content of its files; DataError if it is of an unknown form."""
    if saved.experiment not in EXPERIMENTS:
        raise DataError(
            f"{saved.path} is no result of an experiment that this version of ndtools knows ({', '.join(EXPERIMENTS)});"
            f" its command is {saved.experiment!r}"
        )
    module = import_module(f"ndtools.experiments.{saved.experiment.replace('-', '_')}.result")
    kind = getattr(module, EXPERIMENTS[saved.experiment])
    result: ShownResult = Series.from_saved(saved, kind) if "series" in saved.numbers else kind.from_saved(saved)
    return result
