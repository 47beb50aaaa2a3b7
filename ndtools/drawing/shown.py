"""What all results of experiments have in common: they say in a few lines what they are, and show their figure."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ndtools.drawing.pictures import Picture

__all__ = ["ShownResult"]


class ShownResult:
    """Result of an experiment that notebooks and shells show: as its main figure, and as a few lines of text."""

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        raise NotImplementedError

    def pictures(self) -> "Mapping[str, Picture]":
        """Return the figures of the experiment, with their captions, by label: "" for the main one."""
        # Each experiment is a folder, with its figures beside its result.
        folder = type(self).__module__.rpartition(".")[0]
        pictures: Mapping[str, Picture] = import_module(f"{folder}.figures").FIGURES
        return pictures

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
