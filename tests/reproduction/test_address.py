import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from ndtools.errors import DataError
from ndtools.experiments.compare_sets.config import CompareSetsConfig
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.saved import EXPERIMENTS
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.train.config import TrainConfig
from ndtools.reproduction import code
from ndtools.reproduction.address import Fingerprints, address, could_be
from ndtools.reproduction.code import code_of, modules_of_experiment
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
        "space": "lms", "pixels_per_degree": 60.0,
        "key": "x", "axes": "HWC", "raw": "4x5:>u2", "channels": ("a", "b"),
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


def test_links_that_form_loops_end(tmp_path, photos, prints):
    before = of(KernelsConfig(str(photos)), prints)
    (photos / "inner").mkdir()
    for name in ("one", "two", "inner/three"):
        (photos / name).symlink_to(photos, target_is_directory=True)
    assert of(KernelsConfig(str(photos)), prints) == before


@pytest.mark.parametrize("source", ["{}/*.jpg", "@{}/list.txt", "-", "nothing"])
def test_sources_whose_content_cannot_be_told(photos, prints, source):
    (photos / "list.txt").write_text("0.jpg")
    with pytest.raises(DataError, match="is not here|is no file or folder"):
        of(KernelsConfig(source.format(photos)), prints)


def test_all_settings_that_name_files_count_by_content(tmp_path, photos, prints):
    shutil.copytree(photos, tmp_path / "moved")
    sets = CompareSetsConfig(str(photos), "dead-leaves")
    moved = replace(sets, a=str(tmp_path / "moved"))
    assert of(sets, prints, "compare-sets") == of(moved, prints, "compare-sets")
    (tmp_path / "moved" / "0.jpg").unlink()
    assert of(sets, prints, "compare-sets") != of(moved, prints, "compare-sets")


def test_the_code_counts_but_for_training_runs(prints, monkeypatch):
    before = of(KernelsConfig(), prints), of(TrainConfig(images=64), prints, "train")
    monkeypatch.setattr("ndtools.reproduction.address.code_of", lambda experiment: f"other code of {experiment}")
    after = of(KernelsConfig(), prints), of(TrainConfig(images=64), prints, "train")
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_the_code_of_an_experiment_is_all_that_it_imports_to_compute():
    kernels, train, segment = map(modules_of_experiment, ("kernels", "train", "segment"))
    assert {"ndtools.numerics.covariance", "ndtools.data.images.decoding"} <= set(kernels)
    assert {"ndtools.models.vgg", "ndtools.layers.whitening", "ndtools.training.loop"} <= set(train) & set(segment)
    assert "ndtools.experiments.segment.config" in set(segment) - set(train)
    assert "ndtools.models.vgg" not in kernels
    assert not any("figure" in name or "command" in name for name in (*kernels, *train))
    program = "\n".join(
        [
            "import sys, ndtools.runs.run",
            "print(*(name for name, module in sys.modules.items() if not hasattr(module, '__path__')))",
        ]
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    computing = {name for name in loaded if name.startswith("ndtools.")}
    shows = {name for name in computing if name.startswith(("ndtools.console", "ndtools.drawing"))}
    assert len(computing) > 20
    assert computing - shows <= set(train)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_code(experiment):
    assert f"ndtools.experiments.{experiment.replace('-', '_')}.config" in modules_of_experiment(experiment)
    assert len(code_of(experiment)) == 64


def test_another_line_of_code_is_another_fingerprint(tmp_path, monkeypatch):
    package = tmp_path / "ndtools"
    files = {
        "experiments/x/run.py": "from ndtools.numerics import (\n    y,\n)\n",
        "experiments/x/figure.py": "a = 1\n",
        "numerics/__init__.py": "",
        "numerics/y.py": "def f():\n    from ndtools.text import z\n",
        "text.py": "z = 1\n",
        "errors.py": "e = 1\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(code, "_PACKAGE", package)

    def now():
        code._text.cache_clear()
        code_of.cache_clear()
        return code_of("x")

    first = now()
    for name, counts in (
        ("text.py", True),
        ("numerics/y.py", True),
        ("errors.py", False),
        ("experiments/x/figure.py", False),
    ):
        (package / name).write_text(files[name] + "b = 2\n")
        assert (now() != first) == counts, name
        (package / name).write_text(files[name])
    assert now() == first
    monkeypatch.undo()
    code._text.cache_clear()
    code_of.cache_clear()


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


def test_data_that_are_not_here(tmp_path, prints, monkeypatch):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="mnist"):
        of(MlpConfig("mnist", data_dir=str(tmp_path)), prints, "mlp")


def test_the_machine_counts_for_times_alone(prints, monkeypatch):
    config = TimingConfig(rows=(1,))
    assert of(config, prints, "timing") != of(replace(config, jobs=1), prints, "timing")
    train = TrainConfig(images=64)
    assert of(train, prints, "train") == of(replace(train, jobs=1, device="cpu"), prints, "train")
    assert of(train, prints, "train") != of(replace(train, seed=1), prints, "train")


@pytest.mark.parametrize(
    ("saved", "wanted", "expected"),
    [
        ({"source": "/a", "eps": 0.1, "jobs": 1}, {"source": "/b", "eps": 0.1, "jobs": 2}, True),
        ({"source": "/a", "eps": 0.1}, {"source": "/a", "eps": 0.2}, False),
        ({"source": "/a", "eps": 0.1}, {"source": "/a", "eps": 0.1, "gray": True}, False),
        ({"source": "sample", "eps": 0.1}, {"source": "/b", "eps": 0.1}, False),
        ({"source": "sample", "eps": 0.1}, {"source": "sample", "eps": 0.1}, True),
        ({"dataset": "glyphs"}, {"dataset": "mnist"}, False),
    ],
)
def test_what_could_be_a_result_without_reading_its_data(saved, wanted, expected):
    assert could_be(saved, wanted) == could_be(wanted, saved) == expected
