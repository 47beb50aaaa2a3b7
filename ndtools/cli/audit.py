"""``ndtools audit``: what the deconvolution layers of a checkpoint do."""

from typing import Annotated

import typer

from ndtools.cli.checkpoints import (
    Arch,
    Checkpoint,
    InChannels,
    Json,
    NumClasses,
    Quiet,
    Report,
    Seed,
    Settings,
    Size,
    describe,
)

__all__ = ["audit"]


def audit(
    checkpoint: Checkpoint,
    *,
    arch: Arch = None,
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    config: Settings = None,
    batch_size: Annotated[int, typer.Option(help="Images in a training batch.")] = 128,
    size: Size = 32,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Inspect the deconvolution layers of a checkpoint.

    For each: its blocks, the features of a block, the samples (rows) that a
    training batch gives for their covariance, rows for each feature (the
    covariance is singular if not above 1), the condition number of the
    running covariance + eps (where D is averaged instead: of D), the
    residual ‖D A D - I‖_F/√d (how far D is from the exact inverse square
    root), the share of padding in the sampled patches, training batches;
    and the batch normalisations that are left. Layers with few samples, or
    with much padding, are marked; with --quiet only what is wrong is said.

    Example: [bold]ndtools audit vgg16-deconv.safetensors --batch-size 64[/bold]
    """
    report = Report(as_json=as_json, quiet=quiet)

    from ndtools.checkpoints.config import CheckpointConfig, LayerSettings
    from ndtools.checkpoints.metadata import spec_to_metadata
    from ndtools.checkpoints.operations import audit_checkpoint

    given = CheckpointConfig(
        source=str(checkpoint),
        arch=arch,
        num_classes=num_classes,
        in_channels=in_channels,
        settings=LayerSettings.of(config),
    )
    model, found = audit_checkpoint(given, batch_size=batch_size, size=size, seed=seed)
    numbers = {
        "network": spec_to_metadata(model.network),
        "settings_assumed": model.assumed,
        "batch_size": batch_size,
        "size": size,
        "seed": seed,
        **found.numbers(),
    }
    text = f"{describe(model.network)} · batches of {batch_size} images {size}×{size}\n{found}"
    report.show(text, given, numbers, note=model.note(("eps", "n_iter", "sampling_stride")))
    if quiet and not as_json:
        for warning in found.warnings():
            typer.echo(f"warning: {warning}", err=True)
