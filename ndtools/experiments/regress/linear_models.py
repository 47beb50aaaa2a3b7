"""Linear models of images: losses, optima, and what gradient descent does to them.

A model has one kernel and one bias for each class. Its weights are a matrix of shape (1 + f, classes), the bias
first, for the f features of a row x; logits are x·w[1:] + w[0]. Two losses are known, both means over rows:

l2
    ½ Σ over classes of (logit − target)², target 1 for the row's class and 0 for the others.
logistic
    Σ over classes of the binary cross-entropy of sigmoid(logit).

Gradient descent on a quadratic loss with Hessian H multiplies the error of the eigendirection of λ by (1 − αλ) in
each step: it converges for rates α < 2/λ_max, and in one step, at rate 1, if H = I (Ye et al. 2020, prop. 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from ndtools.numerics.products import outer_products

__all__ = [
    "CURVATURES",
    "FeatureMap",
    "RegressionMoments",
    "descend",
    "largest_eigenvalue",
    "loss_and_error",
    "predicted_losses",
]

CURVATURES = {"l2": 1.0, "logistic": 0.25}
"""Second derivative of a loss by a logit of 0, which is its largest anywhere."""

# Sums of so many products of numbers from -128 to 127 are integers of at most 2^24, which float32 holds exactly.
ROWS = 1024
MIDDLE = 128  # of bytes


def loss_and_error(name: str, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return a loss and its derivative by the logits.

    Parameters
    ----------
    name : {"l2", "logistic"}
        Name of the loss.
    logits : Tensor of shape (n, classes)
        Logits in floating point.
    labels : Tensor of shape (n,)
        Class numbers, int64.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over the rows, float64.
    error : Tensor of shape (n, classes)
        Derivative of each row's own loss, in the dtype of the logits.
    """
    at_label = labels[:, None]
    if name == "l2":
        error = logits.scatter_add(1, at_label, logits.new_full((len(logits), 1), -1))
        return error.square().sum(dtype=torch.float64) / (2 * len(logits)), error
    total = softplus(logits).sum(dtype=torch.float64) - logits.gather(1, at_label).sum(dtype=torch.float64)
    error = logits.sigmoid().scatter_add_(1, at_label, logits.new_full((len(logits), 1), -1))
    return total / len(logits), error


def descend(
    names: Sequence[str], rows: Tensor, labels: Tensor, weights: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Return the losses of models on some rows, and their gradients, in one pass over the rows.

    Parameters
    ----------
    names : sequence of {"l2", "logistic"}
        The loss of each model.
    rows : Tensor of shape (n, f)
        Features of the images.
    labels : Tensor of shape (n,)
        Class numbers of the images.
    weights : sequence of Tensor of shape (1 + f, classes)
        Weights of each model, in the dtype of the rows.

    Returns
    -------
    list of (Tensor, Tensor)
        For each model the loss, of shape () and float64, and its gradient by the weights.
    """
    together = torch.cat(list(weights), 1)
    logits = torch.addmm(together[0], rows, together[1:]).chunk(len(weights), 1)
    results = [loss_and_error(name, each, labels) for name, each in zip(names, logits, strict=True)]
    errors = torch.cat([error for _, error in results], 1)
    # Twice as fast as rows.mT @ errors.
    gradients = torch.cat([errors.sum(0, keepdim=True), (errors.mT @ rows).mT]).div_(len(rows))
    parts = gradients.chunk(len(weights), 1)
    return [(loss, gradient) for (loss, _), gradient in zip(results, parts, strict=True)]


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """An affine map of features, z = M (x − μ) with a symmetric M, ahead of a linear model.

    The model on z is a model on x with other weights, so z need not be computed (Ye et al. 2020, sec. 4.5.1).

    Attributes
    ----------
    mean : Tensor of shape (f,), or None
        μ; None is 0.
    scale : Tensor of shape (f,) or (f, f), or None
        The diagonal of M, or M; None is the identity.
    """

    mean: Tensor | None = None
    scale: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "FeatureMap":
        """Return the map in another floating dtype."""
        mean, scale = (None if part is None else part.to(dtype) for part in (self.mean, self.scale))
        return FeatureMap(mean, scale)

    def _scaled(self, rows: Tensor) -> Tensor:
        if self.scale is None:
            return rows
        return self.scale @ rows if self.scale.dim() == 2 else self.scale[:, None] * rows

    def fold(self, weights: Tensor) -> Tensor:
        """Return the weights on x that do what weights on z do: (M w, b − μᵗM w).

        Parameters
        ----------
        weights : Tensor of shape (1 + f, classes)
            Weights on the mapped features z.

        Returns
        -------
        Tensor of shape (1 + f, classes)
            Weights on the raw features x.
        """
        kernels = self._scaled(weights[1:])
        bias = weights[:1] if self.mean is None else weights[:1] - self.mean[None] @ kernels
        return torch.cat([bias, kernels])

    def pull_back(self, gradient: Tensor) -> Tensor:
        """Return the gradient by the weights on z, of that by the weights on x: the adjoint of `fold`.

        Parameters
        ----------
        gradient : Tensor of shape (1 + f, classes)
            By the weights on x.

        Returns
        -------
        Tensor of shape (1 + f, classes)
            By the weights on z.
        """
        bias, kernels = gradient[:1], gradient[1:]
        if self.mean is not None:
            kernels = kernels - self.mean[:, None] * bias
        return torch.cat([bias, self._scaled(kernels)])


@dataclass(frozen=True, eq=False)
class RegressionMoments:
    """All that the L2 loss of a linear model knows of the data, exact to rounding in float64.

    Attributes
    ----------
    count : int
        Number of rows.
    second : Tensor of shape (1 + f, 1 + f)
        S = mean of x̃ x̃ᵗ, x̃ = (1, x).
    cross : Tensor of shape (1 + f, classes)
        Mean of x̃ yᵗ, y the targets.
    """

    count: int
    second: Tensor
    cross: Tensor

    @classmethod
    def of(cls, pixels: Tensor, labels: Tensor, classes: int) -> "RegressionMoments":
        """Sum up the moments of images.

        Parameters
        ----------
        pixels : uint8 Tensor of shape (n, f)
            Pixels of the images, which count as x = pixels/255. Their products are summed without rounding.
        labels : int64 Tensor of shape (n,)
            Class numbers of the images, on the device of the pixels.
        classes : int
            Number of classes.

        Returns
        -------
        RegressionMoments
            Moments on the device of the pixels.
        """
        n, f = pixels.shape
        products = torch.zeros(f, f, dtype=torch.float64, device=pixels.device)
        by_class = torch.zeros(f, classes, dtype=torch.float64, device=pixels.device)
        images = torch.zeros(classes, dtype=torch.float64, device=pixels.device)
        for at in range(0, n, ROWS):
            columns = (pixels[at : at + ROWS].float() - MIDDLE).mT.contiguous()
            chosen = one_hot(labels[at : at + ROWS], classes).float()
            products += outer_products(columns)
            by_class += columns @ chosen
            images += chosen.sum(0)
        sums = by_class.sum(1)
        second = torch.empty(1 + f, 1 + f, dtype=torch.float64, device=pixels.device)
        second[0, 0] = n
        second[0, 1:] = second[1:, 0] = sums + MIDDLE * n
        second[1:, 1:] = products + MIDDLE * (sums[:, None] + sums + MIDDLE * n)
        cross = torch.cat([images[None], by_class + MIDDLE * images])
        second[1:] /= 255
        second[:, 1:] /= 255
        cross[1:] /= 255
        return cls(n, second / n, cross / n)

    @property
    def mean(self) -> Tensor:
        """Mean of x, of shape (f,)."""
        return self.second[0, 1:]

    @property
    def covariance(self) -> Tensor:
        """Biased covariance of x, of shape (f, f)."""
        return self.second[1:, 1:] - torch.outer(self.mean, self.mean)

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues, ascending, and eigenvectors of the covariance, decomposed once."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return values, vectors

    def loss(self, weights: Tensor) -> Tensor:
        """Return the L2 loss of weights on x.

        Parameters
        ----------
        weights : float64 Tensor of shape (1 + f, classes)
            Weights of the model.

        Returns
        -------
        Tensor of shape ()
            Mean over the rows, at least 0. Each target has one 1, so the mean of |y|² is 1.
        """
        loss = (1 + (weights * (self.second @ weights - 2 * self.cross)).sum()) / 2
        return loss.clamp_min(0)  # rounding takes a perfect fit below

    def gradient(self, weights: Tensor) -> Tensor:
        """Return the gradient of the L2 loss, S w − cross, of the shape of the weights."""
        return self.second @ weights - self.cross

    def closed_form(self) -> Tensor:
        """Return weights on x that minimise the L2 loss, of the least norm on features that do not vary.

        Returns
        -------
        Tensor of shape (1 + f, classes)
            Weights of least loss, float64.
        """
        values, vectors = self.spectrum
        floor = len(values) * torch.finfo(torch.float64).eps * values[-1].clamp_min(0)
        inverse = torch.where(values > floor, values.reciprocal(), 0.0)
        centred = self.cross[1:] - torch.outer(self.mean, self.cross[0])
        kernels = vectors @ (inverse[:, None] * (vectors.mT @ centred))
        return torch.cat([self.cross[:1] - self.mean[None] @ kernels, kernels])

    def through(self, features: FeatureMap) -> "RegressionMoments":
        """Return the moments of mapped features.

        Parameters
        ----------
        features : FeatureMap
            Map of the features, in float64.

        Returns
        -------
        RegressionMoments
            Moments of z = M (x − μ).
        """
        second = features.pull_back(features.pull_back(self.second).mT)
        return RegressionMoments(self.count, (second + second.mT) / 2, features.pull_back(self.cross))


def largest_eigenvalue(matrix: Tensor) -> float:
    """Return λ_max of a symmetric matrix of shape (d, d), without the others, to a relative error of 1e-12."""
    array, last = matrix.double().cpu().numpy(), len(matrix) - 1
    if last > 100:
        start = np.random.default_rng(0).standard_normal(len(array))
        try:
            return float(eigsh(array, k=1, which="LA", v0=start, tol=1e-12, return_eigenvectors=False)[0])
        except ArpackNoConvergence:  # many eigenvalues are nearly as large
            pass
    return float(eigh(array, eigvals_only=True, subset_by_index=(last, last))[0])


def predicted_losses(moments: RegressionMoments, lr: float, iterations: int) -> Tensor:
    """Return the L2 losses that the eigenvalues predict for full-batch gradient descent from zero weights.

    L(t) = L* + ½ Σ_i |c_i|²/λ_i · (1 − αλ_i)^(2t), with λ_i the eigenvalues of S and c_i the components of the
    cross moments along its eigenvectors.

    Parameters
    ----------
    moments : RegressionMoments
        Moments of the features.
    lr : float
        Learning rate α.
    iterations : int
        Number of steps.

    Returns
    -------
    float64 Tensor of shape (iterations,)
        Losses before step 1, 2, ....
    """
    values, vectors = torch.linalg.eigh(moments.second)
    floor = len(values) * torch.finfo(torch.float64).eps * values[-1]
    energy = torch.where(values > floor, (vectors.mT @ moments.cross).square().sum(1) / values, 0.0)
    steps = torch.arange(iterations, dtype=torch.float64, device=values.device)
    decay = (1 - lr * values).abs()[None] ** (2 * steps[:, None])
    losses: Tensor = (1 - energy.sum()) / 2 + (decay @ energy) / 2
    return losses
