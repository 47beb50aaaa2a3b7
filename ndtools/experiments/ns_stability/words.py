"""The steps of iterations in words, for tables and captions."""

from typing import TYPE_CHECKING

from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.numerics.schedules import converges, final_gains
from ndtools.text import printable, shortened

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import NsStabilityResult

__all__ = ["steps_in_words"]


def steps_in_words(result: "NsStabilityResult") -> list[str]:
    """Return what is not standard in the steps of the coupled and the Gram iteration, as lines of a caption."""
    config, lines = result.config, []
    if config.coefficients != NsStabilityConfig.coefficients:
        line = f"coefficients of coupled and gram: {shortened(printable(config.coefficients), 30)}"
        if not converges(result.coefficients):
            gains = final_gains(result.coefficients)
            end = "grow without bound" if gains is None else f"end between {gains[0]:.2f} and {gains[1]:.2f}"
            line += f", which do not converge:\n  gains (standard deviations) {end}, not at 1"
        lines.append(line)
    if config.restart:
        formula = "Z·A·Zᵀ" if config.restart_form == "zazt" else "Z·A·Z, which is unstable,"
        often = "iteration" if config.restart == 1 else f"{config.restart} iterations"
        lines.append(f"gram: M = {formula} after every {often}")
    return lines
