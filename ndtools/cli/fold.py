"""``ndtools fold``: merge the deconvolution of a trained checkpoint into plain layers."""

from typing import Annotated

import typer

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
    of_the_run,
)
from ndtools.console.options import AsJson, Quiet, Seed
from ndtools.console.output import Output

__all__ = ["fold"]


def fold(
    checkpoint: CheckpointFile,
    *,
    arch: Arch = None,
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    config: Settings = None,
    to: To = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the images that outputs are compared for, pixels (default: as in the run in whose folder the"
            " checkpoint lies, or 224 for networks for ImageNet and for segmentation, or 32).",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge the deconvolution of a trained network into its weights (Ye et al. 2020, sec. 4.5.1).

    The result is a checkpoint of the same network with plain convolutions
    and linear layers, for inference. The largest difference of its outputs
    from the unfolded network's, for images of random pixels, is printed:
    eight, or fewer of more than 112 pixels.

    By default NAME.safetensors becomes NAME-folded.safetensors beside it.

    Example: [bold]ndtools fold vgg16-deconv.safetensors[/bold]
    """
    output = Output(quiet=quiet, as_json=as_json)
    path, replaced = destination(checkpoint, to, "-folded")

    from ndtools.checkpoints.operations import fold_checkpoint
    from ndtools.text import counted

    asked = checkpoint_config(checkpoint, arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    of_run = of_the_run(checkpoint) if size is None else None
    result = fold_checkpoint(asked, size=of_run[1] if of_run else size, seed=seed)
    result.save(path)
    run = output.manifest(config=asked, seed=seed, device="cpu", source=asked.source)
    output.json({**run, "output": str(path), **result.numbers(), "seed": seed})
    output.text(
        f"{describe(result.network)} · {counted(result.layers, 'layer')} folded"
        f" · max difference {result.max_difference:.2g} of outputs up to {result.largest:.3g}"
        f" · {counted(result.images, 'random image')} {result.size}×{result.size}, seed {seed}"
        f"{assumed(result.given.assumptions(('eps', 'n_iter')))}"
    )
    output.written([path], replaced=replaced)
