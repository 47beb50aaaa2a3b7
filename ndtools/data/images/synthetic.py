"""Generated images: dead leaves, and the built-in set ``sample``.

References
----------
Lee, Mumford and Huang 2001, "Occlusion models for natural images: a study of the scale-invariant dead leaves
model", International Journal of Computer Vision 41.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ndtools.data.files import read_file

__all__ = ["dead_leaves", "sample_images"]

SAMPLE_LEAVES = 24
SAMPLE_HEIGHT, SAMPLE_WIDTH = 256, 384

_SUPERSAMPLING = 2
_LAYERS = 6.0
"""Mean number of discs that cover a pixel. No disc covers exp(-6) = 0.25 % of the pixels: they show the background."""


def dead_leaves(
    height: int, width: int, *, seed: int, r_min: float = 1.0, r_max: float | None = None
) -> NDArray[np.uint8]:
    """Draw a colour dead-leaves image: opaque discs of uniform colour that occlude one another.

    The radii have the density r^-3 between `r_min` and `r_max`. It is the only power law whose images are
    statistically the same at every scale. Like photographs, the images have a power spectrum near f^-2 (between the
    scales of the largest and the smallest disc) and heavy-tailed differences. The three channels share most of their
    variance (the luminance), so that R, G and B correlate by about 0.9 to 0.95.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels, at least 1.
    seed : int
        Seed of NumPy's generator PCG64. The same seed gives the same image.
    r_min : float
        Smallest radius in pixels. Default 1.
    r_max : float, optional
        Largest radius in pixels. Default: twice the longer side, so that whole regions share one leaf.

    Returns
    -------
    numpy.ndarray of shape (3, height, width), uint8
        Antialiased image (drawn at twice the size and averaged) in 0..255.

    Raises
    ------
    ValueError
        A size is less than 1, or the radii do not satisfy ``0 < r_min < r_max``.
    """
    return np.ascontiguousarray(np.asarray(_leaves(height, width, seed, r_min, r_max)).transpose(2, 0, 1))


def sample_images() -> list[tuple[str, Callable[[], bytes | Image.Image]]]:
    """Return the built-in set as names and functions that make the images. Any thread may call the functions.

    Returns
    -------
    list of (str, function)
        First 24 dead-leaves images of 256 x 384 pixels with seeds 0, 1, ..., each drawn when its function is called.
        Last a free photograph (Grace Hopper, 512 x 600, public domain) that comes with matplotlib, as a JPEG file.
    """
    leaves: list[tuple[str, Callable[[], bytes | Image.Image]]] = [
        (f"sample/dead_leaves_{seed:02d}", partial(_leaves, SAMPLE_HEIGHT, SAMPLE_WIDTH, seed))
        for seed in range(SAMPLE_LEAVES)
    ]
    return [*leaves, ("sample/grace_hopper.jpg", _photograph)]


def _leaves(height: int, width: int, seed: int, r_min: float = 1.0, r_max: float | None = None) -> Image.Image:
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, got {height} x {width}")
    if r_max is None:
        r_max = 2.0 * max(height, width)
    if not 0 < r_min < r_max:
        raise ValueError(f"radii must satisfy 0 < r_min < r_max, got {r_min} and {r_max}")
    rng = np.random.Generator(np.random.PCG64(seed))
    radius = _radii(rng, height, width, r_min, r_max)
    x = rng.uniform(-radius, width + radius)
    y = rng.uniform(-radius, height + radius)
    boxes = _SUPERSAMPLING * np.stack((x - radius, y - radius, x + radius, y + radius), axis=1)
    colours = [tuple(colour) for colour in _colours(rng, len(radius) + 1).tolist()]
    image = Image.new("RGB", (_SUPERSAMPLING * width, _SUPERSAMPLING * height), colours.pop())
    draw = ImageDraw.Draw(image)
    for box, colour in zip(boxes.tolist(), colours, strict=True):
        draw.ellipse(box, fill=colour)
    return image.reduce(_SUPERSAMPLING)


def _radii(rng: np.random.Generator, height: int, width: int, r_min: float, r_max: float) -> NDArray[np.float64]:
    # Draws all discs that touch the image: those whose centre lies in the image extended by r on each side. Their
    # radii have the density r^-3 (height + 2 r) (width + 2 r), drawn by its inverse distribution function on a grid of
    # log r.
    grid = np.geomspace(r_min, r_max, 1024)
    density = grid**-2 * (height + 2 * grid) * (width + 2 * grid)  # per unit of log r
    step = np.log(r_max / r_min) / (len(grid) - 1)
    cumulative = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2 * step)))
    mean_area = np.pi * np.log(r_max / r_min)  # the integral of pi r^2 r^-3
    intensity = _LAYERS / mean_area
    count = rng.poisson(intensity * cumulative[-1])
    radii: NDArray[np.float64] = np.interp(rng.uniform(0, cumulative[-1], count), cumulative, grid)
    return radii


def _colours(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    # The luminance varies widely, and the colour less, along blue-yellow and red-green.
    luminance = 0.02 + 0.9 * rng.beta(1.3, 1.6, count)
    # Chroma is proportional to luminance, as under a single light source: dark leaves are dark in all channels.
    blue_yellow = luminance * rng.normal(0.06, 0.11, count)
    red_green = luminance * rng.normal(0.01, 0.07, count)
    rgb = luminance + np.stack((blue_yellow / 2 + red_green, blue_yellow / 2 - red_green, -blue_yellow))
    colours: NDArray[np.uint8] = np.rint(255 * rgb.clip(0, 1)).astype(np.uint8).T
    return colours


def _photograph() -> bytes:
    from matplotlib import cbook  # imported here because it is slow to import and only needed for this file

    return read_file(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
