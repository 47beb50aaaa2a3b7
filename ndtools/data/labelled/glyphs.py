"""The built-in data set: digits in the fonts that matplotlib ships, shifted, turned, scaled, blurred, noisy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn.functional import grid_sample

from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN
from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.errors import DataError

__all__ = ["glyphs"]

SIDE = 28
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
    "cmb10.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
    "cmti10.ttf",
    "cmtt10.ttf",
)
"""The text fonts among them; those of symbols have no digits."""

_MASTER = 64  # side of the pictures that are warped, pixels
_HEIGHT = 40  # of a digit there
_SCALE = 2.0  # pixels there to one pixel of an image of mean size, so that digits are about 20 high, as in MNIST
_SHIFT = 2.0  # at most, pixels
_TURN = np.deg2rad(15)  # at most
_SIZES = (0.75, 1.1)
_BLURS = (0.4, 1.0)  # standard deviation, pixels
_REACH = 3  # of the blur, pixels
_NOISE = 0.08  # largest standard deviation, of a range 0..1
_CHUNK = 500


def glyphs(n_train: int = 20_000, n_test: int = 4_000, *, seed: int = 0) -> Dataset:
    """Make the built-in data set.

    Each image is a digit in a font of :data:`FONTS`, 28×28, light on black, at random shifted by up to 2
    pixels, turned by up to 15°, scaled by 0.75 to 1.1, blurred and noisy. All classes are equally frequent, to within
    one image.

    Parameters
    ----------
    n_train, n_test : int
        How many images, at least 1; the one does not change the images of the other.
    seed : int
        Of NumPy's PCG64, at least 0; with 0 it is the data set of the name ``glyphs``.

    Returns
    -------
    Dataset
        Synthetic, of ten classes. The number of threads does not matter.

    Raises
    ------
    ValueError
        A number is out of range.
    DataError
        matplotlib has none of the fonts.

    Examples
    --------
    >>> tuple(glyphs(20, 10).train.images.shape)
    (20, 1, 28, 28)
    """
    if n_train < 1 or n_test < 1 or seed < 0:
        raise ValueError(f"need n_train and n_test >= 1 and seed >= 0, got {n_train}, {n_test} and {seed}")
    masters = _masters()
    train, test = (_split(masters, n, np.random.default_rng([seed, part])) for part, n in enumerate((n_train, n_test)))
    return Dataset(BUILT_IN, train, test, KNOWN[BUILT_IN].classes, True, "built in")


def _masters() -> NDArray[np.float32]:
    """Return all digits in all fonts, (10, fonts, side, side) in 0..1, each centred and of the same height."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    paths = [folder / name for name in FONTS if (folder / name).is_file()]
    if not paths:
        raise DataError(f"{BUILT_IN}: matplotlib's fonts are not in '{folder}'; install matplotlib anew")
    fonts = [_font(path) for path in paths]
    pictures = np.stack([_picture(digit, font) for digit in "0123456789" for font in fonts])
    return pictures.reshape(10, len(fonts), _MASTER, _MASTER)


def _font(path: Path) -> ImageFont.FreeTypeFont:
    large = 200
    _, top, _, bottom = ImageFont.truetype(path, large).getbbox("0")
    return ImageFont.truetype(path, large * _HEIGHT / (bottom - top))


def _picture(digit: str, font: ImageFont.FreeTypeFont) -> NDArray[np.float32]:
    left, top, right, bottom = font.getbbox(digit)
    picture = Image.new("L", (_MASTER, _MASTER))
    corner = ((_MASTER - left - right) / 2, (_MASTER - top - bottom) / 2)
    ImageDraw.Draw(picture).text(corner, digit, fill=255, font=font)
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def _split(masters: NDArray[np.float32], n: int, rng: np.random.Generator) -> Split:
    labels = rng.permutation(np.arange(n) % 10)
    fonts = rng.integers(masters.shape[1], size=n)
    matrices = _matrices(n, rng)
    kernels = _kernels(rng.uniform(*_BLURS, size=n))
    strength = rng.uniform(0, _NOISE, size=(n, 1, 1)).astype(np.float32)
    images = torch.empty(n, 1, SIDE, SIDE, dtype=torch.uint8)
    for part in _parts(n):
        drawn = _blurred(_warped(masters[labels[part], fonts[part]], matrices[part]), kernels[part])
        drawn += rng.standard_normal(drawn.shape, dtype=np.float32) * strength[part]
        images[part, 0] = torch.from_numpy(np.rint(drawn.clip(0, 1) * 255).astype(np.uint8))
    return Split(images, torch.from_numpy(labels.astype(np.int64)))


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))


def _matrices(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the affine map of each image, (n, 2, 3), from pixels about its centre to those of the master's."""
    turn = rng.uniform(-_TURN, _TURN, size=n)
    scale = _SCALE / rng.uniform(*_SIZES, size=n)
    shift = rng.uniform(-_SHIFT, _SHIFT, size=(n, 2))
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
    offset = -np.einsum("nij,nj->ni", linear, shift)
    return np.concatenate([linear, offset[:, :, None]], 2).astype(np.float32)


def _warped(sources: NDArray[np.float32], matrices: NDArray[np.float32]) -> NDArray[np.float32]:
    # In NumPy, but for the sampling itself: torch would divide each small step among threads, which is slow when
    # the processor is busy, and its affine_grid multiplies matrices, whose rounding depends on the threads.
    along = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = along[None, None, :], along[None, :, None]
    entry = matrices.reshape(-1, 6, 1, 1)
    grid = np.stack([entry[:, i] * x + entry[:, i + 1] * y + entry[:, i + 2] for i in (0, 3)], axis=-1)
    warped = grid_sample(
        torch.from_numpy(sources).unsqueeze(1),
        torch.from_numpy(grid / np.float32(_MASTER / 2)),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return np.asarray(warped[:, 0], dtype=np.float32)


def _kernels(sigmas: NDArray[np.float64]) -> NDArray[np.float32]:
    taps = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / sigmas[:, None]) ** 2)
    normalised: NDArray[np.float32] = (taps / taps.sum(1, keepdims=True)).astype(np.float32)
    return normalised


def _blurred(images: NDArray[np.float32], kernels: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(images, [(0, 0), (_REACH, _REACH), (_REACH, _REACH)])
    rows = np.zeros((len(images), SIDE, padded.shape[2]), dtype=np.float32)
    for i, tap in enumerate(kernels.T[:, :, None, None]):
        rows += tap * padded[:, i : i + SIDE]
    blurred = np.zeros_like(images)
    for i, tap in enumerate(kernels.T[:, :, None, None]):
        blurred += tap * rows[:, :, i : i + SIDE]
    return blurred
