import os
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest

from ndtools.errors import DataError
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.train.config import TrainConfig
from ndtools.reproduction.address import Fingerprints, address
from ndtools.reproduction.item import Part
from tests.reproduction.small_items import matrix


@pytest.fixture
def prints(tmp_path):
    return Fingerprints(tmp_path / "fingerprints.json")


def of(config, prints, experiment="kernels", **settings):
    return address(Part(name="x", experiment=experiment, config=config, work=1.0), prints, **settings)


OTHER = {int: lambda x: x + 2, float: lambda x: 2 * x, bool: lambda x: not x}


@pytest.mark.parametrize("field", [field.name for field in fields(KernelsConfig)])
def test_every_setting_that_changes_the_result_changes_the_address(field, prints):
    config = KernelsConfig(covariance="im2col")
    special = {
        "source": "dead-leaves", "images": 3, "resize": 64, "method": "coupled", "covariance": "exact", "eps": "paper",
        "jobs": 3, "device": "cpu", "from_moments": (), "bootstrap": 5,
    }  # fmt: skip
    value = special[field] if field in special else OTHER[type(getattr(config, field))](getattr(config, field))
    same = field in ("jobs", "device", "from_moments")
    assert (of(replace(config, **{field: value}), prints) == of(config, prints)) == same


def test_version_and_experiment_and_not_the_name_of_the_part(prints):
    config = KernelsConfig()
    assert of(config, prints) != of(config, prints, version="99")
    assert of(config, prints) != of(config, prints, "covariance")
    assert len(of(config, prints)) == 12
    renamed = Part(name="y", experiment="kernels", config=config, work=2.0)
    assert address(renamed, prints) == of(config, prints)


def test_data_count_by_their_content(tmp_path, prints):
    first, second = matrix(tmp_path / "a.npy"), matrix(tmp_path / "b.npy")
    other = matrix(tmp_path / "c.npy", 8.0)
    assert of(NsStabilityConfig(first), prints) == of(NsStabilityConfig(second), prints)
    assert of(NsStabilityConfig(first), prints) != of(NsStabilityConfig(other), prints)
    before = of(NsStabilityConfig(first), prints)
    np.save(first, np.eye(4))
    assert of(NsStabilityConfig(first), prints) != before


def test_a_folder_counts_by_its_files_and_their_names(tmp_path, photos, prints):
    before = of(KernelsConfig(str(photos)), prints)
    shutil.copytree(photos, tmp_path / "moved")
    assert of(KernelsConfig(str(tmp_path / "moved")), prints) == before
    (photos / "0.jpg").rename(photos / "9.jpg")  # the order decides which are drawn
    assert of(KernelsConfig(str(photos)), prints) != before


def test_files_are_read_once(tmp_path, prints, monkeypatch):
    path = matrix(tmp_path / "a.npy")
    before = of(NsStabilityConfig(path), prints)
    prints.save()
    again = Fingerprints(tmp_path / "fingerprints.json")
    monkeypatch.setattr("ndtools.reproduction.address.open_regular", None)
    assert of(NsStabilityConfig(path), again) == before
    os.utime(path, ns=(0, 0))
    with pytest.raises(TypeError):
        of(NsStabilityConfig(path), again)


@pytest.mark.parametrize("content", ["", "[]", '{"x": 3}'])
def test_a_damaged_cache_is_no_failure(tmp_path, content):
    path = matrix(tmp_path / "a.npy")
    cache = tmp_path / "fingerprints.json"
    cache.write_text(content.replace("x", str(tmp_path / "a.npy")))
    assert of(NsStabilityConfig(path), Fingerprints(cache))


def test_data_that_are_not_here(tmp_path, prints):
    with pytest.raises(DataError, match="mnist"):
        of(MlpConfig("mnist", data_dir=str(tmp_path)), prints, "mlp")


def test_the_machine_counts_for_times_alone(prints, monkeypatch):
    config = TimingConfig(rows=(1,))
    assert of(config, prints, "timing") != of(replace(config, jobs=1), prints, "timing")
    train = TrainConfig(images=64)
    assert of(train, prints, "train") == of(replace(train, jobs=1, device="cpu"), prints, "train")
    assert of(train, prints, "train") != of(replace(train, seed=1), prints, "train")
