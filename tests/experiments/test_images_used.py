"""What every command that reads images says of them: grey images, further frames, images named twice."""

import numpy as np
import pytest
from PIL import Image

from tests.commands import invoke, numbers, save

pytestmark = pytest.mark.usefixtures("unpainted")


IMAGE_SETS = {
    "kernels": ("-k", 3),
    "covariance": ("-k", 3),
    "sparsity": ("-k", 3, "--bootstrap", 0),
    "ns-stability": ("--iterations", 2, "--dtype", "float32"),
}


def run(command, source, out, *arguments):
    done = invoke(command, source, "--out", out, *IMAGE_SETS.get(command, ()), *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stderr


@pytest.fixture
def grey(tmp_path):
    path = save(tmp_path / "colour.png")
    Image.open(path).convert("L").save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


@pytest.fixture
def animation(tmp_path):
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (9, 8), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    return tmp_path / "pages.tif"


@pytest.mark.parametrize("command", [*IMAGE_SETS, "deconvolve"])
def test_grey_images_are_told_and_may_be_reduced_to_one_channel(command, grey, tmp_path):
    out = tmp_path / "out"
    assert "the images are grey: what their equal channels do to each other is set by eps alone" in run(
        command, grey, out
    )
    assert "are grey" not in run(command, tmp_path / "colour.png", out)
    assert "are grey" not in run(command, grey, out, "--gray")
    with np.load(out / f"{command}.npz") as arrays:
        if command == "sparsity":
            assert numbers(out, command)["config"]["gray"]
        elif command == "deconvolve":
            assert arrays["kernels"].shape == (1, 1, 3, 3)
        else:
            assert arrays["covariance"].shape == (9, 9)


def test_kernels_of_colour_images_do_not_fit_grey_ones(grey, tmp_path):
    run("kernels", tmp_path / "colour.png", tmp_path / "out")
    done = invoke("deconvolve", grey, "--from", tmp_path / "out/kernels.npz", "--gray", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "which holds kernels of colour images" in done.stderr


@pytest.mark.parametrize("command", [*IMAGE_SETS, "deconvolve", "deblur"])
def test_further_frames_are_not_used(command, animation, tmp_path):
    out = tmp_path / "out"
    options = ("-k", 3, "--blur", "gaussian:0.2") if command == "deblur" else ()
    text = run(command, animation, out, *options)
    assert text.count("1 image has several frames, of which only the first is used: ") == 1
    assert "pages.tif (3 frames)" in text.replace("\n", "")
    if command in IMAGE_SETS:
        (first,) = numbers(out, command)["images"]["first_frame_only"]
        assert first["frames"] == 3


def test_many_images_of_several_frames_are_counted(animation, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.tif").write_bytes(animation.read_bytes())
    save(folder / "5.png")
    text = run("kernels", folder, tmp_path / "out", "--bootstrap", 2).replace("\n", "")
    assert "5 images have several frames" in text
    assert text.count("(3 frames)") == 3
    assert "and 2 more" in text


@pytest.mark.parametrize("command", IMAGE_SETS)
def test_an_image_that_a_list_names_twice_counts_once(command, photos, tmp_path):
    names = ["0.jpg", "1.jpg", "../photos/0.jpg", "1.jpg"]
    (photos / "list.txt").write_text("\n".join(names))
    text = run(command, f"@{photos / 'list.txt'}", tmp_path / "out").replace("\n", "")
    assert "names 2 images again; each image counts once" in text
    images = numbers(tmp_path / "out", command)["images"]
    assert (images["read"], images["repeated"]) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ns-stability", "--sweep", "--dtype", "float32"), "--dtype has no meaning with --sweep, which runs all"),
        (("ns-stability", "--sweep", "--norm", "trace"), "--norm has no meaning with --sweep, which runs all"),
        (("ns-stability", "matrix.npy", "-k", 3), "--kernel-size has no meaning for a matrix"),
        (("ns-stability", "matrix.npz", "--gray"), "--gray has no meaning for a matrix"),
        (("sparsity", "--whitening", "none", "--eps", 1), "--eps has no meaning with --whitening none"),
        (("sparsity", "--whitening", "none", "--relative-eps"), "--relative-eps has no meaning with --whitening none"),
    ],
)
def test_options_that_mean_nothing_are_refused(arguments, message, tmp_path):
    done = invoke(*arguments, "--out", tmp_path)
    assert done.exit_code == 2
    assert message in done.stderr
