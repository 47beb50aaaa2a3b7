"""What items conclude: from which levels, and not from a part of them."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from ndtools.experiments.inference.result import NetworkTimes
from ndtools.reproduction.item import Setting
from ndtools.reproduction.items.iterations import FIG_7
from ndtools.reproduction.items.photographs import FIG_2, FIG_3, FIG_10
from ndtools.reproduction.items.testing import TESTING
from ndtools.reproduction.items.times import FRACTION, TABLE_3
from ndtools.reproduction.places import Places
from tests.reproduction.small_items import reproduction


@pytest.mark.parametrize("item", [FIG_2, FIG_3, FIG_10], ids=lambda item: item.id)
def test_a_folder_with_too_few_photographs_is_not_the_published_recipe(item, tmp_path, photos):
    shutil.copytree(photos, tmp_path / "imagenet")
    levels = item.levels(Setting(places=Places(photographs=str(tmp_path / "imagenet"))))
    assert not any(level.full for level in levels)
    assert levels[0].title.startswith("4 photographs of the ")


@pytest.mark.parametrize(("folder", "words"), [("imagenet", "and 4 are here"), ("garden", "and 4 others are here")])
def test_the_reason_says_how_many_photographs_are_here(folder, words, tmp_path, photos):
    shutil.copytree(photos, tmp_path / folder)
    places = Places(photographs=str(tmp_path / folder))
    work = reproduction(tmp_path / "out", [FIG_10], places=places)
    reason = work.states["fig10"].reason
    assert reason.startswith("The published recipe takes 1,000 photographs")
    assert f", {words}; name a folder of photographs" in reason
    assert "ndtools reproduce fig10 --photographs FOLDER --budget none --output" in reason


def test_the_reason_says_that_another_image_stands_for_lenna(tmp_path, photos):
    work = reproduction(tmp_path / "out", [FIG_7], places=Places(image=str(photos / "0.jpg")))
    assert work.states["fig7"].reason.startswith("The published recipe takes the photograph Lenna, and another one is")


def timed(rows):
    """Return a result of timing in which everything takes half of the time of the convolution."""
    shares = {"im2col": 0.1, "covariance": 0.2, "inverse": 0.2, "total": 0.5}
    seconds = {"im2col": 0.1, "covariance": 0.2, "inverse": 0.2, "convolution": 1.0}
    timed = [
        SimpleNamespace(
            layer=SimpleNamespace(number=number),
            scale=1,
            shares=lambda _: shares,
            seconds=lambda _: seconds,
            measured={stage: [value, value] for stage, value in seconds.items()},
        )
        for number in rows
    ]
    config = SimpleNamespace(batch_size=128)
    return SimpleNamespace(rows=timed, left_out=(), config=config, processor="x", threads=1, torch="y")


def test_the_rows_that_are_done_first_do_not_decide_for_all():
    full = TABLE_3.levels(Setting(places=Places()))[0]
    results = {part.name: timed(part.config.rows) for part in full.parts}
    verdicts = {grade.subject: grade.verdict for grade in TABLE_3.grade(full, results)}
    assert verdicts[FRACTION] == "agrees"
    first = {full.parts[0].name: results[full.parts[0].name]}
    subjects = {grade.subject for grade in TABLE_3.grade(full, first)}
    assert FRACTION not in subjects
    assert "table3/1/convolution" in subjects
    results[full.parts[3].name].left_out = (SimpleNamespace(id="row 22", reason="needs memory"),)
    verdicts = {grade.subject: grade.verdict for grade in TABLE_3.grade(full, results)}
    assert verdicts[FRACTION] == "same direction"


@pytest.mark.parametrize(
    ("folded", "verdict"),
    [
        ((1.0, 1.01, 0.99), "agrees"),
        ((1.3, 1.31, 1.29), "same direction"),  # faster than without folding, and not as fast as a plain network
        ((5.0, 5.1, 4.9), "disagrees"),
        ((0.6, 1.8, 1.1), "same direction"),  # such a spread leaves open whether it is as fast
    ],
)
def test_times_of_folded_networks_decide_their_claim(folded, verdict):
    """The network takes 4 s with deconvolution, and 1 s without normalisation."""
    spread = np.array([0.99, 1.0, 1.01])
    seconds = {"deconv": 4 * spread, "folded": np.array(folded), "bn": 1.1 * spread, "none": spread}
    config = SimpleNamespace(batch_size=16, size=32, repeats=3)
    network = NetworkTimes("a network", seconds, 0.0)
    result = SimpleNamespace(config=config, networks=(network,), processor="x", threads=1, torch="y")
    (level,) = TESTING.levels(Setting(places=Places()))
    assert TESTING.grade(level, {}) == []
    (grade,) = TESTING.grade(level, {level.parts[0].name: result})
    assert (grade.subject, grade.verdict) == ("claim/faster-testing", verdict)
    assert grade.measured == pytest.approx(np.median(folded))
