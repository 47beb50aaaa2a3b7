"""The input of a layer and its deconvolution, against a slow implementation in float64."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ndtools as nd
from ndtools.errors import DataError, NumericalError, NumericalWarning, OptionError
from ndtools.experiments.features.figure import mosaic
from ndtools.experiments.features.layer import deconvolved_input
from ndtools.experiments.features.run import convolutions_of
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.models.factories import deconv
from ndtools.numerics.sparsity import measured
from tests.commands import invoke, numbers, save
from tests.run_folders import write_run
from tests.tolerance import rtol

pytestmark = pytest.mark.usefixtures("unpainted")
UNTRAINED = "ignore:(the network was never trained|no layer has seen):ndtools.errors.NumericalWarning"


def patches_of(x, layer):
    """Return the patches (P, groups, C/groups · k · k) of a padded image at all positions, and the shape of these."""
    (ky, kx), (py, px), (dy, dx) = layer.kernel_size, layer.padding, layer.dilation
    padded = np.pad(x, ((0, 0), (py, py), (px, px)))
    height, width = padded.shape[1] - dy * (ky - 1), padded.shape[2] - dx * (kx - 1)
    rows = []
    for i, j in itertools.product(range(height), range(width)):
        patch = padded[:, i : i + dy * (ky - 1) + 1 : dy, j : j + dx * (kx - 1) + 1 : dx]
        rows.append(patch.reshape(layer.groups, -1))
    return np.array(rows), (height, width)


def centre_outputs(x, layer, statistics):
    """Return D(x − μ) of the centre pixel of each channel, patch by patch, for blocks that hold a whole group."""
    patches, shape = patches_of(x, layer)
    mean, d = (each[:, 0].double().numpy() for each in statistics[0])
    (ky, kx), group = layer.kernel_size, layer.in_channels // layer.groups
    centre = ky // 2 * kx + kx // 2
    outputs = [
        d[channel // group, channel % group * ky * kx + centre]
        @ (patches[:, channel // group] - mean[channel // group]).T
        for channel in range(layer.in_channels)
    ]
    return np.array(outputs).reshape(layer.in_channels, *shape)


LAYERS = {
    "same": {"kernel_size": 3, "padding": 1},
    "valid": {"kernel_size": 3},
    "wide padding": {"kernel_size": 3, "padding": 2},
    "pointwise": {"kernel_size": 1},
    "strided": {"kernel_size": 3, "padding": 1, "stride": 2},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "oblong": {"kernel_size": (1, 3), "padding": (0, 1)},
    "grouped": {"kernel_size": 3, "padding": 1, "groups": 2},
    "depthwise": {"kernel_size": 5, "padding": 2, "groups": 4},
}


def test_the_random_generator_of_the_caller_is_left_alone():
    layer, x = nn.Conv2d(2, 3, 3), torch.randn(1, 2, 8, 8)
    before = torch.get_rng_state()
    deconvolved_input(layer, x, trained=False, first=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_trained_layer_deconvolves_by_its_averages(kind):
    torch.manual_seed(0)
    layer = FastDeconv2d(4, 8, **LAYERS[kind], config=DeconvConfig(n_iter=9), dtype=torch.float64)
    for _ in range(3):
        layer(torch.randn(4, 4, 12, 11, dtype=torch.float64).cumsum(3))
    x = torch.randn(1, 4, 12, 11, dtype=torch.float64).cumsum(3)
    made = deconvolved_input(layer.eval(), x, trained=True, first=False)
    wanted = centre_outputs(x[0].numpy(), layer, layer.whitening.running_statistics())
    if kind == "wide padding":  # outputs beyond the image have no input beside them
        wanted = wanted[:, 1:-1, 1:-1]
    np.testing.assert_allclose(made.outputs, wanted, atol=rtol(torch.float32, 100) * np.abs(wanted).max(), rtol=0)
    inputs = x[0].numpy()[:, 1:-1, 1:-1] if kind == "valid" else x[0].numpy()
    np.testing.assert_array_equal(made.inputs, inputs.astype(np.float32))
    assert made.inputs.shape == made.outputs.shape
    assert (made.own, made.samples) == (False, 0)
    assert made.block == 4 // layer.groups
    assert not layer.training and layer.whitening.num_batches_tracked == 3  # the layer is left as it was


def test_the_outputs_are_what_the_layer_itself_whitens():
    """A layer whose weight passes the centre of each channel on has these outputs."""
    torch.manual_seed(1)
    layer = FastDeconv2d(6, 6, 3, padding=1, bias=False, config=DeconvConfig(block_size=2), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(6), range(6), 1, 1] = 1.0
    for _ in range(2):
        layer(torch.randn(4, 6, 9, 9, dtype=torch.float64))
    x = torch.randn(1, 6, 9, 9, dtype=torch.float64)
    made = deconvolved_input(layer.eval(), x, trained=True, first=False)
    wanted = layer(x)[0].detach().numpy()
    np.testing.assert_allclose(made.outputs, wanted, atol=rtol(torch.float32, 10) * np.abs(wanted).max(), rtol=0)
    assert made.block == 2


def test_a_plain_layer_is_deconvolved_by_its_own_input():
    """The covariance of all patches of the input, and the iteration for its inverse square root, in float64."""
    torch.manual_seed(2)
    layer = nn.Conv2d(3, 5, 3, padding=1, dtype=torch.float64)
    x = torch.randn(1, 3, 20, 20, dtype=torch.float64).cumsum(2)
    made = deconvolved_input(layer, x, trained=True, first=False)
    patches, _ = patches_of(x[0].numpy(), layer)
    rows, config = patches[:, 0], DeconvConfig()
    mean = rows.mean(0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    whitening = FastDeconv2d(3, 3, 3, dtype=torch.float64, config=config).whitening
    d = whitening.inverse_sqrt(torch.from_numpy(covariance)[None, None])
    wanted = centre_outputs(x[0].numpy(), layer, [(torch.from_numpy(mean)[None, None], d)])
    np.testing.assert_allclose(made.outputs, wanted, atol=rtol(torch.float32, 100) * np.abs(wanted).max(), rtol=0)
    assert (made.own, made.samples) == (True, 400)


def test_measures_are_those_of_values_about_their_means():
    values = np.random.default_rng(0).laplace(size=(3, 50, 50)) + np.array([5.0, -3.0, 0.0])[:, None, None]
    centred = values - values.mean((1, 2), keepdims=True)
    about_mean, about_zero = measured(values, terms=10.0), measured(values, terms=10.0, about_mean=False)
    for found, side in ((about_mean, centred), (about_zero, values)):
        assert found.sigma == pytest.approx(np.sqrt((side**2).mean()), rel=1e-9)
        wanted = (side**4).mean() / (side**2).mean() ** 2
        assert found.measures["kurtosis"].value == pytest.approx(wanted, rel=1e-5)
        near = (np.abs(side) < 0.1 * found.sigma).mean()
        assert found.measures["near_zero"].value == pytest.approx(near, abs=1e-3)
    assert measured(np.full((1, 5, 5), 3.0), terms=3.0).measures["kurtosis"].value is None


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return the path of a small trained network with deconvolution, and the network."""
    torch.manual_seed(3)
    model = nd.build("vgg11", deconv(DeconvConfig(block_size=16)))
    for _ in range(2):
        model(torch.randn(8, 3, 32, 32))
    path = tmp_path_factory.mktemp("network") / "last.safetensors"
    nd.save_network(model, path)
    return path, model.eval()


def test_the_input_is_that_of_the_layer_in_the_network(network, tmp_path):
    path, model = network
    photo = save(tmp_path / "photo.png", size=(32, 32))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    result = nd.features(str(path), str(photo), layer=3, channels=7, size=32, mean=mean, std=std)
    name, layer = list(convolutions_of(model).items())[2]
    pixels = torch.from_numpy(np.array(Image.open(photo))).permute(2, 0, 1) / 255.0
    seen = []
    handle = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        model(((pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None])
    handle.remove()
    wanted = seen[0][0, :7].numpy()
    np.testing.assert_allclose(result.inputs, wanted, atol=rtol(torch.float32, 100) * np.abs(wanted).max(), rtol=0)
    assert (result.layer, result.number, result.total, result.trained, result.own) == (name, 3, 128, True, False)
    np.testing.assert_array_equal(result.image, np.array(Image.open(photo)).transpose(2, 0, 1))
    by_name = nd.features(str(path), str(photo), layer=name, channels=7, size=32, mean=mean, std=std)
    np.testing.assert_array_equal(by_name.outputs, result.outputs)
    assert by_name.measures == result.measures


def test_the_run_of_a_checkpoint_says_how_pixels_are_standardised(network, tmp_path):
    path, _ = network
    photo = str(save(tmp_path / "photo.png", size=(32, 32)))
    folder = write_run(tmp_path / "run", epochs=1)
    inside = folder / "last.safetensors"
    inside.write_bytes(path.read_bytes())
    found = nd.features(str(inside), photo, layer=1, size=32)
    wanted = nd.features(str(path), photo, layer=1, size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.2616))
    np.testing.assert_array_equal(found.inputs, wanted.inputs)
    own = nd.features(str(path), photo, layer=1, size=32)
    np.testing.assert_allclose(own.inputs.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(own.inputs.std((1, 2)), 1, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*the covariance is singular:ndtools.errors.NumericalWarning")
@pytest.mark.parametrize("norm", ["deconv", "bn", "none"])
def test_a_network_that_was_never_trained_is_warned_of(norm, tmp_path):
    photo = save(tmp_path / "photo.png", size=(64, 48))
    result = invoke("features", photo, "--norm", norm, "--size", 48, "--layer", 2, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "warning: the network was never trained: its weights are random" in result.stderr
    for wrong in (("--layer", 99), ("--layer", "nowhere"), ("--mean", "1,2", "--std", "1,2"), (tmp_path / "none.png",)):
        refused = invoke("features", "--norm", "deconv", "-o", tmp_path / "none", *wrong)
        assert refused.exit_code in (2, 3) and len(refused.stderr.splitlines()) == 1, refused.stderr
    content = numbers(tmp_path / "out", "features")
    assert (content["trained"], content["network"]) == (False, f"vgg11, {norm}")
    assert content["deconvolution_of_this_input"] and content["samples"] == 24 * 32
    assert "never trained" in (tmp_path / "out" / "features.txt").read_text()


def test_a_converted_network_is_said_to_have_its_weights_but_no_statistics(tmp_path):
    source = nd.build("simple_cnn", "bn")
    source.train()(torch.rand(8, 3, 32, 32))
    nd.save_network(source, tmp_path / "bn.safetensors")
    assert invoke("convert", tmp_path / "bn.safetensors").exit_code == 0
    photo = save(tmp_path / "photo.png", size=(64, 48))
    result = invoke("features", tmp_path / "bn-deconv.safetensors", photo, "--size", 48, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "warning: no layer has seen a training batch: the weights are those of the checkpoint" in result.stderr
    texts = (result.stdout, result.stderr, (tmp_path / "out" / "features.txt").read_text())
    assert not any("random" in text or "never trained" in text for text in texts)
    assert "simple_cnn, deconv, without statistics" in result.stdout


@pytest.mark.filterwarnings(UNTRAINED)
def test_too_few_patches_are_warned_of(tmp_path):
    photo = save(tmp_path / "photo.png", size=(32, 32))
    with pytest.warns(NumericalWarning, match="16 patches of the image for 576 features"):
        nd.features(source=str(photo), norm="deconv", layer=5, size=32)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{net}", "{photo}", "--layer", 9), 2, "--layer must be at most 8, the number of convolutions, got 9"),
        (
            ("{net}", "{photo}", "--layer", "classifier"),
            2,
            "--layer must be a number from 1 to 8, or a name (features.0",
        ),
        (("{net}", "{photo}", "--norm", "bn"), 2, "--norm cannot be combined with a checkpoint"),
        (("{photo}", "--norm", "nothing"), 2, "--norm must be one of deconv"),
        (("{net}", "{photo}", "--mean", "0.5"), 2, "--std must be given, too"),
        (("{net}", "{photo}", "--mean", "0.5,0.5", "--std", "1,1"), 2, "--mean must have 3 values"),
        (("{net}", "{photo}", "--mean", "0", "--std", "0"), 2, "--std must be above 0"),
        (("{net}", "{photo}", "--channels", 0), 2, "--channels must be at least 1"),
        (("{net}", "{photo}", "--size", 2, "--layer", 5), 3, "does not fit the network"),
        (("{net}", "none.png"), 3, "none.png"),
        (("none.safetensors", "{photo}"), 3, "none.safetensors"),
        (("{photo}",), 3, "the checkpoint comes before the image, and --norm asks for a new network"),
    ],
)
def test_what_is_wrong_is_named(network, tmp_path, arguments, code, message):
    places = {"net": network[0], "photo": save(tmp_path / "photo.png")}
    result = invoke("features", *(str(each).format(**places) for each in arguments), "-o", tmp_path / "out")
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert not (tmp_path / "out" / "features.json").exists()


def test_statistics_and_features_must_be_finite(network, tmp_path):
    path, model = network
    photo = str(save(tmp_path / "photo.png"))
    with pytest.raises(NumericalError, match="is not finite"):
        nd.features(str(path), photo, layer=5, mean=(0.0,), std=(1e-42,))
    broken = nd.load_network(path)
    convolutions_of(broken)["features.0"].whitening.running_mean.fill_(float("nan"))
    nd.save_network(broken, tmp_path / "broken.safetensors")
    with pytest.raises((NumericalError, DataError), match="broken.safetensors"):
        nd.features(str(tmp_path / "broken.safetensors"), photo)


def test_configurations_are_checked():
    for settings, message in (
        ({"layer": 0}, "at least 1"),
        ({"arch": "vgg12"}, "must be one of"),
        ({"size": 0}, "size"),
    ):
        with pytest.raises(OptionError, match=message):
            nd.FeaturesConfig(**settings)


@pytest.mark.parametrize(
    ("count", "height", "width", "columns"),
    [(16, 20, 30, 4), (16, 28, 32, 4), (5, 6, 6, 2), (1, 9, 4, 1), (7, 5, 1, 7)],
)
def test_a_mosaic_is_about_square_and_leaves_few_places_empty(count, height, width, columns):
    picture = mosaic(np.ones((count, height, width), dtype=np.float32))
    assert picture.shape[1] == columns * (width + 1) - 1


@pytest.mark.filterwarnings(UNTRAINED)
def test_the_fifth_convolution_or_the_last_of_fewer_is_the_default(tmp_path):
    """simple_cnn has one convolution, and its name an underscore; vgg11 has eight."""
    for arch, number in (("simple_cnn", 1), ("vgg11", 5)):
        path = tmp_path / f"{arch}.safetensors"
        nd.save_network(nd.build(arch, "bn"), path)
        result = nd.features(str(path), size=256)
        assert result.number == number
        assert result.network == f"{arch}, bn"
    with pytest.raises(OptionError, match="must be at most 1, the number of convolutions, got 5"):
        nd.features(str(tmp_path / "simple_cnn.safetensors"), layer=5, size=128)


def test_a_mosaic_scales_each_channel_and_keeps_their_order():
    channels = np.random.default_rng(0).normal(size=(5, 6, 4)).astype(np.float32) * np.arange(1, 6)[:, None, None]
    channels[3] = 2.0
    picture = mosaic(channels)
    columns = (picture.shape[1] + 1) // 5
    for i, channel in enumerate(channels):
        top, left = i // columns * 7, i % columns * 5
        span = np.ptp(channel)
        wanted = (channel - channel.min()) / span if span else np.zeros_like(channel)
        np.testing.assert_allclose(picture[top : top + 6, left : left + 4], wanted, rtol=1e-6)
    assert (picture[6] == 1).all()


def test_a_network_of_one_channel_shows_a_grey_image_without_a_warning(tmp_path):
    """Pixels of a grey image are a view that torch takes with a warning, unless they are copied."""
    warned = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # the warning is given once in a process only
    try:
        path = tmp_path / "grey.safetensors"
        nd.save_network(nd.build("simple_cnn", "bn", in_channels=1), path)
        result = invoke("features", path, "--size", 32, "--layer", 1, "--out", tmp_path)
    finally:
        torch.set_warn_always(warned)
    assert result.exit_code == 0, result.stderr
    assert "not writable" not in result.stderr
    assert "1 channel of" in result.stdout
