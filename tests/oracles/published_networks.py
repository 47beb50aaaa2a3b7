"""The published networks: names and shapes of their parameters, and what they gave for two random batches.

    python -m tests.oracles.published_networks [NETWORK/ARM ...]    compare all networks or these, print differences

The last column, ``read``, is of the network that is read from a file with the tensors of the published code.

The files were recorded by running the published code (github.com/yechengxi/deconvolution, commit d221c22, by Ye et al.)
on a CPU in float64. The arm "nd" is its network with ``--deconv True --block-fc 512``, "bn" that with batch
normalisation. ``published_networks.json`` has the names and shapes of the parameters, and the amplification: how much
a relative change of the inputs grows in the outputs, measured with changes of 1e-12.
"""

import json
import sys
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from ndtools.checkpoints.files import load_network
from ndtools.models import build

_HERE = Path(__file__).parent
NETWORKS = json.loads((_HERE / "published_networks.json").read_text())
ARMS = {"nd": "deconv-reference", "bn": "bn"}
"""Name of the same arm in ndtools, by the name in the files."""
QUICK = [key for key in NETWORKS if key.split("/")[0] in ("pnasnet_a", "efficientnet_b0", "mobilenet_v2")]
"""Networks that take a second or two for both batches."""
ROUNDINGS = 4e-13
"""Relative change that rounding explains, for each unit of amplification.

A network rounds some hundred times between its inputs and its outputs, each time by 1e-16. The recording machine summed
in another order. Measured differences are at most 0.3e-13 for each unit.
"""


def allowed(key: str) -> float:
    """Return the relative difference from the recorded outputs that rounding explains."""
    return ROUNDINGS * max(1, NETWORKS[key]["amplification"])


def parameters_of(key: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes of the parameters, in their order."""
    return [(name, tuple(shape)) for name, shape in NETWORKS[key]["parameters"]]


def values_of(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return the values that a parameter had in the recording."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) > 1:
        return torch.from_numpy(drawn / np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(0.1 * drawn + name.endswith("weight"))


def network_of(key: str) -> nn.Module:
    """Build our form of a published network in float64, with the recorded parameters, in training mode."""
    name, arm = key.split("/")
    with torch.device("meta"):
        network = build(name, ARMS[arm]).double()
    network.to_empty(device="cpu")
    for module in network.modules():
        if hasattr(module, "reset_running_stats"):
            module.reset_running_stats()
    with torch.no_grad():
        for parameter, value in network.named_parameters():
            value.copy_(values_of(parameter, tuple(value.shape)))
    return network


def batches() -> tuple[Tensor, Tensor]:
    """Return the two batches of eight images."""
    generator = np.random.default_rng(5)
    first, second = (torch.from_numpy(generator.standard_normal((8, 3, 32, 32))) for _ in range(2))
    return first, second


def recorded(key: str) -> dict[str, np.ndarray]:
    """Return what a published network gave: y0, loss, gradnorm (0 for parameters that are not used), y1 and yeval."""
    with np.load(_HERE / "published_networks.npz") as file:
        return {name: file[f"{key}/{name}"] for name in ("y0", "loss", "gradnorm", "y1", "yeval")}


def published_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a network under the names, and in the shapes, that the published code gives them.

    Its layers FastDeconv and Delinear hold ``running_mean`` and ``running_deconv``, and do not count batches.
    """
    state = {}
    for key, value in network.state_dict().items():
        layer, inner, name = key.rpartition("whitening.")
        if name == "running_mean" and inner:
            value = value.flatten()
        elif name == "running_deconv":
            value = value[:, 0] if len(value) > 1 else value[0, 0]
        elif inner:
            assert name == "num_batches_tracked"
            continue
        state[layer + name] = value
    return state


def published_checkpoint(network: nn.Module, arch: str = "?") -> dict[str, object]:
    """Return what the published training code writes to ``checkpoint.pth.tar`` after two epochs."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    return {
        "state_dict": published_state(network),
        "epoch": 2,
        "arch": arch,
        "best_acc": 12.5,
        "train_losses": [2.3, 2.2],
        "valid_losses": [],
        "test_losses": [2.3, 2.2],
        "optimizer": optimizer.state_dict(),
    }


def computed(key: str, network: nn.Module) -> dict[str, np.ndarray]:
    """Return what a network gives for the same batches."""
    first, second = batches()
    y0 = network(first)
    loss = nn.functional.cross_entropy(y0, torch.arange(8))
    loss.backward()
    norms = {name: 0 if p.grad is None else float(p.grad.norm()) for name, p in network.named_parameters()}
    with torch.no_grad():
        y1 = network(second)
        yeval = network.eval()(second)
    return {
        "y0": y0.detach().numpy(),
        "loss": loss.detach().numpy(),
        "gradnorm": np.array([norms[name] for name, _ in parameters_of(key)]),
        "y1": y1.numpy(),
        "yeval": yeval.numpy(),
    }


def differences(key: str) -> dict[str, float]:
    """Return the largest differences of our network, relative to the largest value of each array."""
    network, wanted = network_of(key), recorded(key)
    ours = computed(key, network)
    ours["read"], wanted["read"] = computed_from_file(key, network), wanted["yeval"]
    return {name: float(np.abs(ours[name] - each).max() / np.abs(each).max()) for name, each in wanted.items()}


def computed_from_file(key: str, network: nn.Module) -> np.ndarray:
    """Return the outputs of the second batch by the network that is read from a file of the published code."""
    with TemporaryDirectory() as folder:
        torch.save(published_checkpoint(network), f"{folder}/checkpoint.pth.tar")
        again = load_network(f"{folder}/checkpoint.pth.tar", arch=key.split("/")[0])
    with torch.no_grad():
        return again(batches()[1]).numpy()


def main(keys: list[str]) -> None:
    """Print the differences of networks, and the seconds that each took."""
    print(f"{'network':22} {'y0':>8} {'loss':>8} {'gradnorm':>8} {'y1':>8} {'yeval':>8} {'read':>8} {'seconds':>8}")
    for key in keys or NETWORKS:
        start = time.perf_counter()
        values = " ".join(f"{value:8.1e}" for value in differences(key).values())
        print(f"{key:22} {values} {time.perf_counter() - start:8.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
