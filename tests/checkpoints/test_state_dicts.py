"""State dicts in files, and those of the published code."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from ndtools.checkpoints.state_dicts import from_published, is_published, load_state, save_state, unwrap
from ndtools.errors import DataError, OutputError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from tests.oracles.published_layers import CASES, REFERENCE
from tests.tolerance import assert_equal_to_rounding

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(3)}


def same(found, wanted=STATE):
    assert set(found) == set(wanted)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    save_state(path, {**STATE, "tied": STATE["a.weight"], "turned": STATE["a.weight"].mT}, {"arch": "vgg11", "n": [1]})
    state, metadata = load_state(path)
    assert torch.equal(state.pop("tied"), STATE["a.weight"])
    assert torch.equal(state.pop("turned"), STATE["a.weight"].mT)
    same(state)
    assert metadata == {"arch": "vgg11", "n": [1]}
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_equal_networks_are_equal_files(tmp_path):
    """Their metadata have no random order, and other programs read them."""
    contents = set()
    for _ in range(12):
        save_state(tmp_path / "x.safetensors", STATE, {"arch": "vgg11", "name": "Größe ✓\n"})
        contents.add((tmp_path / "x.safetensors").read_bytes())
    assert len(contents) == 1
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert list(file.metadata()) and file.metadata()["format"] == "pt"
        same({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    assert load_state(tmp_path / "x.safetensors")[1] == {"arch": "vgg11", "name": "Größe ✓\n"}


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_state(path, STATE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_state(path, {})
    same(load_state(path)[0])
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_behind_a_link_is_replaced_where_it_lies(tmp_path):
    save_state(tmp_path / "real.safetensors", {"a": torch.zeros(1)})
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real.safetensors")
    save_state(tmp_path / "link.safetensors", {"a": torch.ones(1)})
    assert (tmp_path / "link.safetensors").is_symlink()
    assert load_state(tmp_path / "real.safetensors")[0]["a"] == 1


def test_files_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write .*choose another file"):
        save_state(tmp_path / "file" / "x.safetensors", STATE)
    with pytest.raises(OutputError, match=r"must end in \.safetensors"):
        save_state(tmp_path / "x.pt", STATE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"net": {f"module.{k}": v for k, v in s.items()}, "acc": 0.9},
        lambda s: {"model": {"state_dict": {f"module._orig_mod.{k}": v for k, v in s.items()}}},
        lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
    ],
)
def test_wrapped_state_dicts(tmp_path, wrap):
    torch.save(wrap(STATE), tmp_path / "x.pt")
    state, metadata = load_state(tmp_path / "x.pt")
    same(state)
    assert metadata == {}


def test_one_key_named_like_a_prefix_is_kept():
    state = {"module.a": torch.ones(1), "b": torch.ones(1)}
    same(unwrap(state), state)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.pt", None, "no such file"),
        (".", None, "a folder, not a checkpoint"),
        ("x.pt", b"", "not a file of torch.save, or a damaged one"),
        ("x.pt", b"something else", "not a file of torch.save, or a damaged one"),
        ("x.pt", b"\x80\x02\x00\x01", "not a file of torch.save, or a damaged one"),
        ("x.safetensors", b"something else", "not a safetensors file, or a damaged one"),
        ("x.pt", {}, "it holds an empty dictionary, not a state dict"),
        ("x.pt", [1, 2], "it holds a list, not a state dict"),
        ("x.pt", {"epoch": 3, "best": 0.5}, "it holds no state dict: epoch, best are no tensor"),
        (
            "x.pt",
            {"model_ema": {"a": torch.ones(1)}},
            "model_ema is no tensor; state dicts are looked for under the keys state_dict, model",
        ),
        ("x.pt", {"args": argparse.Namespace(lr=0.1), **STATE}, "Python objects beside tensors.*torch.save"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(DataError, match=message) as raised:
        load_state(path)
    assert str(path) in str(raised.value)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_run(tmp_path):
    torch.save({"state_dict": STATE, "more": Harmful(tmp_path / "was run")}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="could run code"):
        load_state(tmp_path / "x.pt")
    assert not (tmp_path / "was run").exists()


def test_a_truncated_file(tmp_path):
    for name, save in (("x.pt", torch.save), ("x.safetensors", lambda state, path: save_state(path, state))):
        path = tmp_path / name
        save(STATE, path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(DataError, match="damaged"):
            load_state(path)


@pytest.fixture(scope="module")
def published():
    with np.load(REFERENCE) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.mark.parametrize("name", CASES)
def test_published_layers_give_the_published_output(published, name):
    inputs, outputs, kernel, arguments, config = CASES[name]
    keys = ("weight", "bias", "running_mean", "running_deconv")
    state = {f"net.0.{key}": published[f"{name}/{key}"] for key in keys}
    assert is_published(state)
    translated = from_published(state)
    assert not is_published(translated)
    same(from_published(translated), translated)
    found = {}
    for dtype in (torch.float64, torch.float32):
        layer = FastDeconv2d(inputs, outputs, kernel, config=DeconvConfig.reference(**config), dtype=dtype, **arguments)
        net = nn.ModuleDict({"net": nn.Sequential(layer)}).eval()
        net.load_state_dict(translated)
        found[dtype] = layer(published[f"{name}/x2"].to(dtype)).detach()
    wanted = published[f"{name}/yeval"]
    assert_equal_to_rounding(found[torch.float64], wanted, single=found[torch.float32])


def test_a_published_linear_layer():
    state = {
        "weight": torch.randn(5, 12),
        "bias": torch.randn(5),
        "running_mean": torch.randn(6),
        "running_deconv": torch.randn(6, 6),
    }
    layer = DeconvLinear(12, 5, config=DeconvConfig.reference(block_size=6)).eval()
    layer.load_state_dict(from_published(state))
    x = torch.randn(20, 12)
    white = ((x.view(-1, 6) - state["running_mean"]) @ state["running_deconv"].mT).view(20, 12)
    expected = white @ state["weight"].mT + state["bias"]
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_other_layers_pass():
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    same(from_published(state), state)
    assert not is_published(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x.running_mean1": torch.zeros(4, 1)}, "x.running_mean1: not part of a layer that can be.*ChannelDeconv"),
        ({"x.something": torch.zeros(4), "y": torch.zeros(1)}, "x.something, y: not part of a layer"),
        ({"x.running_mean": torch.zeros(2, 1)}, r"x.running_mean \(2, 1\) and x.running_deconv \(4, 4\): expected"),
        ({"x.running_mean": None}, "x.running_mean is missing beside x.running_deconv"),
        ({"x.running_deconv": torch.eye(4)[:3]}, "expected"),
        ({"x.running_deconv": torch.zeros(())}, "expected"),
        ({"x.running_var": torch.zeros(4)}, "x.running_var: not part of a layer"),
    ],
)
def test_what_the_published_layers_do_not_have(change, message):
    state = {
        "x.weight": torch.zeros(2, 4),
        "x.running_mean": torch.zeros(4),
        "x.running_deconv": torch.eye(4),
        **change,
    }
    with pytest.raises(DataError, match=message):
        from_published({key: value for key, value in state.items() if value is not None})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_a_pipe_is_no_checkpoint(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="a pipe, not a regular file"):
        load_state(tmp_path / name)
