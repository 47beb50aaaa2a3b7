"""Figure 7 of the second version, 6 of the first: how stable two Newton-Schulz iterations are."""

from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.places import IMAGE
from ndtools.results.reproductions import Grade
from ndtools.text import source_name

__all__ = ["FIG_7"]

EXPLODES, STABLE = "claim/ns-vanilla-explodes", "claim/ns-coupled-stable"
FIFTEEN = "claim/ns-fifteen-iterations"
WHITE = 0.05  # ‖D·A·Dᵀ - I‖ of a thorough whitening; that of D = 0 is the root of the number of features
THOUSANDS = 3000
SOON = 20  # iterations after which the paper has the vanilla iteration explode


def _levels(setting: Setting) -> list[Level]:
    place = setting.places[IMAGE]

    def part(source: str, iterations: int, work: float) -> Part:
        config = NsStabilityConfig(source, iterations=iterations, algorithms=("coupled", "vanilla"), **setting.run)
        return Part(name="iterations", experiment="ns-stability", config=config, work=work)

    concludes = "Whether each iteration diverges on a covariance of photographs, in float32 and in float64."
    levels = [
        Level(
            title="published recipe: Lenna",
            parts=(part(place.path or IMAGE, THOUSANDS, 0.7),),
            full=True,
            concludes=concludes,
            not_concluded="Nothing about matrices of other condition numbers, and about iterations beyond 3,000.",
            needs=(IMAGE,),
        ),
        Level(
            title="the built-in photograph",
            parts=(part(NsStabilityConfig.source, THOUSANDS, 0.7),),
            full=False,
            concludes=concludes,
            not_concluded="Not at which iterations Lenna's matrix diverges: its condition number is another.",
        ),
    ]
    if place.path is not None and not place.original:
        levels[0:0] = [
            Level(
                title=f"{source_name(place.path)} in place of Lenna",
                parts=(part(place.path, THOUSANDS, 0.7),),
                full=False,
                concludes=concludes,
                not_concluded="Not at which iterations Lenna's matrix diverges: its condition number is another.",
                needs=(IMAGE,),
                instead="The published recipe takes the photograph Lenna, and another one is here",
            )
        ]
        del levels[1]
    return levels


def _grade(level: Level, results: Results) -> list[Grade]:
    result = results["iterations"]
    curves = {(curve.algorithm, curve.dtype): curve for curve in result.curves}
    dtypes, last = result.config.dtype, result.config.iterations
    conditions = (
        f"{source_name(result.source)}, 3×3 patches, {len(result.eigenvalues)} features, condition"
        f" {result.condition:.3g}, {last:,} iterations"
    )
    first = {dtype: curves["vanilla", dtype].diverges(result.floor(dtype)) for dtype in dtypes}
    lost = {dtype: curves["vanilla", dtype].measured.first_bad_iteration for dtype in dtypes}
    explosions = [
        f"in {dtype} its residual "
        + (f"exceeds ten times its least at iteration {at}" if (at := first[dtype]) is not None else "stays low")
        + (f" and is not finite from {end} on" if (end := lost[dtype]) is not None else " and stays finite")
        for dtype in dtypes
    ]
    ends, flat = [], []
    for dtype in dtypes:
        curve = curves["coupled", dtype]
        best, end = curve.measured.best_residual, float(curve.residual[-1])
        flat.append(curve.diverges(result.floor(dtype)) is None)
        ends.append(f"in {dtype} it is {end:.2g} after {last:,} iterations, and {best:.2g} at its least")
    white = {dtype: float(curves["coupled", dtype].whitening_residual[14]) for dtype in dtypes}
    reached = [at for at in lost.values() if at is not None]
    return [
        grade_claim(
            EXPLODES,
            [at is not None and at <= SOON for at in lost.values()],
            full=level.full,
            measured=float(max(reached)) if reached else None,
            reason=f"Vanilla iteration: {'; '.join(explosions)}.",
            conditions=conditions,
        ),
        grade_claim(
            STABLE,
            flat,
            full=level.full,
            measured=float(last) if all(flat) else None,
            reason=f"The residual of the coupled iteration: {'; '.join(ends)}.",
            conditions=conditions,
        ),
        grade_claim(
            FIFTEEN,
            [residual < WHITE for residual in white.values()],
            full=level.full,
            measured=max(white.values()),
            reason="After 15 coupled iterations, the distance of D·A·Dᵀ from the identity is "
            + " and ".join(f"{residual:.2g} in {dtype}" for dtype, residual in white.items())
            + f"; that of D = 0 is {len(result.eigenvalues) ** 0.5:.2g}.",
            conditions=conditions,
        ),
    ]


FIG_7 = Item(
    id="fig7",
    aliases=("fig6-v1",),
    title="stability of Newton-Schulz",
    where="fig. 7 of the second version, 6 of the first",
    needs=(IMAGE,),
    subjects=(EXPLODES, STABLE, FIFTEEN),
    levels=_levels,
    grade=_grade,
)
"""Figure 7 of the second version."""
