"""Short forms of experiments, for notebooks: the settings are arguments, and long runs show how far they are."""

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from ndtools.validation import Configuration

__all__ = ["short_form"]

P = ParamSpec("P")
C = TypeVar("C", bound=Configuration)
R = TypeVar("R")


def short_form(
    configuration: Callable[P, C], run: Callable[Concatenate[C, ...], R], *, counting: str | None = None
) -> Callable[P, R]:
    """Return a function that takes the settings of an experiment, and runs it.

    Type checkers and editors know its arguments, because they are those of the configuration.

    Parameters
    ----------
    configuration : type
        Class of the experiment's configuration.
    run : callable
        Function from a configuration to the result.
    counting : str, optional
        Noun of what the progress bar counts, such as "images"; ``run`` is then given an argument ``progress``. By
        default there is no bar.

    Returns
    -------
    callable
        ``run(configuration(...))`` as a function of the arguments of the configuration. If it takes more than a
        second, it shows a bar in a notebook or terminal, and nothing elsewhere.
    """
    name = run.__module__.split(".")[-2]

    def short(*args: P.args, **settings: P.kwargs) -> R:
        from ndtools.console.bars import later_bar

        config = configuration(*args, **settings)
        if counting is None:
            return run(config)
        with later_bar(counting) as progress:
            return run(config, progress=progress)

    short.__name__ = short.__qualname__ = name
    short.__module__ = run.__module__
    signature = inspect.signature(configuration)
    returned = inspect.signature(run).return_annotation
    short.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    short.__doc__ = _documentation(configuration, run, name)
    return short


def _documentation(configuration: Any, run: Any, name: str) -> str:  # noqa: ANN401
    """Compose the docstring of a short form from those of the configuration and of the function that runs it."""
    summary, _, rest = inspect.cleandoc(run.__doc__ or "").partition("\n")
    settings = inspect.cleandoc(configuration.__doc__ or "").partition("Attributes\n----------\n")[2]
    _, returns, results = rest.partition("Returns\n-------\n")
    kind = configuration.__name__
    return (
        f"{summary}\n\nThis is the short form of ``nd.run_{name}(nd.{kind}(...))``, which shows no progress.\n\n"
        f"Parameters\n----------\n{settings}\n\n{returns}{results}"
    )
