"""``ndtools fold``: merge the deconvolution of a trained checkpoint into plain layers."""

from ndtools.cli.checkpoints import (
    Arch,
    CheckpointFile,
    InChannels,
    NumClasses,
    Settings,
    Size,
    To,
    assumed,
    checkpoint_config,
    describe,
    destination,
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
    size: Size = 32,
    seed: Seed = 0,
    as_json: AsJson = False,
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
    output = Output(quiet=quiet, as_json=as_json)
    path, replaced = destination(checkpoint, to, "-folded")

    from ndtools.checkpoints.operations import fold_checkpoint
    from ndtools.text import counted

    asked = checkpoint_config(checkpoint, arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    result = fold_checkpoint(asked, size=size, seed=seed)
    result.save(path)
    run = output.manifest(config=asked, seed=seed, device="cpu", source=asked.source)
    output.json({**run, "output": str(path), **result.numbers(), "size": size, "seed": seed})
    output.text(
        f"{describe(result.network)} · {counted(result.layers, 'layer')} folded"
        f" · max difference {result.max_difference:.2g} of outputs up to {result.largest:.3g}"
        f" · 8 random images {size}×{size}, seed {seed}"
        f"{assumed(result.given.assumptions(('eps', 'n_iter')))}"
    )
    output.written([path], replaced=replaced)
