"""What moments come from: a source or a shard of it, and how its images were read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ndtools.data.images.layouts import ArrayRidgeSettings, ArraySettings
from ndtools.errors import OptionError
from ndtools.numerics.ridge import tightest_ridge
from ndtools.validation import Ridge, Space, check_choice, check_positive, check_ridge, check_space

__all__ = ["Origin", "PatchSetting", "Shard"]


@dataclass(frozen=True)
class Shard:
    """One of several parts of a source, whose moments add up to those of the source.

    Parameters
    ----------
    number : int
        Number of the part, from 1.
    of : int
        Number of all parts.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise OptionError("shard", f"must be I/N with I from 1 to N, as in 1/8, got {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, repr=False)
class PatchSetting(ArraySettings):
    """How the images of a source become moments: all that moments which add up must have in common.

    Attributes
    ----------
    kernel_size : int
        Side of the patches in pixels.
    gray : bool
        Whether images are reduced to luma.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels; see :mod:`ndtools.numerics.colour`.
    resize : int, optional
        Short side in pixels to which images are resized. By default they are not resized.
    images : int, optional
        Number of images drawn at random from the source; all by default.
    seed : int
        Seed of that draw.
    covariance : {"exact", "im2col"}
        Method of the covariance.
    stride : int
        Step between patch positions in pixels ("im2col" only).
    eps : float, "paper" or "auto"
        Ridge that will be added: images for which it decides so are transformed in float64.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel.
    key : str, optional
        Name of the array in a .npz or .mat file. By default the file holds one array of images.
    axes : str, optional
        Order of the axes of arrays, of the letters N (images), C (channels), H (rows) and W (columns), as in "HWC".
    raw : str, optional
        Sizes of the axes and type of the numbers of files without a header, as in "1024x1536:>u2".
    channels : tuple of str
        Names of the channels of arrays.
    """

    kernel_size: int = 15
    gray: bool = False
    space: Space = "srgb"
    resize: int | None = None
    images: int | None = None
    seed: int = 0
    covariance: Literal["exact", "im2col"] = "exact"
    stride: int = 1
    eps: Ridge = 1e-3
    relative_eps: bool = False
    key: str | None = None
    axes: str | None = None
    raw: str | None = None
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.check_arrays()
        check_space(self)
        check_positive(self, "kernel_size", "images", "stride", "resize")
        check_ridge(self.eps)
        check_choice("covariance", self.covariance, ("exact", "im2col"))
        if self.stride != 1 and self.covariance == "exact":
            raise OptionError("stride", 'needs `covariance="im2col"`: the exact covariance takes every position')

    @classmethod
    def of(cls, config: ArrayRidgeSettings, ridges: Sequence[Ridge]) -> "PatchSetting":
        """Return the settings that the configuration of an experiment has among others.

        Parameters
        ----------
        config : ArrayRidgeSettings
            Configuration of an experiment on the moments of patches.
        ridges : sequence of float, "paper" or "auto"
            All ridges that will be added to these moments.

        Returns
        -------
        PatchSetting
            Settings of the configuration, with the ridge that asks for the most precise moments.
        """
        eps, relative = tightest_ridge(ridges, relative=config.relative_eps)
        settings = {field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)}
        return cls(**{**settings, "eps": eps, "relative_eps": relative})

    def recorded(self) -> dict[str, Any]:
        """Return the settings that have an influence on the moments, by name."""
        settings = asdict(self)
        for name in ("key", "axes", "raw", "channels"):  # which moments of image files do not have
            if not settings[name]:
                del settings[name]
        if self.images is None:
            del settings["seed"]
        eps, relative = tightest_ridge([settings.pop("eps")], relative=settings.pop("relative_eps"))
        return {**settings, "precision_for_eps": eps, "relative": relative}


@dataclass(frozen=True)
class Origin:
    """What the moments in a file come from.

    Attributes
    ----------
    source : str
        Name of the source, printable.
    listing : str
        Digest of the names of its images and archives, which tells whether the source was the same.
    setting : str
        Settings that have an influence on the moments, as JSON.
    shard : Shard or None
        Part of the source; None for all of it.
    """

    source: str
    listing: str
    setting: str
    shard: Shard | None = None

    @classmethod
    def of(cls, source: str, listing: str, setting: PatchSetting, shard: Shard | None = None) -> "Origin":
        """Return the origin of moments that were made with some settings."""
        return cls(source, listing, json.dumps(setting.recorded(), sort_keys=True), shard)

    def difference(self, other: "Origin") -> str | None:
        """Say in words how the source of another shard, or how its images were read, differs; None if it does not.

        Parameters
        ----------
        other : Origin
            Origin of moments that are to be added to these.

        Returns
        -------
        str or None
            Clause whose subject is the file of this origin.
        """
        if self.source != other.source:
            return f"it is of {self.source}, the others of {other.source}"
        if (self.shard and self.shard.of) != (other.shard and other.shard.of):
            return f"it is {_in_words(self.shard)}, where the others are {_in_words(other.shard, one=False)}"
        mine, theirs = json.loads(self.setting), json.loads(other.setting)
        for name in sorted({*mine, *theirs}):
            if mine.get(name) != theirs.get(name):
                return f"its {name} is {_value(mine, name)}, that of the others {_value(theirs, name)}"
        if self.listing != other.listing:
            return f"{self.source} held other images then: list them once, and give the list to all shards"
        return None

    def numbers(self) -> dict[str, Any]:
        """Return the origin as .json files hold it."""
        shard = self.shard and [self.shard.number, self.shard.of]
        return {"source": self.source, "listing": self.listing, "setting": json.loads(self.setting), "shard": shard}

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any] | None) -> "Origin | None":
        """Restore an origin from what `numbers` returned; None if there is none.

        Parameters
        ----------
        numbers : mapping or None
            Return value of `numbers`.

        Returns
        -------
        Origin or None
            Origin with the same fields.

        Raises
        ------
        TypeError
            If the settings are no mapping. A ValueError or KeyError means that something else is not what it should be.
        """
        if numbers is None:
            return None
        setting = numbers["setting"]
        if not isinstance(setting, dict):
            raise TypeError("settings must be an object")
        shard = numbers["shard"] and Shard(*map(int, numbers["shard"]))
        text = json.dumps(setting, sort_keys=True)
        return cls(str(numbers["source"]), str(numbers["listing"]), text, shard or None)

    def text(self) -> str:
        """Return the origin as JSON, which `from_text` restores."""
        return json.dumps(self.numbers(), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> "Origin":
        """Restore an origin from what `text` returned; ValueError, KeyError or TypeError if it is something else."""
        origin = cls.from_numbers(json.loads(text))
        if origin is None:
            raise ValueError("an origin must be an object")
        return origin


def _in_words(shard: Shard | None, *, one: bool = True) -> str:
    if shard is None:
        return "a whole source" if one else "of a whole source"
    return f"shard {shard}" if one else f"of {shard.of} shards"


def _value(settings: Mapping[str, Any], name: str) -> str:
    value = settings.get(name)
    return "not set" if value is None else str(value)
