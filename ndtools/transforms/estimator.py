"""Conventions of scikit-learn for an estimator that transforms rows of features, without a need for scikit-learn."""

import inspect
import sys
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimator", "NotFittedError", "Rows"]

Rows = NDArray[Any]


class NotFittedError(ValueError, AttributeError):
    """An estimator was used before it was fitted. Where scikit-learn is loaded, its error of this name is raised."""


class Estimator:
    """Estimator whose parameters are the arguments of its constructor.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of the fit.
    feature_names_in_ : array of shape (d,)
        Names of the features; only after a fit to a data frame whose columns all have texts as names.
    """

    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def fit(self, X: object, y: object = None) -> Self:
        """Fit the estimator to samples."""
        raise NotImplementedError

    def transform(self, X: object) -> Rows:
        """Transform samples."""
        raise NotImplementedError

    def fit_transform(self, X: object, y: object = None) -> Rows:
        """Fit the estimator to samples, and transform them.

        Parameters
        ----------
        X : array of shape (n, d)
            Samples of d features.
        y : object
            Ignored; pipelines pass it.

        Returns
        -------
        array of shape (n, d)
            Samples after the transform.
        """
        return self.fit(X, y).transform(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor by name.

        Parameters
        ----------
        deep : bool
            Ignored: no parameter is an estimator.

        Returns
        -------
        dict of str to object
            Values of all parameters.
        """
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401
        """Set parameters of the constructor, for the next fit.

        Parameters
        ----------
        **params
            Values by the names of the parameters.

        Returns
        -------
        Self
            This estimator, with its new parameters.

        Raises
        ------
        ValueError
            If there is no parameter of a name. Nothing is set then.
        """
        known = self._parameters()
        for name in params:
            if name not in known:
                raise ValueError(f"params of {type(self).__name__} must be among {', '.join(known)}, got {name!r}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def get_feature_names_out(self, input_features: object = None) -> NDArray[Any]:
        """Return the names of the output features, which are those of the input.

        Parameters
        ----------
        input_features : array of str, optional
            Names of the input features. Default: those of the fit, or else x0, x1, ...

        Returns
        -------
        array of str
            Names of the d features.

        Raises
        ------
        ValueError
            If the names are not those of the fit, or not as many.
        """
        self._require_fit()
        fitted = getattr(self, "feature_names_in_", None)
        if input_features is None:
            return np.array([f"x{i}" for i in range(self.n_features_in_)], object) if fitted is None else fitted
        names = np.asarray(input_features, object)
        if fitted is not None and not np.array_equal(names, fitted):
            raise ValueError("input_features is not equal to feature_names_in_, the names of the fit")
        if len(names) != self.n_features_in_:
            raise ValueError(f"input_features should have length equal to {self.n_features_in_}, got {len(names)}")
        return names

    def __repr__(self) -> str:
        defaults = {name: parameter.default for name, parameter in self._parameters().items()}
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name])
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401  # a class of scikit-learn, which alone calls this
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]),
            input_tags=InputTags(),
        )

    @classmethod
    def _parameters(cls) -> dict[str, inspect.Parameter]:
        return dict(list(inspect.signature(cls.__init__).parameters.items())[1:])

    def _require_fit(self) -> None:
        if self.__sklearn_is_fitted__():
            return
        # Those who catch this error have loaded scikit-learn's class.
        kind = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", NotFittedError)
        raise kind(f"This {type(self).__name__} instance is not fitted yet; call fit or partial_fit first")

    def _check_features(self, count: int) -> None:
        """Raise an error if a fit cannot have so many features."""

    def _checked(self, X: object, *, reset: bool = False, names: bool = True) -> Rows:
        """Return samples as an array (n, d) of real, finite numbers.

        Parameters
        ----------
        X : object
            Samples as an array, a data frame, or nested lists.
        reset : bool
            Whether the number of features and their names are those of a new fit. Default False: they must agree.
        names : bool
            Whether names of features are compared. Default True.

        Returns
        -------
        array of shape (n, d)
            Samples, not copied if they are an array already.

        Raises
        ------
        TypeError
            If they are a sparse matrix.
        ValueError
            If they are no such array.
        """
        if not reset:
            self._require_fit()
        rows = _numbers(X)
        found = _names(X)
        if reset:
            self._check_features(rows.shape[1])  # before anything of an earlier fit is replaced
            self.n_features_in_ = rows.shape[1]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            if found is not None:
                self.feature_names_in_ = found
            return rows
        if names and found is not None and not np.array_equal(getattr(self, "feature_names_in_", found), found):
            raise ValueError("The feature names should match those that were passed during fit, in the same order")
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_}"
                " features as input"
            )
        return rows


def _numbers(X: object) -> Rows:
    # The phrases "Reshape your data", "sample(s)", "feature(s)" and so on are those that scikit-learn looks for.
    if hasattr(X, "toarray"):
        raise TypeError("X must be dense, got a sparse matrix; use X.toarray() to convert it to a dense array")
    rows = np.asarray(X)
    if rows.dtype.kind == "c":
        raise ValueError("X must hold real numbers: Complex data not supported")
    if rows.dtype.kind not in "fiub":
        rows = rows.astype(np.float64)
    if rows.ndim != 2:
        raise ValueError(
            f"X must be an array of shape (samples, features), got {rows.ndim} dimensions. Reshape your data, as in"
            " X.reshape(len(X), -1)"
        )
    for size, what in zip(rows.shape, ("sample", "feature"), strict=True):
        if not size:
            raise ValueError(f"Found array with 0 {what}(s) (shape={rows.shape}) while a minimum of 1 is required.")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise ValueError("X must be finite, got NaN or infinity (inf)")
    return rows


def _names(X: object) -> NDArray[Any] | None:
    columns = getattr(X, "columns", None)
    if columns is None:
        return None
    names = np.asarray(columns, object)
    return names if len(names) and all(isinstance(name, str) for name in names) else None
