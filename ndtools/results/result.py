"""The members that every result of an experiment has."""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Configuration", "Result"]


class Configuration(Protocol):
    """Configuration of an experiment: a frozen dataclass."""

    @property
    def seed(self) -> int:
        """Seed of all random numbers of the run."""


class Result(Protocol):
    """Result of an experiment: a frozen dataclass that can be restored from its files."""

    @property
    def config(self) -> Configuration:
        """Configuration of the run."""

    @property
    def device(self) -> str:
        """Device on which the result was computed."""

    @property
    def source(self) -> str:
        """Name of the data that the result comes from, printable."""

    def arrays(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Return the arrays of the .npz file by name."""

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file."""
