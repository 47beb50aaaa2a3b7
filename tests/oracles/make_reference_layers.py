"""Make ``reference_layers.npz``: what layers of the published code give for random inputs, and the inputs.

    python -m tests.oracles.make_reference_layers           compare the committed file with this arithmetic
    python -m tests.oracles.make_reference_layers FILE      write the arrays to a new file

The committed file was recorded when the layers were first tested against the published code
(github.com/yechengxi/deconvolution, commit d221c22, by Ye et al.). This script does not run that code. It draws the
same inputs from the same seed, and states the arithmetic of its layers again from the listing in the paper (Ye et al.
2020, A.8): patches are cut, whitened and multiplied one after the other, where the listing folds D into the weights.
It shares nothing with ``ndtools``. ``test_reference_layers.py`` checks that it gives the committed arrays.

The arithmetic, with the features of a patch ordered by channel, row, column:

- Blocks: of C channels, B are whitened together. Feature f belongs to block f mod (C/B), so that a block holds every
  (C/B)-th feature of all channels; in a grouped convolution, a block is a group. A linear layer has contiguous blocks.
- Samples: patches at every third output position in both directions, beginning in the padded corner; with a 1x1 kernel
  every ninth pixel, counted through rows, columns and images. All blocks are samples of the same mean and covariance,
  except in a grouped convolution, whose groups have their own.
- D: n steps of the coupled Newton-Schulz iteration for (Cov + 1e-5 I)^(-1/2), divided by the Frobenius norm at first.
- Output: w·D·(x - mean) + bias for every patch x, zeros of the padding included. Gradients pass through mean and D.
- Evaluation: averages of mean and D with momentum 0.1, from 0 and I, without bias correction.
"""

import sys

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from tests.oracles.published_layers import CASES, REFERENCE

SEED = 7
EPS, MOMENTUM, SAMPLING_STRIDE = 1e-5, 0.1, 3
LINEAR = (12, 5, 6)  # input features, output features, features in a block


def inverse_root(covariance: Tensor, n_iter: int) -> Tensor:
    """Return n steps of the coupled Newton-Schulz iteration for the inverse square root."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    norm = covariance.square().sum().sqrt()
    y, z = covariance / norm, identity
    for _ in range(n_iter):
        t = 1.5 * identity - 0.5 * z @ y
        y, z = y @ t, t @ z
    return z / norm.sqrt()


def moments(samples: Tensor, n_iter: int) -> tuple[Tensor, Tensor]:
    """Return the mean of samples (rows), and D."""
    mean = samples.mean(0)
    centred = samples - mean
    covariance = centred.mT @ centred / len(samples)
    return mean, inverse_root(covariance + EPS * torch.eye(len(mean), dtype=mean.dtype), n_iter)


class Averages:
    """Averages of means and matrices over the batches of training."""

    def __init__(self, count: int, features: int) -> None:
        self.mean = torch.zeros(count, features, dtype=torch.float64)
        self.matrix = torch.eye(features, dtype=torch.float64).repeat(count, 1, 1)

    def add(self, mean: Tensor, matrix: Tensor) -> None:
        """Add the moments of a batch."""
        self.mean = (1 - MOMENTUM) * self.mean + MOMENTUM * mean.detach()
        self.matrix = (1 - MOMENTUM) * self.matrix + MOMENTUM * matrix.detach()


def patches(x: Tensor, k: int, padding: int, stride: int) -> Tensor:
    """Return patches of images (N, C, H, W) as an array (N, H', W', C k k)."""
    x = pad(x, (padding,) * 4)
    rows, columns = ((side - k) // stride + 1 for side in x.shape[2:])
    taps = [
        x[:, :, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(k)
        for j in range(k)
    ]
    return torch.stack(taps, 2).flatten(1, 2).movedim(1, -1)


class Convolution:
    """A convolution of whitened patches."""

    def __init__(self, conv: nn.Conv2d, block_size: int | None = None, n_iter: int = 5) -> None:
        channels, self.k, self.groups = conv.in_channels, conv.kernel_size[0], conv.groups
        self.padding, self.stride, self.n_iter = conv.padding[0], conv.stride[0], n_iter
        self.weight, self.bias = (p.detach().double().requires_grad_() for p in (conv.weight, conv.bias))
        count = self.groups if self.groups > 1 else channels // (block_size or channels)
        features = channels * self.k**2
        if self.groups > 1:
            self.blocks = [slice(i * features // count, (i + 1) * features // count) for i in range(count)]
        else:
            self.blocks = [slice(i, None, count) for i in range(count)]
        self.averages = Averages(self.groups, features // count)

    def sampled(self, x: Tensor) -> Tensor:
        """Return the patches that statistics are taken of, (samples, C k k)."""
        step = SAMPLING_STRIDE * self.stride
        if self.k == 1:
            return patches(x, 1, 0, 1).flatten(0, 2)[:: step**2]
        return patches(x, self.k, self.padding, step).flatten(0, 2)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return means (G, F) and matrices (G, F, F) of a batch, one for each group."""
        samples = self.sampled(x)
        parts = [samples[:, block] for block in self.blocks]
        sets = parts if self.groups > 1 else [torch.cat(parts)]
        means, matrices = zip(*(moments(part, self.n_iter) for part in sets), strict=True)
        return torch.stack(means), torch.stack(matrices)

    def __call__(self, x: Tensor, training: bool = True) -> Tensor:
        """Return the output; in training, statistics are those of the batch, and are added to the averages."""
        if training:
            means, matrices = self.statistics(x)
            self.averages.add(means, matrices)
        else:
            means, matrices = self.averages.mean, self.averages.matrix
        whole = patches(x, self.k, self.padding, self.stride)
        rows = self.weight.flatten(1)
        if self.groups > 1:
            outputs = [
                ((whole[..., block] - means[i]) @ matrices[i]) @ w.mT
                for i, (block, w) in enumerate(zip(self.blocks, rows.chunk(self.groups), strict=True))
            ]
            out = torch.cat(outputs, -1)
        else:
            white = [(whole[..., block] - means[0]) @ matrices[0] for block in self.blocks]
            out = sum(part @ rows[:, block].mT for part, block in zip(white, self.blocks, strict=True))
        return (out + self.bias).movedim(-1, 1)


class Linear:
    """A linear layer on whitened blocks of features."""

    def __init__(self, linear: nn.Linear, block_size: int, n_iter: int = 5) -> None:
        self.weight, self.bias = linear.weight.detach().double(), linear.bias.detach().double()
        self.block_size, self.n_iter = block_size, n_iter
        self.averages = Averages(1, block_size)

    def __call__(self, x: Tensor, training: bool = True) -> Tensor:
        """Return the output, as a convolution does."""
        blocks = x.reshape(-1, self.block_size)
        mean, matrix = self.averages.mean[0], self.averages.matrix[0]
        if training:
            mean, matrix = moments(blocks, self.n_iter)
            self.averages.add(mean, matrix)
        return ((blocks - mean) @ matrix).reshape(x.shape) @ self.weight.mT + self.bias


Arrays = dict[str, Tensor]


def draw_convolution(name: str) -> Arrays:
    """Draw the next layer, its inputs and the gradient of its output from torch's generator."""
    inputs, outputs, kernel, arguments, _ = CASES[name]
    conv = nn.Conv2d(inputs, outputs, kernel, **arguments)
    mixing = torch.randn(inputs, inputs, dtype=torch.float64)  # of channels

    def images() -> Tensor:
        smooth = avg_pool2d(torch.randn(3, inputs, 10, 10, dtype=torch.float64), 3, stride=1)
        return 0.3 + torch.einsum("dc,nchw->ndhw", mixing, smooth)

    drawn = {"weight": conv.weight.detach().double(), "bias": conv.bias.detach().double(), "x0": images()}
    drawn["g"] = torch.randn(conv(drawn["x0"].float()).shape, dtype=torch.float64)
    return drawn | {"x1": images(), "x2": images()}


def convolution_outputs(name: str, drawn: Arrays) -> Arrays:
    """Return what a layer gives for inputs, and what it averages."""
    inputs, outputs, kernel, arguments, settings = CASES[name]
    conv = nn.Conv2d(inputs, outputs, kernel, **arguments).double()
    conv.weight.data, conv.bias.data = drawn["weight"].clone(), drawn["bias"].clone()
    layer = Convolution(conv, **settings)
    x = drawn["x0"].clone().requires_grad_()
    made = {"y0": layer(x)}
    made["y0"].backward(drawn["g"])
    made |= {"dx": x.grad, "dw": layer.weight.grad}
    made |= {f"y{step}": layer(drawn[f"x{step}"]) for step in ("1", "2")}
    made["yeval"] = layer(drawn["x2"], training=False)
    matrix = layer.averages.matrix
    return made | {
        "running_mean": layer.averages.mean.flatten(),
        "running_deconv": matrix if layer.groups > 1 else matrix[0],
    }


def draw_linear() -> Arrays:
    """Draw the linear layer and its inputs from torch's generator."""
    inputs, outputs, _ = LINEAR
    linear = nn.Linear(inputs, outputs)
    drawn = {"weight": linear.weight.detach().double(), "bias": linear.bias.detach().double()}
    for step in ("0", "1"):
        independent, mixing = (torch.randn(rows, inputs, dtype=torch.float64) for rows in (40, inputs))
        drawn[f"x{step}"] = independent @ mixing + 0.5
    return drawn


def linear_outputs(drawn: Arrays) -> Arrays:
    """Return what the linear layer gives for inputs."""
    inputs, outputs, block_size = LINEAR
    linear = nn.Linear(inputs, outputs).double()
    linear.weight.data, linear.bias.data = drawn["weight"].clone(), drawn["bias"].clone()
    layer = Linear(linear, block_size)
    made = {f"y{step}": layer(drawn[f"x{step}"]) for step in ("0", "1")}
    return made | {"yeval": layer(drawn["x1"], training=False)}


def draw() -> dict[str, Arrays]:
    """Draw the layers and inputs of all cases."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return {name: draw_convolution(name) for name in CASES} | {"linear": draw_linear()}


def outputs(drawn: dict[str, Arrays]) -> dict[str, Arrays]:
    """Return what the layers of all cases give for inputs."""
    with torch.random.fork_rng(devices=[]):  # torch initialises layers at random
        return {
            name: linear_outputs(case) if name == "linear" else convolution_outputs(name, case)
            for name, case in drawn.items()
        }


def named(cases: dict[str, Arrays]) -> dict[str, np.ndarray]:
    """Return the arrays of cases under their names in the file."""
    return {f"{name}/{key}": value.detach().numpy() for name, case in cases.items() for key, value in case.items()}


def committed(keys: dict[str, Arrays]) -> dict[str, Arrays]:
    """Return the arrays of the committed file in place of those given."""
    with np.load(REFERENCE) as file:
        return {name: {key: torch.from_numpy(file[f"{name}/{key}"]) for key in case} for name, case in keys.items()}


def differences(made: dict[str, Arrays]) -> dict[str, float]:
    """Return the largest difference of arrays from those of the committed file, relative to its largest value."""
    theirs = named(committed(made))
    return {
        name: float(np.abs(own - theirs[name]).max() / np.abs(theirs[name]).max()) for name, own in named(made).items()
    }


if __name__ == "__main__":
    inputs_drawn = draw()
    if len(sys.argv) > 1:
        np.savez(sys.argv[1], **named(inputs_drawn), **named(outputs(inputs_drawn)))
    else:
        for array, difference in (differences(inputs_drawn) | differences(outputs(committed(inputs_drawn)))).items():
            print(f"{array:24} {difference:.1e}")
