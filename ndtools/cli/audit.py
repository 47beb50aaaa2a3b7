"""``ndtools audit``: inspect the deconvolution layers of a checkpoint."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ndtools.cli.checkpoints import (
    Arch,
    CheckpointFile,
    InChannels,
    NumClasses,
    Settings,
    assumed,
    checkpoint_config,
    describe,
)
from ndtools.console.options import AsJson, Quiet, Seed
from ndtools.console.output import Output

__all__ = ["audit"]

_LEAST_SIZE = 32  # of the images that networks of checkpoints take


def audit(
    checkpoint: CheckpointFile,
    *,
    arch: Arch = None,
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    config: Settings = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Number of images in a training batch (default: as in the run in whose folder the checkpoint lies,"
            " or 128).",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the training images, pixels (default: likewise, or 32).", show_default=False),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Inspect the deconvolution layers of a checkpoint.

    The table shows for each layer its blocks, the features of a block, the samples (rows) that a
    training batch gives for their covariance, rows for each feature (the
    covariance is singular if not above 1), the condition number of the
    running covariance + eps (where D is averaged instead: of D), the
    residual ‖D A D - I‖_F/√d (how far D is from the exact inverse square
    root), the share of padding in the sampled patches, and the number of
    training batches; below it, the batch normalisations that are left. Layers
    with few samples, or with much padding, are marked. The verdict says
    whether the statistics can be trusted; with --quiet only what is wrong is
    said.

    Example: [bold]ndtools audit vgg16-deconv.safetensors --batch-size 64[/bold]
    """
    output = Output(quiet=quiet, as_json=as_json)

    from ndtools.checkpoints.operations import audit_checkpoint

    asked = checkpoint_config(checkpoint, arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    of_run = _of_the_run(checkpoint) if batch_size is None or size is None else None
    batch_size = batch_size if batch_size is not None else of_run[0] if of_run else 128
    size = size if size is not None else of_run[1] if of_run else 32
    in_training = ", as in training" if of_run == (batch_size, size) else ""
    read, properties = audit_checkpoint(asked, batch_size=batch_size, size=size, seed=seed)
    numbers = {
        "network": asdict(read.network),
        "settings_assumed": read.assumed,
        "batch_size": batch_size,
        "size": size,
        "seed": seed,
        **properties.numbers(),
    }
    output.json({**output.manifest(config=asked, seed=seed, device="cpu", source=asked.source), **numbers})
    output.text(
        f"{describe(read.network)} · batches of {batch_size} images {size}×{size}{in_training}\n{properties}"
        f"{assumed(read.assumptions(('eps', 'n_iter', 'sampling_stride')))}"
    )
    if quiet and not as_json:  # the text marks these layers
        for warning in properties.warnings():
            output.warning(warning)


def _of_the_run(checkpoint: Path) -> tuple[int, int] | None:
    """Return images in a batch and their side, if the checkpoint lies in the folder of a run that recorded them."""
    from ndtools.errors import DataError
    from ndtools.results.runs import read_about

    try:
        about = read_about(checkpoint.parent)
    except DataError:  # it lies elsewhere, or its description is damaged
        return None
    view = about["data"].get("view", {"size": _LEAST_SIZE})  # images in memory have no view
    try:
        side = int(view["size"] if "size" in view else view["crop"])
        count = int(about["config"]["batch_size"]) * int(about.get("processes", 1))
    except (LookupError, TypeError, ValueError):
        return None
    return (count, max(side, _LEAST_SIZE)) if count >= 1 else None
