"""Files that a training run writes into its folder."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ndtools.checkpoints.files import save_network
from ndtools.layers.processes import rank
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import MORE_COLUMNS
from ndtools.training.loop import Training
from ndtools.training.processes import first_alone
from ndtools.training.records import EpochRecord, StepRecord
from ndtools.training.tasks import Evaluation

__all__ = ["Writer"]

_DOTS = 200  # in an inch of a figure


class Writer:
    """Files of a run, which the first of several processes writes. All processes call all methods.

    Parameters
    ----------
    training : Training
        The training run whose records are written.
    folder : RunFolder
        Folder of the run, which the first process has locked.
    classes : sequence of str
        Names of the classes, indexed by label.
    """

    def __init__(self, training: Training, folder: RunFolder, classes: Sequence[str] = ()) -> None:
        self.training, self.folder, self.classes = training, folder, classes
        self.seconds, self.checkpoints = 0.0, 0
        self.epochs: list[dict[str, float]] = []
        self.trained = 0.0
        if rank() == 0:
            run = folder.read()
            rows = zip(*(values.tolist() for values in run.epochs.values()), strict=True)
            self.epochs = [dict(zip(run.epochs, row, strict=True)) for row in rows]
            self.trained = float(run.steps["seconds"][-1]) if len(run.steps["seconds"]) else 0.0

    @property
    def best(self) -> Mapping[str, float] | None:
        """The epoch with the highest score, the first of several; None if there is none with a number."""
        known = [epoch for epoch in self.epochs if not math.isnan(_score(epoch))]
        return max(known, key=_score, default=None)

    def add(self, record: StepRecord | EpochRecord, *wishes: bool) -> tuple[bool, ...]:
        """Write a record, and after an epoch the network; return for each wish whether any process has it."""
        return first_alone(lambda: self._write(record), *wishes, device=self.training.device)

    def _write(self, record: StepRecord | EpochRecord) -> None:
        self.trained = record.seconds
        if isinstance(record, StepRecord):
            self.folder.add_step(asdict(record))
            return
        line = {name: value for name, value in asdict(record).items() if value is not None}
        self.folder.add_epoch(line)
        self.epochs.append(line)
        save_network(self.training.model, self.folder.last)
        if self.training.data.held_out and self.best is line:
            if record.step < record.epoch * self.training.per_epoch:
                self.folder.keep_best()
            save_network(self.training.model, self.folder.best)

    def checkpoint(self) -> None:
        """Write the state from which the run can be resumed."""
        started = time.monotonic()
        state = self.training.state()
        first_alone(lambda: state.save(self.folder.state), device=self.training.device)
        self.seconds += time.monotonic() - started
        self.checkpoints += 1

    def finish(self, stopped: str | None, reason: str | None) -> dict[str, Any]:
        """Evaluate the test images if they were not before, and write result, figures and captions.

        Parameters
        ----------
        stopped : {"max_steps", "diverged"}, optional
            Cause by which the run ended before its last epoch. By default it did not.
        reason : str, optional
            Message of a run that diverged.

        Returns
        -------
        dict
            Content of result.json, without the version of its format.
        """
        training = self.training
        last, best = (self.epochs[-1] if self.epochs else None), self.best
        result: dict[str, Any] = {
            "steps": training.step,
            "last": None,
            "best": best and {"epoch": int(best["epoch"]), **_of_best(best)},
            "seconds": self.trained,
            "stopped": stopped,
            "reason": reason,
            "checkpoints": {"count": self.checkpoints, "seconds": round(self.seconds, 3)},
        }
        if stopped != "diverged":
            test = None if training.data.held_out else training.evaluation
            test = test or training.evaluate("test")  # also if the run was interrupted after its last evaluation
            if last is not None:
                measures = {name: value for name, value in last.items() if name.startswith("eval_")}
                tested = {name.replace("eval", "test"): value for name, value in measures.items()}
                result["last"] = {"epoch": int(last["epoch"]), **measures, **tested, **_tested(test)}
        first_alone(lambda: self._end(result), device=training.device)
        return result

    def _end(self, result: Mapping[str, Any]) -> None:
        from ndtools.results.files import captions_text
        from ndtools.runs.examples import caption_examples, examples_of, plot_examples
        from ndtools.runs.figure import caption_train, plot_train
        from ndtools.runs.redraw import arrays_of
        from ndtools.writing import write_whole

        folder = self.folder
        run = replace(folder.read(), result=dict(result))
        figures, captions = {folder.figure: plot_train(run)}, {folder.figure.stem: caption_train(run)}
        examples = examples_of(self.training, run, self.classes)
        if examples is not None:
            figures[folder.examples] = plot_examples(examples)
            captions[folder.examples.stem] = caption_examples(examples)
        text = captions_text(captions, run.about["command"])
        writers: dict[Path, Callable[[IO[bytes]], object]] = {
            path: partial(figure.savefig, dpi=_DOTS) for path, figure in figures.items()
        }
        if examples is not None:
            writers[folder.scenes] = partial(_write_arrays, arrays_of(examples))
        write_whole(writers | {folder.captions: lambda file: file.write(text.encode("utf-8", "backslashreplace"))})
        for path in (folder.examples, folder.scenes) if examples is None else ():
            with suppress(OSError):  # there is none, but of a run that is longer now, and diverged
                path.unlink()
        folder.finish(result)


def _write_arrays(arrays: Mapping[str, Any], file: IO[bytes]) -> None:
    np.savez_compressed(file, **arrays)


def _score(epoch: Mapping[str, float]) -> float:
    return epoch.get("eval_mean_iou", epoch["eval_top1"])


def _of_best(epoch: Mapping[str, float]) -> dict[str, float]:
    names = ("eval_top1", *MORE_COLUMNS)
    return {name: epoch[name] for name in names if name in epoch}


def _tested(test: Evaluation) -> dict[str, Any]:
    """Return all measures of the images for the final number."""
    found: dict[str, Any] = {"test_top1": test.top1, "test_loss": test.loss}
    if test.top5 is not None:
        found["test_top5"] = test.top5
    if test.segmented is not None:
        found["test_mean_iou"] = test.mean_iou
        found["test_mean_iou_official"] = 100 * test.segmented.mean_iou_official(len(test.segmented.matrix) + 1)
        found["test_iou"] = [None if math.isnan(value) else 100 * value for value in test.segmented.iou.tolist()]
        found["test_confusion"] = test.segmented.matrix.tolist()
    return found
