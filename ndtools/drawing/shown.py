"""What all results of experiments have in common: they say in a few lines what they are, and show their figure."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ndtools.drawing.pictures import Picture
    from ndtools.validation import Configuration

__all__ = ["ShownResult", "figures_of"]


class ShownResult:
    """Result of an experiment that notebooks and shells show: as its main figure, and as a few lines of text.

    It is a frozen dataclass that can be restored from its files.
    """

    if TYPE_CHECKING:  # dataclasses would take these properties for defaults of their fields

        @property
        def config(self) -> Configuration:
            """Configuration of the run."""

        @property
        def device(self) -> str:
            """Device on which the result was computed."""

        @property
        def source(self) -> str:
            """Name of the data that the result comes from, printable."""

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """Return the arrays of the .npz file by name."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        raise NotImplementedError

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        raise NotImplementedError

    def pictures(self) -> "Mapping[str, Picture]":
        """Return the figures of the experiment, with their captions, by label: "" for the main one."""
        return figures_of(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}: " + "\n  ".join(self.summary())

    def _repr_png_(self) -> bytes | None:
        """Return the main figure as a notebook shows it."""
        show = getattr(self.plot(), "_repr_png_", None)
        return show() if show else None

    def plot(self, *, width: float = 180.0, title: bool = True) -> "Figure":
        """Draw the main figure.

        Parameters
        ----------
        width : float
            Width of the figure in print, millimetres. Default 180, the width of a page; 85 is a journal's column.
        title : bool
            Whether the figure has a title. Default True.

        Returns
        -------
        Figure
            The figure of matplotlib, which notebooks show and whose ``savefig`` writes files.
        """
        return self._main.plot(self, width=width, title=title)

    def figures(self, *, width: float = 180.0, title: bool = True) -> "dict[str, Figure]":
        """Draw all figures.

        Parameters
        ----------
        width : float
            Width of the figures in print, millimetres. Default 180, the width of a page.
        title : bool
            Whether the figures have titles. Default True.

        Returns
        -------
        dict of str to Figure
            Figures by label, which commands add to the name of a file: "" for the main one.
        """
        from ndtools.drawing.pictures import draw

        return draw(self.pictures(), self, width=width, title=title)

    @property
    def caption(self) -> str:
        """Caption of the main figure: what it shows, of which data, and by which method."""
        return self._main.caption(self)

    @property
    def _main(self) -> "Picture":
        return next(picture for picture in self.pictures().values() if picture.wanted(self))


def figures_of(kind: type, name: str = "FIGURES") -> "Mapping[str, Picture]":
    """Return the figures of an experiment, by the class of its result: those of one, or "SERIES", those of several."""
    # Each experiment is a folder, with its figures beside its result.
    folder = kind.__module__.rpartition(".")[0]
    pictures: Mapping[str, Picture] = getattr(import_module(f"{folder}.figures"), name)
    return pictures
