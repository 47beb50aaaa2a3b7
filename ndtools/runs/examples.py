"""Picture of scenes beside the labels that a network gives to their pixels, and the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from ndtools.drawing.palette import CLASSES
from ndtools.drawing.style import PAGE, add_title, drawing_style, is_wide, new_figure, split_figure, width_of

if TYPE_CHECKING:
    from ndtools.results.runs import Run
    from ndtools.training.loop import Training

__all__ = [
    "IGNORED",
    "MOST_SCENES",
    "Examples",
    "Scene",
    "caption_examples",
    "examples_from",
    "examples_of",
    "plot_examples",
]

IGNORED = 255
"""Label of pixels without a class."""

MOST_SCENES = 3
"""Number of scenes that are drawn, of a set that has so many."""
_STRIPES = ("#d9d9d9", "#a6a6a6")  # of pixels without a class, light and dark
_OTHERS = "#737373"
_PERIODS = 30  # of the stripes along the longer side of a map
_ROW, _BARS_WIDE, _BARS_MARGIN = 3.3, 50.0, 11.0  # millimetres: a row of the bars, their panel, and its axis
_HEAD, _GAP = 5.0, 1.5  # millimetres above the pictures and between them
_MOST_HEIGHT = 200.0  # millimetres of all pictures
_SWATCH = -16.0, 12.0  # place and width of a class's colour on the axis of per cent


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene with the labels of its pixels.

    Attributes
    ----------
    image : uint8 array of shape (height, width, 3)
        Pixels, in the size that the network gets.
    predicted, truth : array of shape (h, w)
        Classes that the network gives, and the true ones, in which `IGNORED` pixels have none.
    """

    image: NDArray[np.uint8]
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Scenes of a run that segments, with its measures of all scenes of their kind.

    Attributes
    ----------
    scenes : tuple of Scene
        Scenes that lie evenly spaced in the list of all.
    classes : tuple of str
        Names of the classes, indexed by label.
    iou : array of shape (classes,)
        Intersection over union of each class in per cent; NaN for classes in neither truth nor prediction.
    images : int
        Number of scenes that these numbers are of.
    split : str
        Name of these scenes, such as "test".
    network, data : str
        Names of the network with its normalisation, and of the data set.
    """

    scenes: tuple[Scene, ...]
    classes: tuple[str, ...]
    iou: NDArray[np.float64]
    images: int
    split: str
    network: str
    data: str

    @property
    def shown(self) -> NDArray[np.int64]:
        """Classes that have a colour: all or, if there are more than colours, those with the most pixels."""
        if len(self.classes) <= len(CLASSES):
            return np.arange(len(self.classes))
        maps = np.concatenate([labels.ravel() for each in self.scenes for labels in (each.predicted, each.truth)])
        counts = np.bincount(maps[maps != IGNORED], minlength=len(self.classes))
        return np.sort(np.argsort(-counts, kind="stable")[: len(CLASSES)])

    @property
    def ignored(self) -> bool:
        """Whether pixels of the scenes have no true class."""
        return any((scene.truth == IGNORED).any() for scene in self.scenes)


def examples_of(training: "Training", run: "Run", classes: Sequence[str]) -> Examples | None:
    """Label three scenes of a run that has ended by its network.

    Parameters
    ----------
    training : Training
        The run after its last step.
    run : Run
        Its records and result.
    classes : sequence of str
        Names of the classes, indexed by label.

    Returns
    -------
    Examples or None
        Scenes of the images for the final number. None if the run does not segment, or diverged.
    """
    from ndtools.training.segmentation import at_size
    from ndtools.training.streams import StreamedData

    last = (run.result or {}).get("last") or {}
    if not isinstance(training.data, StreamedData) or "test_iou" not in last:
        return None
    scenes = []
    for pixels, image, labels in training.data.examples("test", MOST_SCENES):
        predicted = at_size(training.outputs(image), labels).argmax(1)
        maps = (map_[0].cpu().numpy() for map_ in (predicted, labels))
        scenes.append(Scene(pixels.permute(1, 2, 0).cpu().numpy(), *maps))
    return examples_from(run, scenes, classes) if scenes else None


def examples_from(run: "Run", scenes: Sequence[Scene], classes: Sequence[str]) -> Examples:
    """Put scenes of a run together with what its description and its result say of them.

    Parameters
    ----------
    run : Run
        Records and result of a run that has ended.
    scenes : sequence of Scene
        Scenes of the images for the final number.
    classes : sequence of str
        Names of the classes, indexed by label.

    Returns
    -------
    an instance of Examples
        The scenes with the measures of all images.
    """
    about, last = run.about["data"], (run.result or {})["last"]
    return Examples(
        scenes=tuple(scenes),
        classes=tuple(classes),
        iou=np.array([np.nan if value is None else value for value in last["test_iou"]]),
        images=int(about["test_images" if run.final == "test" else "eval_images"]),
        split=run.final,
        network=f"{run.about['arch']}, {run.about['norm']}",
        data=run.data,
    )


def plot_examples(examples: Examples, *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:
    """Draw scenes, the labels of the network and the true ones side by side, and the measure of each class.

    Parameters
    ----------
    examples : Examples
        Scenes with their labels.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the classes stand below the scenes.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With three axes for each scene, and one with the colour and the intersection over union of each class.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        of_scenes = width - _BARS_WIDE if wide else width
        tallest = max(scene.truth.shape[0] / scene.truth.shape[1] for scene in examples.scenes)
        side = of_scenes / 3 - _GAP
        scenes = _HEAD + len(examples.scenes) * min(side * tallest + _GAP, _MOST_HEIGHT / MOST_SCENES)
        bars = _ROW * len(_rows(examples)) + _BARS_MARGIN
        height = (max(scenes, bars) if wide else scenes + bars) + (5 if title else 0)
        fig = new_figure(fig, width, height)
        parts = (of_scenes, _BARS_WIDE) if wide else (scenes, bars)
        left, right = split_figure(fig, *parts, across=wide)
        layout: Any = fig.get_layout_engine()
        layout.set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
        _draw_scenes(left.subplots(len(examples.scenes), 3, squeeze=False), examples)
        _draw_bars(right.subplots(), examples)
        if title:
            add_title(fig, f"{examples.split.capitalize()} images of {examples.data}, labelled by {examples.network}")
    return fig


def caption_examples(examples: Examples) -> str:
    """Say in words what the figure of :func:`plot_examples` shows.

    Parameters
    ----------
    examples : Examples
        Scenes with their labels.

    Returns
    -------
    str
        The caption, one paragraph.
    """
    number = {1: "A scene", 2: "Two scenes", 3: "Three scenes"}[len(examples.scenes)]
    absent = int(np.isnan(examples.iou).sum())
    parts = [
        f"{number} among the {examples.split} images of {examples.data}, evenly spaced in their list, after the last"
        f" epoch of {examples.network}: the image as the network gets it, the class that the network gives to each"
        " pixel, and the true one.",
        "Striped pixels have no class, and count neither in training nor in any measure." if examples.ignored else "",
        f"Bars: intersection over union of each class, of all pixels of the {examples.images:,} {examples.split}"
        f" images; their mean is {np.nanmean(examples.iou):.2f} %."
        if absent < len(examples.iou)
        else "",
        f"{absent} of {len(examples.iou)} classes occur in neither the truth nor the network's labels, and are not in"
        " the mean."
        if absent
        else "",
        f"Colours are those of the {len(CLASSES)} classes with the most pixels in these scenes; the mean is of all."
        if len(examples.classes) > len(CLASSES)
        else "",
    ]
    return " ".join(filter(None, parts))


def _rows(examples: Examples) -> list[tuple[str, Any, float | None]]:
    """Return name, colour and measure of each row of the bars; None for a row that is no single class."""
    shown = examples.shown
    rows: list[tuple[str, Any, float | None]] = [
        (_name(examples.classes[label]), CLASSES[place], float(examples.iou[label]))
        for place, label in enumerate(shown)
    ]
    others = len(examples.classes) - len(shown)
    if others:
        rows.append((f"{others} other{'s' if others > 1 else ''}", _OTHERS, None))
    if examples.ignored:
        rows.append(("no class", _STRIPES, None))
    return rows


def _name(name: str) -> str:
    return f"class {name}" if name.isdecimal() else name if len(name) <= 18 else f"{name[:17]}…"


def _draw_scenes(axes: NDArray[Any], examples: Examples) -> None:
    shown = examples.shown
    places = np.full(max(len(examples.classes), IGNORED + 1), len(CLASSES))  # of other classes
    places[shown] = np.arange(len(shown))
    colours = ListedColormap([*CLASSES, _OTHERS, *_STRIPES])
    for row, scene in zip(axes, examples.scenes, strict=True):
        height, width = scene.truth.shape
        extent = (0, width, height, 0)  # of the image, too, whose size may be another one
        row[0].imshow(scene.image, extent=extent, interpolation="antialiased")
        for ax, labels in ((row[1], scene.predicted), (row[2], scene.truth)):
            drawn = np.where(labels == IGNORED, _striped(labels.shape), places[labels])
            ax.imshow(drawn, cmap=colours, vmin=-0.5, vmax=colours.N - 0.5, extent=extent, interpolation="nearest")
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    for ax, name in zip(axes[0], ("image", "network", "truth"), strict=True):
        ax.set_title(name)


def _striped(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return diagonal stripes of the two numbers behind those of all colours."""
    rows, columns = np.indices(shape)
    period = max(2, max(shape) // _PERIODS)
    dark: NDArray[np.int64] = ((rows + columns) % period >= period / 2).astype(np.int64)
    return len(CLASSES) + 1 + dark


def _draw_bars(ax: Axes, examples: Examples) -> None:
    rows = _rows(examples)
    place, thick = _SWATCH
    for y, (_, colour, value) in enumerate(rows):
        if isinstance(colour, tuple):
            ax.add_patch(
                Rectangle(
                    (place, y - 0.4), thick, 0.8, facecolor=colour[0], edgecolor=colour[1], hatch="//////", linewidth=0
                )
            )
        else:
            ax.add_patch(Rectangle((place, y - 0.4), thick, 0.8, facecolor=colour, linewidth=0))
        if value is None:
            continue
        known = np.isfinite(value)
        if known:
            ax.barh(y, value, height=0.6, color="0.55")
        ax.text((value if known else 0) + 2, y, f"{value:.0f}" if known else "absent", va="center", fontsize="small")
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(place - 1, 118)
    ax.xaxis.set_major_locator(FixedLocator([0, 50, 100]))
    ax.set_xlabel("intersection over union (%)")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_bounds(0, 100)
