"""The built-in data set: digits in the fonts of matplotlib, shifted, rotated, scaled, blurred and with noise."""

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
"""The text fonts of matplotlib. Its symbol fonts have no digits."""

_MASTER = 64  # Side of the master pictures, which are warped, in pixels.
_HEIGHT = 40  # Height of a digit in a master picture, in pixels.
# Master pixels per image pixel at unit size. Digits are then about 20 pixels high, as in MNIST.
_SCALE = 2.0
_SHIFT = 2.0  # Largest shift, in pixels of the image.
_TURN = np.deg2rad(15)  # Largest rotation.
_SIZES = (0.75, 1.1)  # Range of the size, relative to the unit size.
_BLURS = (0.4, 1.0)  # Range of the standard deviation of the blur, in pixels.
_REACH = 3  # Radius of the blur kernel, in pixels.
_NOISE = 0.08  # Largest standard deviation of the noise, for pixels in 0..1.
_CHUNK = 500  # Number of images that are drawn at a time.


def glyphs(n_train: int = 20_000, n_test: int = 4_000, *, seed: int = 0) -> Dataset:
    """Generate the built-in data set of synthetic digits.

    Each image shows one digit, light on black, in 28×28 pixels. Its font is drawn from :data:`FONTS`. The digit is
    randomly shifted by up to 2 pixels, rotated by up to 15°, scaled by 0.75 to 1.1 and blurred, and noise is added.
    The classes differ in frequency by at most one image.

    Parameters
    ----------
    n_train, n_test : int
        Number of training and of test images, at least 1. By default 20,000 and 4,000. The number of training images
        does not affect the test images, nor the reverse.
    seed : int
        Seed of the random generator (NumPy's PCG64), at least 0. The default, 0, gives the set known as ``glyphs``.

    Returns
    -------
    Dataset
        The synthetic set with ten classes. It does not depend on the number of threads.

    Raises
    ------
    ValueError
        One of the numbers is out of range.
    DataError
        None of the fonts is installed with matplotlib.

    Examples
    --------
    >>> tuple(glyphs(20, 10).train.images.shape)
    (20, 1, 28, 28)
    """
    if n_train < 1 or n_test < 1 or seed < 0:
        raise ValueError(
            f"n_train and n_test must be at least 1 and seed at least 0, got {n_train}, {n_test} and {seed}"
        )
    masters = _masters()
    train, test = (_split(masters, n, np.random.default_rng([seed, part])) for part, n in enumerate((n_train, n_test)))
    return Dataset(BUILT_IN, train, test, KNOWN[BUILT_IN].classes, True, "built in")


def _masters() -> NDArray[np.float32]:
    """Return pictures of all digits in all fonts, (10, fonts, side, side) in 0..1, centred and of equal height."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    paths = [folder / name for name in FONTS if (folder / name).is_file()]
    if not paths:
        raise DataError(f"{BUILT_IN}: matplotlib's fonts are not in '{folder}'; reinstall matplotlib")
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
    """Return one affine map per image, (n, 2, 3), from image pixels to master pixels, both relative to the centre."""
    turn = rng.uniform(-_TURN, _TURN, size=n)
    scale = _SCALE / rng.uniform(*_SIZES, size=n)
    shift = rng.uniform(-_SHIFT, _SHIFT, size=(n, 2))
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
    offset = -np.einsum("nij,nj->ni", linear, shift)
    return np.concatenate([linear, offset[:, :, None]], 2).astype(np.float32)


def _warped(sources: NDArray[np.float32], matrices: NDArray[np.float32]) -> NDArray[np.float32]:
    # The grid is computed with NumPy. torch would divide each small step among threads, which is slow when the
    # processor is busy, and the rounding of the matrix products in its affine_grid depends on the number of threads.
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
