"""``ndtools kernels`` as its user meets it: screen, files, exit codes."""

import contextlib
import functools
import os
import pty
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

import ndtools
from ndtools.numerics.center_surround import MEASURES
from tests.commands import invoke, numbers, save
from tests.png import png

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def kernels(source, out, *arguments, **options):
    return invoke("kernels", source, "--out", out, "-k", 3, *arguments, **options)


def test_table_on_stdout_and_paths_on_stderr(photos, out):
    result = kernels(photos, out)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.fullmatch(
        r"Deconvolution kernels · 3×3 · 4 images · 4\.3 k patches · eps 0\.001 \(\S+ of the mean variance\)"
        r" · eigh · condition \S+ · residual \S+ · covariance good to \S+",
        lines[0],
    )
    assert lines[1].split("  ")[0] == "channel"
    assert [line.split()[0] for line in lines[2:]] == ["R", "G", "B"]
    assert "polarity" not in lines[1]  # all are "on", as D is positive definite
    for extension in ("png", "npz", "json"):
        assert str(out / f"kernels.{extension}") in result.stderr
    assert "(replaced)" not in result.stderr
    assert "(replaced)" in kernels(photos, out).stderr


def test_files_hold_the_contract(photos, out):
    kernels(photos, out, "--seed", 7, "--device", "cpu")
    content = numbers(out)
    assert content["images"].pop("rounding_noise") == pytest.approx(1 / 255**2 / 12)
    assert content["images"] == {"read": 4, "skipped": [], "first_frame_only": [], "repeated": 0}
    assert content["patches"] == 4 * 38 * 28
    assert content["seed"] == content["config"]["seed"] == 7
    assert content["config"]["kernel_size"] == content["kernel_size"] == 3
    assert content["versions"]["ndtools"] == ndtools.__version__
    assert {"torch", "numpy", "python"} <= content["versions"].keys()
    assert content["command"].startswith("ndtools")
    assert content["input"] == str(photos)
    assert content["device"] == "cpu"
    assert content["seconds"] > 0
    with np.load(out / "kernels.npz") as arrays:
        k, covariance, d = arrays["kernels"], arrays["covariance"], arrays["deconvolution"]
        assert arrays["mean"].shape == arrays["eigenvalues"].shape == (27,)
    assert content["centers"] == k[:, :, 1, 1].tolist()
    green = content["channels"][1]
    surround = (k[1, 1].sum() - k[1, 1, 1, 1]) / 8
    assert green["name"] == "G"
    assert green["center"] == k[1, 1, 1, 1]
    assert green["surround_mean"] == pytest.approx(surround)
    assert green["center_surround_ratio"] == pytest.approx(k[1, 1, 1, 1] / abs(surround))
    a = covariance + content["eps"] * np.eye(27)
    assert content["condition"] == pytest.approx(np.linalg.cond(a), rel=1e-6)
    assert np.linalg.norm(d @ a @ d - np.eye(27)) / 27**0.5 < 1e-10


def test_json_is_the_text_of_the_file_and_nothing_else(photos, out):
    result = kernels(photos, out, "--json")
    assert result.stdout == (out / "kernels.json").read_text()


def test_quiet_prints_nothing(photos, out):
    result = kernels(photos, out, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_name_and_format(photos, out):
    assert kernels(photos, out, "--name", "mine", "--format", "svg").exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == ["mine.json", "mine.npz", "mine.svg", "mine.txt"]
    assert kernels(photos, out / "two", "--format", "png,pdf", "--no-title", "--width", "85").exit_code == 0
    assert {p.suffix for p in (out / "two").iterdir()} == {".json", ".npz", ".pdf", ".png", ".txt"}
    for option, value in (("--format", "png,gif"), ("--width", "20"), ("--width", "wide"), ("--width", "1e3")):
        result = kernels(photos, out, option, value)
        assert result.exit_code == 2
        assert f"{option} must be" in result.stderr
    result = kernels(photos, out, "--name", "a/b")
    assert result.exit_code == 2
    assert "--name must be a file name" in result.stderr


def test_without_source_the_built_in_sample_is_used(out):
    result = invoke("kernels", "--out", out, "-k", 3, "--images", 3)
    assert result.exit_code == 0
    assert numbers(out)["input"] == "sample"


def test_list_on_standard_input(photos, out):
    result = kernels("-", out, input="\n".join(map(str, sorted(photos.iterdir())[:2])))
    assert result.exit_code == 0
    assert numbers(out)["images"]["read"] == 2


def test_bad_files_among_good_ones_are_skipped_and_named(photos, out):
    whole = save(photos / "z.jpg", (300, 300)).read_bytes()
    (photos / "corrupt.jpg").write_bytes(b"\xff\xd8" + bytes(500))
    (photos / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "zero.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("no picture")
    result = kernels(photos, out)
    assert result.exit_code == 0
    assert "warning: skipped 3 of 8 images" in result.stderr
    skipped = {os.path.basename(s["path"]): s["reason"] for s in numbers(out)["images"]["skipped"]}
    assert skipped.keys() == {"corrupt.jpg", "truncated.jpg", "zero.jpg"}
    for name, reason in skipped.items():
        assert f"{name}: {reason}" in result.stderr
    assert numbers(out)["images"]["read"] == 5


def test_many_skipped_files_are_named_on_request(photos, out):
    for i in range(9):
        (photos / f"bad{i}.png").write_bytes(b"x")
    assert "and 4 more" in kernels(photos, out).stderr
    assert "bad8.png" in kernels(photos, out, "--verbose").stderr


def test_decompression_bomb_is_skipped(photos, out):
    (photos / "bomb.png").write_bytes(png((60000, 60000), 8, 2, []))
    result = kernels(photos, out)
    assert result.exit_code == 0
    assert "bomb.png" in result.stderr


@pytest.mark.parametrize("name", [b'it\'s "quoted" & [spaced].jpg', b"caf\xe9.jpg", b"a\nb.jpg"])
def test_strange_file_names(photos, out, name):
    good = os.path.join(os.fsencode(photos), name)
    os.rename(os.fsencode(photos / "0.jpg"), good)
    with open(os.path.join(os.fsencode(photos), b"bad " + name), "wb"):
        pass
    result = kernels(photos, out)
    assert result.exit_code == 0
    assert numbers(out)["images"]["read"] == 4
    assert len(numbers(out)["images"]["skipped"]) == 1
    assert kernels(os.fsdecode(good), out).exit_code == 0


def test_symlink_loops_end(photos, out):
    (photos / "loop").symlink_to(photos)
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    result = kernels(photos, out)
    assert result.exit_code == 0
    assert numbers(out)["images"]["read"] == 4
    assert "self.jpg" in result.stderr


def test_constant_images_warn_and_need_eps(tmp_path, out):
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "flat.png")
    result = kernels(tmp_path / "flat.png", out)
    assert result.exit_code == 0
    assert "warning: the images have constant colour" in result.stderr
    with np.load(out / "kernels.npz") as arrays:
        assert all(np.isfinite(a).all() for a in arrays.values())
    before = (out / "kernels.json").read_bytes()
    result = kernels(tmp_path / "flat.png", out, "--eps", 0)
    assert result.exit_code == 4
    assert "not positive definite" in result.stderr
    assert (out / "kernels.json").read_bytes() == before


def test_divergence_is_an_arithmetic_failure(photos, out):
    result = kernels(photos, out, "--method", "vanilla", "--iterations", 40)
    assert result.exit_code == 4
    assert "diverged" in result.stderr
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-k", 4], "--kernel-size must be odd"),
        (["-k", -3], "--kernel-size must be odd"),
        (["--method", "coupled", "--iterations", 0], "--iterations must be at least 1"),
        (["--images", 0], "--images must be at least 1"),
        (["--stride", 2], "--stride needs --covariance im2col"),
        (["--eps", -1], "--eps must be at least 0"),
        (["--jobs", 0], "--jobs must be at least 1"),
        (["--device", "mps"], "--device must support float64"),
    ],
)
def test_wrong_options_are_named(photos, out, arguments, message):
    result = kernels(photos, out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_unknown_choice_is_wrong_usage(photos, out):
    assert kernels(photos, out, "--method", "svd").exit_code == 2
    assert invoke("nonsense").exit_code == 2


def test_unusable_sources(tmp_path, photos, out):
    empty, text, small, bad = (tmp_path / n for n in ("empty", "text", "small", "bad"))
    for folder in (empty, text, small, bad):
        folder.mkdir()
    (text / "a.txt").write_text("a")
    save(small / "a.png", (2, 2))
    (bad / "a.png").write_bytes(b"bad")
    for source, message in (
        (tmp_path / "nowhere", "no such file or folder"),
        (empty, "no image"),
        (text, "no image"),
        (small, "smaller than a 3×3 patch"),
        (bad, "no image of"),
    ):
        result = kernels(source, out)
        assert result.exit_code == 3, source
        assert result.stderr.startswith("error: ")
        assert message in result.stderr
        assert result.stdout == ""


def test_output_that_cannot_be_written_is_refused_before_work(photos, tmp_path):
    (tmp_path / "file").write_text("")
    result = kernels(photos, tmp_path / "file")
    assert result.exit_code == 1
    assert "it is a file, not a folder; choose another folder with --out" in result.stderr
    (tmp_path / "kernels.png").mkdir()
    result = kernels(photos, tmp_path)
    assert result.exit_code == 1
    assert "kernels.png: it is a folder" in result.stderr
    assert kernels(photos, tmp_path, "--name", "x" * 300).exit_code == 1
    assert kernels(photos, tmp_path, "--name", "..").exit_code == 2
    assert kernels(photos, tmp_path, "--name", "").exit_code == 2


def test_more_images_than_there_are(photos, out):
    result = kernels(photos, out, "-n", 10)
    assert result.exit_code == 0
    assert f"note: {photos} has only 4 images" in result.stderr


def test_patches_too_large_for_the_memory(photos, out):
    result = kernels(photos, out, "-k", 1001)
    assert result.exit_code == 2
    assert "--kernel-size is too large for this machine" in result.stderr


def test_a_bug_keeps_its_traceback(photos, out, monkeypatch):
    import ndtools.experiments.kernels.run as experiment

    def bug(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(experiment, "run_series", bug)
    result = kernels(photos, out)
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_interruption_keeps_older_results(photos, out):
    """A real process on a terminal, interrupted once its progress bar shows that it is under way."""
    assert kernels(photos, out).exit_code == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    save(photos / "big.png", (2000, 2000))
    for i in range(40):
        os.link(photos / "big.png", photos / f"big{i}.png")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ndtools", "kernels", str(photos), "--out", str(out)]
    # A shell starts what runs in its background with interrupts ignored, these tests perhaps, and so their children.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, preexec_fn=heed)
    os.close(theirs)
    screen, under_way = bytearray(), threading.Event()

    def watch():
        """Read all the time, as a terminal does: a full one would hold up the process."""
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                screen.extend(os.read(ours, 1000))
                if re.search(rb" [1-9]\d*/45", screen):
                    under_way.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert under_way.wait(300)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130
    finally:
        process.kill()
        process.wait()
        watcher.join()
        os.close(ours)
        with process.stdout:
            printed = process.stdout.read()
    assert b"interrupted" in screen
    assert b"45/45" not in screen  # it stops in the middle
    assert b"Traceback" not in screen
    assert printed == b""
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_fit_measures_kernels_as_cells(photos, out):
    result = invoke("kernels", photos, "-o", out, "-k", 5, "--fit", "--format", "svg")
    assert result.exit_code == 0, result.stderr
    assert str(out / "kernels_fit.svg") in result.stderr
    assert max(map(len, result.stdout.splitlines()[1:])) <= 80, result.stdout
    content = numbers(out)
    with np.load(out / "kernels.npz") as arrays:
        kernels = arrays["kernels"]
    for i, channel in enumerate(content["channels"]):
        own = kernels[i, i]
        assert channel["dog"]["surround_sigma"] > channel["dog"]["center_sigma"]
        assert channel["radial_profile"]["radius"] == [0, 1, 2]
        assert channel["radial_profile"]["mean"][0] == pytest.approx(channel["center"])
        assert channel["frequency_response"]["dc"] == pytest.approx(own.sum())
        assert len(channel["frequency_response"]["magnitude"]) == 128
    sums = kernels.sum((2, 3)) / np.abs(kernels).sum((1, 2, 3))[:, None]
    np.testing.assert_allclose(content["opponency"], sums)
    assert invoke("kernels", photos, "-o", out, "-k", 3, "--fit").exit_code == 0
    assert numbers(out)["channels"][0]["dog"] is None
    assert invoke("kernels", photos, "-o", out, "-k", 1, "--gray", "--fit").exit_code == 0
    assert invoke("kernels", photos, "-o", out, "-k", 3).exit_code == 0
    assert "opponency" not in numbers(out)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("-k", 3),
            [
                "no half-width (R, G, B): at the edge the surround is above half its maximum",
                "no difference of Gaussians (R, G, B): a 3×3 kernel has too few pixels",
                "take -k 5 or more for a difference of Gaussians",
            ],
        ),
        (
            ("-k", 1, "--gray"),
            [
                "no surround (gray): the radial profile does not change sign",
                "no difference of Gaussians (gray): a kernel of one pixel has no surround",
            ],
        ),
    ],
)
def test_what_cannot_be_fitted_has_a_reason(photos, out, arguments, lines):
    result = invoke("kernels", photos, "-o", out, "--fit", *arguments)
    printed = [line.rstrip() for line in result.stdout.splitlines()]
    assert set(lines) <= set(printed), result.stdout
    assert max(map(len, printed[1:])) <= 80
    channel = numbers(out)["channels"][0]
    assert channel["dog"] is None
    assert channel["dog_missing"] in lines[-2 if len(lines) == 3 else -1]
    assert set(channel["center_surround"]["missing"]) == {
        name for name, value in channel["center_surround"].items() if value is None
    }


def test_the_fit_has_intervals_and_radii(photos, out):
    result = invoke("kernels", photos, "-o", out, "-k", 7, "--fit", "--gray")
    (channel,) = numbers(out)["channels"]
    dog = channel["dog"]
    assert dog["center_radius"] == pytest.approx(2**0.5 * dog["center_sigma"])
    assert dog["surround_radius"] == pytest.approx(2**0.5 * dog["surround_sigma"])
    for name, (low, high) in dog["intervals"].items():
        assert low is None or low <= dog[name]
        assert high is None or dog[name] <= high
    assert dog["center_bound"] == "≤"
    assert f"<= {dog['intervals']['center_sigma'][1]:.2g}" in result.stdout
    assert channel["dog_missing"] is None
    assert set(channel["center_surround"]) == {*MEASURES, "missing"}


def test_moments_do_not_overwrite_results(photos, out):
    for extra, name in ((), "kernels.npz"), ((), "kernels.json"), (("--fit",), "kernels_fit.png"):
        result = kernels(photos, out, *extra, "--save-moments", out / ".." / "out" / name)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: --save-moments must be a file of its own")
    assert not list(out.iterdir())
    (out / "taken").mkdir()
    result = kernels(photos, out, "--save-moments", out / "taken")
    assert result.exit_code == 1
    assert "choose another file with --save-moments" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.npz", "-k", 15], "--kernel-size has no meaning with --from-moments"),
        (["a.npz", "--gray"], "--gray has no meaning with --from-moments"),
        (["a.npz", "-n", 3], "--images has no meaning with --from-moments"),
        (["a.npz", "--resize", 30], "--resize has no meaning with --from-moments"),
        (["a.npz", "--stride", 1], "--stride has no meaning with --from-moments"),
        (["a.npz", "--covariance", "exact"], "--covariance has no meaning with --from-moments"),
        (["a.npz", "--iterations", 15], "--iterations has no meaning with --method eigh"),
        (["a.npz", "photos/"], "cannot be combined with 'photos/'"),
        (["--name", "x"], "--from-moments needs a file, got '--name'"),
    ],
)
def test_options_without_meaning(out, arguments, message):
    result = invoke("kernels", "-o", out, "--from-moments", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_manifest_has_the_configuration_used(photos, tmp_path, out):
    assert kernels(photos, out, "--gray", "--save-moments", tmp_path / "a.npz").exit_code == 0
    assert invoke("kernels", "-o", out, "--from-moments", tmp_path / "a.npz").exit_code == 0
    config = numbers(out)["config"]
    assert (config["kernel_size"], config["gray"]) == (3, True)


def test_grey_images_are_told_from_colour(photos, tmp_path, out):
    folder = tmp_path / "grey"
    folder.mkdir()
    for path in photos.iterdir():
        Image.open(path).convert("L").save(folder / f"{path.stem}.png")
    assert "the images are grey" in kernels(folder, out).stderr
    assert "are grey" not in kernels(folder, out, "--gray").stderr
    assert "are grey" not in kernels(photos, out).stderr


@pytest.mark.filterwarnings("ignore")
def test_cells_have_errors(out):
    result = invoke("kernels", "sample", "-n", 4, "-o", out, "-k", 9, "--fit", "--bootstrap", 6)
    assert result.exit_code == 0, result.stderr
    assert "gives a rough error" in result.stderr
    assert "±" in result.stdout
    assert "f from 0.111 to 0.25 cycles/pixel" in result.stdout
    for channel in numbers(out)["channels"]:
        assert channel["standard_error"]["center_surround_ratio"] > 0
        errors = channel["dog"]["standard_error"]
        assert (errors["surround_sigma"] is None) == (channel["dog"]["surround_bound"] is not None)
        response = channel["frequency_response"]
        assert response["standard_error"]["low_frequency_slope"] > 0
        assert response["slope_band"] == [1 / 9, pytest.approx(0.25, abs=2e-3)]


def test_constant_images_are_no_cells(tmp_path, out):
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "flat.png")
    result = invoke("kernels", tmp_path / "flat.png", "-o", out, "-k", 9, "--fit")
    assert result.exit_code == 0
    channel = numbers(out)["channels"][0]
    assert channel["dog"] is channel["frequency_response"]["low_frequency_slope"] is None
