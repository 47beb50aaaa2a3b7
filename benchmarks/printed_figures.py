"""What the figures of all commands are in print: their size, their type, their fonts, and how others see their colours.

    python benchmarks/printed_figures.py FOLDER [--images SOURCE] [--only NAME ...] [--sheets]

Runs every command once on small inputs, and writes its figures at the widths of a journal's column (85 mm) and page
(180 mm) as PNG and PDF files into FOLDER/85 and FOLDER/180. The table has a row for each figure and width: its height,
the size of its smallest type in the PDF file, and the kinds of fonts in that file, which journals want to be TrueType.
It exits with 1 if any type is below 5 points, a font is not embedded as TrueType, or a figure is higher than a page.
With --sheets, FOLDER/sheets has each figure of 85 mm beside itself as it looks with deuteranopia, with protanopia and
in grey print.
"""

import argparse
import re
import shlex
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.all_commands import EXPERIMENTS, run

WIDTHS = (85, 180)  # millimetres
HIGHEST = 235.0  # millimetres of a page that leave room for a caption of one line
LEAST_TYPE = 5.0  # points
POINT = 25.4 / 72  # millimetres
DPI = 300

# Linear RGB as dichromats see it (Machado, Oliveira and Fernandes 2009, severity 1), and as a grey printer prints it.
VIEWS = {
    "as it is": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}


def main() -> None:
    """Draw, measure, and write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", default="sample")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--sheets", action="store_true")
    options = parser.parse_args()
    for name in options.only:
        draw(name, options.images, options.folder)
    print(f"{'figure':<38}{'width':>6}{'height':>8}{'least type':>12}  fonts")
    faults = 0
    for path in sorted(options.folder.glob("*/*.pdf"), key=lambda path: (path.name, path.parent.name)):
        if options.only != list(EXPERIMENTS) and not path.name.startswith(tuple(options.only)):
            continue
        width, height, least, fonts = measure(path)
        wrong = least < LEAST_TYPE or fonts != {"TrueType"} or height > HIGHEST
        faults += wrong
        print(f"{path.stem:<38}{width:>6.0f}{height:>8.0f}{least:>12.1f}  {', '.join(sorted(fonts))}{' !' * wrong}")
    if options.sheets:
        write_sheets(options.folder)
    sys.exit(bool(faults))


def draw(name: str, images: str, folder: Path) -> None:
    """Run a command, which draws for a page, and draw its result again for a column."""
    page, column = (folder / str(width) for width in reversed(WIDTHS))
    drawn = ["--format", "png,pdf", "--dpi", str(DPI)]
    run(
        [
            *shlex.split(EXPERIMENTS[name].format(images=shlex.quote(images))),
            "-q",
            "-o",
            str(page),
            "--name",
            name,
            *drawn,
        ]
    )
    run(["figure", str(page / f"{name}.json"), "--width", str(WIDTHS[0]), "-o", str(column), *drawn])


def measure(path: Path) -> tuple[float, float, float, set[str]]:
    """Return the width and height of a PDF file in millimetres, its least type in points, and its kinds of fonts."""
    content = path.read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    if box is None:
        sys.exit(f"{path} has no size")
    width, height = (float(side) * POINT for side in box.groups())
    sizes = [float(size) for stream in streams(content) for size in re.findall(rb"/F\d+ ([\d.]+) Tf", stream)]
    return width, height, min(sizes), set(kinds_of_fonts(content))


def streams(content: bytes) -> Iterator[bytes]:
    """Yield the streams of a PDF file, unpacked; those of pictures and fonts hold no text operators."""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, flags=re.DOTALL):
        try:
            yield zlib.decompress(stream)
        except zlib.error:
            yield stream


def kinds_of_fonts(content: bytes) -> Iterator[str]:
    """Yield the kind of each font of a PDF file, and whether its glyphs are in the file."""
    for subtype in re.findall(
        rb"/Type /Font\b(?!Descriptor).*?/Subtype /(\w+)|/Subtype /(\w+)[^<>]*?/Type /Font\b", content
    ):
        match (subtype[0] or subtype[1]).decode():
            case "Type0":
                continue  # a frame about the next
            case "CIDFontType2" | "TrueType":
                yield "TrueType" if b"/FontFile2" in content else "TrueType, not embedded"
            case other:
                yield other


def seen(pixels: NDArray[np.uint8], view: str) -> NDArray[np.uint8]:
    """Return an sRGB picture as somebody sees it."""
    rgb = pixels / 255.0
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ VIEWS[view].T, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray((rgb * 255).round(), dtype=np.uint8)


def write_sheets(folder: Path) -> None:
    """Write a sheet for each figure of a column: all views side by side."""
    sheets = folder / "sheets"
    sheets.mkdir(exist_ok=True)
    for path in sorted((folder / str(WIDTHS[0])).glob("*.png")):
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("RGB").reduce(2))
        parts = [seen(pixels, view) for view in VIEWS]
        sheet = Image.new("RGB", (sum(part.shape[1] for part in parts), pixels.shape[0] + 20), "white")
        for i, (view, part) in enumerate(zip(VIEWS, parts, strict=True)):
            sheet.paste(Image.fromarray(part), (i * part.shape[1], 20))
            ImageDraw.Draw(sheet).text((i * part.shape[1] + 6, 4), view, fill="black")
        sheet.save(sheets / path.name)


if __name__ == "__main__":
    main()
