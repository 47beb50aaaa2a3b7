"""How a file stores images as an array: the name of the array, the order of its axes, and the names of its channels."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ndtools.errors import DataError, OptionError
from ndtools.text import counted
from ndtools.validation import Configuration, Ridge, RootMethod, Space

if TYPE_CHECKING:
    from ndtools.data.images.sources import ImageSource

__all__ = ["ArrayLayout", "ArrayRidgeSettings", "ArraySettings", "MomentsSettings", "RawFormat"]

_AXES = "NCHW"
_RAW = re.compile(r"(?P<sizes>\d{1,9}(?:x\d{1,9})+):(?P<dtype>[<>|=]?[iuf][1248])")
_KNOWN_AXES = {2: ("HW",), 3: ("HWC", "CHW"), 4: ("NHWC", "NCHW")}  # without `axes`, the channel axis has length 3
_MOST_CHANNELS = 1000
_USUAL = {1: ("gray",), 3: ("R", "G", "B")}


@dataclass(frozen=True)
class RawFormat:
    """Content of a file that holds the numbers of one array and nothing else.

    Attributes
    ----------
    shape : tuple of int
        Sizes of the axes, the last of which is contiguous.
    dtype : str
        Type of the numbers in the notation of NumPy, e.g. ">u2" for unsigned big-endian integers of 16 bits.
    """

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return math.prod(self.shape) * int(self.dtype[-1])

    @classmethod
    def parse(cls, text: str) -> "RawFormat":
        """Read a description such as "1024x1536:>u2"; OptionError if it is none."""
        match = _RAW.fullmatch(text.strip())
        shape = tuple(map(int, match["sizes"].split("x"))) if match else ()
        if match is None or 0 in shape or len(shape) > len(_AXES):
            raise OptionError(
                "raw",
                "must be the sizes of two to four axes and the type of the numbers, as in 1024x1536:>u2 (rows, columns:"
                f" unsigned big-endian integers of 2 bytes), got {text!r}",
            )
        dtype = match["dtype"]
        if dtype[-2:] == "f1":
            raise OptionError("raw", f"must have floating-point numbers of 2, 4 or 8 bytes, got {text!r}")
        return cls(shape, dtype)


@dataclass(frozen=True)
class ArrayLayout:
    """How files store images as arrays.

    Attributes
    ----------
    key : str, optional
        Name of the array in a .npz or .mat file. By default the file holds one array of images.
    axes : str, optional
        Order of the axes: each of H (rows) and W (columns) once, and C (channels) and N (images) at most once, as in
        "HWC". By default arrays of two axes are "HW", and of three or four axes those whose channel axis is the first
        or the last of an image, and of length 3.
    raw : RawFormat, optional
        Content of files without a header. By default only .iml and .imc files are raw.
    channels : tuple of str
        Names of the channels. By default "gray" for one channel, "R", "G", "B" for three, and numbers from 1 for more.

    Raises
    ------
    OptionError
        If the axes are not as above, or names of channels are empty or repeated.
    """

    key: str | None = None
    axes: str | None = None
    raw: RawFormat | None = None
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.axes is not None:
            unknown = set(self.axes) - set(_AXES)
            if unknown or len(set(self.axes)) != len(self.axes) or not {"H", "W"} <= set(self.axes):
                raise OptionError(
                    "axes",
                    "must be H (rows) and W (columns), with C (channels) and N (images) where the array has them, each"
                    f" once and in the order of the array, as in HWC, got {self.axes!r}",
                )
            if self.raw is not None and len(self.axes) != len(self.raw.shape):
                raise OptionError(
                    "axes", f"must name the {len(self.raw.shape)} axes that `raw` has sizes for, got {self.axes!r}"
                )
        if not all(name.strip() for name in self.channels) or len(set(self.channels)) != len(self.channels):
            raise OptionError("channels", f"must be names that differ, got {','.join(self.channels)!r}")

    @property
    def is_given(self) -> bool:
        """Whether a setting says how arrays are read, so that files must be arrays."""
        return not (self.key is None and self.axes is None and self.raw is None)

    def axes_of(self, shape: Sequence[int]) -> str:
        """Return the axes of an array.

        Parameters
        ----------
        shape : sequence of int
            Shape of the array.

        Returns
        -------
        str
            A letter of N, C, H and W for each axis.

        Raises
        ------
        DataError
            If the axes do not fit the shape, or are not given and cannot be told. The message is only the reason.
        """
        words = f"an array of shape {tuple(shape)}"
        if 0 in shape:
            raise DataError(f"{words} has no pixels")
        if self.axes is None:
            fitting = [
                axes for axes in _KNOWN_AXES.get(len(shape), ()) if "C" not in axes or shape[axes.index("C")] == 3
            ]
            if len(fitting) != 1:
                raise DataError(
                    f"{words}: say what its axes are, with `axes`, as in HWC (rows, columns, channels) or NCHW"
                )
            return fitting[0]
        if len(self.axes) != len(shape):
            raise DataError(f"{words} does not have the axes {self.axes}; check `axes`")
        if "C" in self.axes and shape[self.axes.index("C")] > _MOST_CHANNELS:
            raise DataError(f"{words} with axes {self.axes} has more than {_MOST_CHANNELS} channels; check `axes`")
        return self.axes

    def names(self, count: int) -> tuple[str, ...]:
        """Return the names of so many channels; OptionError if another number is given."""
        if not self.channels:
            return _USUAL.get(count) or tuple(str(i + 1) for i in range(count))
        if len(self.channels) != count:
            raise OptionError(
                "channels", f"must be {counted(count, 'name')}, one for each channel, got {len(self.channels)}"
            )
        return self.channels


class ArraySettings(Configuration):
    """Configuration whose images may be stored as arrays.

    Attributes
    ----------
    layout : ArrayLayout
        The settings ``key``, ``axes``, ``raw`` and ``channels``, which say how files of arrays store images.
    """

    if TYPE_CHECKING:  # dataclasses would take these properties for the defaults of their fields

        @property
        def key(self) -> str | None:
            """Name of the array in a .npz or .mat file."""

        @property
        def axes(self) -> str | None:
            """Order of the axes of arrays."""

        @property
        def raw(self) -> str | None:
            """Sizes of the axes and type of the numbers of files without a header."""

        @property
        def channels(self) -> tuple[str, ...]:
            """Names of the channels of arrays."""

        @property
        def gray(self) -> bool:
            """Whether to reduce images to luma."""

        @property
        def space(self) -> Space:
            """Colour space of the pixels of image files."""

    @property
    def layout(self) -> ArrayLayout:
        """How files of arrays store images; OptionError if a setting is not allowed."""
        raw = None if self.raw is None else RawFormat.parse(self.raw)
        axes = None if self.axes is None else self.axes.strip().upper()
        return ArrayLayout(self.key, axes, raw, tuple(self.channels))

    def names_of(self, count: int) -> tuple[str, ...]:
        """Return the names of so many channels of the images: those of arrays, or those of the colour space."""
        if count in (1, 3) and not self.channels:
            from ndtools.numerics.colour import channel_names  # which is slower to import than a configuration may be

            return channel_names(count, self.space)
        return self.layout.names(count)

    def check_arrays(self) -> None:
        """Raise an OptionError if a setting of arrays is not allowed."""
        _ = self.layout

    def applied_to(self, images: "ImageSource") -> Self:
        """Return this configuration as it applies to images.

        Parameters
        ----------
        images : ImageSource
            Source of the images.

        Returns
        -------
        Self
            Configuration with the names of the channels of arrays; the same one for image files.

        Raises
        ------
        OptionError
            If arrays are to be in another colour space, or reduced to luma, and have no channels R, G and B.
        """
        if not images.channels:
            return self
        names: dict[str, Any] = {"channels": images.channels_decoded(gray=self.gray, space=self.space)}
        return replace(self, **names)


class ArrayRidgeSettings(ArraySettings):
    """Configuration whose images may be stored as arrays, and to whose covariance a ridge is added."""

    if TYPE_CHECKING:

        @property
        def relative_eps(self) -> bool:
            """Whether a number ``eps`` is in units of the mean variance of a pixel."""

        @property
        def absolute_eps(self) -> bool:
            """Whether a number ``eps`` is in squared units of the values of arrays that are taken as they are."""

    def check_arrays(self) -> None:
        """Raise an OptionError if a setting of arrays is not allowed, or the ridge is in two units."""
        super().check_arrays()
        if self.absolute_eps and self.relative_eps:
            raise OptionError("absolute_eps", "cannot be combined with `relative_eps`: a ridge has one unit")

    def applied_to(self, images: "ImageSource") -> Self:
        """Return this configuration as it applies to images; see `ArraySettings.applied_to`.

        Returns
        -------
        Self
            Configuration with the names of the channels of arrays. If their values are taken as they are, the ridge is
            in units of their mean variance, unless it is to be absolute.
        """
        return super().applied_to(images).in_unit(calibrated=images.calibrated)

    def in_unit(self, *, calibrated: bool) -> Self:
        """Return this configuration with a ridge in the unit of the values: relative for arrays, as a rule.

        Parameters
        ----------
        calibrated : bool
            Whether values are those of arrays, which need not be in [0, 1].

        Returns
        -------
        Self
            Configuration whose ridge is relative if values are those of arrays, unless it is to be absolute.
        """
        relative: dict[str, Any] = {"relative_eps": True}
        return replace(self, **relative) if calibrated and not self.absolute_eps else self

    def of_moments(self, names: Sequence[str], *, calibrated: bool) -> Self:
        """Return this configuration as it applies to the moments in files.

        Parameters
        ----------
        names : sequence of str
            Names of the channels in the files; none if they are not known. Those of this configuration go before.
        calibrated : bool
            Whether values are those of arrays, which need not be in [0, 1].

        Returns
        -------
        Self
            Configuration with the names of the channels, unless they are those of image files, and with a ridge in the
            unit of the values; see `in_unit`.
        """
        config = self.in_unit(calibrated=calibrated)
        if self.channels or not names or (not calibrated and tuple(names) == self.names_of(len(names))):
            return config
        channels: dict[str, Any] = {"channels": tuple(names)}
        return replace(config, **channels)


class MomentsSettings(ArrayRidgeSettings):
    """Configuration of an experiment on the moments of patches, which are those of images or added up from files."""

    if TYPE_CHECKING:

        @property
        def source(self) -> str:
            """Source of images."""

        @property
        def images(self) -> int | None:
            """Number of images that are drawn at random; None for all."""

        @property
        def kernel_size(self) -> int:
            """Side of the patches in pixels."""

        @property
        def resize(self) -> int | None:
            """Short side in pixels to which images are resized; None if they are not."""

        @property
        def eps(self) -> Ridge:
            """Ridge added to the covariance."""

        @property
        def method(self) -> RootMethod:
            """Method of the inverse square root."""

        @property
        def from_moments(self) -> tuple[str, ...]:
            """Files of moments, in place of images."""

        @property
        def jobs(self) -> int | None:
            """Number of threads."""

        @property
        def device(self) -> str:
            """Device that computes."""
