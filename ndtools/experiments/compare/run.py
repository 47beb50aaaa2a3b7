"""Training runs beside one another (Ye et al. 2020, figs. 8 and 12; figs. 7 and 11 of the first version)."""

import json
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ndtools.console.short_form import short_form
from ndtools.errors import DataError, NumericalWarning
from ndtools.experiments.compare.arm import TABLE, CompareArm, Curve
from ndtools.experiments.compare.arms import check_same_data, grouped, names_of, references, settings_of
from ndtools.experiments.compare.config import CompareConfig
from ndtools.experiments.compare.result import CompareResult
from ndtools.results.read import optional_float
from ndtools.results.runs import MEAN_IOU, Run, read_run, run_folders
from ndtools.text import counted

__all__ = ["compare", "run"]


def run(config: CompareConfig) -> CompareResult:
    """Compare training runs by what their folders hold.

    Parameters
    ----------
    config : CompareConfig
        Configuration of the comparison.

    Returns
    -------
    CompareResult
        Arms, each with all runs whose settings are equal apart from the seed.

    Raises
    ------
    DataError
        If a folder is absent or damaged, none holds a run, or runs are of different data.

    Warns
    -----
    SkippedRunWarning
        If a path holds no run, and another one does.
    NumericalWarning
        If runs of an arm have one seed, or runs were timed on different hardware.
    """
    CompareConfig.check_type(config)
    runs = [read_run(path) for path in run_folders(config.runs)]
    check_same_data(runs)
    arms = grouped(runs)
    _warn_of_hardware(runs)
    names, remarks = names_of(arms)
    result = CompareResult(
        config=config,
        dataset=runs[0].data,
        arms=tuple(_arm(name, arm, config) for name, arm in zip(names, arms, strict=True)),
        remarks=remarks,
    )
    for arm in result.arms:
        _warn_of_seeds(arm)
    return result


compare = short_form(CompareConfig, run)


def _arm(name: str, runs: Sequence[Run], config: CompareConfig) -> CompareArm:
    first = runs[0]
    settings = settings_of(first)
    epochs = settings.get("epochs")
    if not isinstance(epochs, int):
        raise DataError(f"{first.path}: its configuration does not say the number of epochs")
    return CompareArm(
        name=name,
        arch=str(first.about["arch"]),
        norm=str(first.about["norm"]),
        epochs=epochs,
        split=first.evaluation,
        settings=settings,
        runs=tuple(_curve(each, config) for each in runs),
        references=references(first),
        final=first.final,
        segments=first.segments,
    )


def _curve(run: Run, config: CompareConfig) -> Curve:
    columns = {**run.epochs, "epoch": run.epoch_ends, "step": run.epoch_steps}
    early = run.steps["step"] <= config.loss_steps + config.smooth // 2  # those behind take part in averages
    result = run.result or {}
    last = result.get("last") or {}
    score = "mean_iou" if run.segments else "top1"
    if run.segments and MEAN_IOU not in columns:
        if len(run.epochs["epoch"]):
            raise DataError(f"{run.path} is damaged: it segments, but its summary.csv has no {MEAN_IOU}")
        columns[MEAN_IOU] = np.empty(0)
    test, pixels = (optional_float(last.get(f"test_{name}")) for name in (score, "top1"))
    if np.isnan(test) and run.evaluation == "test" and len(run.epochs["epoch"]):
        test, pixels = (float(run.epochs[f"eval_{name}"][-1]) for name in (score, "top1"))
    finished = run.state == "finished"
    if finished and not len(run.epochs["epoch"]):
        raise DataError(f"{run.path} is damaged: it has a result, but no finished epoch in its summary.csv")
    return Curve(
        path=run.path,
        seed=int(run.config.get("seed", 0)),
        state=run.state,
        reason=result.get("reason"),
        table={name: columns[name] for name in ((*TABLE, MEAN_IOU) if run.segments else TABLE)},
        step=run.steps["step"][early],
        loss=run.steps["loss"][early],
        test=test if finished else float("nan"),
        steps=len(run.steps["step"]),
        pixels=pixels if finished and run.segments else float("nan"),
    )


def _warn_of_seeds(arm: CompareArm) -> None:
    repeated = {seed: number for seed, number in Counter(run.seed for run in arm.counted).items() if number > 1}
    for seed, number in repeated.items():
        warnings.warn(
            f"{arm.name}: {counted(number, 'run')} have the seed {seed} and are no independent repeats; their spread is"
            " too small",
            NumericalWarning,
            stacklevel=3,
        )


def _warn_of_hardware(runs: Sequence[Run]) -> None:
    parts = [part for run in runs for part in (run.about, *run.about.get("resumed", []))]
    kinds = {json.dumps([part.get("hardware"), part.get("threads")], sort_keys=True) for part in parts}
    if len(kinds) > 1:
        warnings.warn(
            "the runs were timed on different hardware, or with different numbers of threads: their seconds are not"
            " comparable",
            NumericalWarning,
            stacklevel=3,
        )
