"""The paper's propositions and equivalences, checked in numbers (Ye et al. 2020, sec. 3.1, 4.3, 4.4, 5, A.8)."""

import math
from collections.abc import Callable
from dataclasses import replace

from ndtools.computing.operators import operator_threads, resolve_device, threads_for
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.experiments.check import batch_norm, equivalence, natural_gradient, prop1, prop2, prop3
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import CheckResult, Outcome
from ndtools.experiments.check.samples import Samples, draw_samples

__all__ = ["CHECKS", "check", "run"]

CHECKS: dict[str, Callable[[Samples, CheckConfig], Outcome]] = {
    "prop1": prop1.check,
    "prop2": prop2.check,
    "prop3": prop3.check,
    "equivalence": equivalence.check,
    "batch-norm": batch_norm.check,
    "natural-gradient": natural_gradient.check,
}


def run(config: CheckConfig, *, progress: Progress | None = None) -> CheckResult:
    """Check propositions of the paper on patches of images.

    Parameters
    ----------
    config : CheckConfig
        Configuration of the run.
    progress : callable, optional
        Called with the number of checks done and the number of all checks.

    Returns
    -------
    CheckResult
        Verdict, numbers and curves of each check.

    Raises
    ------
    DataError
        If no image can be used, or the images have too few patches.
    NotPositiveDefiniteError
        If the covariance of the patches is singular.

    Warns
    -----
    NumericalWarning
        If images have several frames, or are named more than once.
    """
    CheckConfig.check_type(config)
    device = resolve_device(config.device)
    samples = draw_samples(config, device)
    outcomes = list[Outcome]()
    with operator_threads(config.jobs or threads_for(samples.rows.shape[1])):
        for name in config.names:
            outcomes.append(_with_caution(CHECKS[name](samples, config), config.dtype))
            if progress:
                progress(len(outcomes), len(config.names))
    return CheckResult(
        config=config,
        images=samples.images,
        patches=len(samples.rows),
        features=samples.rows.shape[1],
        condition=samples.condition,
        outcomes=tuple(outcomes),
        device=str(device),
    )


def _with_caution(outcome: Outcome, dtype: str) -> Outcome:
    """Return an outcome whose finding begins with why nothing is decided, if numbers are there that look as if."""
    if outcome.verdict != "cannot be decided" or math.isnan(outcome.difference):
        return outcome
    caution = f"Nothing is decided, since rounding in {dtype} may cause more than 1 %: take float64."
    return replace(outcome, finding=f"{caution} {outcome.finding}")


check = short_form(CheckConfig, run, counting="checks")
