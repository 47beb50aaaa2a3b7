"""Training runs beside one another: the result of ``ndtools compare``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.compare.arm import TABLE, CompareArm, Curve, Reference
from ndtools.experiments.compare.config import CompareConfig
from ndtools.results.read import SavedResult, optional_float
from ndtools.results.runs import MEAN_IOU
from ndtools.text import counted, shortened

__all__ = ["CompareResult"]


@dataclass(frozen=True, eq=False, repr=False)
class CompareResult(ShownResult):
    """Learning curves and accuracies of the arms of a comparison.

    Attributes
    ----------
    config : CompareConfig
        The configuration of this comparison.
    dataset : str
        Name of the data set, with a remark if it is synthetic.
    arms : tuple of CompareArm
        Arms in the order of the runs. The others are compared with the first.
    remarks : tuple of str
        Lines that say in what arms differ whose names differ in a folder alone.
    device : str
        Device of the comparison, which is always the CPU.
    """

    config: CompareConfig
    dataset: str
    arms: tuple[CompareArm, ...]
    remarks: tuple[str, ...] = ()
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
            "remarks": self.remarks,
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
                remarks=tuple(saved.numbers.get("remarks", ())),
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
