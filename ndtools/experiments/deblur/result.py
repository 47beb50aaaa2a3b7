"""Estimates of a blur kernel: the result of ``ndtools deblur``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.data.images.decoding import Pixels
from ndtools.drawing.shown import ShownResult
from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.results.read import SavedResult, floats
from ndtools.text import counted, printable, source_name

__all__ = ["CROP", "Arm", "DeblurResult"]

THRESHOLDS = (0.5, 0.2, 0.1, 0.05)
CROP = 160  # pixels of the images that are drawn and saved: of a whole photograph the blur would not be seen
CELL = 8  # pixels of the grid on which the part that is drawn lies


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to estimate the kernel.

    Attributes
    ----------
    name : {"gradient", "deconv", "closed_form"}
        Name of the estimate: gradient descent, gradient descent with deconvolution, or least squares in closed form.
    lr : float or None
        Learning rate of the arm.
    stability_limit : float or None
        2/λ_max of the Hessian: the learning rate at which it diverges.
    kernel_error : array of shape (iterations + 1,), or (1,) for the closed form
        ‖k̂ − k‖/‖k‖, first that of the zero kernel before any step.
    loss : array of the same shape
        ½ mean squared error of the blurred image, in squared units of the [0, 1] pixels.
    kernel : array of shape (K, K)
        The last one.
    iterations : array of int, of shape (n,)
        At which there are snapshots.
    snapshots : array of shape (n, K, K)
        Kernels after these iterations.
    """

    name: str
    lr: float | None
    stability_limit: float | None
    kernel_error: NDArray[np.float64]
    loss: NDArray[np.float64]
    kernel: NDArray[np.float64]
    iterations: NDArray[np.int64]
    snapshots: NDArray[np.float64]

    def iterations_to(self, error: float) -> int | None:
        """Return the first iteration with at most that kernel error; None if there is none, or no iterations."""
        found = np.flatnonzero(self.kernel_error <= error)
        return int(found[0]) if self.lr is not None and len(found) else None

    def best(self) -> tuple[int, float]:
        """Return the iteration with the least kernel error, and that error."""
        at = int(self.kernel_error.argmin())
        return at, float(self.kernel_error[at])

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        at, least = self.best()
        return {
            "name": self.name,
            "lr": self.lr,
            "stability_limit": self.stability_limit,
            "kernel_error": self.kernel_error.tolist(),
            "loss": self.loss.tolist(),
            "iterations_to": {f"{error:g}": self.iterations_to(error) for error in THRESHOLDS},
            "best_iteration": None if self.lr is None else at,
            "best_error": least,
        }


@dataclass(frozen=True, eq=False, repr=False)
class DeblurResult(ShownResult):
    """A blurred image, and its kernel estimated in three ways.

    Attributes
    ----------
    config : DeblurConfig
        Configuration of this run.
    source : str
        Name of the image, printable.
    size : (int, int, int)
        Channels, height and width of the sharp image.
    sharp : array of shape (C, H, W)
        Sharp image as decoded. Files hold a detail alone: that of `detail`, with the K − 1 pixels around it that
        the blur reaches.
    blurred : array of shape (C, H − K + 1, W − K + 1)
        Blurred image of [0, 1] pixels, with the noise. Files hold a detail alone: that of `detail`.
    true_kernel : array of shape (K, K)
        Kernel that the image was blurred with; its weights sum to 1.
    arms : tuple of Arm
        "gradient", "deconv", "closed_form".
    eps : float
        Ridge that was added, absolute.
    condition : float
        Condition number of C + eps·I, whose inverse square root D is.
    residual : float
        ‖D A D − I‖_F / K for A = C + eps·I: 0 if D is its exact inverse square root.
    device : str
        Device on which the moments were computed.
    """

    config: DeblurConfig
    source: str
    size: tuple[int, int, int]
    sharp: Pixels
    blurred: NDArray[np.float64]
    true_kernel: NDArray[np.float64]
    arms: tuple[Arm, ...]
    eps: float
    condition: float
    residual: float
    device: str

    def detail(self) -> tuple[Pixels, NDArray[np.float64]]:
        """Return the same part of both images, where the sharp one varies most: at most 160 pixels a side.

        Returns
        -------
        sharp : array of shape (C, h + K − 1, w + K − 1)
            As decoded, with all pixels that the blurred ones are made of.
        blurred : array of shape (C, h, w)
            Pixels in [0, 1].
        """
        more = len(self.true_kernel) - 1
        half = more // 2
        height, width = (min(CROP, n) for n in self.blurred.shape[1:])
        inner = self.sharp[:, half : half + self.blurred.shape[1], half : half + self.blurred.shape[2]]
        top, left = _most_varied(inner, height, width)
        return (
            self.sharp[:, top : top + height + more, left : left + width + more],
            self.blurred[:, top : top + height, left : left + width],
        )

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        (_, height, width), side = self.size, len(self.true_kernel)
        blur = source_name(printable(self.config.blur))
        errors = [f"{arm.name.replace('_', ' ')} {arm.kernel_error[-1]:.3g}" for arm in self.arms]
        return (
            f"{source_name(self.source)} · {width}×{height} pixels · blur {blur} · noise {self.config.noise:.3g}",
            f"kernel of {side}×{side} · eps {self.eps:.3g} · condition {self.condition:.3g} · residual"
            f" {self.residual:.2g}",
            f"kernel error after {counted(self.config.iterations, 'step')}: {' · '.join(errors)}",
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        sharp, blurred = self.detail()
        arrays: dict[str, NDArray[Any]] = {"true_kernel": self.true_kernel, "sharp": sharp, "blurred": blurred}
        for arm in self.arms:
            arrays[arm.name] = arm.kernel
            if arm.lr is not None:
                arrays[f"{arm.name}_iterations"] = arm.iterations
                arrays[f"{arm.name}_snapshots"] = arm.snapshots
        return arrays

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "size": self.size,
            "blur": self.config.blur,
            "noise": self.config.noise,
            "kernel_size": len(self.true_kernel),
            "eps": self.eps,
            "relative_eps": self.config.relative_eps,
            "n_iter": self.config.n_iter,
            "condition": self.condition,
            "residual": self.residual,
            "arms": [arm.numbers() for arm in self.arms],
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "DeblurResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("deblur"):
            channels, height, width = saved.numbers["size"]
            return cls(
                config=saved.configuration(DeblurConfig),
                source=saved.source,
                size=(channels, height, width),
                sharp=saved.arrays["sharp"],
                blurred=saved.arrays["blurred"],
                true_kernel=saved.arrays["true_kernel"],
                arms=tuple(_saved_arm(arm, saved.arrays) for arm in saved.numbers["arms"]),
                eps=saved.numbers["eps"],
                condition=saved.numbers["condition"],
                residual=saved.numbers["residual"],
                device=saved.device,
            )


def _most_varied(pixels: Pixels, height: int, width: int) -> tuple[int, int]:
    """Return the top and left of the window, on a grid of CELL, in which neighbouring pixels differ most."""
    rows, columns = pixels.shape[1] // CELL, pixels.shape[2] // CELL
    variation = np.zeros((rows + 1, columns + 1))
    for row in range(rows):  # a strip at a time: an image of numbers would take many times the memory of its pixels
        strip = pixels[:, row * CELL : (row + 1) * CELL, : columns * CELL].astype(np.float32)
        across, down = np.zeros_like(strip), np.zeros_like(strip)
        across[:, :, 1:], down[:, 1:] = np.diff(strip, axis=2), np.diff(strip, axis=1)
        varied = (np.abs(across) + np.abs(down)).sum((0, 1)).reshape(columns, CELL).sum(1)
        variation[row + 1, 1:] = variation[row, 1:] + varied.cumsum(dtype=np.float64)
    high, wide = height // CELL, width // CELL
    upper, left_of = slice(rows + 1 - high), slice(columns + 1 - wide)
    windows = variation[high:, wide:] - variation[upper, wide:] - variation[high:, left_of] + variation[upper, left_of]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return CELL * int(top), CELL * int(left)


def _saved_arm(numbers: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Arm:
    name, kernel = numbers["name"], arrays[numbers["name"]]
    descent = numbers["lr"] is not None
    return Arm(
        name=name,
        lr=numbers["lr"],
        stability_limit=numbers["stability_limit"],
        kernel_error=floats(numbers["kernel_error"]),
        loss=floats(numbers["loss"]),
        kernel=kernel,
        # The closed form is its own only snapshot, before any step.
        iterations=arrays[f"{name}_iterations"] if descent else np.zeros(1, dtype=np.int64),
        snapshots=arrays[f"{name}_snapshots"] if descent else kernel[None],
    )
