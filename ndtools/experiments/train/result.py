"""What a training run has recorded so far, read from its folder."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.results.run_folder import COLUMNS, RunFolder

__all__ = ["TrainResult"]


@dataclass(frozen=True, eq=False, repr=False)
class TrainResult:
    """Records of a training run, which may still be going on.

    Attributes
    ----------
    path : str
        Path of the folder of the run.
    about : dict
        Description of the run: the content of its run.json.
    losses : array of shape (steps,)
        Training loss of each step, NaN where it was not finite.
    reached : array of shape (steps,)
        Number of epochs, in fractions, after each step.
    epochs : dict of str to array of shape (epochs,)
        Columns of summary.csv by name.
    result : dict, optional
        Content of result.json; None while the run has not finished.
    """

    path: str
    about: dict[str, Any]
    losses: NDArray[np.float64]
    reached: NDArray[np.float64]
    epochs: dict[str, NDArray[np.float64]]
    result: dict[str, Any] | None

    @classmethod
    def read(cls, folder: RunFolder) -> "TrainResult":
        """Read the records of a run.

        Parameters
        ----------
        folder : RunFolder
            Folder of the run.

        Returns
        -------
        TrainResult
            All records that are complete.
        """
        steps, lines = folder.steps(), folder.epochs()
        epochs = {name: np.array([line[name] for line in lines], dtype=float) for name in COLUMNS}
        return cls(
            path=str(folder.path),
            about=folder.about,
            losses=np.array([step["loss"] for step in steps], dtype=float),  # None becomes NaN
            reached=np.array([step["epoch"] for step in steps], dtype=float),
            epochs=epochs,
            result=folder.result,
        )

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.about["name"])

    @property
    def data(self) -> str:
        """Name of the data set as titles have it, with a remark if it is synthetic."""
        data = self.about["data"]
        return f"{data['name']} (synthetic)" if data["synthetic"] else str(data["name"])

    @property
    def evaluation(self) -> str:
        """Name of the images that evaluate the network after each epoch: "test" or "held-out"."""
        return str(self.about["data"]["eval_split"])

    def __repr__(self) -> str:
        network = f"{self.about['arch']}, {self.about['norm']}, {self.data}"
        accuracy = self.epochs["eval_top1"]
        last = f", {accuracy[-1]:.2f} % ({self.evaluation}) after epoch {len(accuracy)}" if len(accuracy) else ""
        return f"TrainResult: {self.name}: {network}, {len(self.losses):,} steps{last}"
