"""``ndtools deblur`` as its user meets it: screen, files, exit codes."""

import numpy as np
import pytest
from PIL import Image

from tests.commands import invoke as invoke_any
from tests.commands import numbers, save


def invoke(*arguments):
    return invoke_any("deblur", *arguments)


@pytest.fixture
def photo(tmp_path):
    return save(tmp_path / "a.png", (80, 60))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_screen_and_files(photo, out):
    result = invoke(photo, "-o", out, "--blur", "motion:5,30", "-k", 7, "--noise", 0.002, "--n-iter", 12, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"Kernel estimation · {photo} · 80×60 pixels · motion:5,30 · noise 0.002 · 7×7 · eps")
    assert [line.split()[0] for line in lines[2:5]] == ["gradient", "deconvolution", "closed"]
    assert "without a ridge" in result.stdout
    assert max(map(len, lines[1:])) <= 80
    content = numbers(out, "deblur")
    assert content["size"] == [3, 60, 80]
    assert (content["blur"], content["noise"], content["kernel_size"]) == ("motion:5,30", 0.002, 7)
    assert (content["eps"], content["n_iter"], content["seed"]) == (1e-5, 12, 3)
    assert content["condition"] > 1
    assert content["residual"] > 0
    gradient, deconv, closed = content["arms"]
    assert [arm["name"] for arm in content["arms"]] == ["gradient", "deconv", "closed_form"]
    for arm in (gradient, deconv):
        assert len(arm["kernel_error"]) == len(arm["loss"]) == 101
        assert arm["kernel_error"][0] == 1
        assert arm["lr"] < arm["stability_limit"]
        reached = next((n for n, error in enumerate(arm["kernel_error"]) if error <= 0.5), None)
        assert arm["iterations_to"]["0.5"] == reached
        assert arm["kernel_error"][arm["best_iteration"]] == arm["best_error"] == min(arm["kernel_error"])
    assert len(closed["kernel_error"]) == len(closed["loss"]) == 1
    assert (
        closed["lr"] is closed["stability_limit"] is closed["best_iteration"] is closed["iterations_to"]["0.1"] is None
    )
    with np.load(out / "deblur.npz") as arrays:
        true = arrays["true_kernel"]
        assert true.sum() == pytest.approx(1)
        for arm in content["arms"]:
            error = np.linalg.norm(arrays[arm["name"]] - true) / np.linalg.norm(true)
            assert error == pytest.approx(arm["kernel_error"][-1])
        for name in ("gradient", "deconv"):
            assert list(arrays[f"{name}_iterations"]) == [1, 2, 5, 10, 20, 50, 100]
            np.testing.assert_array_equal(arrays[f"{name}_snapshots"][-1], arrays[name])
    with Image.open(out / "deblur.png") as picture:
        assert picture.width > 1000


def test_the_default_shows_what_the_paper_claims(out):
    """One step with deconvolution; 100 without are not enough (measured 0.04 and 0.30)."""
    result = invoke("-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (out / "deblur.json").read_text()
    gradient, deconv, closed = numbers(out, "deblur")["arms"]
    assert deconv["iterations_to"]["0.05"] == 1
    assert gradient["iterations_to"]["0.2"] is None
    assert gradient["kernel_error"][-1] == pytest.approx(0.328, abs=0.01)
    assert deconv["best_error"] < closed["kernel_error"][0]  # noise: the best fit is not the nearest kernel


def test_partial_whitening_takes_tens_of_steps_and_ends_nearer(out):
    assert invoke("-o", out, "--n-iter", 5).exit_code == 0
    _, deconv, closed = numbers(out, "deblur")["arms"]
    assert 5 < deconv["iterations_to"]["0.1"] < 50
    assert deconv["best_error"] < 0.5 * closed["kernel_error"][0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--blur", "gaussian:-1"), 2, "--blur must be gaussian:SIGMA with a positive SIGMA"),
        (("--blur", "motion:9"), 2, "--blur must be motion:LENGTH,ANGLE"),
        (("--blur", "absent.npy"), 3, "no such blur: 'absent.npy'"),
        (("-k", 4), 2, "--kernel-size must be odd"),
        (("-k", 13), 2, "--kernel-size 13 cannot hold the blur, of 15×15 pixels; take 15 or more"),
        (("-k", 31), 3, "80×60 pixels, where a 31×31 kernel needs 62 a side"),
        (("--noise", -1), 2, "--noise must be from 0 to 1000"),
        (("--iterations", 0), 2, "--iterations must be at least 1"),
        (("--n-iter", 0), 2, "--n-iter must be at least 1"),
    ],
)
def test_bad_options(photo, out, arguments, code, message):
    result = invoke(photo, "-o", out, *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert not (out / "deblur.json").exists()


def test_bad_input(tmp_path, out):
    assert invoke(tmp_path / "no.png", "-o", out).exit_code == 3
    folder = tmp_path / "folder"
    folder.mkdir()
    save(folder / "a.png", (60, 60))
    assert invoke(folder, "-o", out).exit_code == 0  # the one image in it
    save(folder / "b.png")
    result = invoke(folder, "-o", out)
    assert result.exit_code == 3
    assert "holds 2 images, where one is wanted" in result.stderr
    Image.new("L", (60, 60), 7).save(tmp_path / "flat.png")
    assert invoke(tmp_path / "flat.png", "-o", out).exit_code == 3
    Image.fromarray(np.tile(np.arange(60, dtype=np.uint8) ** 2, (60, 1))).save(tmp_path / "stripes.png")
    assert invoke(tmp_path / "stripes.png", "-o", out, "--eps", 0).exit_code == 4
    result = invoke(tmp_path / "stripes.png", "-o", out)
    assert result.exit_code == 0
    assert "warning: the image determines" in result.stderr


def test_an_image_that_does_not_fit_into_the_memory_is_refused(tmp_path, monkeypatch):
    Image.new("RGB", (1000, 900)).save(tmp_path / "large.png")  # decoding it takes no more than 12 MB
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 30_000_000)
    done = invoke(tmp_path / "large.png", "--out", tmp_path)
    assert done.exit_code == 3
    size = "large.png: an image of 1000 x 900 pixels needs about 0.056 GB of memory, and 0.03 GB are free; crop it"
    assert size in done.output.replace("\n", "")
