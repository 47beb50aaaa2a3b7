import json
import wave

import numpy as np
import pytest

import ndtools as nd
from ndtools.experiments.signals.figure import FEW, ROWS
from tests.commands import invoke

pytestmark = pytest.mark.usefixtures("unpainted")


def test_files_and_table_of_a_recording(tmp_path):
    values = np.random.default_rng(0).normal(size=(300, 2)).cumsum(0)
    np.savez(tmp_path / "a.npz", x=values)
    line = (
        "--key",
        "x",
        "--axes",
        "tc",
        "-k",
        5,
        "--rate",
        100,
        "--channels",
        "left, right",
        "--dpi",
        40,
        "-o",
        tmp_path / "out",
    )
    result = invoke("signals", tmp_path / "a.npz", *line)
    assert result.exit_code == 0, result.stderr
    assert "1 signal of 2 channels" in result.stdout
    assert "left" in result.stdout
    numbers = json.loads((tmp_path / "out" / "signals.json").read_text())
    assert (numbers["names"], numbers["rate"], numbers["kernel_size"]) == (["left", "right"], 100.0, [5])
    assert numbers["eps_relative_to_mean_variance"] == pytest.approx(1e-3)
    deconvolved = nd.load(tmp_path / "out" / "signals.npz").deconvolved
    fit = nd.fit_deconvolution(values.T, kernel_size=(5,), eps=1e-3, relative=True)
    np.testing.assert_allclose(deconvolved[0], fit.apply(values.T), rtol=0, atol=1e-6)
    assert "lag" in (tmp_path / "out" / "signals.txt").read_text()


def test_sound_and_volumes(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 500, "NONE", "none"))
        file.writeframes(np.random.default_rng(0).integers(-999, 999, 500).astype("<i2").tobytes())
    assert invoke("signals", tmp_path / "a.wav", "--dpi", 40, "-o", tmp_path).exit_code == 0
    assert json.loads((tmp_path / "signals.json").read_text())["rate"] == 8000
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(2, 9, 8, 7)))
    result = invoke("signals", tmp_path / "v.npy", "--axes", "CZYX", "-k", "5x3x1", "--dpi", 40, "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "patches of 5×3×1 voxels" in result.stdout
    assert [values.shape for values in nd.load(tmp_path / "signals.npz").deconvolved] == [(2, 5, 6, 7)]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (("none.npy",), 3, "no such file or folder: 'none.npy'"),
        (("base-calls", "-k", "4"), 2, "--kernel-size must be odd"),
        (("base-calls", "-k", "3x3"), 2, "--kernel-size must be one number, or three"),
        (("base-calls", "-k", "five"), 2, "--kernel-size must be whole numbers, as in 15 or 3x7x7"),
        (("base-calls", "-k", "5x5x5"), 2, "--kernel-size must be one number for signals, got 5x5x5"),
        (("base-calls", "--eps", "1,2"), 2, "--eps must be one ridge, got 2"),
        (("base-calls", "--channels", "a,b"), 2, "--channels must be 4 names"),
        (("base-calls", "--rate", "-1"), 2, "--rate must be a positive number"),
        (("base-calls", "--iterations", "3"), 2, "--iterations"),
        (("base-calls", "-k", "4001"), 3, "smaller than a patch of 4001; take a smaller --kernel-size"),
    ],
)
def test_wrong_usage(line, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("signals", *line)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("channels", "panels"), [(1, 4), (2, 5), (FEW, FEW + 3), (FEW + 1, 6), (12, 6)])
@pytest.mark.parametrize("width", [180, 85])
def test_panels_of_signals(channels, panels, width, tmp_path):
    values = np.random.default_rng(0).normal(size=(channels, 400)).cumsum(1)
    np.save(tmp_path / "a.npy", values)
    result = nd.signals(str(tmp_path / "a.npy"), kernel_size=3)
    axes = [ax for ax in result.plot(width=width).axes if ax.get_visible()]
    assert len(axes) == panels  # beyond four channels, with a bar of colours
    own = axes[0].get_lines() if channels > FEW else [line for ax in axes[:channels] for line in ax.get_lines()]
    drawn = [line.get_ydata() for line in own if len(line.get_ydata()) == 3]
    assert len(drawn) == (channels if channels > FEW else channels**2)
    if channels > FEW:
        np.testing.assert_array_equal(drawn, [result.kernels[i, i] for i in range(channels)])
    assert result.caption.count("(") == result.caption.count(")")


@pytest.mark.parametrize(("channels", "size"), [(1, (5, 3, 3)), (ROWS + 1, (1, 3, 5))])
def test_panels_of_volumes(channels, size, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(channels, 8, 9, 10)).cumsum(1))
    with np.errstate(all="raise"):
        result = nd.signals(str(tmp_path / "a.npy"), axes="CZYX", kernel_size=size)
        figure = result.plot()
    slices = min(channels, ROWS) * size[0]
    images = [ax.get_images()[0].get_array() for ax in figure.axes if ax.get_images()]
    assert len(images) == slices + 2
    np.testing.assert_array_equal(images[size[0] // 2], result.kernels[0, 0, size[0] // 2])
