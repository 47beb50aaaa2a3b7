"""``ndtools audit``: inspect the deconvolution layers of a checkpoint."""

from dataclasses import asdict
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
    of_the_run,
)
from ndtools.console.options import AsJson, Quiet, Seed
from ndtools.console.output import Output

__all__ = ["audit"]


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
            "--batch-size",
            "-b",
            help="Number of images in a training batch (default: as in the run in whose folder the checkpoint lies,"
            " or 128).",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the training images, pixels (default: as in that run, or 32).", show_default=False),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Inspect the deconvolution layers of a checkpoint.

    The table has a row for each layer: its blocks, the features of a block,
    and the samples (rows) that a training batch gives for their covariance,
    which is singular if there is no more than one for each feature (rows/f).
    Condition is the condition number of the running covariance + eps·I, or
    of D if D is averaged instead. Residual is ‖D A D - I‖_F/√d, how far D is
    from the exact inverse square root. Padding is the share of padding in
    the sampled patches, and batches the number of training batches. Layers
    with few samples or much padding are marked. The verdict says whether the
    statistics can be trusted; --quiet shows only what is wrong.

    Example: [bold]ndtools audit vgg16-deconv.safetensors --batch-size 64[/bold]
    """
    output = Output(quiet=quiet, as_json=as_json)

    from ndtools.checkpoints.operations import audit_checkpoint

    asked = checkpoint_config(checkpoint, arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    of_run = of_the_run(checkpoint) if batch_size is None or size is None else None
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
