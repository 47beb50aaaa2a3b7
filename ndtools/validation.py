"""What all configurations of experiments have in common, checks of the settings that several share, and choices."""

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, wraps
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Union, get_args, get_origin, get_type_hints

from ndtools.errors import OptionError
from ndtools.text import shortened

__all__ = [
    "DEVICES",
    "LARGEST_EPS",
    "LARGEST_RATE",
    "METHODS",
    "MOST_FOLLOWED",
    "MOST_NEWTON_SCHULZ",
    "PAPER_RIDGE",
    "SHRINKAGES",
    "SPACES",
    "Configuration",
    "Ridge",
    "RootMethod",
    "Shrinkage",
    "Space",
    "check_bootstrap",
    "check_choice",
    "check_count",
    "check_eps",
    "check_odd",
    "check_positive",
    "check_rate",
    "check_ridge",
    "check_run",
    "check_space",
    "check_types",
    "check_visual_angle",
    "check_whitening",
]


RootMethod = Literal["eigh", "coupled", "vanilla"]
METHODS: tuple[str, ...] = get_args(RootMethod)
Ridge = float | Literal["paper", "auto"]
"""Ridge as a number, the paper's, or the one that suits held-out images best."""
PAPER_RIDGE = 1e-5
"""Ridge of Ye et al. 2020, in units of the mean variance: their pixels are standardised."""
LARGEST_EPS = 1e12  # far above any covariance, and small enough that its square is finite in float32
LARGEST_RATE = 1e6  # stable learning rates are below 8: the bias alone gives the Hessian an eigenvalue of at least 1/4
_MOST = {  # larger counts must be typing errors: they would overflow or run for years
    "jobs": 1024,
    "n_iter": 1000,
    "stride": 100_000,
    "resize": 100_000,
    "block_size": 100_000,
    "bootstrap": 100_000,
    "bins": 100_000,
    "hidden": 100_000,
}
_MOST_OF_ANYTHING = 1_000_000_000
_LINE = 160  # letters of a configuration in one line; a longer one has a line for each setting
MOST_NEWTON_SCHULZ = 1000
MOST_PIXELS_PER_DEGREE = 100_000.0  # a pixel of 0.04 arc seconds
MOST_FOLLOWED = 100_000
Shrinkage = Literal["none", "lw", "oas"]
SHRINKAGES: tuple[str, ...] = get_args(Shrinkage)
Space = Literal["srgb", "linear", "xyz", "lms", "log-lms"]
"""Colour spaces of pixels; :mod:`ndtools.numerics.colour` defines them."""
SPACES: tuple[str, ...] = get_args(Space)
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, repr=False)
class Configuration:
    """Settings of an experiment, printed as far as they differ from their defaults.

    Attributes
    ----------
    hints : dict of str to str
        Sentences that messages about a value of another type end with, by the name of the setting.
    """

    hints: ClassVar[Mapping[str, str]] = {}

    if TYPE_CHECKING:  # dataclasses would take this property for the default of their field

        @property
        def seed(self) -> int:
            """Seed of all random numbers of the run."""

    def __init_subclass__(cls) -> None:
        """Have the types of all fields checked before a class checks their values."""
        check_values = cls.__dict__.get("__post_init__", _nothing)

        @wraps(check_values)
        def check(self: "Configuration") -> None:
            check_types(self)
            check_values(self)

        cls.__post_init__ = check  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        changed = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        settings = [f"{name}={shortened(repr(x))}" for name, x in changed.items()]
        line = f"{type(self).__name__}({', '.join(settings)})"
        return line if len(line) <= _LINE else f"{type(self).__name__}(\n  " + ",\n  ".join(settings) + ")"

    @classmethod
    def check_type(cls, config: object) -> None:
        """Raise an error that names the configuration and the short form if a value is no configuration of this class.

        Parameters
        ----------
        config : object
            Argument of the function that runs the experiment.

        Raises
        ------
        TypeError
            If the argument is anything else than an instance of this class.
        """
        if isinstance(config, cls):
            return
        experiment, given = cls.__module__.split(".")[-2], shortened(repr(config))
        settings = given if isinstance(config, str) else "..."
        raise TypeError(
            f"config must be a {cls.__name__}, got {given}; write nd.{experiment}({settings}), or"
            f" nd.run_{experiment}(nd.{cls.__name__}({settings}))"
        )


def _nothing(_: Configuration) -> None:
    """Check the values of a class that has no check."""


def check_types(config: Configuration) -> None:
    """Raise an error that names the field if one of the fields of a configuration has a value of another type.

    Whole numbers are numbers, too, and those of NumPy are as good as those of Python; True and False are no numbers.
    Text may be a path. Types other than these, None, and tuples of them are not checked.

    Parameters
    ----------
    config : Configuration
        Its fields are set.

    Raises
    ------
    OptionError
        If a value is of none of the types that its field allows.
    """
    kind: Any = type(config)
    for name, allowed in _allowed_types(kind).items():
        value = getattr(config, name)
        if not any(_is_of(value, one) for one in allowed):
            words = " or ".join(dict.fromkeys(filter(None, map(_in_words, allowed))))
            hint = f"; {config.hints[name]}" if name in config.hints else ""
            raise OptionError(name, f"must be {words}, got {_given(value)}{hint}")


def _given(value: object) -> str:
    """Return a value for a message; an array by its shape."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not shape:
        return shortened(repr(value))
    return f"an array of shape {tuple(map(int, shape))}"


@cache
def _allowed_types(kind: Any) -> dict[str, tuple[Any, ...]]:  # noqa: ANN401
    """Return the types that each field of a configuration allows, of the fields whose types are all known here."""
    hints = get_type_hints(kind)
    allowed = {
        f.name: get_args(h) if get_origin(h := hints[f.name]) in (Union, UnionType) else (h,) for f in fields(kind)
    }
    return {name: types for name, types in allowed.items() if all(map(_in_words, set(types) - {NoneType}))}


def _is_of(value: object, kind: Any) -> bool:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return isinstance(value, str)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list) and all(_is_of(item, get_args(kind)[0]) for item in value)
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, {int: Integral, float: Real, str: str | os.PathLike}.get(kind, kind))


def _in_words(kind: Any) -> str:  # noqa: ANN401
    """Return the name of a type for a message; empty for None, which is a default, and for types that are unknown."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind))) if all(isinstance(x, str) for x in get_args(kind)) else ""
    if get_origin(kind) is tuple:
        several = {int: "whole numbers", float: "numbers", str: "texts"}
        item, *rest = get_args(kind)
        return f"a tuple of {several[item]}" if item in several and rest == [...] else ""
    return {int: "a whole number", float: "a number", str: "text", bool: "True or False"}.get(kind, "")


def check_count(name: str, value: int, most: int | None = None) -> None:
    """Raise an error if a count is below 1 or above the largest value that makes sense.

    Parameters
    ----------
    name : str
        Name of the setting, for the message.
    value : int
        Value of the setting.
    most : int, optional
        Largest value that makes sense. Default: the limit for all settings of this name.

    Raises
    ------
    OptionError
        If the value is less than 1 or larger than `most`.
    """
    most = most or _MOST.get(name, _MOST_OF_ANYTHING)
    if value < 1:
        raise OptionError(name, f"must be at least 1, got {value}")
    if value > most:
        raise OptionError(name, f"must be at most {most}, got {value}")


def check_odd(kernel_size: int) -> None:
    """Raise an error if a kernel size is not odd or not positive."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise OptionError(
            "kernel_size", f"must be odd and positive, so that there is a centre pixel, got {kernel_size}"
        )


def check_positive(config: object, *names: str) -> None:
    """Raise an error if one of the named fields of a configuration fails `check_count`; None is accepted."""
    for name in names:
        value = getattr(config, name)
        if value is not None:
            check_count(name, value)


def check_eps(eps: float) -> None:
    """Raise an error if a ridge is negative, not finite, or far above any covariance."""
    if not (eps >= 0 and math.isfinite(eps)):
        raise OptionError("eps", f"must be at least 0 and finite, got {eps}")
    if eps > LARGEST_EPS:
        raise OptionError("eps", f"must be at most {LARGEST_EPS:g}, got {eps}")


def check_ridge(eps: Ridge) -> None:
    """Raise an error if a ridge is neither a number that `check_eps` accepts nor "paper" or "auto"."""
    if isinstance(eps, str):
        if eps not in ("paper", "auto"):
            raise OptionError("eps", f"must be a number, 'paper' or 'auto', got {eps!r}")
    else:
        check_eps(eps)


class _Run(Protocol):
    @property
    def jobs(self) -> int | None: ...
    @property
    def device(self) -> str: ...


class _Whitening(Protocol):
    @property
    def eps(self) -> Ridge: ...
    @property
    def method(self) -> str: ...
    @property
    def iterations(self) -> int: ...


def check_run(config: _Run) -> None:
    """Raise an error if one of the fields that every configuration has, ``jobs`` and ``device``, is not allowed."""
    check_positive(config, "jobs")
    check_choice("device", config.device, DEVICES)


class _Coloured(Protocol):
    @property
    def space(self) -> Space: ...
    @property
    def gray(self) -> bool: ...


def check_space(config: _Coloured) -> None:
    """Raise an error if a colour space is unknown, or has no meaning for one channel, to which ``gray`` reduces."""
    check_choice("space", config.space, SPACES)
    if config.gray and config.space not in ("srgb", "linear"):
        raise OptionError(
            "space",
            "must be srgb (luma) or linear (luminance) with `gray=True`, which leaves one channel, got"
            f" {config.space!r}",
        )


def check_whitening(config: _Whitening) -> None:
    """Raise an error if a field that says how D is computed, ``eps``, ``method`` or ``iterations``, is not allowed."""
    check_ridge(config.eps)
    check_choice("method", config.method, METHODS)
    check_count("iterations", config.iterations, MOST_NEWTON_SCHULZ)


def check_bootstrap(replicates: int) -> None:
    """Raise an error if a number of bootstrap replicates gives no standard error: it must be 0 or at least 2."""
    if replicates < 0 or replicates == 1:
        raise OptionError("bootstrap", f"must be 0 or at least 2, got {replicates}")
    if replicates:
        check_count("bootstrap", replicates)


def check_visual_angle(pixels_per_degree: float) -> None:
    """Raise an error if a number of pixels in a degree of visual angle is not positive, or beyond all optics."""
    if not 0 < pixels_per_degree <= MOST_PIXELS_PER_DEGREE:
        raise OptionError(
            "pixels_per_degree", f"must be above 0 and at most {MOST_PIXELS_PER_DEGREE:g}, got {pixels_per_degree}"
        )


def check_rate(name: str, value: float | str, or_else: str = "") -> None:
    """Raise an error if a learning rate is not a positive number.

    Parameters
    ----------
    name : str
        Name of the setting, for the message.
    value : float or str
        Learning rate as a number or as text.
    or_else : str
        Text that the message adds about other allowed values, e.g. ", or 'best'". Default: none.

    Raises
    ------
    OptionError
        If the value is not a number, not positive, not finite, or above 1e6, far larger than any stable learning rate.
    """
    try:
        rate = float(value)
    except ValueError:
        rate = math.nan
    if not (rate > 0 and math.isfinite(rate)):
        raise OptionError(name, f"must be a positive number{or_else}, got {value!r}")
    if rate > LARGEST_RATE:
        raise OptionError(name, f"must be at most {LARGEST_RATE:g}, got {value!r}")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise an error that lists the allowed values, and names a similar one, if a value is not one of them."""
    if value not in allowed:
        close = difflib.get_close_matches(value, allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise OptionError(name, f"must be one of {', '.join(allowed)}, got {value!r}{hint}")
