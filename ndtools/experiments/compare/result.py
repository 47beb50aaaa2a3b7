"""Training runs beside one another: the result of ``ndtools compare``, live or read back from its files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.compare.config import CompareConfig
from ndtools.experiments.compare.welch import Difference, difference
from ndtools.results.read import SavedResult, optional_float
from ndtools.text import counted, shortened

__all__ = ["MEAN_IOU", "TABLE", "CompareArm", "CompareResult", "Curve", "Reach", "Reference"]

TABLE = ("epoch", "step", "seconds", "train_loss", "train_top1", "eval_loss", "eval_top1", "lr")
"""Columns of the table of each run, a row for each epoch so far. One that was cut short counts as a fraction."""
MEAN_IOU = "eval_mean_iou"
"""Further column of runs that segment, by which they are compared. Their accuracies are shares of labelled pixels."""


@dataclass(frozen=True)
class Reference:
    """Published number beside which the accuracy of an arm stands.

    Attributes
    ----------
    document : {"paper", "report", "ReScience"}
        Document in a word: the paper, the report of the University of Southampton, or the third-party reproduction.
    id : str
        ID of the number in :mod:`ndtools.published`.
    value : float
        Accuracy in per cent; the mean of several runs.
    n : int or None
        Number of runs; None if the document does not say.
    spread : float or None
        Standard deviation over the runs.
    split : {"test", "train", "unclear"}
        Images that the accuracy was measured on.
    doubt : str or None
        Reason why the number should not be taken at face value.
    differs : tuple of str
        Settings in words in which the published run differs from those of the arm.
    """

    document: str
    id: str
    value: float
    n: int | None
    spread: float | None
    split: str
    doubt: str | None
    differs: tuple[str, ...]

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> Self:
        """Restore the value from the entries of a .json file."""
        return cls(**{**numbers, "differs": tuple(numbers["differs"])})


@dataclass(frozen=True, eq=False)
class Curve:
    """Learning curves of one run.

    Attributes
    ----------
    path : str
        Path of the folder of the run, printable.
    seed : int
        Seed of the run.
    state : {"finished", "running", "diverged"}
        State of the run; "running" also if it was interrupted.
    reason : str or None
        Reason in words if the run diverged.
    table : dict of str to array
        Columns of :data:`TABLE`: epochs, training steps and seconds so far, losses, accuracies in per cent, and rate.
        Runs that segment have the column :data:`MEAN_IOU`, too.
    step, loss : array of shape (steps,)
        Number and loss of the first training steps: those that are drawn, and half a window of the average more.
    test : float
        Test accuracy of the last epoch in per cent, if the run has finished; else NaN. In segmentation it is the mean
        intersection over union.
    steps : int
        Number of all training steps so far.
    pixels : float
        In segmentation the share of right pixels where ``test`` is the mean intersection over union; else NaN.
    """

    path: str
    seed: int
    state: Literal["finished", "running", "diverged"]
    reason: str | None
    table: dict[str, NDArray[np.float64]]
    step: NDArray[np.float64]
    loss: NDArray[np.float64]
    test: float
    steps: int
    pixels: float = float("nan")

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Accuracy after each epoch in per cent, on the images of the split that was given for evaluation.

        In segmentation it is the mean intersection over union.
        """
        return self.table.get(MEAN_IOU, self.table["eval_top1"])

    def __len__(self) -> int:
        return len(self.table["epoch"])


@dataclass(frozen=True)
class Reach:
    """Cost of reaching the final accuracy of another arm: at the end of the first epoch that has it.

    Attributes
    ----------
    accuracy : float
        Accuracy to be reached in per cent: the mean over the runs of the other arm in their last epoch.
    runs : int
        Number of runs that reach it.
    of : int
        Number of runs that were counted.
    epochs, steps, seconds : float or None
        Means over the runs that reach it; None if none does.
    """

    accuracy: float
    runs: int
    of: int
    epochs: float | None = None
    steps: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class CompareArm:
    """Runs whose settings are equal apart from the seed.

    Attributes
    ----------
    name : str
        Name by which the arms of a comparison are told apart.
    arch, norm : str
        Network and normalisation.
    epochs : int
        Number of epochs of a whole run.
    split : str
        Images that accuracies after each epoch were measured on: "test", "held-out", "validation" or "training".
    settings : dict
        All settings that the runs share.
    runs : tuple of Curve
        Learning curves of the runs.
    references : tuple of Reference
        Published numbers for this network and these settings.
    final : str
        Images that the accuracy at the end is measured on: "test", or ``split`` in sets without test images.
    segments : bool
        Whether the runs segment. What is called accuracy here, without a further word, is then the mean intersection
        over union.
    """

    name: str
    arch: str
    norm: str
    epochs: int
    split: str
    settings: dict[str, Any]
    runs: tuple[Curve, ...]
    references: tuple[Reference, ...]
    final: str = "test"
    segments: bool = False

    @property
    def measure(self) -> str:
        """Name of what arms are compared by."""
        return "mean IoU" if self.segments else "accuracy"

    def in_state(self, state: str) -> list[Curve]:
        """Return the runs in a state."""
        return [run for run in self.runs if run.state == state]

    @cached_property
    def counted(self) -> list[Curve]:
        """Runs that the numbers are of: those that have finished or, before any has, those that are running."""
        finished = self.in_state("finished")
        return finished or [run for run in self.in_state("running") if len(run)]

    @property
    def common(self) -> int:
        """Number of epochs that all counted runs have done; 0 without such runs. Means are of these epochs alone."""
        return min(map(len, self.counted), default=0)

    @property
    def finished(self) -> bool:
        """Whether the numbers are final: the counted runs have finished, and are of equal length."""
        return bool(self.in_state("finished")) and len({len(run) for run in self.counted}) == 1 and self.common > 0

    @property
    def done(self) -> float:
        """Number of epochs that all counted runs have done, as a fraction for one that was cut short."""
        return float(self.curves("epoch")[:, -1].min()) if self.common else 0.0

    @property
    def cut_short(self) -> bool:
        """Whether the counted runs have finished before all epochs were done."""
        return self.finished and self.done < self.epochs

    def curves(self, column: str | None = None) -> NDArray[np.float64]:
        """Return a column of the counted runs, by default the accuracy, of shape (runs, common epochs)."""
        column = column or (MEAN_IOU if self.segments else "eval_top1")
        values = [run.table[column][: self.common] for run in self.counted]
        return np.array(values).reshape(len(values), self.common)

    @property
    def last(self) -> NDArray[np.float64]:
        """Accuracy of each counted run: on the test images at the end, or else after the last common epoch."""
        if self.finished:
            return np.array([run.test for run in self.counted])
        return self.curves()[:, -1] if self.common else np.empty(0)

    @property
    def pixels(self) -> NDArray[np.float64]:
        """In segmentation the pixel accuracy of each counted run, of the same images as `last`; else empty."""
        if not self.segments:
            return np.empty(0)
        if self.finished:
            return np.array([run.pixels for run in self.counted])
        return self.curves("eval_top1")[:, -1] if self.common else np.empty(0)

    @property
    def best(self) -> NDArray[np.float64]:
        """Accuracy of the best epoch of each counted run, on the images of ``split``."""
        return self.curves().max(1) if self.common else np.empty(0)

    @property
    def seconds_per_epoch(self) -> NDArray[np.float64]:
        """Mean time of an epoch of each counted run, seconds, without evaluation."""
        return self.curves("seconds")[:, -1] / self.curves("epoch")[:, -1] if self.common else np.empty(0)

    def against(self, other: "CompareArm") -> Difference | None:
        """Compare the accuracies with those of another arm.

        Parameters
        ----------
        other : CompareArm
            The arm to compare with.

        Returns
        -------
        Difference or None
            Difference at the end of training or, while an arm has not finished, after the last epoch that all counted
            runs of both arms have done. None if there is no such epoch, or accuracies are of different images.
        """
        if self.finished and other.finished:
            return difference(self.last, other.last) if self.final == other.final else None
        epoch = min(self.common, other.common)
        if epoch == 0 or self.split != other.split:
            return None
        return difference(self.curves()[:, epoch - 1], other.curves()[:, epoch - 1], epoch)

    def against_pixels(self, other: "CompareArm") -> Difference | None:
        """Compare the pixel accuracies with those of another arm, as `against` does; None without segmentation."""
        if not self.segments or self.against(other) is None:
            return None
        if self.finished and other.finished:
            return difference(self.pixels, other.pixels)
        epoch = min(self.common, other.common)
        ours, theirs = (arm.curves("eval_top1")[:, epoch - 1] for arm in (self, other))
        return difference(ours, theirs, epoch)

    def reach(self, other: "CompareArm") -> Reach | None:
        """Return what it takes to reach the final accuracy of another arm; None if that has not finished."""
        if not other.finished or not self.common or self.split != other.split:
            return None
        target = float(other.curves()[:, -1].mean())
        firsts = [
            (run, int(np.argmax(run.accuracy >= target))) for run in self.counted if (run.accuracy >= target).any()
        ]
        if not firsts:
            return Reach(target, 0, len(self.counted))
        epochs, steps, seconds = (
            float(np.mean([run.table[name][at] for run, at in firsts])) for name in ("epoch", "step", "seconds")
        )
        return Reach(target, len(firsts), len(self.counted), epochs, steps, seconds)


@dataclass(frozen=True, eq=False, repr=False)
class CompareResult(ShownResult):
    """Arms of a comparison.

    Attributes
    ----------
    config : CompareConfig
        The configuration of this comparison.
    dataset : str
        Name of the data set, with a remark if it is synthetic.
    arms : tuple of CompareArm
        Arms in the order of the runs. The others are compared with the first.
    device : str
        Device of the comparison, which is always the CPU.
    """

    config: CompareConfig
    dataset: str
    arms: tuple[CompareArm, ...]
    device: str = "cpu"

    @property
    def source(self) -> str:
        """Folders that were named."""
        return shortened(", ".join(self.config.runs), 500)

    def target(self, arm: CompareArm) -> CompareArm | None:
        """Return the arm whose final accuracy an arm has to reach: the first one, and for that the second."""
        if arm is not self.arms[0]:
            return self.arms[0]
        return self.arms[1] if len(self.arms) > 1 else None

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        runs = sum(len(arm.runs) for arm in self.arms)
        lines = [f"{shortened(self.dataset)} · {counted(runs, 'run')} in {counted(len(self.arms), 'arm')}"]
        for arm in self.arms[:4]:
            name = f"{arm.measure} " if arm.segments else ""
            value = f"{name}{arm.last.mean():.2f} %" if len(arm.last) else "no epoch yet"
            epochs = f"{arm.done:.3g} of {counted(arm.epochs, 'epoch')}"
            lines.append(f"{arm.name}: {value} after {epochs}, n = {len(arm.counted)}")
        return lines + (["..."] if len(self.arms) > 4 else [])

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        arrays = {}
        for i, arm in enumerate(self.arms):
            for j, run in enumerate(arm.runs):
                arrays[f"arm{i}_run{j}_epochs"] = np.array([run.table[name] for name in self._columns])
                arrays[f"arm{i}_run{j}_loss"] = np.array([run.step, run.loss])
        return arrays

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "dataset": self.dataset,
            "measure": "mean_iou" if self.segments else "top1",
            "columns": self._columns,
            "arms": [self._numbers(arm) for arm in self.arms],
        }

    @property
    def segments(self) -> bool:
        """Whether the runs segment, and are compared by the mean intersection over union."""
        return any(arm.segments for arm in self.arms)

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*TABLE, MEAN_IOU) if self.segments else TABLE

    def _numbers(self, arm: CompareArm) -> dict[str, Any]:
        against = arm.against(self.arms[0]) if arm is not self.arms[0] else None
        reaches = {other.name: arm.reach(other) for other in self.arms if other is not arm}
        return {
            "name": arm.name,
            "arch": arm.arch,
            "norm": arm.norm,
            "epochs": arm.epochs,
            "split": arm.split,
            "final": arm.final,
            "settings": arm.settings,
            "n": len(arm.counted),
            "epochs_done": arm.common,
            "finished": arm.finished,
            "last": _mean_and_deviation(arm.last),
            "best": _mean_and_deviation(arm.best),
            "seconds_per_epoch": _mean_and_deviation(arm.seconds_per_epoch),
            "difference": against and against.numbers(),
            **(self._of_pixels(arm) if arm.segments else {}),
            "reaches": {name: reach and asdict(reach) for name, reach in reaches.items()},
            "published": [asdict(reference) for reference in arm.references],
            "runs": [
                {
                    "path": run.path,
                    "seed": run.seed,
                    "state": run.state,
                    "reason": run.reason,
                    "epochs": len(run),
                    "steps": run.steps,
                    "test_top1": run.pixels if arm.segments else run.test,
                    "best_top1": run.table["eval_top1"].max() if len(run) else None,
                    **(
                        {"test_mean_iou": run.test, "best_mean_iou": run.accuracy.max() if len(run) else None}
                        if arm.segments
                        else {}
                    ),
                }
                for run in arm.runs
            ],
        }

    def _of_pixels(self, arm: CompareArm) -> dict[str, Any]:
        against = arm.against_pixels(self.arms[0]) if arm is not self.arms[0] else None
        return {"pixels": _mean_and_deviation(arm.pixels), "difference_pixels": against and against.numbers()}

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "CompareResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("compare"):
            return cls(
                config=saved.configuration(CompareConfig),
                dataset=saved.numbers["dataset"],
                arms=tuple(_saved_arm(i, arm, saved) for i, arm in enumerate(saved.numbers["arms"])),
                device=saved.device,
            )


def _mean_and_deviation(values: NDArray[np.float64]) -> dict[str, float | None]:
    return {
        "mean": float(values.mean()) if len(values) else None,
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
    }


def _saved_arm(i: int, numbers: dict[str, Any], saved: SavedResult) -> CompareArm:
    segments = saved.numbers.get("measure") == "mean_iou"
    columns = (*TABLE, MEAN_IOU) if segments else TABLE
    return CompareArm(
        **{name: numbers[name] for name in ("name", "arch", "norm", "epochs", "split", "settings")},
        references=tuple(map(Reference.from_numbers, numbers["published"])),
        final=numbers.get("final", "test"),
        segments=segments,
        runs=tuple(
            Curve(
                **{name: run[name] for name in ("path", "seed", "state", "reason", "steps")},
                table=dict(zip(columns, saved.arrays[f"arm{i}_run{j}_epochs"], strict=True)),
                step=saved.arrays[f"arm{i}_run{j}_loss"][0],
                loss=saved.arrays[f"arm{i}_run{j}_loss"][1],
                test=optional_float(run["test_mean_iou" if segments else "test_top1"]),
                pixels=optional_float(run["test_top1"] if segments else None),
            )
            for j, run in enumerate(numbers["runs"])
        ),
    )
