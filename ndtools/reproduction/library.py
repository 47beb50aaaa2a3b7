"""The short form of ``ndtools reproduce`` for programs and notebooks."""

import math
import os
from pathlib import Path

from ndtools.errors import OptionError
from ndtools.reproduction.cost import budget_from
from ndtools.reproduction.places import Places
from ndtools.reproduction.request import BUDGET, OUTPUT, RUNS, Request
from ndtools.reproduction.run import Reproduction
from ndtools.reproduction.state import ItemState

__all__ = ["reproduce"]


def reproduce(
    *ids: str,
    budget: float | str | None = BUDGET,
    output: str | os.PathLike[str] = OUTPUT,
    runs: str | os.PathLike[str] = RUNS,
    data_dir: str | None = None,
    photographs: str | None = None,
    image: str | None = None,
    device: str = "auto",
    jobs: int | None = None,
) -> dict[str, ItemState]:
    """Run figures and tables of the paper again, and grade the results.

    Each is run at the largest size that the budget allows. Results are kept in a folder: a second call does nothing
    twice, and an interrupted one goes on.

    Parameters
    ----------
    *ids : str
        Names of figures and tables, such as "fig7" or "table3". Default: all.
    budget : float, str or None
        Seconds that all together may take, or a text such as "15m"; None for no limit. Default 900.
    output : str or path-like
        Folder of results and states. Default "reproduction".
    runs : str or path-like
        Folder of training runs that are taken up if they have finished with an equal configuration. Default "runs".
    data_dir : str, optional
        Folder of data sets that is searched before ``$NDTOOLS_DATA`` and the user's cache.
    photographs : str, optional
        Folder or archive of photographs. By default it is looked for in the folders of data sets.
    image : str, optional
        File of one photograph. By default it is looked for in the folders of data sets.
    device : str
        Device that computes: "auto", "cpu", "cuda" or "mps". Default "auto".
    jobs : int or None
        Number of threads. None, the default, leaves it to the experiments.

    Returns
    -------
    dict of str to ItemState
        State of each item that was asked for, with its level and grades, by its ID.

    Raises
    ------
    OptionError
        If an ID is not known, or an option is out of range.
    DataError
        If reproduction.json is damaged, or data that were named are not there.
    OutputError
        If a result cannot be written, or another process writes into the folder.

    Examples
    --------
    >>> import ndtools as nd
    >>> states = nd.reproduce("fig7", budget="2m")  # doctest: +SKIP
    >>> [(grade.subject, grade.verdict) for grade in states["fig7"].grades]  # doctest: +SKIP
    """
    seconds = budget_from(budget) if isinstance(budget, str) else budget
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise OptionError("budget", f"must be a number of seconds above 0, a time such as 15m, or None, got {budget!r}")
    work = Reproduction(
        Request(
            ids=ids,
            budget=seconds,
            output=Path(output),
            runs=Path(runs),
            places=Places(data_dir, photographs, image),
            device=device,
            jobs=jobs,
        )
    )
    work.run()
    return {name: work.states[name] for name in work.asked}
