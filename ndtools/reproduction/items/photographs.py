"""Figures 2, 3, 4, 9 and 10: kernels, covariance, an image and sparsity of photographs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.reproduction.grading import ONE_SET, grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.places import IMAGE, PHOTOGRAPHS
from ndtools.results.reproductions import Grade
from ndtools.text import percent, source_name

__all__ = ["FIG_2", "FIG_3", "FIG_4", "FIG_9", "FIG_10"]

CENTRE_SURROUND, GREEN = "claim/center-surround", "claim/green-on-center"
BLOCKS, WHITE = "claim/brighter-diagonal-blocks", "claim/whitened-covariance"
SPARSER = "claim/sparser-image"
HEAVY, ZERO = "claim/heavy-tailed", "claim/most-values-zero"
KERNEL_IMAGES, SPARSITY_IMAGES = 128, 1000
NEARLY_WHITE = 1e-6  # rounding of float64, 1e-16, times condition numbers up to some 1e9
_SYNTHETIC = 'Nothing about photographs at large: the built-in images are synthetic "dead leaves" and one photograph.'


def _levels(
    setting: Setting, number: int, make: Callable[[str, int], tuple[Part, ...]], concludes: str, not_concluded: str
) -> list[Level]:
    """Return the levels of an item that takes photographs: those of ImageNet or others, few of them, built-in ones."""
    place, count = setting.places[PHOTOGRAPHS], setting.places.count
    source, few = place.path or PHOTOGRAPHS, 16
    used = min(number, count) if count else number
    of = f"{used:,} photographs" + (f" of the {number:,} published" if used < number else "")
    full = place.path is None or (place.original and used == number)
    instead = None
    if full:
        title = f"published recipe: {of}"
    elif place.original:
        title = of
        instead = f"The published recipe takes {number:,} photographs, and {used:,} are here"
    else:
        title = f"{of}, of {source_name(source)} in place of ImageNet"
        instead = f"The published recipe takes {number:,} photographs of ImageNet, and {used:,} others are here"
    levels = [
        Level(
            title=title,
            parts=make(source, number),
            full=full,
            concludes=concludes,
            not_concluded=not_concluded,
            needs=(PHOTOGRAPHS,),
            instead=instead,
        )
    ]
    if used > few:
        levels.append(
            Level(
                title=f"{few} photographs",
                parts=make(source, few),
                full=False,
                concludes=concludes,
                not_concluded=f"{not_concluded} So few images differ from the next few.",
                needs=(PHOTOGRAPHS,),
            )
        )
    levels.append(
        Level(
            title="the built-in images",
            parts=make("sample", number),
            full=False,
            concludes="Whether the statement holds for images with the spectrum of photographs.",
            not_concluded=_SYNTHETIC,
        )
    )
    return levels


def _reading(setting: Setting, source: str, number: int, seconds: float) -> float:
    """Return the work of a part for its images: some seconds for each, and more for those that code makes."""
    return 2.0 if source == "sample" else seconds * min(number, setting.places.count or number)


def _kernel_levels(setting: Setting) -> list[Level]:
    def make(source: str, number: int) -> tuple[Part, ...]:
        config = KernelsConfig(source, images=number, **setting.run)
        work = 0.1 + _reading(setting, source, number, 0.0065)
        return (Part(name="kernels", experiment="kernels", config=config, work=work),)

    return _levels(
        setting,
        KERNEL_IMAGES,
        make,
        "Whether the kernels of all channels have a centre and a surround of the other sign.",
        "Nothing about the sizes of centre and surround, which depend on the ridge: the paper does not give it.",
    )


def _grade_kernels(level: Level, results: Results) -> list[Grade]:
    result = results["kernels"]
    polarity = {channel.name: channel.polarity for channel in result.channels}
    centres = ", ".join(
        f"{channel.name} {channel.center:.3g} against {channel.surround_mean:.3g}" for channel in result.channels
    )
    conditions = f"{result.images.counted} of {source_name(result.source)}, 15×15, ridge {result.config.eps:g}, exact D"
    words = {"on": "on-centre", "off": "off-centre", None: "neither"}
    own = ", ".join(f"{name} {words[sign]}" for name, sign in polarity.items())
    middle = result.config.kernel_size // 2
    across = ""
    if len(result.kernels) == 3:
        red, green, blue = result.kernels[1, :, middle, middle]
        across = (
            " Only within the row of the green output, its weights on the three channels are such: at the centre red"
            f" {red:.3g}, green {green:.3g}, blue {blue:.3g}."
        )
    expected = {"R": "off", "G": "on", "B": "off"}
    return [
        grade_claim(
            CENTRE_SURROUND,
            [sign is not None for sign in polarity.values()],
            full=level.full,
            reason=f"Weight of the centre against the mean of the eight around it: {centres}.",
            conditions=conditions,
        ),
        grade_claim(
            GREEN,
            [polarity == expected],
            full=level.full,
            reason=f"Each channel's own kernel: {own}.{across}",
            conditions=conditions,
        ),
    ]


def _covariance_levels(setting: Setting) -> list[Level]:
    def make(source: str, number: int) -> tuple[Part, ...]:
        config = CovarianceConfig(source, images=number, **setting.run)
        work = 0.06 + _reading(setting, source, number, 0.005)
        exact = replace(config, eps=0.0)  # by whose D the claim is made
        return (
            Part(name="covariance", experiment="covariance", config=config, work=work),
            Part(name="without ridge", experiment="covariance", config=exact, work=work),
        )

    return _levels(
        setting,
        KERNEL_IMAGES,
        make,
        "Whether pixels of one channel are more correlated than channels are.",
        "Nothing about the very matrix of the figure: the paper does not name its images.",
    )


def _grade_covariance(level: Level, results: Results) -> list[Grade]:
    grades = []
    if "covariance" in results:
        result = results["covariance"]
        within, across = result.before.within_channel, result.before.across_channels
        grades.append(
            grade_claim(
                BLOCKS,
                [within is not None and across is not None and within > across],
                full=level.full,
                measured=within,
                reason=f"The mean correlation is {within:.3g} within channels (the diagonal blocks) and {across:.3g}"
                f" across channels.{ONE_SET}",
                conditions=f"{result.images.counted} of {source_name(result.source)}, 3×3 patches",
            )
        )
    if "without ridge" in results:
        result = results["without ridge"]
        away = float(np.abs(result.whitened - np.eye(len(result.whitened))).max())
        grades.append(
            grade_claim(
                WHITE,
                [away < NEARLY_WHITE],
                full=level.full,
                measured=away,
                reason=f"Without a ridge, no entry of the covariance after deconvolution differs by more than"
                f" {away:.2g} from that of the identity.{ONE_SET}",
                conditions=f"{result.images.counted} of {source_name(result.source)}, 3×3 patches, condition"
                f" {result.deconvolution.condition:.3g}, float64",
            )
        )
    return grades


def _deconvolve_levels(setting: Setting) -> list[Level]:
    source = setting.places[IMAGE].path or DeconvolveConfig.source
    config = DeconvolveConfig(source, **setting.run)
    return [
        Level(
            title="one photograph",
            parts=(Part(name="deconvolve", experiment="deconvolve", config=config, work=0.07),),
            full=True,
            concludes="Whether a photograph becomes sparser by its deconvolution.",
            not_concluded="Nothing about the photograph of the figure, which the paper does not name.",
        )
    ]


def _grade_deconvolve(level: Level, results: Results) -> list[Grade]:
    result = results["deconvolve"]
    names = {
        "hoyer": "Hoyer's measure",
        "gini": "Gini index",
        "near_zero": "share within 0.1 σ",
        "kurtosis": "kurtosis",
    }
    before, after = ({name: side.measures[name].value for name in names} for side in (result.before, result.after))
    held = [after[name] is not None and after[name] > before[name] for name in names]
    changes = ", ".join(f"{label} from {before[name]:.3g} to {after[name]:.3g}" for name, label in names.items())
    return [
        grade_claim(
            SPARSER,
            held,
            full=level.full,
            measured=after["hoyer"],
            reason=f"Deconvolution changes {changes}.{ONE_SET}",
            conditions=f"{source_name(result.source)}, {result.kernels.shape[-1]}×{result.kernels.shape[-1]} patches,"
            " the paper's ridge",
        )
    ]


def _sparsity_levels(setting: Setting) -> list[Level]:
    def make(source: str, number: int) -> tuple[Part, ...]:
        config = SparsityConfig(source, images=number, **setting.run)
        work = 0.1 + _reading(setting, source, number, 0.027)
        return (Part(name="sparsity", experiment="sparsity", config=config, work=work),)

    return _levels(
        setting,
        SPARSITY_IMAGES,
        make,
        "Whether deconvolved pixels have heavy tails, and which share of them is close to zero, with its interval.",
        "Nothing about hidden layers, whose inputs fig. 11 shows.",
    )


def _grade_sparsity(level: Level, results: Results) -> list[Grade]:
    result = results["sparsity"]
    kurtosis, near = result.after.measures["kurtosis"], result.after.measures["near_zero"]
    conditions = f"{result.images.counted} of {source_name(result.source)}, 3×3 patches, the paper's ridge"
    grades = []
    if kurtosis.value is not None:
        low = kurtosis.value if kurtosis.low is None else kurtosis.low
        ends = "" if kurtosis.low is None else f" ({kurtosis.low:.3g} to {kurtosis.high:.3g})"
        reason = f"The kurtosis is {kurtosis.value:.3g}{ends}; that of a Gaussian is 3, of a Laplace distribution 6."
        grades.append(
            grade_claim(
                HEAVY,
                [low > 3],
                full=level.full,
                measured=kurtosis.value,
                reason=reason,
                conditions=conditions,
            )
        )
    if near.value is not None:
        ends = "" if near.low is None else f" ({100 * near.low:.3g} to {100 * near.high:.3g})"
        low = near.value if near.low is None else near.low
        reason = f"{percent(near.value)}{ends} of the values lie within 0.1 σ of zero; most would be more than half."
        grades.append(
            grade_claim(
                ZERO,
                [low > 0.5],
                full=level.full,
                measured=100 * near.value,
                reason=reason,
                conditions=conditions,
            )
        )
    return grades


FIG_2 = Item(
    id="fig2",
    title="deconvolution kernels",
    where="fig. 2 and section 4.3.2 of both versions",
    needs=(PHOTOGRAPHS,),
    subjects=(CENTRE_SURROUND, GREEN),
    levels=_kernel_levels,
    grade=_grade_kernels,
)
"""Figure 2."""
FIG_3 = Item(
    id="fig3",
    title="covariance of 3×3 patches",
    where="fig. 3 and section 4.1 of both versions",
    needs=(PHOTOGRAPHS,),
    subjects=(BLOCKS, WHITE),
    levels=_covariance_levels,
    grade=_grade_covariance,
)
"""Figure 3."""
FIG_4 = Item(
    id="fig4",
    title="an image before and after",
    where="fig. 4 and section 4.6 of both versions",
    needs=(),
    subjects=(SPARSER,),
    levels=_deconvolve_levels,
    grade=_grade_deconvolve,
)
"""Figure 4."""
FIG_9 = Item(
    id="fig9",
    aliases=("fig8-v1",),
    title="a centre-surround cell",
    where="fig. 9 of the second version, 8 of the first",
    needs=(),
    subjects=(),
    levels=lambda setting: [
        replace(
            _kernel_levels(setting)[-1],
            full=False,
            concludes="How kernels of built-in images look beside the drawing.",
            not_concluded="Nothing about retinas. The figure is a drawing without numbers, and fig. 2 has its claims.",
        )
    ],
    grade=lambda *_: [],
    lacks="The figure is a drawing, with nothing to measure; fig2 grades what the paper says about it",
)
"""Figure 9 of the second version: a drawing, beside which kernels are shown."""
FIG_10 = Item(
    id="fig10",
    aliases=("fig9-v1",),
    title="sparsity of deconvolved pixels",
    where="fig. 10 of the second version, 9 of the first",
    needs=(PHOTOGRAPHS,),
    subjects=(HEAVY, ZERO),
    levels=_sparsity_levels,
    grade=_grade_sparsity,
)
"""Figure 10 of the second version."""
