"""What a layer of a network sees, before and after its deconvolution (Ye et al. 2020, fig. 11; once fig. 10)."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ndtools.checkpoints.files import load_network
from ndtools.computing.operators import check_memory, operator_threads, resolve_device
from ndtools.console.short_form import short_form
from ndtools.data.images.single import load_single
from ndtools.errors import DataError, NumericalError, NumericalWarning, OptionError
from ndtools.experiments.features.config import FeaturesConfig
from ndtools.experiments.features.layer import Deconvolved, deconvolved_input
from ndtools.experiments.features.result import FeaturesResult
from ndtools.models.catalogue import build
from ndtools.models.norms import prepare
from ndtools.models.spec import NetworkSpec
from ndtools.numerics.pixels import white
from ndtools.numerics.sparsity import measured
from ndtools.results.runs import read_about
from ndtools.surgery.fold import poor_statistics

__all__ = ["convolutions_of", "features", "run"]

NEW_ARCH, NEW_NORM = "vgg11", "deconv"
_PAPER_LAYER = 5
_WORDS = {"batch_norm": "bn", "group_norm": "gn", "layer_norm": "ln", "iter_norm": "iternorm"}  # the names of arms


def run(config: FeaturesConfig) -> FeaturesResult:
    """Show an image to a network, and deconvolve the input of one of its layers.

    Parameters
    ----------
    config : FeaturesConfig
        Configuration of the run.

    Returns
    -------
    FeaturesResult
        Input channels of the layer before and after deconvolution, with measures of their sparsity.

    Raises
    ------
    DataError
        If the checkpoint or the image cannot be read, or the image is too small for the layer.
    OptionError
        If the network has no such layer, or mean and std do not fit its images.
    NumericalError
        If the features are not finite, or statistics of the checkpoint give no D.

    Warns
    -----
    NumericalWarning
        If no layer has seen a training batch, or the image has fewer patches than the layer has features.
    """
    FeaturesConfig.check_type(config)
    device = resolve_device(config.device)
    network, name = _network(config)
    trained = config.checkpoint is not None and _has_learned(network)
    if not trained:
        weights = (
            "the network was never trained: its weights are random"
            if config.checkpoint is None
            else "no layer has seen a training batch: the weights are those of the checkpoint"
        )
        warnings.warn(f"{weights}, and each D is that of the image itself", NumericalWarning, stacklevel=2)
    elif poor := poor_statistics(network):
        raise NumericalError(f"{config.checkpoint}: {poor}")
    number, layer_name, layer = _layer(network, config.layer)
    in_channels = _first(network).in_channels
    source, pixels = _image(config, in_channels)
    check_memory("size", config.size, 4 * 64 * math.prod(pixels.shape[1:]) * 4, device)
    network.to(device)
    with operator_threads(config.jobs), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # of layers that are not shown
        x = _standardised(config, pixels).to(device, next(network.parameters()).dtype)
        seen = _seen_by(network, layer, x, trained=trained)
        if not torch.isfinite(seen).all():
            raise NumericalError(f"the input of {layer_name} is not finite: check the checkpoint, mean and std")
        try:
            made = deconvolved_input(layer, seen, trained=trained, first=number == 1)
        except ValueError as error:
            raise DataError(f"{source}: {layer_name}: {error}; take a larger `size`") from None
    result = FeaturesResult(
        config=config,
        source=source,
        network=name,
        trained=trained,
        layer=layer_name,
        number=number,
        kernel=made.kernel,
        total=layer.in_channels,
        block=made.block,
        own=made.own,
        samples=made.samples,
        image=np.rint(255 * pixels.clamp(0, 1).numpy()).astype(np.uint8),
        inputs=made.inputs[: config.channels].copy(),
        outputs=made.outputs[: config.channels].copy(),
        measures=_measures(made),
        device=str(device),
    )
    if made.own and made.samples < result.features:
        warnings.warn(
            f"{made.samples} patches of the image for {result.features} features: their covariance is singular, and D"
            " is mostly that of its shrinkage and ridge; take a larger `size`",
            NumericalWarning,
            stacklevel=2,
        )
    return result


features = short_form(FeaturesConfig, run)


def _network(config: FeaturesConfig) -> tuple[nn.Module, str]:
    """Return the network, and its name in words."""
    if config.checkpoint is not None:
        try:
            network = load_network(config.checkpoint, arch=config.arch)
        except DataError as error:
            known = Path(config.checkpoint).suffix in (".safetensors", ".pt", ".pth", ".bin")
            hint = "" if known else "; the checkpoint comes before the image, and `norm` asks for a new network"
            raise DataError(f"{error}{hint}") from None
        spec: NetworkSpec = network.spec  # type: ignore[assignment]
        return network, f"{spec.arch}, {_WORDS.get(spec.form, spec.form)}"
    arch, norm = config.arch or NEW_ARCH, config.norm or NEW_NORM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build(arch, norm), f"{arch}, {norm}"


def _has_learned(network: nn.Module) -> bool:
    """Return whether a network has seen training batches, as far as its layers count them."""
    counters = (getattr(module, "num_batches_tracked", None) for module in network.modules())
    counts = [int(counter) for counter in counters if isinstance(counter, Tensor)]
    return not counts or max(counts) > 0


def convolutions_of(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions of a network by their names, in the order in which the network lists them."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def _first(network: nn.Module) -> nn.Conv2d:
    return next(iter(convolutions_of(network).values()))


def _layer(network: nn.Module, wanted: int | str | None) -> tuple[int, str, nn.Conv2d]:
    convolutions = convolutions_of(network)
    names = list(convolutions)
    if wanted is None:
        wanted = min(_PAPER_LAYER, len(names))
    if isinstance(wanted, int):
        if wanted > len(names):
            raise OptionError("layer", f"must be at most {len(names)}, the number of convolutions, got {wanted}")
        name = names[wanted - 1]
    elif wanted in convolutions:
        name = wanted
    else:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise OptionError("layer", f"must be a number from 1 to {len(names)}, or a name ({shown}), got {wanted!r}")
    return names.index(name) + 1, name, convolutions[name]


def _image(config: FeaturesConfig, channels: int) -> tuple[str, Tensor]:
    """Return the name of the image, and its pixels in [0, 1], resized."""
    if channels not in (1, 3):
        raise DataError(f"the network takes images of {channels} channels, and an image file has 1 or 3")
    image = load_single(config.source, gray=channels == 1, working=64)
    pixels = torch.from_numpy(np.array(image.pixels)).float() / white(image.pixels)
    height, width = pixels.shape[1:]
    shorter = min(height, width)
    if shorter != config.size:
        size = [max(1, round(side * config.size / shorter)) for side in (height, width)]
        pixels = interpolate(pixels[None], size, mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)
    return image.name, pixels


def _standardised(config: FeaturesConfig, pixels: Tensor) -> Tensor:
    """Return a batch of one image less its mean, in units of its standard deviation, or as in training."""
    if config.mean is None and (of_run := _of_the_run(config.checkpoint)):
        config = replace(config, mean=of_run[0], std=of_run[1])
    if config.mean is None or config.std is None:
        std, mean = torch.std_mean(pixels, (1, 2), correction=0, keepdim=True)
        return ((pixels - mean) / std.clamp(min=1e-6))[None]
    if len(config.mean) not in (1, len(pixels)):
        raise OptionError("mean", f"must have {len(pixels)} values, one for each channel, got {len(config.mean)}")
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    return ((pixels - mean) / std)[None]


def _of_the_run(checkpoint: str | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and standard deviation of the training pixels, if the checkpoint lies in the folder of a run."""
    folder = Path(checkpoint or "").parent
    if checkpoint is None or not (folder / "run.json").is_file():
        return None
    data = read_about(folder)["data"]
    try:
        mean, std = (tuple(float(value) for value in data[name]) for name in ("mean", "std"))
    except (LookupError, TypeError, ValueError):  # of a version that did not record them
        return None
    return mean, std


class _Seen(Exception):  # noqa: N818  # no error: it ends a forward pass
    """End of a forward pass at the layer whose input is wanted."""


def _seen_by(network: nn.Module, layer: nn.Module, x: Tensor, *, trained: bool) -> Tensor:
    """Return the input of a layer; layers of a network that was never trained use the statistics of the image."""
    # Layers behind the wanted one do not run: they may need images of another size.
    inputs: list[Tensor] = []

    def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs.append(arguments[0])
        raise _Seen

    network.train(not trained)
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.eval()
    if not trained:
        prepare(network, x)
    handle = layer.register_forward_pre_hook(hook)
    try:
        network(x)
    except _Seen:
        return inputs[0].detach().clone()
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"an image of {x.shape[3]} x {x.shape[2]} pixels does not fit the network: {str(error).splitlines()[0]};"
            " take a larger `size`"
        ) from None
    finally:
        handle.remove()
    raise OptionError("layer", "is not reached by an image in this network; take another")


def _measures(made: Deconvolved) -> dict[str, dict[str, float | None]]:
    def values(side: NDArray[np.float32], terms: float, *, about_mean: bool = True) -> dict[str, float | None]:
        distribution = measured(side, terms=terms, about_mean=about_mean)
        return {name: estimate.value for name, estimate in distribution.measures.items()}

    largest = float(np.abs(made.inputs).max())
    return {
        "input": values(made.inputs, largest, about_mean=False),
        "centred": values(made.inputs, largest),
        "deconvolved": values(made.outputs, largest * made.gain),
    }
