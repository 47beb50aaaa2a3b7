"""The training loop of the package: a generator of records, with a state between any two of them."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.computing.operators import seconds_at
from ndtools.errors import DataError, NumericalWarning, OptionError
from ndtools.layers.processes import rank, world_size
from ndtools.models.norms import prepare
from ndtools.training.batches import seeded
from ndtools.training.data import Evaluated, RunData
from ndtools.training.divergence import check_weights, diverged
from ndtools.training.optimisers import optimiser_of
from ndtools.training.processes import average, share_weights, synchronised, total
from ndtools.training.recipe import Recipe
from ndtools.training.records import EpochRecord, StepRecord
from ndtools.training.schedules import learning_rate
from ndtools.training.state import TrainingState, load_optimiser, model_tensors, optimiser_tensors
from ndtools.training.tasks import Classification, Evaluation, Task

__all__ = ["Training", "check_amp"]

_SEEN_BEFORE = 2000  # training images, at most, that a layer is shown whose whitening is computed once and kept
_AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """One training run.

    Parameters
    ----------
    model : Module
        Network that maps normalised images (N, C, H, W) to what the task says. It is moved to the device of the data,
        and trained in place. A whitening that is computed once and kept (``first-whitened``) is computed from training
        images before the first step.
    data : RunData
        Labelled images, such as `TrainingData`.
    recipe : Recipe
        Settings of the run.
    task : Task, optional
        Loss and measures of the run. The default is the classification of images, by logits (N, K).

    Attributes
    ----------
    step : int
        Number of steps that are done.
    steps : int
        Number of steps of the whole run.
    per_epoch : int
        Number of steps in an epoch.
    epochs : int
        Number of epochs whose record was yielded, counting a last one that ``max_steps`` cut short.
    evaluation : Evaluation or None
        Measures after the last epoch that this object has trained.

    Raises
    ------
    OptionError
        If a batch needs more images than there are, or the device has no autocast to "fp16".

    Examples
    --------
    >>> from torch import nn
    >>> from ndtools.data.labelled.glyphs import glyphs
    >>> from ndtools.training.data import TrainingData
    >>> data = TrainingData.of(glyphs(), images=512, holdout=100)
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    >>> training = Training(network, data, Recipe(epochs=1, batch_size=128, lr=0.01))
    >>> [type(record).__name__ for record in training.records()]
    ['StepRecord', 'StepRecord', 'StepRecord', 'StepRecord', 'EpochRecord']
    """

    def __init__(self, model: nn.Module, data: RunData, recipe: Recipe, task: Task | None = None) -> None:
        self.device = data.device
        check_amp(recipe, self.device)
        self.data, self.recipe = data, recipe
        self.task: Task = task or Classification(data.classes)
        self.batches = data.batches(recipe, rank(), world_size())
        self.per_epoch = self.batches.per_epoch
        whole = recipe.epochs * self.per_epoch
        self.steps = whole if recipe.max_steps is None else min(whole, recipe.max_steps)
        self._format = torch.channels_last if recipe.channels_last else torch.preserve_format
        self.model = model.to(self.device).to(memory_format=self._format)  # type: ignore[call-overload]
        prepare(self.model, lambda: data.some(_SEEN_BEFORE))
        share_weights(self.model)
        self._forward: Callable[[Tensor], Any] = torch.compile(self.model) if recipe.compile else self.model
        self._optimiser = optimiser_of(self.model, recipe, self.task.faster)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.amp == "fp16")
        self.step = self.epochs = 0
        self.evaluation: Evaluation | None = None
        self._seconds = self._loss_sum = 0.0
        self._counts = torch.zeros(2, dtype=torch.long, device=self.device)  # right decisions of the epoch, and all

    @property
    def _cut_short(self) -> bool:
        """Whether the last epoch whose record was yielded has fewer steps than the others."""
        return self.step < self.epochs * self.per_epoch

    def records(self) -> Iterator[StepRecord | EpochRecord]:
        """Train, and yield a record after each step and each epoch.

        The loop may be left, and entered again by another call, between any two records.

        Yields
        ------
        StepRecord or EpochRecord
            Record of the step or the epoch that was just done. The record of an epoch follows that of its last step.

        Raises
        ------
        TrainingDiverged
            If the loss of a batch is NaN or infinite; weights and optimiser are then as they were before that step. Or
            if, at the end of an epoch, the loss of the evaluation and weights are: those of the last step have no later
            batch that would show it.
        """
        while True:
            end = min((self.epochs + 1) * self.per_epoch, self.steps)
            if self.step < end:
                yield self._one_step()
            elif self.epochs * self.per_epoch < self.steps:
                yield self._end_of_epoch()
            else:
                return

    def evaluate(self, split: Evaluated = "eval") -> Evaluation:
        """Evaluate the network as it is now.

        Parameters
        ----------
        split : {"eval", "test"}
            Images: those of the evaluation after each epoch, or those for the final number.

        Returns
        -------
        Evaluation
            Measures over all images.
        """
        self.model.eval()
        sums = self.task.nothing(self.device)
        with torch.no_grad(), self._kernels(), self._autocast():
            for images, labels in self.data.evaluated(split, rank(), world_size()):
                sums += self.task.sums(self._forward(self._stored(images)), labels, self.recipe)
        return self.task.evaluation(total(sums))

    def outputs(self, images: Tensor) -> Any:  # noqa: ANN401
        """Return the outputs of the network as it is now, as in an evaluation, for a normalised batch."""
        self.model.eval()
        with torch.no_grad(), self._kernels(), self._autocast():
            return self._forward(self._stored(images))

    def state(self) -> TrainingState:
        """Return everything that this run needs to go on; to be called between two records.

        Returns
        -------
        TrainingState
            Copies on the CPU, which later steps do not change. In a run of several processes all of them may call this;
            the state is the same in each.
        """
        correct, counted = total(self._counts.clone()).tolist()
        model = {f"model.{name}": value for name, value in model_tensors(self.model).items()}
        optimiser = {f"optimiser.{name}": value for name, value in optimiser_tensors(self._optimiser).items()}
        return TrainingState(
            tensors=model | optimiser,
            recipe=self.recipe,
            step=self.step,
            epochs=self.epochs,
            loss_sum=self._loss_sum,
            right=correct,
            counted=counted,
            seconds=self._seconds,
            scaler=self._scaler.state_dict(),
            images=len(self.data),
            surroundings=self._surroundings(),
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a state: the next record is the one that follows it, and all weights will be the same to the bit.

        Parameters
        ----------
        state : TrainingState
            State of a run with the same network, data and recipe; only ``max_steps`` may differ. If it ended the run
            within an epoch, and ends this one later, that epoch goes on, and its record is yielded at its new end.

        Raises
        ------
        OptionError
            If the recipe is another one, or ``max_steps`` is less than the number of steps that are done.
        DataError
            If the state is that of another network, of another number of images, or of another number of processes,
            with which each batch has another size.

        Warns
        -----
        NumericalWarning
            If torch, the device, or the number of threads is another one than before: the run goes on, but its weights
            will differ by rounding.
        """
        self._check(state)
        by_part: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}}
        for key, value in state.tensors.items():
            part, name = key.split(".", 1)
            by_part[part][name] = value
        self.model.load_state_dict(by_part["model"])
        self._optimiser = optimiser_of(self.model, self.recipe, self.task.faster)
        load_optimiser(self._optimiser, by_part["optimiser"])
        self._scaler.load_state_dict(dict(state.scaler))
        self.step, self.epochs, self._seconds, self._loss_sum = state.step, state.epochs, state.seconds, state.loss_sum
        if self._cut_short and self.step < self.steps:
            self.epochs -= 1
        of_epoch = (self.step - self.epochs * self.per_epoch) * self.batches.images
        counted = of_epoch if state.counted is None else state.counted
        self._counts = torch.tensor([state.right, counted], device=self.device) * (rank() == 0)

    def _one_step(self) -> StepRecord:
        started = time.perf_counter()
        lr = learning_rate(self.recipe, self.step, self.per_epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = lr * group.get("factor", 1.0)
        images, labels = self.batches[self.step]
        self.model.train()
        with self._settings(self.step):
            outputs, loss = self._passed(images, labels)
            mean = loss.detach().clone()
            average([mean])
            value = _on_host(mean)
            self._optimiser.zero_grad(set_to_none=True)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        average([p.grad for p in self.model.parameters() if p.grad is not None])
        number = value()  # while a GPU is still busy with the backward pass, so that it need not wait for the CPU
        if not math.isfinite(number):
            with self._settings(self.step):
                forward = partial(self._passed, images, labels, network=self.model)
                raise diverged(self.model, forward, self.step + 1, number)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._counts += self.task.counts(outputs, labels)
        self._loss_sum += number
        self.step += 1
        self._seconds += time.perf_counter() - started
        return StepRecord(self.step, self.step / self.per_epoch, number, lr, self._seconds, self.batches.images)

    def _passed(self, images: Tensor, labels: Tensor, network: nn.Module | None = None) -> tuple[Any, Tensor]:
        """Return outputs and loss of a training batch, by the compiled network or a given one."""
        with self._autocast():
            outputs = (network or self._forward)(self._stored(images))
            return outputs, self.task.loss(outputs, labels, self.recipe)

    @contextmanager
    def _settings(self, step: int) -> Iterator[None]:
        """Seed the random numbers of a step, and let processes share their statistics."""
        with self._kernels(), seeded(self.device, *self.batches.noise(step)), synchronised(self.model):
            yield

    def _end_of_epoch(self) -> EpochRecord:
        started = time.perf_counter()
        self._seconds += seconds_at(self.device) - started
        steps = self.step - self.epochs * self.per_epoch
        correct, counted = total(self._counts.clone()).tolist()
        evaluation = self.evaluation = self.evaluate()
        if not math.isfinite(evaluation.loss):
            check_weights(self.model, self.step)
        self.epochs += 1
        record = EpochRecord(
            epoch=self.epochs,
            step=self.step,
            train_loss=self._loss_sum / steps,
            train_top1=100 * correct / max(counted, 1),
            eval_loss=evaluation.loss,
            eval_top1=evaluation.top1,
            eval_top5=evaluation.top5,
            eval_mean_iou=evaluation.mean_iou,
            lr=learning_rate(self.recipe, self.step - 1, self.per_epoch),
            seconds=self._seconds,
        )
        if not self._cut_short:  # else a longer run may go on with this epoch
            self._loss_sum = 0.0
            self._counts.zero_()
        return record

    def _check(self, state: TrainingState) -> None:
        for field in fields(Recipe):
            before, now = getattr(state.recipe, field.name), getattr(self.recipe, field.name)
            if before != now and field.name != "max_steps":
                raise OptionError(field.name, f"must be {before!r} as in the run that goes on, got {now!r}")
        before = int(state.surroundings.get("processes", world_size()))
        if before != world_size():
            then, now = (f"{number} process{'' if number == 1 else 'es'}" for number in (before, world_size()))
            raise DataError(
                f"the state is that of a run of {then}, got {now}: each batch would have"
                f" {self.recipe.batch_size * before:,} images no longer, but {self.batches.images:,}; go on with"
                f" {then}{', by torchrun' if before > 1 else ''}"
            )
        if self.steps < state.step:
            raise OptionError(
                "max_steps", f"must be at least the {state.step:,} steps that are done, got {self.recipe.max_steps}"
            )
        within = state.step < min(state.epochs * self.per_epoch, self.steps)
        if within and not (state.loss_sum or state.right):
            raise DataError(
                "the state is that of a run that ended within an epoch, and an earlier version wrote it, without the"
                " losses of that epoch: start a new run"
            )
        if state.images != len(self.data):
            raise DataError(f"the state is that of a run with {state.images} training images, got {len(self.data)}")
        wanted = {f"model.{name}": value.shape for name, value in self.model.state_dict().items()}
        found = {name: value.shape for name, value in state.tensors.items() if name.startswith("model.")}
        if wanted != found:
            name = next(name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name))
            raise DataError(f"the state is that of another network: it differs in {name.removeprefix('model.')}")
        now = self._surroundings()
        if changed := [name for name in now if now[name] != state.surroundings.get(name)]:
            words = ", ".join(f"{name} {now[name]}, not {state.surroundings.get(name)}" for name in changed)
            warnings.warn(f"the run goes on with {words}: its weights will differ by rounding", NumericalWarning, 3)

    def _surroundings(self) -> dict[str, str]:
        return {
            "torch": str(torch.__version__),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
            "threads": str(torch.get_num_threads()),
            "processes": str(world_size()),
        }

    def _stored(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.recipe.channels_last else images

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _AMP.get(self.recipe.amp)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _kernels(self) -> AbstractContextManager[Any]:
        """Return a context in which convolutions on a GPU give the same bits each time."""
        if self.device.type != "cuda":
            return nullcontext()
        flags = torch.backends.cudnn
        return flags.flags(enabled=flags.enabled, benchmark=False, deterministic=True, allow_tf32=flags.allow_tf32)


def check_amp(recipe: Recipe, device: torch.device) -> None:
    """Raise an OptionError if a device has no autocast of the precision that a recipe asks for."""
    if recipe.amp == "fp16" and device.type != "cuda":
        raise OptionError("amp", f"must be off or bf16 on the device {device.type}, got 'fp16'")


def _on_host(value: Tensor) -> Callable[[], float]:
    """Start copying a number to the CPU; return a function that waits for it, and not for what is computed later."""
    if value.device.type != "cuda":
        return lambda: float(value)
    copy = value.to("cpu", non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def wait() -> float:
        arrived.synchronize()
        return float(copy)

    return wait
