"""``ndtools fold``: a trained checkpoint without anything of deconvolution."""

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
    To,
    describe,
)

__all__ = ["fold"]


def fold(
    checkpoint: Checkpoint,
    *,
    arch: Arch = None,
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    config: Settings = None,
    to: To = None,
    size: Size = 32,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Merge the deconvolution of a trained network into its weights (Ye et al. 2020, sec. 4.5.1).

    The result is a checkpoint of the same network with plain convolutions
    and linear layers, for inference. The largest difference of its outputs
    from the unfolded network's, for eight images of random pixels, is
    printed.

    By default NAME.safetensors becomes NAME-folded.safetensors beside it.

    Example: [bold]ndtools fold vgg16-deconv.safetensors[/bold]
    """
    report = Report(as_json=as_json, quiet=quiet)
    path = report.destination(checkpoint, to, "-folded")

    from ndtools.checkpoints.config import CheckpointConfig, LayerSettings
    from ndtools.checkpoints.operations import fold_checkpoint

    given = CheckpointConfig(
        source=str(checkpoint),
        arch=arch,
        num_classes=num_classes,
        in_channels=in_channels,
        settings=LayerSettings.of(config),
    )
    result = fold_checkpoint(given, size=size, seed=seed)
    result.save(path)
    text = (
        f"{describe(result.network)} · {result.layers} layers folded · max difference {result.max_difference:.2g}"
        f" of outputs up to {result.largest:.3g} · 8 random images {size}×{size}, seed {seed}"
    )
    numbers = result.numbers() | {"size": size, "seed": seed}
    report.show(text, given, numbers, path, note=result.given.note(("eps", "n_iter")))
