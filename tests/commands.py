"""Run a command in this process, and read what it wrote."""

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from ndtools.cli.app import app


def invoke(*arguments, **options):
    """Run ndtools with these arguments; return the exit code and what was printed."""
    return CliRunner().invoke(app, [str(a) for a in arguments], **options)


def numbers(out, stem="kernels"):
    """Read the JSON of a result strictly: NaN and infinity are no JSON."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads((out / f"{stem}.json").read_text(), parse_constant=refuse)


def save(path, size=(40, 30), seed=0):
    """Write a smooth colour picture."""
    rng = np.random.default_rng(seed)
    pixels = rng.random((size[1], size[0], 3)).cumsum(0).cumsum(1)
    Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8)).save(path)
    return path
