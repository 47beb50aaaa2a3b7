"""Files that unpack to more than they are allowed to, or to more than they say."""

import zipfile

import numpy as np
import pytest
import torch

from ndtools.checkpoints.state_dicts import load_state
from ndtools.data.arrays import read_arrays
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError
from tests.commands import save


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_unpacked_by_whole_blocks_are_refused(tmp_path, method):
    save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "plain.png", zipfile.ZIP_DEFLATED)
        archive.write(tmp_path / "a.png", "blocks.png", method)
    source = resolve_source(tmp_path / "images.zip")
    assert len(source) == 1
    (skipped,) = source.skipped
    assert skipped.name.endswith("blocks.png")
    assert skipped.reason == "compressed with bzip2 or LZMA; unpack the archive first"
    np.save(tmp_path / "a.npy", np.eye(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(DataError, match="compressed with bzip2 or LZMA: save it with numpy.savez_compressed"):
        read_arrays(tmp_path / "a.npz", ["a"])


def test_tensors_that_repeat_values_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1, 4).expand(1000, 4)}, tmp_path / "net.pt")
    with pytest.raises(DataError, match="weight repeats values that it does not hold"):
        load_state(tmp_path / "net.pt")


def test_checkpoints_larger_than_the_memory_are_refused(tmp_path, monkeypatch):
    torch.save({"weight": torch.zeros(1 << 23)}, tmp_path / "net.pt")  # 32 MiB
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 1 << 20)
    with pytest.raises(DataError, match="net.pt needs about 0.034 GB of memory, and 0.001 GB are free"):
        load_state(tmp_path / "net.pt")
