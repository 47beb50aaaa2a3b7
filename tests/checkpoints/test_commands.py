"""``ndtools convert``, ``fold`` and ``audit`` as their user meets them: screen, files, exit codes."""

import json
import shutil
from dataclasses import asdict

import pytest
import torch
from torch import nn

from ndtools.checkpoints.config import CheckpointConfig
from ndtools.checkpoints.files import load_network, read_checkpoint, save_network
from ndtools.checkpoints.metadata import spec_from_metadata
from ndtools.checkpoints.state_dicts import load_state, save_state
from ndtools.errors import DataError
from ndtools.layers.config import DeconvConfig
from ndtools.models import build
from ndtools.models.factories import LayerSpec, batch_norm, deconv, plain
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.convert import convert
from ndtools.surgery.fold import fold
from ndtools.surgery.replacing import deconvolves
from tests.commands import invoke
from tests.narrow_networks import narrow

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
BLOCK = 16  # small, so that tests are quick


@pytest.fixture(scope="module", autouse=True)
def narrow_networks():
    with pytest.MonkeyPatch.context() as patch:
        narrow(patch)
        yield


def trained(model, in_channels=3, steps=2):
    """Train for a few steps on noise."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        x = torch.randn(4, in_channels, 32, 32)
        nn.functional.cross_entropy(model(x), torch.arange(4)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A VGG-11 as the published code saves it, and the network."""
    torch.manual_seed(0)
    config = DeconvConfig.reference(block_size=BLOCK)
    linear = DeconvConfig.reference(block_size=32)
    model = trained(build("vgg11", deconv(config, first=config, linear=linear), num_classes=7), steps=1).eval()
    state = {}
    for key, value in model.state_dict().items():
        if "num_batches_tracked" in key:
            continue
        if "running_mean" in key:
            value = value.flatten()
        if "running_deconv" in key:
            value = value[0, 0]
        state["module." + key.replace("whitening.", "")] = value
    path = tmp_path_factory.mktemp("published") / "ckpt.pt"
    torch.save({"net": state, "acc": 12.5, "epoch": 3}, path)
    return path, model


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A checkpoint of the project, and the network."""
    path = tmp_path_factory.mktemp("own") / "net.safetensors"
    config = DeconvConfig(block_size=BLOCK, sampling_stride=2)
    layers = deconv(config, first=config).layers
    network = NetworkSpec(arch="vgg11", num_classes=5, in_channels=1, layers=layers)
    torch.manual_seed(0)
    model = trained(network.build(), 1).eval()
    save_state(path, model.state_dict(), asdict(network))
    return path, model


@pytest.fixture
def settings(tmp_path):
    """Write a file of settings."""

    def write(**values):
        path = tmp_path / "settings.json"
        path.write_text(json.dumps(values))
        return path

    return write


def test_from_published_to_folded(published, images, tmp_path):
    source, model = published
    ours, folded = tmp_path / "ours.safetensors", tmp_path / "folded.safetensors"
    result = invoke("convert", source, "--arch", "vgg11", "--to", ours)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "vgg11 · 3 channels · 7 classes · translated from the published code: the same function"
    assert lines[2].split()[:4] == ["features.0", "FastDeconv", "FastDeconv2d", "converted"]
    assert lines[-5].split()[:4] == ["classifier", "Delinear", "DeconvLinear", "converted"]
    assert lines[-4] == "9 converted, 0 removed, 0 kept"
    note = " ".join(" ".join(lines[-3:]).split())
    assert note == (
        "settings assumed: momentum=0.1, sampling_stride=3, through_statistics=True, layer_norm=False,"
        " first.freeze_after=101 (the file does not say; choose with --config)"
    )
    assert max(map(len, lines[-3:])) <= 80
    assert result.stderr.startswith(f"{ours}   ")
    given = read_checkpoint(CheckpointConfig(source=str(ours)))
    network, state = given.network, given.state
    conv, first = network.layer("conv").deconv, network.layer("first").deconv
    assert (conv.block_size, conv.grouping) == (BLOCK, "published")
    assert (first.n_iter, first.freeze_after) == (15, 101)
    again = network.build().eval()
    again.load_state_dict(state)
    torch.testing.assert_close(again(images), model(images))

    result = invoke("fold", ours, "--to", folded)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("vgg11 · 3 channels · 7 classes · 9 layers folded · max difference ")
    assert result.stdout.endswith("8 random images 32×32, seed 0\n")
    simple = build("vgg11", plain(), num_classes=7).eval()
    state, metadata = load_state(folded)
    simple.load_state_dict(state)
    assert metadata["layers"] == {role: asdict(LayerSpec()) for role in ("conv", "linear")}
    torch.testing.assert_close(simple(images), model(images), rtol=1e-3, atol=1e-4)
    straight = invoke("fold", source, "--arch", "vgg11", "--to", tmp_path / "straight.safetensors", "--json")
    assert straight.exit_code == 0, straight.stderr
    content = json.loads(straight.stdout)
    assert content["max_difference"] < 1e-5 * max(1, content["largest_output"])
    assert (content["layers"], content["size"], content["seed"]) == (9, 32, 0)
    assert content["output"] == str(tmp_path / "straight.safetensors")
    assert content["input"] == str(source)
    torch.testing.assert_close(load_state(tmp_path / "straight.safetensors")[0], state)


@pytest.mark.parametrize(
    ("arch", "make"),
    [
        ("vgg11", batch_norm(conv_bias=True)),
        ("resnet18", batch_norm()),
        ("preact_resnet18", batch_norm()),
        ("preact_resnet18", plain()),
    ],
)
def test_a_network_that_is_not_of_the_method(arch, make, images, tmp_path):
    model = build(arch, make, num_classes=4).eval()
    source = tmp_path / "net.pt"
    torch.save({"state_dict": model.state_dict()}, source)
    result = invoke("convert", source, "--arch", arch, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    content = json.loads(result.stdout)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert (content["converted"], content["removed"], content["kept"]) == (len(convolutions) + 1, norms, 0)
    assert content["layers"][0]["reason"].startswith("first")
    given = read_checkpoint(CheckpointConfig(source=str(tmp_path / "net-deconv.safetensors")))
    network, state = given.network, given.state
    assert network.layer("first").deconv == DeconvConfig(n_iter=15, freeze_after=200)
    assert network.layer("linear").deconv == DeconvConfig(block_size=512)
    ours = network.build()
    ours.load_state_dict(state)
    layers = [m for m in ours.modules() if deconvolves(m)]
    for old, new in zip(convolutions, layers[:-1], strict=True):
        assert torch.equal(old.weight, new.weight)
        assert not new.bias.any() if old.bias is None else torch.equal(old.bias, new.bias)
    if not norms:
        torch.testing.assert_close(ours.eval()(images), model(images))
    refused = invoke("fold", tmp_path / "net-deconv.safetensors")
    assert refused.exit_code == 3
    assert "have not seen a training batch" in refused.stderr


def test_audit(own):
    path, model = own
    result = invoke("audit", path, "--batch-size", 4)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "vgg11 · 1 channel · 5 classes · batches of 4 images 32×32"
    assert len(lines) == 2 + 8 + 2 + 1 + 1 + 2  # no note on settings: the file says them
    assert lines[2].split()[:5] == ["features.0", "FastDeconv2d", "1×1", "9", "1024"]
    assert lines[-4] == "8 deconvolution layers, 0 batch normalisations left"
    few = [line.split()[0] for line in lines if line.endswith(("few samples", "few samples, much padding"))]
    assert few[-1] == "features.18"
    assert "features.0" not in few
    assert lines[-3] == f"verdict: the statistics of {len(few)} of 8 layers come from too few samples to be trusted"
    assert lines[-2].startswith(f"{len(few)} layers have no more samples than features: take larger batches or smaller")
    assert lines[-1].startswith("2 layers have more than a third of padding in the sampled patches")
    quiet = invoke("audit", path, "--batch-size", 4, "-q")
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    assert quiet.stderr.splitlines() == [f"warning: {line}" for line in lines[-2:]]
    result = invoke("audit", path, "--json", "--batch-size", 4)
    content = json.loads(result.stdout)
    assert result.stderr == ""
    assert content["network"]["layers"]["conv"]["deconv"]["sampling_stride"] == 2
    assert content["settings_assumed"] is None
    assert [row["batches"] for row in content["rows"]] == [2] * 8
    assert content["rows"][0]["condition"] > 1
    assert content["rows"][0]["trouble"] == ""
    assert content["batch_norms"] == []


@pytest.mark.parametrize(("view", "side"), [({}, 32), ({"view": {"size": 64}}, 64), ({"view": {"crop": 20}}, 32)])
def test_audit_takes_batches_from_the_run_of_a_checkpoint(own, view, side, tmp_path):
    """Statistics of batches of 2 were called trustworthy, since the default of 128 images was assumed."""
    shutil.copy(own[0], tmp_path / "last.safetensors")
    about = {"format": 1, "name": "run", "arch": "vgg11", "norm": "deconv", "config": {"batch_size": 2}, "data": view}
    (tmp_path / "run.json").write_text(json.dumps({**about, "processes": 2}))
    result = invoke("audit", tmp_path / "last.safetensors")
    assert f"batches of 4 images {side}×{side}, as in training" in result.stdout.splitlines()[0]
    given = invoke("audit", own[0], "--batch-size", 4, "--size", side)
    assert result.stdout.splitlines()[1:] == given.stdout.splitlines()[1:]
    chosen = invoke("audit", tmp_path / "last.safetensors", "--batch-size", 3).stdout.splitlines()[0]
    assert chosen.endswith(f"batches of 3 images {side}×{side}")
    (tmp_path / "run.json").write_text("no JSON")
    save_state(tmp_path / "state.safetensors", {"step": torch.zeros(1)}, {})
    stated = invoke("audit", tmp_path / "state.safetensors")
    assert (stated.exit_code, "its network is in" in stated.stderr) == (3, True)
    assert "128 images 32×32" in invoke("audit", tmp_path / "last.safetensors").stdout
    assert "give the file" in invoke("audit", tmp_path).stderr


@pytest.mark.parametrize(
    ("view", "images"), [({"size": 64}, "8 random images 64×64"), ({"crop": 160}, "3 random images 160×160")]
)
def test_fold_compares_outputs_for_images_of_the_size_of_the_run(own, view, images, tmp_path):
    shutil.copy(own[0], tmp_path / "last.safetensors")
    about = {"format": 1, "name": "run", "arch": "vgg11", "norm": "deconv", "config": {"batch_size": 2}}
    (tmp_path / "run.json").write_text(json.dumps({**about, "data": {"view": view}}))
    assert images in invoke("fold", tmp_path / "last.safetensors").stdout
    chosen = invoke("fold", tmp_path / "last.safetensors", "--size", 224, "--json")
    assert (json.loads(chosen.stdout)["images"], json.loads(chosen.stdout)["size"]) == (2, 224)
    assert "8 random images 32×32" in invoke("fold", own[0], "--to", tmp_path / "folded.safetensors").stdout


def test_audit_names_singular_and_non_finite_statistics(own, tmp_path):
    state, metadata = load_state(own[0])
    state["features.0.whitening.running_covariance"][:] = 1e6  # rank 1, far above eps
    state["features.3.whitening.running_covariance"][0, 0, 0, 0] = torch.nan
    save_state(tmp_path / "odd.safetensors", state, metadata)
    result = invoke("audit", tmp_path / "odd.safetensors", "--batch-size", 4)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert (lines[2].split()[6], lines[3].split()[6:8]) == ("singular", ["non-finite", "non-finite"])
    rows = json.loads(invoke("audit", tmp_path / "odd.safetensors", "--batch-size", 4, "--json").stdout)["rows"]
    assert [row["trouble"] for row in rows[:3]] == ["singular", "non-finite", ""]
    assert rows[0]["condition"] is rows[1]["condition"] is rows[1]["residual"] is None


def test_audit_refuses_networks_without_deconvolution_layers(tmp_path):
    save_state(tmp_path / "bn.safetensors", build("vgg11", batch_norm()).state_dict())
    result = invoke("audit", tmp_path / "bn.safetensors", "--arch", "vgg11", "--batch-size", 1)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the network has no deconvolution layers but 8 batch normalisations" in result.stderr


def test_fold_writes_nothing_for_poor_statistics(own, tmp_path):
    state, metadata = load_state(own[0])
    covariance = "features.0.whitening.running_covariance"
    for change, words in (
        (
            torch.linspace(-1, 2, 9).diag(),
            "features.0: the averaged covariance has negative eigenvalues, as after rounding",
        ),
        (torch.full((9, 9), torch.nan), "features.0: the averaged statistics contain NaN or Inf, as after a training"),
    ):
        save_state(tmp_path / "poor.safetensors", state | {covariance: change.expand_as(state[covariance])}, metadata)
        result = invoke("fold", tmp_path / "poor.safetensors")
        assert (result.exit_code, result.stdout) == (4, "")
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "poor-folded.safetensors").exists()
    weight = state["classifier.weight"].clone()
    weight[0, 0] = torch.inf
    save_state(tmp_path / "poor.safetensors", state | {"classifier.weight": weight}, metadata)
    result = invoke("fold", tmp_path / "poor.safetensors")
    assert result.exit_code == 4
    assert "outputs for random images are not finite" in result.stderr
    assert not (tmp_path / "poor-folded.safetensors").exists()


def test_the_plan_has_the_names_of_the_file_that_is_written(tmp_path):
    source = tmp_path / "bn.safetensors"
    save_state(source, build("vgg11", batch_norm()).state_dict())
    content = json.loads(invoke("convert", source, "--arch", "vgg11", "--json").stdout)
    state, _ = load_state(tmp_path / "bn-deconv.safetensors")
    converted = [row for row in content["layers"] if row["action"] == "converted"]
    assert sorted(row["name"] for row in converted) == [
        k.removesuffix(".weight") for k in state if k.endswith(".weight")
    ]
    assert converted[1]["name"] == "features.3"
    assert converted[1]["reason"] == "bias added; features.4 in the source"
    assert converted[0]["reason"] == "first; bias added"
    norm = next(row for row in content["layers"] if row["action"] == "removed")
    assert (norm["name"], norm["reason"]) == ("features.1", "features.1 in the source")


def test_what_is_saved_in_python_is_read_by_commands_and_in_python(images, tmp_path):
    config = DeconvConfig(block_size=BLOCK, eps=0.01)
    model = trained(build("vgg11", deconv(config, linear=DeconvConfig(n_iter=3)), num_classes=4)).eval()
    save_network(nn.DataParallel(model), tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors")
    assert not again.training
    torch.testing.assert_close(again(images), model(images), rtol=0, atol=0)
    result = invoke("fold", tmp_path / "net.safetensors")
    assert result.exit_code == 0, result.stderr
    assert "settings assumed" not in result.stdout
    folded = load_network(tmp_path / "net-folded.safetensors", arch="vgg11", num_classes=4)
    torch.testing.assert_close(folded(images), model(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", ["vgg11", "resnet18", "preact_resnet18"])
@pytest.mark.parametrize("make", [plain, batch_norm, lambda: batch_norm(conv_bias=True), deconv])
def test_every_network_is_saved_as_what_it_is(arch, make, tmp_path):
    model = build(arch, make(), num_classes=4, in_channels=2)
    save_network(model, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors", arch=arch)
    assert str(again) == str(model)
    assert all(map(torch.equal, again.state_dict().values(), model.state_dict().values()))


def test_a_network_that_was_converted_and_folded_in_python_is_saved(images, tmp_path):
    source = build("vgg11", batch_norm(), num_classes=4)
    model = trained(convert(source)[0]).eval()
    save_network(model, tmp_path / "net.safetensors")
    torch.testing.assert_close(load_network(tmp_path / "net.safetensors")(images), model(images), rtol=0, atol=0)
    folded, _ = fold(model, images)
    save_network(folded, tmp_path / "folded.safetensors")
    torch.testing.assert_close(load_network(tmp_path / "folded.safetensors")(images), folded(images), rtol=0, atol=0)


def test_other_networks_are_not_saved(tmp_path):
    mixed = build("vgg11", deconv())
    mixed.features[2] = nn.Tanh()
    for model in (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)), nn.ReLU()):
        with pytest.raises(ValueError, match="has no specification, by which it could be read again"):
            save_network(model, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="is no longer a vgg11 in the form 'deconv'"):
        save_network(mixed, tmp_path / "x.safetensors")
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got one of type OrderedDict"):
        save_network(mixed.state_dict(), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_averages_of_the_other_preset_are_told(tmp_path):
    for config, given, other in (
        (DeconvConfig.reference(), [], "averages of D: try --config reference"),
        (
            DeconvConfig(),
            ["--config", "reference"],
            "averages of covariances: try --config interleaved or --config paper",
        ),
    ):
        save_state(tmp_path / "net.safetensors", build("vgg11", deconv(config, first=config)).state_dict())
        result = invoke("fold", tmp_path / "net.safetensors", "--arch", "vgg11", *given)
        assert result.exit_code == 3
        assert other in result.stderr


def test_settings_that_a_file_does_not_say(own, tmp_path, settings):
    """Another number of iterations is another D: what is assumed is said, and can be chosen."""
    bare, (state, metadata) = tmp_path / "bare.safetensors", load_state(own[0])
    state["features.0.whitening.running_covariance"][:] = torch.linspace(0.01, 3, 9).diag()
    save_state(bare, state)
    model = spec_from_metadata(metadata).holding(state).eval()
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(5))

    def fold(*options):
        result = invoke("fold", bare, "--arch", "vgg11", "--to", tmp_path / "x.safetensors", *options)
        assert result.exit_code == 0, result.stderr
        folded = build("vgg11", plain(), num_classes=5, in_channels=1).eval()
        folded.load_state_dict(load_state(tmp_path / "x.safetensors")[0])
        with torch.no_grad():
            wanted = model(images)
            return result, (folded(images) - wanted).abs().max() / wanted.abs().max()

    result, difference = fold()
    assert difference > 1e-3  # the network has 5 iterations in its first layer, too
    note = " ".join(line.strip() for line in result.stdout.splitlines()[1:])
    assert note == (
        "settings assumed: eps=1e-05, n_iter=5, first.n_iter=15 (the file does not say; choose with --config)"
    )
    result, difference = fold(
        "--config", settings(preset="interleaved", first={"n_iter": 5}, freeze_after=None), "--json"
    )
    assert difference < 1e-4
    assumed = json.loads(result.stdout)["settings_assumed"]
    assert (assumed["first"]["n_iter"], assumed["first"]["freeze_after"]) == (5, None)
    assert (assumed["conv"]["block_size"], assumed["linear"]) == (BLOCK, None)
    result, difference = fold("--config", settings(n_iter=5))  # in all layers
    assert difference < 1e-4
    assert "first." not in result.stdout
    result = invoke("audit", bare, "--arch", "vgg11", "--config", settings(eps=0.5))
    assert "\nsettings assumed: eps=0.5, n_iter=5, sampling_stride=3, first.n_iter=15 (" in result.stdout
    result = invoke("audit", bare, "--arch", "vgg11", "--config", "reference")
    assert result.exit_code == 3
    assert "running_deconv is missing" in result.stderr


def test_settings_to_convert_to(tmp_path, settings):
    save_state(tmp_path / "net.safetensors", build("vgg11", plain()).state_dict())
    options = ["--arch", "vgg11", "--config", settings(preset="reference", eps=0.01, block_size=16, first={"eps": 0.1})]
    result = invoke("convert", tmp_path / "net.safetensors", *options)
    assert "settings assumed" not in result.stdout
    network = read_checkpoint(CheckpointConfig(source=str(tmp_path / "net-deconv.safetensors"))).network
    assert network.layer("conv").deconv == DeconvConfig.reference(eps=0.01, block_size=16)
    assert network.layer("first").deconv == DeconvConfig.reference(eps=0.1, block_size=16, n_iter=15, freeze_after=200)
    assert network.layer("linear").deconv == DeconvConfig.reference(eps=0.01, block_size=512)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_checkpoints_of_other_precisions(own, dtype, tmp_path):
    state, metadata = load_state(own[0])
    other = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    save_state(tmp_path / "net.safetensors", other, metadata)
    result = invoke("fold", tmp_path / "net.safetensors", "--json", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(result.stdout)
    assert content["max_difference"] < (1e-12 if dtype == torch.float64 else 1e-4) * max(1, content["largest_output"])
    folded = load_state(tmp_path / "net-folded.safetensors")[0]
    assert {value.dtype for value in folded.values()} == {torch.float64 if dtype == torch.float64 else torch.float32}
    assert invoke("audit", tmp_path / "net.safetensors", "--batch-size", 4).exit_code == 0


def test_tensors_that_are_no_floating_numbers(own, tmp_path):
    state, metadata = load_state(own[0])
    save_state(tmp_path / "x.safetensors", state | {"features.0.weight": state["features.0.weight"].int()}, metadata)
    result = invoke("fold", tmp_path / "x.safetensors")
    assert result.exit_code == 3
    assert "features.0.weight is of torch.int32, not torch.float32" in result.stderr


EARLIER = {"form": "deconv", "config": None, "first": None, "linear": None}


def role(name, **values):
    """Metadata with a change in the layers of one role."""
    layers = {"conv": {}, "linear": {}, name: {"deconv": {"n_iter": 9}, **values}}
    return {"layers": layers}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"later": 1}, "there is no later"),
        ({"num_classes": "ten"}, "num_classes must be a whole number, got 'ten'"),
        ({"num_classes": True}, "num_classes must be a whole number, got True"),
        ({"in_channels": 10**30}, "in_channels must be at least 1 and below 2"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"arch": "vgg12"}, "arch must be one of vgg11, .* got 'vgg12'"),
        ({"arch": ["vgg11"]}, r"arch must be a str, got \['vgg11'\]"),
        (
            role("conv", deconv={"block_size": 2.5}),
            "layers.conv.deconv.block_size must be a whole number or a str or null",
        ),
        (role("conv", deconv={"n_iter": None}), "layers.conv.deconv.n_iter must be a whole number, got None"),
        (role("first", deconv={"sync": 0}), "layers.first.deconv.sync must be true or false, got 0"),
        (role("linear", deconv={"eps": -1}), "layers.linear.deconv.eps: must be above 0"),
        (role("linear", deconv={"epsilon": 1}), "there is no layers.linear.deconv.epsilon"),
        (role("conv", deconv=3), "layers.conv.deconv must be an object of settings or null, got 3"),
        (role("conv", norm="odd"), "layers.conv.norm must be 'none' or 'batch_norm' or 'group_norm' or"),
        (role("conv", bias=1), "layers.conv.bias must be true or false, got 1"),
        (role("depthwise"), "vgg11 has no layers in the role 'depthwise'; its roles are conv, first, linear"),
        ({"layers": [1]}, r"layers must be an object with an object for each role, got \[1\]"),
        ({"layers": {"conv": 1}}, "layers must be an object with an object for each role, got {'conv': 1}"),
        ({**EARLIER, "form": "deconvolved"}, "form must be 'plain' or .*, got 'deconvolved'"),
        ({**EARLIER, "config": {"n_iter": None}}, "config.n_iter must be a whole number, got None"),
        ({**EARLIER, "first": {"epsilon": 1}}, "there is no first.epsilon"),
        ({**EARLIER, "layers": {}}, "there is no layers; settings are arch"),
    ],
)
def test_metadata_of_other_types(own, tmp_path, change, message):
    state, metadata = load_state(own[0])
    path = tmp_path / "odd.safetensors"
    if "form" in change:
        metadata.pop("layers")
    save_state(path, state, metadata | change)
    with pytest.raises(DataError, match=f"{path}: metadata that this version does not know: {message}"):
        read_checkpoint(CheckpointConfig(source=str(path)))


def test_every_command_refuses_metadata_that_it_does_not_know(own, tmp_path):
    state, metadata = load_state(own[0])
    save_state(tmp_path / "odd.safetensors", state, metadata | {"later": 1})
    for command in ("fold", "audit", "convert"):
        result = invoke(command, tmp_path / "odd.safetensors")
        assert result.exit_code == 3
        assert "odd.safetensors: metadata that this version does not know: there is no later" in result.stderr


def test_metadata_that_is_not_whole(own, tmp_path):
    save_state(tmp_path / "x.safetensors", load_state(own[0])[0], {"arch": "vgg11"})
    result = invoke("fold", tmp_path / "x.safetensors")
    assert result.exit_code == 3
    assert "metadata that this version does not know" in result.stderr
    assert "num_classes" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--arch", "vgg16"], 2, "--arch vgg16 contradicts the checkpoint, which says vgg11"),
        (["--arch", "vgg12"], 2, "--arch must be one of vgg11, vgg13"),
        (["--num-classes", 10], 2, "--num-classes 10 contradicts the checkpoint, which says 5"),
        (["--in-channels", 3], 2, "--in-channels 3 contradicts the checkpoint, which says 1"),
        (
            ["--config", "reference"],
            2,
            "--config grouping = published contradicts the checkpoint, which says interleaved",
        ),
        (
            ["--config", "papers"],
            2,
            "--config must be one of interleaved, paper, reference, or a .json file of settings, got 'papers'",
        ),
        (["--config", "none.json"], 2, "--config cannot read none.json: "),
        (["--size", 31], 2, "--size must be at least 32, got 31"),
        (["--in-channels", 0], 2, "--in-channels must be at least 1, got 0"),
        (["--to", "net.pt"], 2, "--to must end in .safetensors, got net.pt"),
    ],
)
def test_contradictions(own, options, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("fold", own[0], *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert not own[0].with_name("net-folded.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"n_iter": 7}', "--config n_iter = 7 contradicts the checkpoint, which says 5"),
        ('{"first": {"n_iter": 7}}', "--config first.n_iter = 7 contradicts the checkpoint, which says 5"),
        ('{"preset": "paper", "foo": 1}', "there is no setting 'foo'; settings are block_size, eps"),
        ('{"n_iter": "x"}', "settings.json: n_iter must be a whole number, got 'x'"),
        ('{"first": {"grid": "round"}}', "first.grid must be 'staggered' or 'corner', got 'round'"),
        ('{"eps": -1}', "settings.json: eps: must be above 0"),
        ('{"eps": ' + "[" * 300 + "]" * 300 + "}", "eps must be a number, got [[[[[[[...]]]]]]]"),
        ('{"eps": ' + "[" * 100_000, "settings.json is not a JSON file"),
        ('{"n_iter": 1000000}', "n_iter: must be at most 1000"),
        ('{"preset": 3}', "preset must be one of interleaved, paper, reference, got 3"),
        ('{"preset": "x"}', "preset must be one of interleaved, paper, reference, got 'x'"),
        ('{"first": 3}', "first must be an object of settings or null, got 3"),
        ("[]", "must hold a JSON object, such as"),
        ("", "is not a JSON file"),
    ],
)
def test_files_of_settings(own, tmp_path, content, message):
    (tmp_path / "settings.json").write_text(content)
    result = invoke("audit", own[0], "--config", tmp_path / "settings.json")
    assert result.exit_code == 2
    assert message in result.stderr


def test_options_that_agree_are_no_contradiction(own, tmp_path, settings):
    agreed = settings(
        preset="interleaved", sampling_stride=2, freeze_after=None, first={"grid": "staggered"}, sync=False
    )
    agreeing = ["--arch", "vgg11", "--num-classes", 5, "--in-channels", 1, "--config", agreed]
    result = invoke("fold", own[0], *agreeing, "--to", tmp_path / "x.safetensors", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    result = invoke("fold", own[0], "--to", tmp_path / "x.safetensors")
    assert result.stderr.endswith("(replaced)\n")


def test_unusable_checkpoints(own, published, tmp_path):
    path, source = own[0], published[0]
    for arguments, code, message in (
        (["fold", tmp_path / "none.pt"], 3, "no such file"),
        (["fold", source], 2, "does not say of which network it is, one of vgg11, vgg13, "),
        (["fold", source, "--arch", "resnet18"], 3, "not a checkpoint of resnet18: it has no convolution conv1 or"),
        (["fold", source, "--arch", "vgg11", "--num-classes", 8], 2, "--num-classes 8 contradicts the checkpoint"),
        (["convert", source, "--arch", "vgg11", "--config", "paper"], 2, "paper contradicts the checkpoint"),
        (["fold", source, "--arch", "vgg11", "--config", "paper"], 2, "paper contradicts the checkpoint"),
        (["convert", path], 3, "it has deconvolution layers of ndtools already"),
        (["convert", path, "--to", path], 2, "must not be the checkpoint itself"),
        (["audit", path, "--batch-size", 0], 2, "--batch-size must be at least 1"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == code, (arguments, result.stderr)
        assert message in result.stderr
    save_state(tmp_path / "plain.safetensors", build("vgg11", plain()).state_dict())
    result = invoke("fold", tmp_path / "plain.safetensors", "--arch", "vgg11")
    assert result.exit_code == 3
    assert "there is nothing to fold" in result.stderr
    result = invoke("fold", tmp_path / "plain.safetensors", "--arch", "vgg13")
    assert result.exit_code == 3
    assert "not a checkpoint of vgg13" in result.stderr
