"""Figures within a page: curves as SVG with names of their own, images as PNG, all together within a size."""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["WIDTH", "Drawing", "draw_figure", "read_picture", "shrink"]

WIDTH = 150.0
"""Width of drawn figures in millimetres: type of 7 points is read well at the width of the page, and on a phone."""

DPI = 200  # of figures that become PNG: sharp on screens with two dots for each pixel of the page
_LARGEST_SVG = 250_000  # characters: clouds of points are smaller as PNG
_COLOURS, _OF_PHOTOGRAPHS = 256, 20_000
_SHRINKING = 0.8
_LEAST_PIXELS = 500  # width below which no picture is shrunk
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_ROUND = re.compile(r"(\d+\.\d{2})\d+")


@dataclass
class Drawing:
    """Figure of a page.

    Attributes
    ----------
    alt : str
        Text in place of the figure, for those who cannot see it.
    caption : str
        Text below the figure.
    svg : Markup or None
        The figure as an <svg> element, if it is one of curves.
    png : Image or None
        The figure as pixels, if it is one of images.
    """

    alt: str
    caption: str
    svg: Markup | None = None
    png: Image.Image | None = None

    @property
    def source(self) -> str:
        """Address of the pixels that holds them itself ("data:image/png;base64,...")."""
        return f"data:image/png;base64,{base64.b64encode(self._file()).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, or (0, 0) for curves."""
        return self.png.size if self.png else (0, 0)

    @property
    def cost(self) -> int:
        """Number of bytes that the figure takes in the page."""
        return len(self.svg) if self.svg else -(-len(self._file()) // 3) * 4

    def _file(self) -> bytes:
        assert self.png is not None
        file = io.BytesIO()
        reduced = self.png.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT)  # a third of the bytes
        if self.png.getcolors(_OF_PHOTOGRAPHS) is None:  # 256 colours show as bands in photographs, unless dithered
            reduced = self.png.quantize(_COLOURS, palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
        reduced.save(file, format="PNG", optimize=True)
        return file.getvalue()


def draw_figure(figure: Figure, *, prefix: str, alt: str, caption: str) -> Drawing:
    """Turn a figure of matplotlib into one of the page.

    Parameters
    ----------
    figure : Figure
        Figure to draw.
    prefix : str
        Beginning of all names within the SVG, which no other figure of the page has.
    alt : str
        Text in place of the figure.
    caption : str
        Text below the figure.

    Returns
    -------
    Drawing
        SVG of curves, or pixels of images and of clouds of points.
    """
    if not any(isinstance(item, AxesImage) for item in figure.findobj(AxesImage)):
        svg = _inline_svg(_saved(figure, "svg").decode(), prefix=prefix, title=alt)
        if len(svg) <= _LARGEST_SVG:
            return Drawing(alt, caption, svg=svg)
    return Drawing(alt, caption, png=_opaque(Image.open(io.BytesIO(_saved(figure, "png")))))


def read_picture(path: Path, *, alt: str, caption: str) -> Drawing:
    """Read a figure that a command drew.

    Parameters
    ----------
    path : Path
        Path of a PNG file.
    alt : str
        Text in place of the figure.
    caption : str
        Text below the figure.

    Returns
    -------
    Drawing
        Figure of at most the width that figures drawn for the page have.

    Raises
    ------
    DataError
        If the file is no PNG file, is damaged, or has too many pixels.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            picture = _opaque(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"cannot read the figure {printable(path)}: {reason(error)}") from None
    widest = round(WIDTH / 25.4 * DPI)
    return Drawing(alt, caption, png=_resized(picture, widest) if picture.width > widest else picture)


def shrink(drawings: Sequence[Drawing], most: int, most_each: int) -> None:
    """Shrink the pictures of a page, the largest first, until each of them and all together are small enough.

    Parameters
    ----------
    drawings : sequence of Drawing
        All figures of the page, which are changed. Curves, and pictures that are small already, stay as they are.
    most : int
        Number of bytes that all figures together may take.
    most_each : int
        Number of bytes that one picture may take.
    """
    sizes = [drawing.cost for drawing in drawings]
    while True:
        all_too_large = sum(sizes) > most
        large = [
            i
            for i, drawing in enumerate(drawings)
            if drawing.png
            and drawing.png.width * _SHRINKING >= _LEAST_PIXELS
            and (all_too_large or sizes[i] > most_each)
        ]
        if not large:
            return
        i = max(large, key=lambda i: sizes[i])
        picture = drawings[i].png
        assert picture is not None
        drawings[i].png = _resized(picture, round(picture.width * _SHRINKING))
        sizes[i] = drawings[i].cost


def _saved(figure: Figure, image_format: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=image_format, dpi=DPI)
    return file.getvalue()


def _opaque(image: Image.Image) -> Image.Image:
    """Return pixels without transparency, on white."""
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")


def _resized(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)


def _inline_svg(text: str, *, prefix: str, title: str) -> Markup:
    """Return an <svg> element for an HTML page, whose names begin with the prefix, from a file of matplotlib."""
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            # The style would hold for the whole page, and the metadata say nothing that the page does not.
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = str(element.tag).removeprefix(_SVG)
        element.attrib = dict(_renamed(element, prefix))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    name = f"{prefix}title"
    # Lines end as in the style that was taken out.
    root.attrib |= {"role": "img", "aria-labelledby": name, "stroke-linejoin": "round", "stroke-linecap": "butt"}
    words = ElementTree.Element("title", {"id": name})
    words.text = printable(title)
    root.insert(0, words)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _renamed(element: ElementTree.Element, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        short = name.removeprefix(_XLINK)
        if short == "id":
            yield short, f"{prefix}{value}"
        elif short == "href" and value.startswith("#"):
            yield short, f"#{prefix}{value[1:]}"
        elif short in ("d", "points", "transform", "x", "y"):
            yield short, _ROUND.sub(r"\1", " ".join(value.split()))
        else:
            yield short, _REFERENCE.sub(rf"url(#{prefix}\1)", value)
