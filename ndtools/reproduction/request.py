"""What a call of ``ndtools reproduce`` asks for, and the commands of further calls of the same reproduction."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from ndtools.reproduction.places import Places
from ndtools.text import printable

__all__ = ["BUDGET", "OUTPUT", "RUNS", "Request"]

OUTPUT = "reproduction"
"""Folder of a reproduction, unless the command names another."""
RUNS = "runs"
"""Folder of training runs that are taken up, unless the command names another."""
BUDGET = 900.0
"""Seconds that all items together may take, unless the command names another number."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a call of ``ndtools reproduce`` asks for.

    Attributes
    ----------
    ids : tuple of str
        Names of the items to run, IDs or aliases. Default: all.
    budget : float or None
        Seconds that they may take together; None for no limit. Default 900.
    output : Path
        Folder of the reproduction. Default "reproduction".
    runs : Path
        Folder of training runs that are taken up if they have finished with an equal configuration. Default "runs".
    places : Places
        Folders and files of the data. By default they are looked for.
    device : str
        Device that computes: "auto", "cpu", "cuda" or "mps". Default "auto".
    jobs : int or None
        Number of threads. None, the default, leaves it to the experiments.
    """

    ids: tuple[str, ...] = ()
    budget: float | None = BUDGET
    output: Path = Path(OUTPUT)
    runs: Path = Path(RUNS)
    places: Places = field(default_factory=Places)  # what it finds is kept, so that no two share one
    device: str = "auto"
    jobs: int | None = None

    def command(self, *ids: str, **changed: str) -> str:
        """Return the command of a further call of this reproduction, to be shown and pasted.

        Parameters
        ----------
        *ids : str
            IDs of the items to run.
        **changed : str
            Values of options that the further call has in place of those of this one, such as ``budget="2h"``.

        Returns
        -------
        str
            Command line with the options of this call that are not at their defaults.
        """
        given = {
            "budget": _budget(self.budget) if self.budget != BUDGET else None,
            "output": self.output if self.output != Path(OUTPUT) else None,
            "runs": self.runs if self.runs != Path(RUNS) else None,
            "data_dir": self.places.data_dir,
            "photographs": self.places.photographs,
            "image": self.places.image,
            "device": self.device if self.device != "auto" else None,
            "jobs": self.jobs,
        }
        options = {**changed, **{name: value for name, value in given.items() if name not in changed}}
        words = [
            word
            for name, value in options.items()
            if value is not None
            for word in (f"--{name.replace('_', '-')}", printable(str(value)))
        ]
        return shlex.join(["ndtools", "reproduce", *ids, *words])


def _budget(seconds: float | None) -> str:
    """Return a budget as the command takes it: "none", "2h", "15m" or "90s"."""
    if seconds is None:
        return "none"
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.15g}s"
