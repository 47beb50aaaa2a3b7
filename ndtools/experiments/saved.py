"""Results of all experiments, restored from their files and drawn again."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ndtools.console.results import Result
from ndtools.errors import DataError
from ndtools.results.read import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENTS", "draw_result", "load_result"]

# Command: class of its result, and function that draws it, in the folder of the experiment.
EXPERIMENTS = {
    "kernels": ("result.KernelsResult", "figures.draw"),
    "covariance": ("result.CovarianceResult", "figures.draw"),
    "deconvolve": ("result.DeconvolveResult", "figure.plot_deconvolve"),
    "sparsity": ("result.SparsityResult", "figure.plot_sparsity"),
    "ns-stability": ("result.NsStabilityResult", "figures.draw"),
    "regress": ("result.RegressResult", "figures.draw"),
    "mlp": ("result.MlpResult", "figure.plot_mlp"),
    "deblur": ("result.DeblurResult", "figure.plot_deblur"),
    "timing": ("result.TimingResult", "figure.plot_timing"),
}


def load_result(path: str | os.PathLike[str]) -> Result:
    """Restore the result of an experiment from its files.

    Parameters
    ----------
    path : str or path-like
        The .json file. The .npz file of the same name lies beside it.

    Returns
    -------
    KernelsResult, CovarianceResult, ... or TimingResult
        The value that the ``run`` function of the experiment returned. The ``plot`` functions of the experiment draw
        it. Of the images of ``deblur``, only what is drawn is in the files.

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
    saved = load(path)
    if saved.experiment not in EXPERIMENTS:
        raise DataError(
            f"{saved.path} is no result of an experiment that this version of ndtools knows ({', '.join(EXPERIMENTS)});"
            f" its command is {saved.experiment!r}"
        )
    result: Result = _attribute(saved.experiment, EXPERIMENTS[saved.experiment][0]).from_saved(saved)
    return result


def draw_result(result: Result, *, width: float | None = None, title: bool = True) -> "dict[str, Figure]":
    """Draw all figures of a result.

    Parameters
    ----------
    result : Result
        Result of an experiment, as its ``run`` function or `load_result` returned it.
    width : float, optional
        Width of the figures in print, millimetres. Default: that of a page, 180.
    title : bool
        Whether the figures have titles. Default True.

    Returns
    -------
    dict of str to Figure
        Figures by what is added to the file name: "" for the main one.
    """
    command = next(name for name, (kind, _) in EXPERIMENTS.items() if kind == f"result.{type(result).__name__}")
    settings: dict[str, Any] = {} if width is None else {"width": width}
    if not title:
        settings["title"] = False
    drawn = _attribute(command, EXPERIMENTS[command][1])(result, **settings)
    return dict(drawn) if isinstance(drawn, Mapping) else {"": drawn}


def _attribute(command: str, name: str) -> Any:  # noqa: ANN401
    module, _, attribute = name.partition(".")
    return getattr(import_module(f"ndtools.experiments.{command.replace('-', '_')}.{module}"), attribute)
