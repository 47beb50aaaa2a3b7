"""Options of the commands that make training runs, which come from one table."""

import inspect
from dataclasses import fields

import pytest

from ndtools.experiments.segment.command import segment
from ndtools.experiments.segment.config import SegmentConfig
from ndtools.experiments.train.command import train
from ndtools.experiments.train.config import TrainConfig
from ndtools.runs.launch import _listed
from ndtools.runs.options import OF_COMMAND, SEVERAL


@pytest.mark.parametrize(
    ("command", "kind", "without"), [(train, TrainConfig, set()), (segment, SegmentConfig, {"loss"})]
)
def test_every_setting_has_an_option_with_its_default(command, kind, without):
    options = inspect.signature(command).parameters
    settings = {field.name: field.default for field in fields(kind)}
    assert set(options) == {"context", *OF_COMMAND, *settings} - without
    for name in settings.keys() - without:
        value = options[name].default
        assert (_listed(kind, name, value) if name in SEVERAL else (value,)) == (settings[name],), name


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("norm", "bn, deconv", ("bn", "deconv")),
        ("epochs", "1,20", (1, 20)),
        ("lr", "0.1,1", (0.1, 1.0)),
        ("block_size", "16,64", (16, 64)),
        ("eps", "1e-5", (1e-5,)),
        ("freeze_after", None, (None,)),
    ],
)
def test_values_of_a_list_have_the_type_of_the_setting(name, text, values):
    found = _listed(TrainConfig, name, text)
    assert (found, [type(value) for value in found]) == (values, [type(value) for value in values])
