"""Figure 1 and section 4.4.1: a blur is undone by deconvolution, and its kernel found by gradient descent."""

from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.places import IMAGE
from ndtools.results.reproductions import Grade
from ndtools.text import counted, percent, source_name

__all__ = ["FIG_1"]

GRADIENT, OPTIMAL = "claim/slow-kernel-estimation", "claim/optimal-kernel-estimation"
NEAR = 0.1  # kernel error that counts as practically close
AT_ONCE = 1  # steps


def _levels(setting: Setting) -> list[Level]:
    source = setting.places[IMAGE].path or DeblurConfig.source
    config = DeblurConfig(source, **setting.run)
    return [
        Level(
            title="one photograph, Gaussian blur",
            parts=(Part(name="deblur", experiment="deblur", config=config, work=0.1),),
            full=True,
            concludes="Whether deconvolution finds the kernel of a known blur in fewer steps than plain descent does.",
            not_concluded="Nothing about blurs that are not a convolution, or about blind deblurring.",
        )
    ]


def _grade(level: Level, results: Results) -> list[Grade]:
    result = results["deblur"]
    arms = {arm.name: arm for arm in result.arms}
    plain, fast = arms["gradient"], arms["deconv"]
    steps, needed = result.config.iterations, fast.iterations_to(NEAR)
    slow = plain.iterations_to(NEAR)
    conditions = (
        f"{source_name(result.source)}, blur {result.config.blur}, noise {result.config.noise:g}, kernel of"
        f" {len(result.true_kernel)}×{len(result.true_kernel)}, {steps} steps"
    )
    after = percent(float(plain.kernel_error[-1]))
    at_once = "in no step" if needed is None else f"after {counted(needed, 'step')}"
    found = f"takes {slow} steps to come" if slow is not None else f"is {after} off after {steps} steps: not"
    return [
        grade_claim(
            GRADIENT,
            [slow is None or slow >= 10],
            full=level.full,
            measured=None if slow is None else float(slow),
            reason=f"Plain gradient descent {found} within {percent(NEAR)} of the true kernel.",
            conditions=conditions,
        ),
        grade_claim(
            OPTIMAL,
            [needed is not None and needed <= AT_ONCE],
            full=level.full,
            measured=None if needed is None else float(needed),
            reason=f"With deconvolution the kernel is {percent(float(fast.kernel_error[1]))} off after one step, and"
            f" within {percent(NEAR)} {at_once}.",
            conditions=conditions,
        ),
    ]


FIG_1 = Item(
    id="fig1",
    title="a blur kernel by gradient descent",
    where="fig. 1 and section 4.4.1 of both versions",
    needs=(),
    subjects=(GRADIENT, OPTIMAL),
    levels=_levels,
    grade=_grade,
)
"""Figure 1 with section 4.4.1."""
