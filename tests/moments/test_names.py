"""Names of channels in files of moments: they are those of the arrays, also after shards are added."""

import numpy as np
import pytest

import ndtools as nd
from ndtools.errors import MatrixError, OptionError
from ndtools.moments.files import iterate_moments
from tests.commands import invoke, numbers

pytestmark = pytest.mark.usefixtures("unpainted")

NAMES = ("blue", "red", "edge", "near infrared")


@pytest.fixture
def scenes(tmp_path):
    """Four images of four channels (H, W, C), in a folder."""
    (tmp_path / "scenes").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        np.save(tmp_path / "scenes" / f"{i}.npy", 100 + rng.normal(size=(20, 24, 4)).cumsum(1))
    return tmp_path / "scenes"


def test_moments_keep_the_names_of_channels_in_a_file(scenes, tmp_path):
    found = nd.moments(scenes, kernel_size=3, axes="HWC", channels=NAMES, shards=2)
    assert found.names == NAMES
    found.save(tmp_path / "m.npz")
    assert next(iterate_moments([str(tmp_path / "m.npz")])).names == NAMES
    kernels = nd.kernels(from_moments=(str(tmp_path / "m.npz"),))
    assert tuple(channel.name for channel in kernels.channels) == NAMES
    assert kernels.config.kernel_size == 3
    # Names that are given go before; they must be as many as there are channels.
    renamed = nd.kernels(from_moments=(str(tmp_path / "m.npz"),), channels=("a", "b", "c", "d"))
    assert [channel.name for channel in renamed.channels] == ["a", "b", "c", "d"]
    with pytest.raises(OptionError, match="channels: must be 4 names"):
        nd.kernels(from_moments=(str(tmp_path / "m.npz"),), channels=("a", "b"))
    assert nd.covariance(from_moments=(str(tmp_path / "m.npz"),)).channels == NAMES


def test_tables_of_added_shards_have_the_names(scenes, tmp_path):
    common = ("-k", 3, "--axes", "HWC", "--channels", ",".join(NAMES), "-o", tmp_path)
    for part in ("1", "2"):
        arguments = ("--shard", f"{part}/2", "--save-moments", tmp_path / f"m{part}.npz")
        assert invoke("kernels", scenes, *common[:-2], *arguments).exit_code == 0
    added = invoke("kernels", "--from-moments", tmp_path / "m1.npz", tmp_path / "m2.npz", "-o", tmp_path)
    assert added.exit_code == 0, added.stderr
    assert [channel["name"] for channel in numbers(tmp_path, "kernels")["channels"]] == list(NAMES)
    assert "near infrared" in added.stdout
    saved = invoke("covariance", scenes, *common, "--save-moments", tmp_path / "whole.npz", "--name", "covariance")
    assert saved.exit_code == 0, saved.stderr
    assert next(iterate_moments([str(tmp_path / "whole.npz")])).names == NAMES


def test_moments_of_channels_with_other_names_are_not_added(scenes, tmp_path):
    for name, channels in (("a", NAMES), ("b", ("w", "x", "y", "z")), ("c", ())):
        moments = nd.moments(scenes / f"{'abc'.index(name)}.npy", kernel_size=3, axes="HWC", channels=channels)
        moments.save(tmp_path / f"{name}.npz")
    with pytest.raises(MatrixError, match=r"b.npz does not fit .*a.npz: its channels are w, x, y, z, those of the"):
        nd.kernels(from_moments=(str(tmp_path / "a.npz"), str(tmp_path / "b.npz")))
    # Files of earlier versions hold no names, and fit all that have as many channels.
    with np.load(tmp_path / "c.npz") as file:
        arrays = {key: file[key] for key in file.files if key != "channel_names"}
    np.savez(tmp_path / "old.npz", **arrays)
    for files in (("old.npz", "a.npz"), ("a.npz", "old.npz")):
        found = nd.kernels(from_moments=tuple(str(tmp_path / file) for file in files))
        assert tuple(channel.name for channel in found.channels) == NAMES
    with pytest.raises(MatrixError, match="does not fit"):
        nd.kernels(from_moments=tuple(str(tmp_path / file) for file in ("old.npz", "a.npz", "b.npz")))
    np.savez(tmp_path / "bad.npz", **arrays, channel_names=np.frombuffer(b'["a"]', np.uint8))
    with pytest.raises(MatrixError, match="bad.npz must hold a name for each of its 4 channels"):
        list(iterate_moments([str(tmp_path / "bad.npz")]))


def test_names_of_image_files_are_not_recorded_as_settings(tmp_path):
    nd.moments("sample", kernel_size=3, shards=2, images=4).save(tmp_path / "m.npz")
    assert next(iterate_moments([str(tmp_path / "m.npz")])).names == ("R", "G", "B")
    found = nd.kernels(from_moments=(str(tmp_path / "m.npz"),))
    assert found.config.channels == ()
    assert [channel.name for channel in found.channels] == ["R", "G", "B"]
