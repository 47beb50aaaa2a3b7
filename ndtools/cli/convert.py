"""``ndtools convert``: a checkpoint of another kind, as one with deconvolution layers."""

from ndtools.cli.checkpoints import (
    Arch,
    Checkpoint,
    InChannels,
    Json,
    NumClasses,
    Quiet,
    Report,
    Settings,
    To,
    describe,
)

__all__ = ["convert"]


def convert(
    checkpoint: Checkpoint,
    *,
    arch: Arch = None,
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    config: Settings = None,
    to: To = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate a checkpoint into one with deconvolution layers (a .safetensors file).

    A checkpoint of the published code (yechengxi/deconvolution) is
    translated exactly: FastDeconv and Delinear with their statistics.

    One of a network without normalisation, or with batch normalisation,
    gives its weights, without the scales of the normalisations, to a
    network that decorrelates every layer's input: another function, a start
    for training. What became of each layer is printed.

    By default NAME.pt becomes NAME-deconv.safetensors beside it.

    Example: [bold]ndtools convert ckpt.pt --arch vgg16[/bold]
    """
    report = Report(as_json=as_json, quiet=quiet)
    path = report.destination(checkpoint, to, "-deconv")

    from ndtools.checkpoints.config import CheckpointConfig, LayerSettings
    from ndtools.checkpoints.operations import convert_checkpoint

    given = CheckpointConfig(
        source=str(checkpoint),
        arch=arch,
        num_classes=num_classes,
        in_channels=in_channels,
        settings=LayerSettings.of(config),
    )
    result = convert_checkpoint(given)
    result.save(path)
    done = (
        "translated from the published code: the same function"
        if result.given.published
        else "weights carried over: another function, to be trained"
    )
    text = f"{describe(result.network)} · {done}\n{result.plan}"
    report.show(text, given, result.numbers(), path, note=result.given.note())
