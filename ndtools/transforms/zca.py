"""ZCA whitening of rows of features, with the conventions of scikit-learn's transformers, which it does not need."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.numerics.covariance import Covariance
from ndtools.numerics.inverse_sqrt import Method
from ndtools.numerics.linear_whitening import LinearWhitening, linear_whitening
from ndtools.numerics.ridge import ridge_terms
from ndtools.transforms.estimator import Estimator, Rows
from ndtools.transforms.fitting import CHUNK, require_features
from ndtools.validation import check_eps

__all__ = ["ZCA"]


class ZCA(Estimator):
    """ZCA whitening: (x - μ) D with the symmetric D = (Cov + eps·I)^(-1/2).

    Of all linear maps that decorrelate features and give them unit variance, it changes them least. It follows the
    conventions of scikit-learn, for pipelines, ``clone`` and grid searches, and works without it. Values are taken as
    they are, so pixels of uint8 are numbers from 0 to 255. Covariance and D are computed in float64.

    Parameters
    ----------
    eps : float or "paper"
        Ridge added to the covariance, at least 0. "paper", the default, is 1e-5 of the mean variance of a feature
        (Ye et al. 2020).
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a feature. Default False.
    method : Method, optional
        Algorithm of D; the eigendecomposition by default.

    Attributes
    ----------
    mean_ : array of shape (d,)
        Mean μ of the features, float64.
    covariance_ : array of shape (d, d)
        Covariance of the features, divided by the number of samples, without ridge, float64.
    whitening_ : array of shape (d, d)
        Matrix D, float64. After `partial_fit` it is computed when it is first needed.
    dewhitening_ : array of shape (d, d)
        Inverse of D, float64.
    eps_ : float
        Absolute ridge, in squared units of the features.
    n_samples_seen_ : int
        Number of samples of `fit`, or of all calls of `partial_fit`.
    n_features_in_ : int
        Number d of features.
    feature_names_in_ : array of shape (d,)
        Names of the features; only after a fit to a data frame whose columns all have texts as names.

    Notes
    -----
    `partial_fit` is exact: the covariances of batches add up to that of all samples, to rounding, in any order and
    division. Memory grows with d², not with the number of samples: d = 3072 (images of CIFAR-10) takes 0.7 GB while
    D is computed.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(500, 3)) @ [[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.1]]
    >>> white = ZCA(eps=0).fit_transform(rows)
    >>> bool(np.allclose(white.T @ white / 500, np.eye(3)))
    True
    """

    def __init__(
        self,
        *,
        eps: float | Literal["paper"] = "paper",
        relative_eps: bool = False,
        method: Method | None = None,
    ) -> None:
        self.eps = eps
        self.relative_eps = relative_eps
        self.method = method

    def fit(self, X: object, y: object = None) -> Self:
        """Fit the whitening to samples; earlier fits are forgotten.

        Parameters
        ----------
        X : array of shape (n, d)
            Samples of d features.
        y : object
            Ignored; pipelines pass it.

        Returns
        -------
        Self
            This estimator, fitted.

        Raises
        ------
        ValueError
            If ``X`` is no array of finite real numbers of this shape, or ``eps`` is negative.
        NotPositiveDefiniteError
            If the covariance with the ridge is singular to working precision.

        Warns
        -----
        NumericalWarning
            If there are no more samples than features, or nothing varies.
        """
        self._add(X, reset=True)
        self._fitted().map  # noqa: B018  # computed here, so that its errors and warnings are those of the fit
        return self

    def partial_fit(self, X: object, y: object = None) -> Self:
        """Add samples to those of earlier calls.

        Parameters
        ----------
        X : array of shape (n, d)
            Samples of d features.
        y : object
            Ignored; pipelines pass it.

        Returns
        -------
        Self
            This estimator, fitted to all samples so far.

        Raises
        ------
        ValueError
            If ``X`` is no array of finite real numbers of this shape, or has other features than before.
        """
        self._add(X, reset=not self.__sklearn_is_fitted__())
        return self

    def transform(self, X: object) -> Rows:
        """Whiten samples.

        Parameters
        ----------
        X : array of shape (n, d)
            Samples of d features.

        Returns
        -------
        array of shape (n, d)
            Whitened samples (x - μ) D: float32 if ``X`` is, else float64. They are computed in float64.
        """
        rows = self._checked(X)
        found = self._fitted().map
        return _in_pieces(rows, lambda piece: (piece - found.mean.numpy()) @ found.matrix.numpy().T)

    def inverse_transform(self, X: object) -> Rows:
        """Return the samples of which `transform` makes the given ones.

        Parameters
        ----------
        X : array of shape (n, d)
            Whitened samples of d features.

        Returns
        -------
        array of shape (n, d)
            Samples in their own units: float32 if ``X`` is, else float64.
        """
        rows = self._checked(X, names=False)
        found = self._fitted().map
        return _in_pieces(rows, lambda piece: piece @ found.inverse.numpy().T + found.mean.numpy())

    @property
    def whitening_(self) -> NDArray[np.float64]:
        """Matrix D of shape (d, d), float64."""
        return self._fitted().map.matrix.numpy()

    @property
    def dewhitening_(self) -> NDArray[np.float64]:
        """Inverse of D of shape (d, d), float64."""
        return self._fitted().map.inverse.numpy()

    @property
    def eps_(self) -> float:
        """Absolute ridge, in squared units of the features."""
        return self._fitted().map.eps

    @property
    def mean_(self) -> NDArray[np.float64]:
        """Mean of the features, of shape (d,), float64."""
        return self._fitted().covariance.mean.numpy()

    @property
    def covariance_(self) -> NDArray[np.float64]:
        """Covariance of the features, of shape (d, d), float64."""
        return self._fitted().covariance.matrix.numpy()

    @property
    def n_samples_seen_(self) -> int:
        """Number of samples of the fit."""
        return self._fitted().covariance.count

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    def _add(self, X: object, *, reset: bool) -> None:
        eps, relative = ridge_terms(self.eps, relative=self.relative_eps)
        check_eps(eps)
        rows = self._checked(X, reset=reset)
        count = rows.shape[1]
        total = None if reset else self._fitted().covariance
        for piece in _pieces(rows):
            # As pixels of one channel: a feature that is constant then causes no warning.
            part = Covariance.of_rows(torch.from_numpy(piece), channels=1, kernel_size=(1, count))
            total = part if total is None else total + part
        assert total is not None
        self._state = _Fitted(total, eps, relative, self.method)

    def _check_features(self, count: int) -> None:
        require_features(count, "rows of {} features", "take fewer features")

    def _fitted(self) -> "_Fitted":
        self._require_fit()
        return self._state


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Covariance of the samples so far, and the whitening that is computed from it when it is first needed."""

    covariance: Covariance
    eps: float
    relative: bool
    method: Method | None

    @cached_property
    def map(self) -> LinearWhitening:
        return linear_whitening(self.covariance, "zca", eps=self.eps, relative=self.relative, method=self.method)


def _pieces(rows: Rows) -> Iterator[NDArray[np.float64]]:
    """Yield samples in float64, as many at a time as 64 MiB hold."""
    most = max(1, CHUNK // (8 * rows.shape[1]))
    for start in range(0, len(rows), most):
        yield rows[start : start + most].astype(np.float64)  # a copy, which torch may write to


def _in_pieces(rows: Rows, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Rows:
    """Apply a function to samples piece by piece; the result is float32 if they are."""
    output = np.empty(rows.shape, np.float32 if rows.dtype == np.float32 else np.float64)
    start = 0
    for piece in _pieces(rows):
        output[start : start + len(piece)] = function(piece)
        start += len(piece)
    return output
