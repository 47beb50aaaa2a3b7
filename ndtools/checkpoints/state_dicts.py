"""Read and write state dicts, and translate those of the published code."""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ndtools.computing.memory import require_memory
from ndtools.data.files import open_regular
from ndtools.errors import DataError, OutputError
from ndtools.writing import check_writable, write_whole

__all__ = ["State", "from_published", "is_published", "load_state", "save_state", "unwrap"]

State = dict[str, Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "net", "model")
_PREFIXES = ("module.", "_orig_mod.")  # names begin so within DataParallel and torch.compile
_KEY = "ndtools"  # key of the specification in the metadata of a file
_SAVE_TENSORS = "torch.save(model.state_dict(), 'checkpoint.pt')"


def load_state(path: str | Path) -> tuple[State, dict[str, Any]]:
    """Read a state dict.

    No code in the file is executed: the file is a .safetensors file, or one that ``torch.load(weights_only=True)``
    reads. A state dict is also found inside a dictionary, under the key ``state_dict``, ``model_state_dict``, ``net``
    or ``model``. The prefixes ``module.`` and ``_orig_mod.`` of its names are removed.

    Parameters
    ----------
    path : str or Path
        Path of a .safetensors file or, with any other ending, of a file of ``torch.save``.

    Returns
    -------
    state : dict of Tensor
        Tensors by name, on the CPU.
    metadata : dict
        Metadata that `save_state` wrote into the file; empty for files of other programs.

    Raises
    ------
    DataError
        If the file is absent or damaged, holds no state dict, or holds objects other than tensors.
    """
    path = Path(path)
    try:
        file = open_regular(path)
    except DataError as error:
        if os.path.isdir(path):  # False, too, for names that are too long
            network = path / "last.safetensors"  # of a training run
            hint = f"; give the file {network}" if network.is_file() else ""
            raise DataError(f"{path}: it is a folder, not a checkpoint{hint}") from None
        raise DataError(f"{path}: {error if os.path.lexists(path) else 'no such file'}") from None
    with file:
        return _load_safetensors(path) if path.suffix == ".safetensors" else _load_pickled(file, path)


def _load_pickled(file: BinaryIO, path: Path) -> tuple[State, dict[str, Any]]:
    require_memory(_unpacked_bytes(file), f"reading {path}")
    file.seek(0)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise DataError(f"{path}: not a file of torch.save, or a damaged one") from None
        raise DataError(
            f"{path}: it holds Python objects beside tensors, which could run code when they are read; where you trust"
            f" the file, save its tensors alone with {_SAVE_TENSORS}"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception:  # torch says in many ways that it does not understand a file
        raise DataError(f"{path}: not a file of torch.save, or a damaged one") from None
    try:
        return unwrap(content), {}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _unpacked_bytes(file: BinaryIO) -> int:
    """Return how many bytes the members of a file of ``torch.save`` say that they unpack to; 0 if it is not one."""
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        return 0


def _load_safetensors(path: Path) -> tuple[State, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
            written = (file.metadata() or {}).get(_KEY, "{}")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a safetensors file, or a damaged one ({error})") from None
    try:
        metadata = json.loads(written)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise DataError(f"{path}: its metadata {_KEY!r} is not a JSON object; the file was not written by ndtools")
    try:
        return unwrap(state), metadata
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def unwrap(content: object) -> State:
    """Find the state dict in the contents of a checkpoint.

    Parameters
    ----------
    content : object
        A state dict, or a mapping that holds one as `load_state` describes.

    Returns
    -------
    dict of Tensor
        Tensors by name, without the prefixes that wrappers add.

    Raises
    ------
    DataError
        If there is no state dict, or one of its tensors is not dense, is empty, or has no values.
    """
    for _ in _WRAPPERS:  # a wrapper within a wrapper
        inner = [content[key] for key in _WRAPPERS if key in content] if isinstance(content, Mapping) else []
        content = next((each for each in inner if isinstance(each, Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        kind = "an empty dictionary" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise DataError(f"it holds {kind}, not a state dict; write one with {_SAVE_TENSORS}")
    wrong = [str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if wrong:
        hint = ""
        if any(isinstance(value, Mapping) for value in content.values()):
            hint = (
                f"; state dicts are looked for under the keys {', '.join(_WRAPPERS)}: write yours with {_SAVE_TENSORS}"
            )
        raise DataError(f"it holds no state dict: {_some(wrong)} {'is' if len(wrong) == 1 else 'are'} no tensor{hint}")
    state = {str(key): value for key, value in content.items()}
    for key, value in state.items():
        if problem := _unusable(value):
            raise DataError(f"{key} {problem}; write dense tensors with {_SAVE_TENSORS}")
    for _ in _PREFIXES:
        for prefix in _PREFIXES:
            if all(key.startswith(prefix) for key in state):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _unusable(value: Tensor) -> str:
    """Return why a tensor cannot be a weight; empty if it can."""
    if value.is_meta:
        return "is a meta tensor, which has no values"
    if value.layout != torch.strided or value.is_quantized:
        return f"is {'quantized' if value.is_quantized else f'of the layout {value.layout}'}, not a dense tensor"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"repeats values that it does not hold: its shape is {tuple(value.shape)}"
    return f"has no values: its shape is {tuple(value.shape)}" if value.numel() == 0 else ""


def save_state(path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a state dict as a safetensors file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write or replace, ending in .safetensors.
    state : mapping of str to Tensor
        Tensors by name, on any device. Tensors that share memory are written several times.
    metadata : mapping, optional
        Further values that JSON can hold; `load_state` returns them.

    Raises
    ------
    OutputError
        If the file cannot be written. A file that was there before is then unchanged.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise OutputError(f"cannot write {path}: the name of a checkpoint must end in .safetensors")
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    content = to_bytes(tensors, {"format": "pt", _KEY: json.dumps(metadata or {}, allow_nan=False)})
    head, tail = _ordered(content)
    check_writable([path], elsewhere="another file")
    write_whole({path: lambda file: file.write(head) + file.write(tail)}, elsewhere="another file")


def _ordered(content: bytes) -> tuple[bytes, memoryview]:
    """Return the beginning of a .safetensors file, with its metadata in order, and the rest."""
    # The library writes metadata in the random order of a hash table, so that equal networks would be unequal files.
    start = 8 + int.from_bytes(content[:8], "little")  # of the tensors: after the length of the header, and the header
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return len(text).to_bytes(8, "little") + text, memoryview(content)[start:]


def is_published(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict has deconvolution layers as the published code writes them."""
    return any(re.fullmatch(r"(.*\.)?running_deconv", key) and ".whitening." not in f".{key}" for key in state)


def from_published(state: Mapping[str, Tensor]) -> State:
    """Translate a state dict of the published code (yechengxi/deconvolution, d221c22).

    Beside weight and bias, the published layers FastDeconv and Delinear hold ``running_mean``, of shape (F,), or (G F,)
    in grouped convolutions, and ``running_deconv``, of shape (F, F) or (G, F, F). Here these are buffers of
    ``whitening`` in a layer with ``DeconvConfig.reference()``, of shapes (G, 1, F) and (G, 1, F, F). The published code
    does not save the number of batches it has seen; 1 is written, so that layers count as trained. Tensors of batch
    normalisations and plain layers, and tensors that are translated already, stay as they are.

    Parameters
    ----------
    state : mapping of str to Tensor
        State dict as `load_state` returns it.

    Returns
    -------
    dict of Tensor
        State dict of the same network with layers of ``DeconvConfig.reference()`` and the same block sizes.

    Raises
    ------
    DataError
        If a tensor belongs neither to the published layers nor to torch's, or has an unexpected shape.
    """
    layers = {key.removesuffix("running_deconv") for key in state if is_published({key: state[key]})}
    translated: State = {}
    unknown = []
    for key, value in state.items():
        layer, name = re.fullmatch(r"((?:.*\.)?)([^.]+)", key).groups()  # type: ignore[union-attr]
        if layer in layers and name in ("running_mean", "running_deconv"):
            translated[f"{layer}whitening.{name}"] = value
        elif layer in layers and name not in ("weight", "bias"):
            unknown.append(key)
        elif name in _KNOWN or (".whitening." in f".{layer}" and name.startswith(("running_", "last_"))):
            translated[key] = value
        else:
            unknown.append(key)
    if unknown:
        raise DataError(
            f"{_some(unknown)}: not part of a layer that can be translated, which are FastDeconv and Delinear of the"
            " published code and torch's layers; ChannelDeconv and older versions of the published code are not"
        )
    for layer in layers:
        mean, matrix = f"{layer}whitening.running_mean", f"{layer}whitening.running_deconv"
        if mean not in translated:
            raise DataError(f"{layer}running_mean is missing beside {layer}running_deconv: the state dict is damaged")
        found = [tuple(translated[each].shape) for each in (mean, matrix)]
        groups, features = found[1][0] if len(found[1]) == 3 else 1, found[1][-1] if found[1] else 0
        if found[1] not in ((features, features), (groups, features, features)) or found[0] != (groups * features,):
            raise DataError(
                f"{layer}running_mean {found[0]} and {layer}running_deconv {found[1]}: expected (F,) and (F, F), or"
                " (G F,) and (G, F, F), as the published code has them since 2020"
            )
        translated[mean] = translated[mean].reshape(groups, 1, features)
        translated[matrix] = translated[matrix].reshape(groups, 1, features, features)
        translated[f"{layer}whitening.num_batches_tracked"] = torch.tensor(1)
    return translated


_KNOWN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
