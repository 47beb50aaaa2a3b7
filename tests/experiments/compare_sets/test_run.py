"""``ndtools compare-sets`` as its user meets it: members are the results of other commands, and what is refused."""

import tarfile

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.data.images import reading
from ndtools.data.images.sources import ImageRef, ImageSource, Skipped
from ndtools.errors import DataError, MatrixError, NumericalWarning, OptionError
from ndtools.experiments.compare_sets.figure_series import caption_compare_sets_series, plot_compare_sets_series
from ndtools.moments.keeping import KeptImages
from tests.commands import invoke, numbers, save

pytestmark = [
    pytest.mark.usefixtures("unpainted"),
    pytest.mark.filterwarnings("ignore:.*bootstrap of .* gives a rough error:ndtools.errors.NumericalWarning"),
]


@pytest.fixture
def dim(photos):
    """Pictures whose pixels are exactly half of those of another folder."""
    folders = [photos.parent / name for name in ("bright", "dim")]
    for i, path in enumerate(sorted(photos.iterdir())):
        pixels = np.asarray(Image.open(path)) // 2
        for folder, factor in zip(folders, (2, 1), strict=True):
            folder.mkdir(exist_ok=True)
            Image.fromarray((factor * pixels).astype(np.uint8)).save(folder / f"{i}.png")
    return folders


@pytest.fixture(scope="module")
def moments(tmp_path_factory):
    """Files of the moments of two halves of the pictures of `photos`, and of one of them in grey."""
    folder = tmp_path_factory.mktemp("moments")
    for i in range(4):
        save(folder / f"{i}.jpg", seed=i)
    for name, files, gray in (("m0", "01", False), ("m1", "23", False), ("grey0", "01", True)):
        (folder / "list.txt").write_text("\n".join(f"{i}.jpg" for i in files))
        result = nd.kernels(f"@{folder / 'list.txt'}", kernel_size=3, gray=gray)
        np.savez(folder / f"{name}.npz", **result.moments())
    return folder


def test_measures_are_those_of_other_commands(photos, dim):
    """Kernels of `kernels`, with its errors; sparsity of `sparsity`; the same images in each."""
    eps = (1e-2, 1e-3)
    series = nd.compare_sets(str(photos), str(dim[0]), kernel_size=[3, 5], eps=eps, bootstrap=200, seed=1)
    assert [(m.config.kernel_size, m.config.eps) for m in series] == [(k, e) for k in (3, 5) for e in eps]
    member = series[2]
    for measures, source in zip(member.sets, (photos, dim[0]), strict=True):
        kernels = nd.kernels(str(source), kernel_size=5, eps=1e-2, bootstrap=200)
        # Float32 rounds entries of the covariance to 1e-7 of the variance, D to that over the ridge.
        np.testing.assert_allclose(measures.kernels, kernels.kernels, atol=2e-3 * kernels.kernels.max())
        assert measures.patches == kernels.covariance.count
        # Two bootstraps of four images: each standard error is known to 1/√400, were draws independent.
        assert np.linalg.norm(measures.kernels_error) == pytest.approx(
            np.linalg.norm(kernels.bootstrap.error), rel=4 * np.sqrt(2 / 400) * 2
        )
        sparsity = nd.sparsity(str(source), kernel_size=5, eps=1e-2, seed=1)
        for name in ("kurtosis", "hoyer", "gini", "ggd_shape"):
            found, expected = measures.after.measures[name], sparsity.after.measures[name]
            assert found.value == pytest.approx(expected.value, rel=1e-3)
            assert found.low == pytest.approx(expected.low, rel=1e-2)
        response = nd.frequency_response(measures.kernels[1, 1], 64)
        np.testing.assert_allclose(measures.response[1], response.magnitude)
        assert measures.correlations.neighbours.value == pytest.approx(
            nd.radial_profile(kernels.covariance.correlations_of_centre().numpy().diagonal().mean(-1).T).mean[1],
            rel=1e-5,
        )
    assert series[2].sets[0].before is series[3].sets[0].before


def test_a_copy_of_half_the_contrast(dim):
    """With the ridge in units of the variance, kernels are doubled, and nothing else changes."""
    result = nd.compare_sets(*map(str, dim), kernel_size=3, eps=1e-2, relative_eps=True, bootstrap=5)
    bright, half = result.sets
    np.testing.assert_allclose(half.kernels, 2 * bright.kernels, rtol=1e-3, atol=1e-3 * bright.kernels.max())
    (found,) = result.differences
    assert found.kernels.value == pytest.approx(2 / 3, rel=1e-3)
    assert found.responses.value == pytest.approx(2 / 3, rel=1e-3)
    for name, estimate in found.sparsity.items():
        # One of 12,768 values may change sides of the threshold by rounding.
        assert estimate.value == pytest.approx(0, abs=1e-3 * bright.after.measures[name].value), name
    assert found.neighbours.value == pytest.approx(0, abs=1e-6)
    assert found.channels.value == pytest.approx(0, abs=1e-6)
    # 8-bit files: with an absolute ridge the kernels differ otherwise.
    absolute = nd.compare_sets(*map(str, dim), kernel_size=3, eps=1e-2, bootstrap=0, sparsity=False)
    assert absolute.differences[0].kernels.value < 0.6
    assert absolute.sets[0].kernels_error is None and absolute.in_errors(0) is None
    assert absolute.sets[0].after is None and not absolute.differences[0].sparsity


def test_a_set_does_not_differ_from_itself(photos):
    with pytest.warns(NumericalWarning, match="sets A and B are the same images, .*: they do not differ"):
        result = nd.compare_sets(str(photos), f"{photos}/", kernel_size=3, bootstrap=10)
    (found,) = result.differences
    assert found.kernels.value == found.kernels.in_errors == found.responses.value == 0
    assert found.kernels.is_apart is False and found.kernels.error > 0
    assert all(e.value == 0 and e.low < 0 < e.high for e in found.sparsity.values())


@pytest.mark.parametrize("limit", [0, 2**30])
def test_images_are_decoded_once_where_they_have_room(photos, dim, monkeypatch, limit):
    decoded = []
    decode = reading.decode_image
    monkeypatch.setattr(reading, "decode_image", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    monkeypatch.setattr("ndtools.moments.keeping.free_memory", lambda: 4 * limit)
    done = []
    config = nd.CompareSetsConfig(str(photos), str(dim[1]), kernel_size=3, bootstrap=3, jobs=1)
    result = nd.run_compare_sets(config, progress=lambda *counts: done.append(counts))
    assert len(decoded) == 8 * (1 if limit else 2)
    assert done[-1] == (16, 16) and done == sorted(done)
    other = nd.sparsity(str(photos), kernel_size=3, eps=1e-3, bootstrap=2)
    assert result.sets[0].after.measures["kurtosis"].value == pytest.approx(
        other.after.measures["kurtosis"].value, rel=1e-3
    )


def test_two_images_of_one_name_are_two_images(tmp_path):
    """As in an archive to which a file was added again. Each is a group of its own, read by a pass of its own."""
    for i in range(3):
        save(tmp_path / f"{i}.png", seed=i)
    for name, members in (("twice", "aab"), ("apart", "acb")):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for i, member in enumerate(members):
                archive.add(tmp_path / f"{i}.png", f"{member}.png")
    twice, apart = (str(tmp_path / f"{name}.tar") for name in ("twice", "apart"))
    a, b = nd.compare_sets(twice, apart, kernel_size=3, bootstrap=3).sets
    assert (a.groups, a.mean_variance) == (3, pytest.approx(b.mean_variance, rel=1e-6))
    assert a.after.measures["kurtosis"].value == pytest.approx(b.after.measures["kurtosis"].value, rel=1e-6)


def test_errors_do_not_depend_on_what_else_is_measured(photos, dim):
    both = nd.compare_sets(str(photos), str(dim[0]), kernel_size=[3, 5], bootstrap=5, sparsity=False)
    alone = nd.compare_sets(str(photos), str(dim[0]), kernel_size=5, bootstrap=5, sparsity=False)
    for mine, theirs in zip(both[1].sets, alone.sets, strict=True):
        # Groups that are drawn alike give errors that differ by rounding of float32 sums alone.
        np.testing.assert_allclose(
            mine.kernels_error, theirs.kernels_error, rtol=1e-2, atol=1e-3 * theirs.kernels_error.max()
        )


def test_all_images_are_kept_or_none():
    kept = KeptImages(limit=100)
    images = [reading.Decoded(name, np.zeros((3, 4, 4), np.uint8)) for name in "abc"]
    for image in images[:2]:
        kept.add(image)
    kept.finish()
    source = ImageSource("x", tuple(ImageRef(name, bytes) for name in "ba"), (Skipped("s", "why"),))
    assert [item.name for item in kept.of(source)] == ["s", "b", "a"]
    assert kept.of(ImageSource("x", (ImageRef("c", bytes),))) is None
    kept.add(images[2])
    assert kept.of(source) is None
    twice = KeptImages(limit=1000)
    twice.add(images[0])
    # Another part of the source may hold another image of this name.
    assert twice.of(ImageSource("x", (ImageRef("a", bytes),))) is None
    twice.add(images[0])
    twice.finish()
    assert twice.of(ImageSource("x", (ImageRef("a", bytes),))) is None


def test_moments_in_place_of_images(photos, moments, tmp_path):
    out = tmp_path / "results"
    # `photos` come as images and as two files, so that only the groups differ.
    result = invoke("compare-sets", photos, moments / "m?.npz", "-o", out, "--eps", "1e-2,auto", "--bootstrap", 5)
    assert result.exit_code == 0, result.stderr
    assert "no sparsity of B: moments hold means and products of two pixels" in result.stdout
    content = numbers(out, "compare-sets")["series"][0]
    a, b = content["sets"]
    assert (a["from_moments"], b["from_moments"], b["groups"]) == (False, True, 2)
    assert a["patches"] == b["patches"] and b["after"] is None and a["after"]["kurtosis"] > 3
    assert content["differences"][0]["kernels"]["value"] < 1e-3
    assert content["differences"][0]["sparsity"] == {}
    assert a["images"]["read"] == b["images"]["read"] == 4


def test_one_file_of_moments_has_no_errors(photos, moments):
    with pytest.warns(NumericalWarning, match="set A is one file of moments, so that differences have no standard"):
        result = nd.compare_sets(str(moments / "m0.npz"), str(photos), bootstrap=5, kernel_size=7, sparsity=False)
    assert result.config.kernel_size == 3 and result.sets[0].kernels_error is None
    assert result.sets[1].kernels_error is not None
    assert result.differences[0].kernels.error is None


def test_three_sets_and_their_pairs(photos, dim, tmp_path):
    result = invoke(
        "compare-sets", photos, *dim, "-k", 3, "--bootstrap", 4, "-o", tmp_path / "r", "--eps", "1e-2", "--width", 85
    )
    assert result.exit_code == 0, result.stderr
    content = numbers(tmp_path / "r", "compare-sets")
    assert [pair["sets"] for pair in content["differences"]] == [["A", "B"], ["A", "C"], ["B", "C"]]
    assert "A − C" in result.stdout and "in errors" in result.stdout
    with np.load(tmp_path / "r" / "compare-sets.npz") as arrays:
        a, c = arrays["A_kernels"], arrays["C_kernels"]
        z = (a - c) / np.hypot(arrays["A_kernels_error"], arrays["C_kernels_error"])
        np.testing.assert_allclose(arrays["A_C_in_errors"], z)


def test_what_does_not_fit_is_refused(photos, moments):
    m0, grey = str(moments / "m0.npz"), str(moments / "grey0.npz")
    with pytest.raises(MatrixError, match=r"grey0.npz do not fit those of .*m0.npz: their channels must be 3, got 1"):
        nd.compare_sets(m0, grey, bootstrap=0)
    with pytest.raises(OptionError, match="must be one with files of moments"):
        nd.compare_sets(m0, str(photos), kernel_size=[3, 5], bootstrap=0)
    with pytest.raises(DataError, match="set B has one image, .*; standard errors need two: take `bootstrap=0`"):
        nd.compare_sets(str(photos), str(photos / "0.jpg"), kernel_size=3)
    with pytest.raises(DataError, match="no files match '.*x.*.npz'"):
        nd.compare_sets(str(photos), str(moments / "x*.npz"))
    with pytest.raises(DataError, match="no such file"):
        nd.compare_sets(str(photos), str(moments / "absent.npz"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{photos}",), 2, "Missing argument"),
        (("{photos}", "{photos}", "--bootstrap", 1), 2, "--bootstrap must be 0 or at least 2, got 1"),
        (("{m}", "{m}", "-n", 3), 2, "--images has no meaning with files of moments"),
        (("{m}", "{photos}", "-k", 3), 2, "--kernel-size has no meaning with files of moments"),
        (
            ("{m}", "{photos}", "--resize", 20),
            2,
            "--resize must be that of the files of moments, whose images",
        ),
        (("{m}", "{m}", "{m}", "{m}"), 2, "C must be the last set, got 4 sets: put a glob in quotation marks"),
        (("{photos}", "nowhere"), 3, "no such file or folder: 'nowhere'"),
        (("{photos}", "{photos}/0.jpg", "-k", 3), 3, "standard errors need two: take --bootstrap 0"),
    ],
)
def test_wrong_arguments(photos, moments, tmp_path, arguments, code, message):
    words = [str(word).format(photos=photos, m=moments / "m0.npz") for word in arguments]
    result = invoke("compare-sets", *words, "-o", tmp_path / "r")
    assert result.exit_code == code
    assert message in result.stderr
    assert not list((tmp_path / "r").glob("*.*"))


def test_skipped_images_of_each_set_are_named(photos, tmp_path):
    broken = photos / "broken.png"
    broken.write_bytes(b"no picture")
    other = tmp_path / "other"
    other.mkdir()
    for i in range(2):
        save(other / f"{i}.png", seed=10 + i)
    result = invoke("compare-sets", photos, other, "-k", 3, "--bootstrap", 3, "-n", 9, "-o", tmp_path / "r")
    assert result.exit_code == 0, result.stderr
    assert "skipped 1 of 5 images" in result.stderr and "broken.png" in result.stderr
    assert "other has only 2 images" in result.stderr
    read = [each["images"]["read"] for each in numbers(tmp_path / "r", "compare-sets")["sets"]]
    assert read == [4, 2]


def test_moments_and_images_are_resized_alike(photos, tmp_path):
    """Statistics depend on the size of the images, so that a set is never resized alone."""
    parts = []
    for name, files in (("m0", "01"), ("m1", "23")):
        (photos / f"{name}.txt").write_text("\n".join(f"{i}.jpg" for i in files))
        small = nd.kernels(f"@{photos / name}.txt", kernel_size=3, resize=20)
        np.savez(tmp_path / f"{name}.npz", **small.moments())
        full = nd.kernels(f"@{photos / name}.txt", kernel_size=3)
        np.savez(tmp_path / f"full-{name}.npz", **full.moments())
        (photos / f"{name}.txt").unlink()
        parts.append(str(tmp_path / f"full-{name}.npz"))
    result = nd.compare_sets(str(tmp_path / "m?.npz"), str(photos), bootstrap=0, sparsity=False)
    assert result.config.resize == 20 and result.differences[0].kernels.value < 1e-3
    assert nd.compare_sets(str(tmp_path / "m?.npz"), str(photos), bootstrap=0, sparsity=False, resize=20)
    with pytest.raises(OptionError, match="must be that of the files .* resized to 20 pixels, got 10"):
        nd.compare_sets(str(tmp_path / "m?.npz"), str(photos), bootstrap=0, resize=10)
    with pytest.raises(MatrixError, match="their images were not resized, the others were resized to 20 pixels"):
        nd.compare_sets(str(tmp_path / "m0.npz"), parts[0], bootstrap=0)
    with pytest.warns(NumericalWarning, match="each of the sets A and B is one file of moments; files of the parts"):
        nd.compare_sets(*parts, str(photos), bootstrap=0, sparsity=False)


def test_a_grey_set_is_named_and_its_channels_are_equal(photos, tmp_path):
    grey = tmp_path / "grey"
    grey.mkdir()
    for path in photos.iterdir():
        Image.open(path).convert("L").convert("RGB").save(grey / f"{path.stem}.png")
    with pytest.warns(NumericalWarning, match="the images of set B are grey"):
        result = nd.compare_sets(str(photos), str(grey), kernel_size=3, bootstrap=50, sparsity=False)
    assert str(result.sets[1].correlations.channels) == "1"
    assert result.differences[0].channels.error == result.sets[0].correlations.channels.error > 0


def test_few_replicates_are_warned_of_and_leave_verdicts_unsure(photos, dim):
    with pytest.warns(NumericalWarning, match="a bootstrap of 5 replicates gives a rough error; take 50 at least"):
        nd.compare_sets(str(photos), str(dim[1]), kernel_size=3, bootstrap=5, sparsity=False)


def test_tables_have_room_in_about_80_columns(photos, dim, tmp_path):
    arguments = ("--eps", "auto,1e-3", "-k", "3,5", "--bootstrap", 50, "-o", tmp_path / "r")
    result = invoke("compare-sets", photos, dim[1], *arguments)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()[1:]  # the title has the names of the sets
    # Columns are as wide as their numbers, whose digits follow from errors that differ by rounding.
    assert "eps" in lines[0] and max(map(len, lines)) <= 80 + 8
    (ridges,) = {line for line in lines if line.startswith("eps auto, k 3: A ")}
    sets = numbers(tmp_path / "r", "compare-sets")["series"][0]["sets"]
    assert ridges == f"eps auto, k 3: A {sets[0]['eps']:.3g}, B {sets[1]['eps']:.3g}"


@pytest.mark.filterwarnings("ignore:.*below the noise of the files:ndtools.errors.NumericalWarning")
def test_the_figure_of_ridges_of_their_own_has_those_of_each_set(photos, dim):
    """Curves, names and caption are those of B where B is drawn; those of A would be 4 times as large."""
    series = nd.compare_sets(*map(str, dim), kernel_size=3, eps=["paper", 1e-2], bootstrap=50)
    own = [[each.fit.eps for each in member.sets] for member in series]
    assert own[0][0] == pytest.approx(4 * own[0][1], rel=1e-6) and own[1] == [0.01, 0.01]
    figure = plot_compare_sets_series(series)
    panels = {ax.get_ylabel(): ax for ax in figure.get_axes()}
    for i, line in enumerate(panels["kurtosis"].containers):
        np.testing.assert_allclose(line.lines[0].get_xdata(), sorted(ridges[i] for ridges in own))
    (change,) = panels["kernels differ by / %"].containers
    assert change.lines[0].get_xdata()[0] == pytest.approx(np.sqrt(np.prod(own[0])))
    below = [ax.get_xlabel() for ax in figure.get_axes() if ax.get_xlabel().startswith("eps ")]
    assert len(below) == 2 and below[0] != below[1]
    assert {"paper", "eps 0.01"} <= {ax.get_title() for ax in figure.get_axes()}
    caption = caption_compare_sets_series(series)
    assert all(f"{eps:.3g} of {name}" in caption for eps, name in zip(own[0], "AB", strict=True))
    series_order = caption.partition("differ by ")[2]
    assert series_order.startswith(str(series[1].differences[0].kernels))  # as ridges are listed: the largest first
