"""What can be run again: items of the paper, the levels of their recipes, and the parts of a level."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ndtools.results.reproductions import Grade
from ndtools.validation import Configuration

if TYPE_CHECKING:
    from ndtools.reproduction.places import Places

__all__ = ["Item", "Level", "Part", "Results", "Setting"]

Results = Mapping[str, Any]
"""Results of the parts that are done, by the name of the part: a result of an experiment, or a training run."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Unit of work whose result is kept.

    Attributes
    ----------
    name : str
        Name of the part, unique within its level, such as "bn, seed 0".
    experiment : str
        Command of the experiment, such as "kernels" or "train".
    config : Configuration
        Configuration of the experiment. With the content of its data and the version of ndtools, it decides where the
        result is kept.
    work : float
        Seconds that the part takes on the machine that :data:`ndtools.reproduction.cost.REFERENCE` describes.
    trained : Part or None
        Training run, another part of the same level, whose last network becomes the ``checkpoint`` of the
        configuration. Default: none.
    """

    name: str
    experiment: str
    config: Configuration
    work: float
    trained: "Part | None" = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """One size of an item's recipe.

    Attributes
    ----------
    title : str
        Name of the level, such as "published recipe" or "5,000 images, 1 epoch"; unique within the item.
    parts : tuple of Part
        Work of the level. A part that two levels have in common is done once.
    full : bool
        Whether this is the published recipe. Otherwise grades reach at most "same direction".
    concludes : str
        Statement of what may be concluded from this level.
    not_concluded : str
        Statement of what may not be concluded from it.
    needs : tuple of str
        Names of the data that the level needs, see :class:`ndtools.reproduction.places.Places`. Default: none.
    device : str or None
        "cuda" if the level needs a GPU. Default None.
    instead : str or None
        Clause that says what the published recipe takes, and what is here instead of it, for a level that is less than
        the published recipe because of its data. How to get the first of ``needs`` is said behind it. Default None.
    """

    title: str
    parts: tuple[Part, ...]
    full: bool
    concludes: str
    not_concluded: str
    needs: tuple[str, ...] = ()
    device: str | None = None
    instead: str | None = None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Surroundings for which the levels of an item are made.

    Attributes
    ----------
    places : Places
        Folders and files of the data.
    device : str
        Device that computes: "auto", "cpu", "cuda" or "mps". Default "auto".
    jobs : int or None
        Number of threads. None, the default, leaves it to the experiments.
    """

    places: "Places"
    device: str = "auto"
    jobs: int | None = None

    @property
    def run(self) -> dict[str, Any]:
        """Settings that every configuration has."""
        return {"device": self.device, "jobs": self.jobs}


@dataclass(frozen=True, kw_only=True)
class Item:
    """A figure, table or claim of a document that can be run again.

    Attributes
    ----------
    id : str
        Name of the item, such as "fig7", by the numbers of the paper's second version.
    title : str
        Short description of what is run.
    where : str
        Place in the documents, such as "fig. 7 of the second version, 6 of the first".
    needs : tuple of str
        Names of the data that the published recipe needs.
    subjects : tuple of str
        IDs of all published numbers and claims that the item grades.
    levels : callable
        Function of a :class:`Setting` that returns the levels, from the published recipe down to the smallest. It looks
        at no data: configurations of levels whose data are absent name them by their common names.
    grade : callable
        Function of a level and of the results of its parts so far that returns a grade for each subject that they
        decide. The others count as not run.
    aliases : tuple of str
        Further names of the item, such as "fig6-v1" by the numbers of the first version. Default: none.
    device : str or None
        "cuda" if all levels need a GPU. Default None.
    lacks : str or None
        Sentence that says why no level is the published recipe, what that would need, and what can be done instead.
        Default: None, for an item whose first level is the published recipe.
    undecided : mapping
        IDs of subjects that no level decides, with the sentence that says why, and what would be needed. Default: none.
    """

    id: str
    title: str
    where: str
    needs: tuple[str, ...]
    subjects: tuple[str, ...]
    levels: Callable[[Setting], Sequence[Level]]
    grade: Callable[[Level, Results], list[Grade]]
    aliases: tuple[str, ...] = field(default=())
    device: str | None = None
    lacks: str | None = None
    undecided: Mapping[str, str] = field(default_factory=dict)
