"""Names of parameters in torchvision's networks, and in the published networks for ImageNet, which are alike."""

import re

from ndtools.checkpoints.state_dicts import State

__all__ = ["from_torchvision"]

_RESNET = {
    r"fc\.": "linear.",
    r"(layer\d\.\d+)\.downsample\.": r"\1.shortcut.",
}
_DENSENET = {
    r"features\.conv0\.": "conv1.",
    r"features\.norm0\.": "bn1.",
    r"features\.transition(\d)\.norm\.": r"trans\1.bn.",
    r"features\.transition(\d)\.conv\.": r"trans\1.conv.",
    r"features\.norm5\.": "bn.",
    r"classifier\.": "linear.",
}
_SEGMENTATION = {
    r"backbone\.(layer\d\.\d+)\.downsample\.": r"backbone.\1.shortcut.",
    r"aux_classifier\.0\.": "auxiliary.unit.conv.",
    r"aux_classifier\.1\.": "auxiliary.unit.norm.",
    r"aux_classifier\.4\.": "auxiliary.classifier.",
    r"classifier\.4\.": "head.classifier.",
}
_FCN = {
    r"classifier\.0\.": "head.unit.conv.",
    r"classifier\.1\.": "head.unit.norm.",
}
_DEEPLAB = {
    r"classifier\.0\.convs\.([0-3])\.0\.": r"head.aspp.branches.\1.conv.",
    r"classifier\.0\.convs\.([0-3])\.1\.": r"head.aspp.branches.\1.norm.",
    r"classifier\.0\.convs\.4\.1\.": "head.aspp.pooled.conv.",
    r"classifier\.0\.convs\.4\.2\.": "head.aspp.pooled.norm.",
    r"classifier\.0\.project\.0\.": "head.aspp.project.conv.",
    r"classifier\.0\.project\.1\.": "head.aspp.project.norm.",
    r"classifier\.1\.": "head.unit.conv.",
    r"classifier\.2\.": "head.unit.norm.",
}
_DENSE_LAYER = r"features\.denseblock(\d)\.denselayer(\d+)\.(norm|conv)\.?(\d)\."  # with a dot in older files


def from_torchvision(state: State) -> State:
    """Give the tensors of a ResNet, DenseNet, DeepLabV3 or FCN of torchvision the names that they have in ndtools.

    Parameters
    ----------
    state : dict of Tensor
        State dict of any network.

    Returns
    -------
    dict of Tensor
        The same tensors, under the names of the network for ImageNet, or for segmentation, if they are those of
        torchvision's. VGGs have the same names in both.
    """
    if "fc.weight" in state and "layer1.0.conv1.weight" in state:
        return {_renamed(key, _RESNET): value for key, value in state.items()}
    if "features.conv0.weight" in state:
        return {_renamed(_in_dense_layer(key), _DENSENET): value for key, value in state.items()}
    if "backbone.conv1.weight" in state and "classifier.4.weight" in state:
        names = _SEGMENTATION | (_DEEPLAB if "classifier.0.project.0.weight" in state else _FCN)
        return {_renamed(key, names): value for key, value in state.items()}
    return state


def _renamed(key: str, names: dict[str, str]) -> str:
    for pattern, name in names.items():
        key = re.sub(f"^{pattern}", name, key)
    return key


def _in_dense_layer(key: str) -> str:
    found = re.match(_DENSE_LAYER, key)
    if not found:
        return key
    block, layer, kind, number = found.groups()
    ours = "bn" if kind == "norm" else "conv"
    return f"dense{block}.{int(layer) - 1}.{ours}{number}.{key[found.end() :]}"
