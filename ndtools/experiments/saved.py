"""Results of all experiments, restored from their files and drawn again."""

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ndtools.errors import DataError
from ndtools.results.read import SavedResult, load
from ndtools.results.result import Result
from ndtools.results.series import Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ndtools.drawing.pictures import Picture

__all__ = ["EXPERIMENTS", "draw_result", "load_result", "pictures_of", "restore"]

# Command: class of its result, in the folder of the experiment.
EXPERIMENTS = {
    "kernels": "KernelsResult",
    "covariance": "CovarianceResult",
    "deconvolve": "DeconvolveResult",
    "sparsity": "SparsityResult",
    "ns-stability": "NsStabilityResult",
    "regress": "RegressResult",
    "mlp": "MlpResult",
    "deblur": "DeblurResult",
    "timing": "TimingResult",
}


def load_result(path: str | os.PathLike[str]) -> Result:
    """Restore the result of an experiment from its files.

    Parameters
    ----------
    path : str or path-like
        The .json file. The .npz file of the same name lies beside it.

    Returns
    -------
    KernelsResult, CovarianceResult, ..., TimingResult, or Series
        The value that the ``run`` function of the experiment returned, or its ``run_series``. The ``plot`` functions of
        the experiment draw it. Of the images of ``deblur``, only what is drawn is in the files.

    Raises
    ------
    DataError
        If the files are absent, damaged, no result of an experiment, or of a newer or unknown form.

    Examples
    --------
    >>> import ndtools as nd
    >>> result = nd.load_result("figures/kernels.json")  # doctest: +SKIP
    >>> nd.plot_kernels(result).savefig("kernels.pdf")  # doctest: +SKIP
    """
    return restore(load(path))


def restore(saved: SavedResult) -> Result:
    """Restore the result of an experiment from the content of its files; DataError if it is of an unknown form."""
    if saved.experiment not in EXPERIMENTS:
        raise DataError(
            f"{saved.path} is no result of an experiment that this version of ndtools knows ({', '.join(EXPERIMENTS)});"
            f" its command is {saved.experiment!r}"
        )
    kind = getattr(_module(saved.experiment, "result"), EXPERIMENTS[saved.experiment])
    result: Result = Series.from_saved(saved, kind) if "series" in saved.numbers else kind.from_saved(saved)
    return result


def pictures_of(result: Result) -> "dict[str, Picture]":
    """Return the figures of the experiment that a result comes from, by label: "" for the main one."""
    several = isinstance(result, Series)
    single = result[0] if isinstance(result, Series) else result
    command = next(name for name, kind in EXPERIMENTS.items() if kind == type(single).__name__)
    pictures: dict[str, Picture] = getattr(_module(command, "figures"), "SERIES" if several else "FIGURES")
    return pictures


def draw_result(result: Result, *, width: float = 180.0, title: bool = True) -> "dict[str, Figure]":
    """Draw all figures of a result.

    Parameters
    ----------
    result : Result
        Result of an experiment, as its ``run`` function or `load_result` returned it.
    width : float
        Width of the figures in print, millimetres. Default 180, the width of a page.
    title : bool
        Whether the figures have titles. Default True.

    Returns
    -------
    dict of str to Figure
        Figures by what is added to the file name: "" for the main one.
    """
    from ndtools.drawing.pictures import draw

    return draw(pictures_of(result), result, width=width, title=title)


def _module(command: str, name: str) -> ModuleType:
    return import_module(f"ndtools.experiments.{command.replace('-', '_')}.{name}")
