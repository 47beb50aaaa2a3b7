"""Arms of a linear regression: gradient descent on the same batches of differently normalised features."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ndtools.computing.operators import seconds_at
from ndtools.experiments.regress.linear_models import FeatureMap, RegressionMoments, descend
from ndtools.numerics.inverse_sqrt import Eigh, Method, inverse_sqrt
from ndtools.numerics.partial_inverse_sqrt import partial_inverse_sqrt
from ndtools.numerics.products import ridged
from ndtools.numerics.shrinkage import shrink
from ndtools.numerics.stability import spectral_gain

__all__ = ["MAPS", "Arm", "MovingMoments", "Normaliser", "spectral_map", "train"]

MAPS = ("sgd", "bn", "deconv")
"""Features that arms see: raw pixels, each standardised, deconvolved."""


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """How features are normalised by their statistics.

    Attributes
    ----------
    method : Method
        Method of the inverse square root.
    eps : float
        Added to variances (bn) and to the diagonal of the covariance (deconv).
    shrinkage : {"none", "lw", "oas"}
        Shrinkage of the covariance of a batch.
    """

    method: Method
    eps: float
    shrinkage: str = "none"

    def map(self, name: str, mean: Tensor, covariance: Tensor) -> FeatureMap:
        """Return the map of an arm's features.

        Parameters
        ----------
        name : {"sgd", "bn", "deconv"}
            The identity; a division by standard deviations; or D = (Cov + eps I)^(-1/2).
        mean : Tensor of shape (f,)
            Mean of the features.
        covariance : Tensor of shape (f, f), or (f,) for "bn"
            Their covariance, or its diagonal.

        Returns
        -------
        FeatureMap
            In the dtype of the covariance.
        """
        if name == "sgd":
            return FeatureMap()
        if name == "bn":
            variance = (covariance.diagonal() if covariance.dim() == 2 else covariance) + self.eps
            return FeatureMap(mean, torch.where(variance > 0, variance.rsqrt(), 0.0))  # no eps: constant pixels are 0
        a = ridged(covariance, self.eps)
        if isinstance(self.method, Eigh):
            return FeatureMap(mean, inverse_sqrt(a, self.method).matrix)
        return FeatureMap(mean, partial_inverse_sqrt(a, self.method.n_iter, lower=self.eps))

    def of_all(self, name: str, moments: RegressionMoments) -> FeatureMap:
        """Return the map of an arm's features by the statistics of all images.

        Parameters
        ----------
        name : {"sgd", "bn", "deconv"}
            As in `map`.
        moments : RegressionMoments
            Those statistics, in float64. A Newton-Schulz iteration acts on the eigenvalues of their covariance, which
            are known, so it takes one product of matrices instead of three each time.

        Returns
        -------
        FeatureMap
            Map of the features, in float64.
        """
        if name != "deconv" or isinstance(self.method, Eigh):
            return self.map(name, moments.mean, moments.covariance)
        values, vectors = moments.spectrum
        a = (values + self.eps).cpu().numpy()
        norm = float(np.linalg.norm(a))
        x = np.maximum(a / norm, np.finfo(np.float64).tiny)  # rounding can make an eigenvalue of 0 negative
        z = spectral_gain(x, self.method.n_iter)[-1] / np.sqrt(x)
        return spectral_map(moments.mean, torch.from_numpy(z / norm**0.5).to(values), vectors)

    def of_batch(self, name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a map needs to know of a batch: its mean, and its covariance or variances.

        Parameters
        ----------
        name : {"sgd", "bn", "deconv"}
            Name of the map.
        rows : Tensor of shape (n, f)
            Features of the batch.

        Returns
        -------
        tuple of Tensor
            As `map` takes them; the covariance is shrunk.
        """
        if name == "sgd":
            return rows.new_zeros(0), rows.new_zeros(0)
        if name == "bn":
            return rows.mean(0), rows.var(0, correction=0)
        if isinstance(self.method, Eigh):
            rows = rows.double()  # whose rounding alone would make a covariance in float32 indefinite
        mean = rows.mean(0)
        centred = rows - mean
        return mean, shrink(centred, centred.mT @ centred / len(rows), self.shrinkage)


def spectral_map(mean: Tensor, values: Tensor, vectors: Tensor) -> FeatureMap:
    """Return the map z = V diag(v) Vᵗ (x − μ).

    Parameters
    ----------
    mean : Tensor of shape (f,)
        Mean μ of the features.
    values : Tensor of shape (f,)
        Eigenvalues v of the covariance.
    vectors : Tensor of shape (f, f)
        Eigenvectors V of the covariance.

    Returns
    -------
    FeatureMap
        In their dtype.
    """
    return FeatureMap(mean, (vectors * values) @ vectors.mT)


@dataclass(eq=False)
class MovingMoments:
    """Exponential moving averages of batch statistics, corrected for their start at zero.

    Attributes
    ----------
    momentum : float
        Share of the newest batch, as in torch's batch normalisation.
    """

    momentum: float = 0.1
    _sums: tuple[Tensor, ...] = ()
    _weight: float = 0.0

    def update(self, *statistics: Tensor) -> None:
        """Add those of a batch."""
        if not self._sums:
            self._sums = tuple(torch.zeros_like(s) for s in statistics)
        for total, new in zip(self._sums, statistics, strict=True):
            total.lerp_(new, self.momentum)
        self._weight += self.momentum * (1 - self._weight)

    def value(self) -> tuple[Tensor, ...]:
        """Return the averages, of the shapes that `update` was given."""
        return tuple(total / self._weight for total in self._sums)


@dataclass(eq=False)
class Arm:
    """A model in training.

    Attributes
    ----------
    loss_name : {"l2", "logistic"}
        Loss that the arm minimises.
    features : {"sgd", "bn", "deconv"}
        Features that the arm sees.
    lr : float
        Its learning rate.
    auto : bool
        Whether that was chosen by its stability limit.
    stability_limit : float
        2/λ_max of the Hessian at zero weights, with the statistics of the whole training set.
    weights : Tensor of shape (1 + f, classes)
        On its features.
    losses : list of float
        On each batch, before the step.
    seconds : float
        Spent on it: all that its features cost, and its share of the pass over the rows.
    """

    loss_name: str
    features: str
    lr: float
    auto: bool
    stability_limit: float
    weights: Tensor
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def step(self, loss: Tensor, gradient: Tensor, features: FeatureMap) -> None:
        """Take a step of gradient descent.

        Parameters
        ----------
        loss : Tensor of shape ()
            Loss on the batch.
        gradient : Tensor of shape (1 + f, classes)
            By the weights on raw features.
        features : FeatureMap
            To this arm's features.
        """
        self.losses.append(loss.item())
        self.weights = self.weights - self.lr * features.pull_back(gradient)


def train(
    arms: Sequence[Arm],
    batches: Iterable[tuple[Tensor, Tensor]],
    normaliser: Normaliser,
    *,
    whole: RegressionMoments | None = None,
    done: Callable[[], None] = lambda: None,
) -> dict[str, FeatureMap]:
    """Take one step of every arm on every batch, with the statistics of that batch.

    Parameters
    ----------
    arms : sequence of Arm
        With their weights, which change.
    batches : iterable of (Tensor, Tensor)
        Rows of shape (n, f) and labels of shape (n,).
    normaliser : Normaliser
        Normaliser of the features.
    whole : RegressionMoments, optional
        Moments of the batch, if all batches are the same one.
    done : callable
        Told of each batch.

    Returns
    -------
    dict of str to FeatureMap
        For each kind of features, the map of new images: by the moving averages of the statistics.
    """
    kinds = [name for name in MAPS if any(arm.features == name for arm in arms)]
    fixed: dict[str, FeatureMap] = {}
    moving = {name: MovingMoments() for name in kinds}

    def map_of(name: str, rows: Tensor) -> FeatureMap:
        if whole is not None:
            fixed[name] = normaliser.of_all(name, whole)
            return fixed[name]
        statistics = normaliser.of_batch(name, rows)
        moving[name].update(*statistics)
        return normaliser.map(name, *statistics).to(rows.dtype)

    for rows, labels in batches:
        maps = {}
        for name in kinds:
            start = seconds_at(rows.device)
            maps[name] = fixed[name] if name in fixed else map_of(name, rows)
            seconds = seconds_at(rows.device) - start
            for arm in arms:
                arm.seconds += seconds if arm.features == name else 0
        start = seconds_at(rows.device)
        _step_together(arms, rows, labels, maps, whole)
        seconds = seconds_at(rows.device) - start
        for arm in arms:
            arm.seconds += seconds / len(arms)
        done()
    if fixed:
        return fixed
    dtype = arms[0].weights.dtype
    return {name: normaliser.map(name, *average.value()).to(dtype) for name, average in moving.items()}


def _step_together(
    arms: Sequence[Arm], rows: Tensor, labels: Tensor, maps: dict[str, FeatureMap], whole: RegressionMoments | None
) -> None:
    """Take a step of every arm: by the moments where they are known and suffice, else with one pass over the rows."""
    folded = {id(arm): maps[arm.features].fold(arm.weights) for arm in arms}
    by_rows = [arm for arm in arms if whole is None or arm.loss_name != "l2"]
    for arm in arms:
        if whole is not None and arm.loss_name == "l2":
            weights = folded[id(arm)]
            arm.step(whole.loss(weights), whole.gradient(weights), maps[arm.features])
    if by_rows:
        names = [arm.loss_name for arm in by_rows]
        results = descend(names, rows, labels, [folded[id(arm)] for arm in by_rows])
        for arm, (loss, gradient) in zip(by_rows, results, strict=True):
            arm.step(loss, gradient, maps[arm.features])
