"""``ndtools audit``: inspect the deconvolution layers of a checkpoint."""

from typing import Annotated

import typer

from ndtools.cli.checkpoints import (
    Arch,
    CheckpointFile,
    InChannels,
    NumClasses,
    Settings,
    Size,
    assumed,
    checkpoint_config,
    describe,
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
    batch_size: Annotated[int, typer.Option(help="Number of images in a training batch.")] = 128,
    size: Size = 32,
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

    from ndtools.checkpoints.metadata import spec_to_metadata
    from ndtools.checkpoints.operations import audit_checkpoint

    asked = checkpoint_config(checkpoint, arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    read, properties = audit_checkpoint(asked, batch_size=batch_size, size=size, seed=seed)
    numbers = {
        "network": spec_to_metadata(read.network),
        "settings_assumed": read.assumed,
        "batch_size": batch_size,
        "size": size,
        "seed": seed,
        **properties.numbers(),
    }
    output.json({**output.manifest(config=asked, seed=seed, device="cpu", source=asked.source), **numbers})
    output.text(
        f"{describe(read.network)} · batches of {batch_size} images {size}×{size}\n{properties}"
        f"{assumed(read.assumptions(('eps', 'n_iter', 'sampling_stride')))}"
    )
    if quiet and not as_json:  # the text marks these layers
        for warning in properties.warnings():
            output.warning(warning)
