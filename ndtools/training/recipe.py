"""Recipe of a training run: its settings, with their defaults and limits. Imports nothing heavy."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ndtools.errors import OptionError
from ndtools.validation import Configuration, check_choice, check_count, check_positive, check_rate

__all__ = ["AMPS", "LOSSES", "OPTIMISERS", "SCHEDULES", "Recipe"]

Optimiser = Literal["sgd", "adam", "adamw", "muon"]
Schedule = Literal["cosine", "step", "poly", "constant"]
Loss = Literal["ce", "l2"]
Amp = Literal["off", "bf16", "fp16"]
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
SCHEDULES: tuple[str, ...] = get_args(Schedule)
LOSSES: tuple[str, ...] = get_args(Loss)
AMPS: tuple[str, ...] = get_args(Amp)


@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe(Configuration):
    """Settings of a training run, apart from the network and the data.

    The defaults are those of the published code (Ye et al. 2020, appendix A).

    Attributes
    ----------
    epochs : int
        Number of passes through the training images. The learning rate is scheduled over all of them.
    batch_size : int
        Number of images in a batch of each process. Images that do not fill a batch at the end of an epoch are left
        out of that epoch.
    lr : float
        Learning rate before it is scheduled, positive.
    opt : {"sgd", "adam", "adamw", "muon"}
        Optimiser. "adam" adds the weight decay to the gradient, "adamw" to the step. "muon" orthogonalises the steps
        of all matrices but the last layer's, and takes the steps of "sgd" for the last layer, biases and scales.
    momentum : float
        Momentum, in [0, 1). For "adam" and "adamw" it is the first of the two decay rates; the second is 0.999.
    weight_decay : float
        Factor of the weights that is added to their gradient, at least 0. It applies to all parameters.
    sched : {"cosine", "step", "poly", "constant"}
        Schedule of the learning rate. "cosine" falls to 0 with each step; "step" multiplies it by 0.1 whenever 40 % of
        the epochs, rounded down, are done; "poly" multiplies it by the share of steps that are left to the power of
        0.9.
    warmup_epochs : float
        Number of epochs in which the learning rate rises to ``lr``, linearly with each step, at most ``epochs``.
    loss : {"ce", "l2"}
        Loss: cross-entropy, or half the squared distance between logits and one-hot labels, as in the published code.
    smoothing : float
        Share of the label that is spread over all classes, in [0, 1). It applies to training batches only.
    seed : int
        Seed of the order of the images, of their augmentation, and of dropout, at least 0.
    max_steps : int, optional
        Number of steps after which the run ends, even within an epoch. By default it ends after the last epoch.
    augment : bool
        Whether training images are shifted by up to 4 pixels, and mirrored (except for sets of digits).
    amp : {"off", "bf16", "fp16"}
        Precision of autocast; "off" is float32 throughout. "fp16" needs a GPU.
    channels_last : bool
        Whether images and weights are stored with their channels last.
    compile : bool
        Whether the network is compiled by ``torch.compile``.
    """

    epochs: int = 20
    batch_size: int = 128
    lr: float = 0.1
    opt: Optimiser = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-3
    sched: Schedule = "cosine"
    warmup_epochs: float = 0
    loss: Loss = "ce"
    smoothing: float = 0
    seed: int = 0
    max_steps: int | None = None
    augment: bool = True
    amp: Amp = "off"
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "batch_size", "max_steps")
        check_count("epochs", self.epochs, 1_000_000)
        check_rate("lr", self.lr)
        check_choice("opt", self.opt, OPTIMISERS)
        check_choice("sched", self.sched, SCHEDULES)
        check_choice("loss", self.loss, LOSSES)
        check_choice("amp", self.amp, AMPS)
        for name in ("momentum", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(name, f"must be at least 0 and less than 1, got {getattr(self, name)}")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise OptionError("weight_decay", f"must be at least 0 and finite, got {self.weight_decay}")
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise OptionError(
                "warmup_epochs", f"must be at least 0 and at most epochs, {self.epochs}, got {self.warmup_epochs}"
            )
        if not 0 <= self.seed < 2**63:
            raise OptionError("seed", f"must be at least 0 and below 2**63, got {self.seed}")
