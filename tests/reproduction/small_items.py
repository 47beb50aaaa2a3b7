"""Items that take milliseconds, of real experiments: iterations on a matrix of three rows."""

from dataclasses import replace

import numpy as np

from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part
from ndtools.reproduction.request import Request
from ndtools.reproduction.run import Reproduction


def matrix(path, condition=9.0):
    """Write a covariance of three features to a .npy file."""
    np.save(path, np.diag([1.0, 2.0, condition]) + 0.1)
    return str(path)


def part(source, iterations=5, work=1.0, name="small"):
    config = NsStabilityConfig(source, iterations=iterations, algorithms=("coupled",), dtype=("float64",))
    return Part(name=name, experiment="ns-stability", config=config, work=work)


def level(title, *parts, full=False, needs=()):
    return Level(title=title, parts=parts, full=full, concludes="Something.", not_concluded="All else.", needs=needs)


def grade(level, results):
    """Grade the claim that the residual is small after the last iteration, once all parts are there."""
    if len(results) < len(level.parts):
        return []
    ends = [float(result.curves[0].residual[-1]) for result in results.values()]
    return [
        grade_claim(
            "claim/small",
            [end < 1e-3 for end in ends],
            full=level.full,
            measured=max(ends),
            reason="It is what it is.",
            conditions="a matrix",
        )
    ]


def item(name, *levels, needs=(), **settings):
    return Item(
        id=name,
        title=f"item {name}",
        where="nowhere",
        needs=needs,
        subjects=("claim/small",),
        levels=lambda _: levels,
        grade=grade,
        **settings,
    )


def reproduction(output, items, *, budget=None, **settings):
    """Return a reproduction of small items on a machine that is as fast as the reference."""
    named = {name: settings.pop(name) for name in ("ids", "places", "runs") if name in settings}
    request = replace(Request(output=output, budget=budget, runs=output / "elsewhere"), **named)
    return Reproduction(request, items=items, slow=1.0, **settings)
