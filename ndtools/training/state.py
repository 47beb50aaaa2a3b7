"""State of a training run between two records, and the file that holds it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ndtools.checkpoints.metadata import checked
from ndtools.errors import DataError
from ndtools.training.recipe import Recipe
from ndtools.writing import write_whole

__all__ = ["TrainingState", "load_optimiser", "optimiser_tensors"]

_KEY = "ndtools-training"  # of the metadata in a file


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingState:
    """Everything that a training run needs to go on, between two of its records.

    Random numbers have no state: they follow from the recipe's seed and the number of the step.

    Attributes
    ----------
    tensors : dict of Tensor
        Tensors of the network ("model.NAME") and of the optimiser ("optimiser.NUMBER.NAME"), on the CPU.
    recipe : Recipe
        Settings of the run.
    step : int
        Number of steps that are done.
    epochs : int
        Number of epochs whose record was yielded.
    loss_sum : float
        Sum of the losses of the present epoch's steps so far.
    right : int
        Number of images, or of labelled pixels, of the present epoch that were classified correctly so far.
    seconds : float
        Time that all steps so far have taken.
    scaler : mapping
        State of the scale of gradients, for ``amp="fp16"``; otherwise empty.
    images : int
        Number of training images.
    counted : int or None
        Number of images, or of labelled pixels, of the present epoch so far; None in files of earlier versions, which
        counted all images of its steps.
    surroundings : mapping of str to str
        Version of torch, device, numbers of threads and of processes. With others, results differ by rounding; another
        number of processes is refused.
    """

    tensors: dict[str, Tensor]
    recipe: Recipe
    step: int
    epochs: int
    loss_sum: float
    right: int
    seconds: float
    scaler: Mapping[str, Any]
    images: int
    surroundings: Mapping[str, str]
    counted: int | None = None

    def save(self, path: str | Path) -> None:
        """Write the state to a .safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            Path of the file to write or replace, in a folder that exists.

        Raises
        ------
        OutputError
            If the file cannot be written. A file that was there before remains unchanged.
        """
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "tensors"}
        metadata = {_KEY: json.dumps(numbers | {"recipe": asdict(self.recipe)})}

        def write(file: IO[bytes]) -> None:
            file.write(to_bytes(self.tensors, metadata=metadata))

        write_whole({Path(path): write})

    @classmethod
    def load(cls, path: str | Path) -> "TrainingState":
        """Read a state that `save` wrote. No code in the file is executed.

        Parameters
        ----------
        path : str or Path
            Path of the file.

        Returns
        -------
        TrainingState
            The state, with tensors on the CPU.

        Raises
        ------
        DataError
            If the file is absent, damaged, or not the state of a training run.
        """
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file")
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
                written = (file.metadata() or {}).get(_KEY, "null")
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path}: not a safetensors file, or a damaged one ({error})") from None
        try:
            numbers = dict(json.loads(written))
            recipe = checked(Recipe, numbers.pop("recipe"))
            return cls(tensors=tensors, recipe=recipe, **numbers)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(f"{path}: not the state of a training run of this version ({error})") from None


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return copies of an optimiser's tensors on the CPU, by the number of their parameter and their name."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": copied(value)
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of `optimiser_tensors` into a new optimiser of the same parameters."""
    empty, state = optimiser.state_dict(), dict[int, dict[str, Tensor]]()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:  # stored as the parameter is, perhaps with its channels last
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(empty | {"state": state})


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of a network's parameters and buffers on the CPU."""
    return {name: copied(value) for name, value in model.state_dict().items()}


def copied(value: Tensor) -> Tensor:
    """Return a copy of a tensor on the CPU, contiguous, which later steps do not change."""
    return value.detach().to("cpu", copy=True).contiguous()
