"""``ndtools convert``: translate a checkpoint of another kind into one with deconvolution layers."""

from ndtools.cli.checkpoints import (
    Arch,
    CheckpointFile,
    InChannels,
    NumClasses,
    Settings,
    To,
    assumed,
    checkpoint_config,
    describe,
    destination,
)
from ndtools.console.options import AsJson, Quiet
from ndtools.console.output import Output

__all__ = ["convert"]


def convert(
    checkpoint: CheckpointFile,
    *,
    arch: Arch = None,
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    config: Settings = None,
    to: To = None,
    as_json: AsJson = False,
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
    output = Output(quiet=quiet, as_json=as_json)
    path, replaced = destination(checkpoint, to, "-deconv")

    from ndtools.checkpoints.operations import convert_checkpoint

    asked = checkpoint_config(checkpoint, arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    result = convert_checkpoint(asked)
    result.save(path)
    what_was_done = (
        "translated from the published code: the same function"
        if result.given.published
        else "weights carried over: another function, to be trained"
    )
    run = output.manifest(config=asked, seed=0, device="cpu", source=asked.source)
    output.json({**run, "output": str(path), **result.numbers()})
    output.text(f"{describe(result.network)} · {what_was_done}\n{result.plan}{assumed(result.given.assumptions())}")
    output.written([path], replaced=replaced)
