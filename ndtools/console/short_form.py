"""Short forms of experiments, for notebooks: the settings are arguments, and long runs show how far they are."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from ndtools.errors import OptionError
from ndtools.results.series import Series
from ndtools.validation import Configuration

__all__ = ["short_form"]

LISTS = {"kernel_size": "kernel_sizes", "eps": "ridges"}  # setting of one result: argument of a series

P = ParamSpec("P")
C = TypeVar("C", bound=Configuration)
R = TypeVar("R")


def short_form(
    configuration: Callable[P, C],
    run: Callable[Concatenate[C, ...], R],
    run_series: Callable[..., Series[Any]] | None = None,
    *,
    counting: str | None = None,
) -> Callable[P, R]:
    """Return a function that takes the settings of an experiment, and runs it.

    Type checkers and editors know its arguments, because they are those of the configuration.

    Parameters
    ----------
    configuration : type
        Class of the experiment's configuration.
    run : callable
        Function from a configuration to the result.
    run_series : callable, optional
        Function from a configuration, with arguments ``kernel_sizes`` and ``ridges``, to several results. It runs where
        ``kernel_size`` or ``eps`` is a list. By default each is one value.
    counting : str, optional
        Noun of what the progress bar counts, such as "images"; ``run`` is then given an argument ``progress``. By
        default there is no bar.

    Returns
    -------
    callable
        ``run(configuration(...))`` as a function of the arguments of the configuration. If it takes more than a
        second, it shows a bar in a notebook or terminal, and nothing elsewhere. To type checkers, which refuse lists,
        it returns one result.
    """
    name = run.__module__.split(".")[-2]
    signature = inspect.signature(configuration)

    def short(*args: P.args, **settings: P.kwargs) -> R:
        from ndtools.console.bars import later_bar

        for unknown in settings.keys() - signature.parameters:
            raise TypeError(f"{name}() has no setting '{unknown}'; its settings are {', '.join(signature.parameters)}")
        compute: Callable[..., Any] = run
        lists = _lists(settings) if run_series else {}
        if run_series and lists:
            compute = partial(run_series, **{LISTS[name]: values for name, values in lists.items()})
            firsts: dict[str, Any] = {name: values[0] for name, values in lists.items()}
            settings.update(firsts)
        config = configuration(*args, **settings)
        if counting is None:
            return compute(config)  # type: ignore[no-any-return]
        with later_bar(counting) as progress:
            return compute(config, progress=progress)  # type: ignore[no-any-return]

    short.__name__ = short.__qualname__ = name
    short.__module__ = run.__module__
    returned = inspect.signature(run).return_annotation
    short.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    short.__doc__ = _documentation(configuration, run, name, several=run_series is not None)
    return short


def _lists(settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings that have several values where one result has one."""
    lists = {
        name: list(value)
        for name, value in settings.items()
        if name in LISTS and isinstance(value, Iterable) and not isinstance(value, str)
    }
    for name, values in lists.items():
        if not values:
            raise OptionError(name, "must have at least one value, got an empty list")
    return lists


def _documentation(configuration: Any, run: Any, name: str, *, several: bool) -> str:  # noqa: ANN401
    """Compose the docstring of a short form from those of the configuration and of the function that runs it."""
    summary, _, rest = inspect.cleandoc(run.__doc__ or "").partition("\n")
    settings = inspect.cleandoc(configuration.__doc__ or "").partition("Attributes\n----------\n")[2]
    _, returns, results = rest.partition("Returns\n-------\n")
    kind = configuration.__name__
    lists = (
        f" Lists of ``kernel_size`` or ``eps`` give a :class:`~ndtools.Series` of results, as ``nd.run_{name}_series``"
        " does."
    )
    return (
        f"{summary}\n\nThis is the short form of ``nd.run_{name}(nd.{kind}(...))``, which shows no progress."
        f"{lists if several else ''}\n\n"
        f"Parameters\n----------\n{settings}\n\n{returns}{results}"
    )
