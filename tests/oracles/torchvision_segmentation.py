"""DeepLabV3 and FCN as torchvision describes them: plain functions of the tensors of a file of torchvision, in float64.

Nothing here knows the networks of the project. A convolution is a sum over the pixels of its kernel, and the names, the
shapes and the dilations are those of torchvision (``models/resnet.py``, ``models/segmentation/``, with
``replace_stride_with_dilation=[False, True, True]``). Torchvision has no dilated ResNet-18; here its convolutions see
pixels at the distance that they would have in the ResNet with strides, which is the rule of ResNet-50, too.
"""

import zlib

import numpy as np
import torch
from torch import Tensor

WIDTHS = (64, 128, 256, 512)
COUNTS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
HEAD = 256
RATES = (12, 24, 36)

State = dict[str, Tensor]


def shapes(name, classes, widths=WIDTHS, head=HEAD):
    """Return the shape of each tensor of a network by its name in torchvision, such as fcn_resnet50."""
    kind, _, depth = name.partition("_resnet")
    found = {}

    def conv(key, outputs, inputs, side, norm=None):
        found[f"{key}.weight"] = (outputs, inputs, side, side)
        if norm is None:
            found[f"{key}.bias"] = (outputs,)
            return
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{norm}.{part}"] = (outputs,)
        found[f"{norm}.num_batches_tracked"] = ()

    def fcn(key, inputs):
        conv(f"{key}.0", inputs // 4, inputs, 3, f"{key}.1")
        conv(f"{key}.4", classes, inputs // 4, 1)

    conv("backbone.conv1", widths[0], 3, 7, "backbone.bn1")
    bottleneck = int(depth) >= 50
    inputs, ends = widths[0], []
    for stage, (width, count) in enumerate(zip(widths, COUNTS[int(depth)], strict=True), 1):
        outputs = 4 * width if bottleneck else width
        for block in range(count):
            key = f"backbone.layer{stage}.{block}"
            sides = (1, 3, 1) if bottleneck else (3, 3)
            ways = (inputs, width, width, outputs) if bottleneck else (inputs, width, outputs)
            for i, side in enumerate(sides, 1):
                conv(f"{key}.conv{i}", ways[i], ways[i - 1], side, f"{key}.bn{i}")
            if block == 0 and (stage > 1 or bottleneck):
                conv(f"{key}.downsample.0", outputs, inputs, 1, f"{key}.downsample.1")
            inputs = outputs
        ends.append(outputs)
    if kind == "fcn":
        fcn("classifier", ends[3])
    else:
        for i in range(4):
            key = f"classifier.0.convs.{i}"
            conv(f"{key}.0", head, ends[3], 3 if i else 1, f"{key}.1")
        conv("classifier.0.convs.4.1", head, ends[3], 1, "classifier.0.convs.4.2")
        conv("classifier.0.project.0", head, 5 * head, 1, "classifier.0.project.1")
        conv("classifier.1", head, head, 3, "classifier.2")
        conv("classifier.4", classes, head, 1)
    fcn("aux_classifier", ends[2])
    return found


def random_state(wanted: dict[str, tuple[int, ...]]) -> State:
    """Draw weights and running statistics that keep the size of the signal about the same through all layers."""
    state = {}
    for key, shape in wanted.items():
        draw = np.random.default_rng(zlib.crc32(key.encode()))
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif len(shape) == 4:
            state[key] = torch.from_numpy(draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])))
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            state[key] = torch.from_numpy(draw.uniform(0.5, 1.5, shape))
        else:
            state[key] = torch.from_numpy(0.3 * draw.standard_normal(shape))
    return state


def logits(name: str, state: State, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of each pixel in evaluation, and those of the auxiliary classifier."""
    bottleneck = int(name.partition("_resnet")[2]) >= 50
    x = _block(images, state, "backbone.conv1", "backbone.bn1", stride=2, padding=3)
    x = _largest_of_nine(x)
    third = None
    for stage, count in enumerate(COUNTS[int(name.partition("_resnet")[2])], 1):
        third = x if stage == 4 else None
        for i in range(count):
            # Stages 3 and 4 have no stride. What follows the place where it would be sees pixels twice as far apart.
            stride = 2 if stage == 2 and i == 0 else 1
            behind = {3: 2, 4: 4}.get(stage, 1)
            here = behind // 2 if i == 0 and behind > 1 else behind
            x = _residual(x, state, f"backbone.layer{stage}.{i}", bottleneck, stride, here, behind)
    assert third is not None
    head = _fcn(x, state, "classifier") if name.startswith("fcn") else _deeplab(x, state)
    return tuple(_enlarged(found, images.shape[2:]) for found in (head, _fcn(third, state, "aux_classifier")))


def _residual(x, state, key, bottleneck, stride, here, behind):
    if bottleneck:
        out = _block(x, state, f"{key}.conv1", f"{key}.bn1")
        out = _block(out, state, f"{key}.conv2", f"{key}.bn2", stride=stride, padding=here, dilation=here)
        out = _normalised(_convolved(out, state, f"{key}.conv3"), state, f"{key}.bn3")
    else:
        out = _block(x, state, f"{key}.conv1", f"{key}.bn1", stride=stride, padding=here, dilation=here)
        out = _convolved(out, state, f"{key}.conv2", padding=behind, dilation=behind)
        out = _normalised(out, state, f"{key}.bn2")
    if f"{key}.downsample.0.weight" in state:
        x = _convolved(x, state, f"{key}.downsample.0", stride=stride)
        x = _normalised(x, state, f"{key}.downsample.1")
    return (out + x).clamp(min=0)


def _fcn(x, state, key):
    return _convolved(_block(x, state, f"{key}.0", f"{key}.1", padding=1), state, f"{key}.4")


def _deeplab(x, state):
    key = "classifier.0.convs"
    parts = [_block(x, state, f"{key}.0.0", f"{key}.0.1")]
    for i, rate in enumerate(RATES, 1):
        parts.append(_block(x, state, f"{key}.{i}.0", f"{key}.{i}.1", padding=rate, dilation=rate))
    whole = x.flatten(2).mean(2)[:, :, None, None]
    parts.append(_block(whole, state, f"{key}.4.1", f"{key}.4.2") * torch.ones_like(x[:, :1]))
    out = _block(torch.cat(parts, 1), state, "classifier.0.project.0", "classifier.0.project.1")
    return _convolved(_block(out, state, "classifier.1", "classifier.2", padding=1), state, "classifier.4")


def _block(x, state, conv, norm, **arguments):
    return _normalised(_convolved(x, state, conv, **arguments), state, norm).clamp(min=0)


def _convolved(x, state, key, *, stride=1, padding=0, dilation=1):
    """Add up what each pixel of the kernel sees, which is the image, shifted."""
    weight = state[f"{key}.weight"]
    side = weight.shape[2]
    rows, columns = ((n + 2 * padding - dilation * (side - 1) - 1) // stride + 1 for n in x.shape[2:])
    wide = x.new_zeros(*x.shape[:2], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding)
    wide[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
    out = x.new_zeros(len(x), len(weight), rows, columns)
    for i in range(side):
        for j in range(side):
            top, left = i * dilation, j * dilation
            seen = wide[
                :, :, top : top + stride * (rows - 1) + 1 : stride, left : left + stride * (columns - 1) + 1 : stride
            ]
            out += torch.einsum("oc,nchw->nohw", weight[:, :, i, j], seen)
    return out + state[f"{key}.bias"][:, None, None] if f"{key}.bias" in state else out


def _normalised(x, state, key):
    mean, var, weight, bias = (
        state[f"{key}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def _largest_of_nine(x):
    """Take the largest of each 3×3 pixels around every second pixel."""
    wide = x.new_full((*x.shape[:2], x.shape[2] + 2, x.shape[3] + 2), -torch.inf)
    wide[:, :, 1:-1, 1:-1] = x
    rows, columns = ((n - 1) // 2 + 1 for n in x.shape[2:])
    shifted = [wide[:, :, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for i in range(3) for j in range(3)]
    return torch.stack(shifted).amax(0)


def _enlarged(x, size):
    """Interpolate between the middles of pixels, linearly along each side; beyond the outer middles values go on."""
    down, across = (_weights(n, m) for n, m in zip(x.shape[2:], size, strict=True))
    return torch.einsum("ij,ncjk,lk->ncil", down, x, across)


def _weights(few, many):
    found = torch.zeros(many, few, dtype=torch.float64)
    for i in range(many):
        place = min(max((i + 0.5) * few / many - 0.5, 0), few - 1)
        lower = int(place)
        found[i, lower] += 1 - (place - lower)
        found[i, min(lower + 1, few - 1)] += place - lower
    return found
