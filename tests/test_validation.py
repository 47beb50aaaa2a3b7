"""Types of the fields of configurations are checked before their values."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import ndtools as nd
from ndtools.errors import OptionError
from ndtools.validation import Configuration, _allowed_types, check_types

CONFIGURATIONS = [getattr(nd, name) for name in nd.__all__ if name.endswith("Config") and name != "DeconvConfig"]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (nd.KernelsConfig, {"images": 8.5}, "images must be a whole number, got 8.5"),
        (nd.KernelsConfig, {"kernel_size": "5"}, "kernel_size must be a whole number, got '5'"),
        (nd.KernelsConfig, {"kernel_size": True}, "kernel_size must be a whole number, got True"),
        (nd.KernelsConfig, {"seed": None}, "seed must be a whole number, got None"),
        (nd.KernelsConfig, {"gray": 1}, "gray must be True or False, got 1"),
        (nd.KernelsConfig, {"eps": [1]}, "eps must be a number or 'paper' or 'auto', got [1]"),
        (nd.KernelsConfig, {"method": 3}, "method must be 'eigh' or 'coupled' or 'vanilla', got 3"),
        (nd.KernelsConfig, {"source": 3}, "source must be text, got 3"),
        (
            nd.KernelsConfig,
            {"source": ["a.JPEG"]},
            "source must be text, got ['a.JPEG']; one text names several images",
        ),
        (nd.KernelsConfig, {"source": np.zeros((9, 8, 3))}, "must be text, got an array of shape (9, 8, 3); one text"),
        (nd.KernelsConfig, {"source": np.zeros(3)}, "nd.fit_deconvolution takes images as arrays"),
        (nd.DeblurConfig, {"source": np.zeros((9, 8))}, "source must be text, got an array of shape (9, 8)"),
        (nd.SignalsConfig, {"kernel_size": (3, 5)}, "kernel_size must be one number, or three of volumes"),
        (nd.SignalsConfig, {"kernel_size": 4}, "kernel_size must be odd"),
        (nd.SignalsConfig, {"rate": 0}, "rate must be a positive number of samples per second, got 0"),
        (nd.SignalsConfig, {"channels": ("a", "a")}, "channels must be names that differ"),
        (nd.MlpConfig, {"hidden": 5}, "hidden must be a tuple of whole numbers, got 5"),
        (nd.MlpConfig, {"hidden": (5, 1.5)}, "hidden must be a tuple of whole numbers, got (5, 1.5)"),
        (nd.MlpConfig, {"momentum": "0.9"}, "momentum must be a number, got '0.9'"),
        (nd.MlpConfig, {"epochs": np.float64(3)}, "epochs must be a whole number, got"),
    ],
)
def test_other_types_are_refused(kind, values, message):
    with pytest.raises(OptionError) as raised:
        kind(**values)
    assert message in f"{raised.value.option} {raised.value.message}"


def test_numbers_of_numpy_and_paths_are_accepted():
    config = nd.KernelsConfig(Path("photos"), kernel_size=np.int64(5), eps=np.float32(0.5), images=np.uint8(3))
    assert (config.kernel_size, config.images) == (5, 3)
    assert nd.MlpConfig(hidden=[4, 5]).hidden == [4, 5]


@pytest.mark.parametrize("kind", CONFIGURATIONS, ids=lambda kind: kind.__name__)
def test_all_fields_of_configurations_are_checked(kind):
    names = {field.name for field in dataclasses.fields(kind)}
    assert names and names == set(_allowed_types(kind))
    required = {f.name: "a" for f in dataclasses.fields(kind) if f.init and f.default is dataclasses.MISSING}
    kind(**required)  # whose defaults are of their types


def test_values_are_checked_after_their_types():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Doubled(Configuration):
        size: int = 2
        other: dict = dataclasses.field(default_factory=dict)  # of a type that is not checked

        def __post_init__(self):
            if self.size % 2:  # of a list would be an error of Python
                raise OptionError("size", "must be even")

    assert Doubled(4).size == 4
    for wrong in ([4], 3):
        with pytest.raises(OptionError, match="must be (a whole number|even)"):
            Doubled(wrong)
    check_types(Doubled(2, other={1: 2}))
