"""Networks for segmentation: sizes, dilation, heads, every arm, folding, files."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, cross_entropy, interpolate

from ndtools.checkpoints.files import load_network, save_network
from ndtools.errors import DataError, NumericalWarning, OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.models import NAMES, NORMS, SEGMENTATION_NAMES, arm, build
from ndtools.models.factories import Factories, deconv
from ndtools.models.resnet import DilatedResNet
from ndtools.models.segmentation import ASPP, SegmentationOutput, Unit, _check_single_image
from ndtools.surgery.audit import audit
from ndtools.surgery.fold import fold
from ndtools.training.processes import synchronised
from tests.commands import invoke
from tests.narrow_networks import narrow, small
from tests.tolerance import assert_equal_to_rounding

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
SIZE = (37, 50)  # divided by 8 neither way


@pytest.fixture
def tiny(monkeypatch):
    small(monkeypatch)
    torch.manual_seed(0)


def outline(name, norm="deconv", **sizes):
    with torch.device("meta"):
        return build(name, norm, **sizes)


def images(count, seed=1, size=SIZE, dtype=torch.float64):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels(count, classes=10):
    """Blocks of labels, some of which are ignored."""
    found = torch.randint(classes, (count, 5, 5), generator=torch.Generator().manual_seed(0))
    found[:, 2] = 255
    return interpolate(found[:, None].double(), SIZE)[:, 0].long()


def loss_of(network, x):
    out = network(x)
    assert isinstance(out, SegmentationOutput)
    assert out.logits.shape == out.auxiliary.shape == (len(x), 10, *SIZE)
    return sum(
        weight * cross_entropy(each, labels(len(x)), ignore_index=255)
        for weight, each in zip((1, 0.5), out, strict=True)
    )


def test_names_of_both_tasks_are_apart():
    assert SEGMENTATION_NAMES == ("deeplabv3_resnet50", "deeplabv3_resnet18", "fcn_resnet50", "fcn_resnet18")
    assert not set(NAMES) & set(SEGMENTATION_NAMES)


@pytest.mark.parametrize(("name", "size"), [("deeplabv3_resnet50", 42_004_074), ("fcn_resnet50", 35_322_218)])
def test_sizes_are_those_of_torchvision(name, size):
    assert sum(value.numel() for value in outline(name, "bn", num_classes=21).parameters()) == size


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("size", [SIZE, (64, 33)])
def test_dilated_stages_compute_what_the_strides_leave_out_as_well(depth, size, monkeypatch):
    """Each pixel that a ResNet's own stages have is there, among those in between."""
    narrow(monkeypatch)
    torch.manual_seed(0)
    plain = build(f"resnet{depth}", arm("bn", "resnet18"), stem="imagenet").double().eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -1, 1)
    dilated = DilatedResNet(depth, arm("bn", "resnet18"), in_channels=3).double().eval()
    state = plain.state_dict()
    dilated.load_state_dict({key: value for key, value in state.items() if not key.startswith("linear")})
    seen = {}
    for stage in "layer3", "layer4":
        plain.get_submodule(stage).register_forward_hook(lambda _, args, out, stage=stage: seen.update({stage: out}))
    with torch.no_grad():
        plain(images(2, size=size))
        third, last = dilated(images(2, size=size))
    assert third.shape[2:] == last.shape[2:] == tuple(-(-n // 8) for n in size)
    for found, wanted in (third[..., ::2, ::2], seen["layer3"]), (last[..., ::4, ::4], seen["layer4"]):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10 * wanted.abs().max().item())


def test_the_pyramid_is_its_branches_side_by_side(tiny):
    head = ASPP(6, Factories(arm("none", "fcn_resnet18").layers)).double().eval()
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)

    def applied(unit, x, **arguments):
        return conv2d(x, unit.conv.weight, unit.conv.bias, **arguments).relu()

    point, *wide = head.branches
    outputs = [applied(point, x)]
    outputs += [applied(unit, x, padding=r, dilation=r) for unit, r in zip(wide, (12, 24, 36), strict=True)]
    outputs.append(applied(head.pooled, avg_pool2d(x, (9, 7))).repeat(1, 1, 9, 7))
    wanted = applied(head.project, torch.cat(outputs, 1))
    torch.testing.assert_close(head(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("deeplabv3_resnet18", norm) for norm in NORMS]
    + [(name, norm) for name in ("deeplabv3_resnet50", "fcn_resnet18", "fcn_resnet50") for norm in ("bn", "deconv")],
)
def test_every_arm_learns_a_step(name, norm, tiny):
    """The gradient says how much a step lowers the loss of both heads."""
    few = DeconvConfig(eps=0.1, sampling_stride=1)
    network = build(name, deconv(few) if norm == "deconv" else norm).double()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    before = loss_of(network, images(2))
    before.backward()
    assert not [key for key, value in network.named_parameters() if value.grad is None]
    squared = sum(value.grad.square().sum() for value in network.parameters())
    wanted = 1e-7
    torch.optim.SGD(network.parameters(), lr=float(wanted / squared)).step()
    with torch.no_grad():
        after = loss_of(network, images(2))
        found = network.eval()(images(1))
    exact = norm in ("deconv", "bn", "gn", "ln", "none")  # others have a few iterations on few samples
    assert (before - after).item() == pytest.approx(wanted, rel=0.02 if exact else 0.3)
    assert found.shape == (1, 10, *SIZE)
    assert found.isfinite().all()


@pytest.mark.parametrize("name", SEGMENTATION_NAMES)
def test_the_auxiliary_head_sees_the_third_stage_and_has_no_part_in_evaluation(name, tiny):
    network = build(name, "gn").double()
    loss = network(images(1)).auxiliary.sum()
    loss.backward()
    reached = {key for key, value in network.named_parameters() if value.grad is not None}
    assert {key for key, _ in network.auxiliary.named_parameters("auxiliary")} < reached
    assert not [key for key in reached if key.startswith(("head", "backbone.layer4"))]
    network.eval()
    with torch.no_grad():
        wanted = network(images(1))
        for value in network.auxiliary.parameters():
            value.fill_(torch.nan)
        assert torch.equal(network(images(1)), wanted)


@pytest.mark.parametrize("name", ["deeplabv3_resnet18", "fcn_resnet50"])
def test_deconvolution_is_in_every_layer_and_folds_into_plain_ones(name, tiny):
    network = build(name, deconv(DeconvConfig(eps=0.1, sampling_stride=1))).double()
    with torch.no_grad():
        network(images(4))
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    found, x = audit(network.eval(), images(2)), images(2, seed=2)
    assert (len(found.rows), found.batch_norms) == (convolutions, ())
    folded, difference = fold(network, x)
    assert {type(module) for module in folded.modules() if module._parameters} == {nn.Conv2d}
    assert (folded.spec.form, folded.spec.arch, folded.spec.stem) == ("plain", name, "imagenet")
    with torch.no_grad():
        ours, wanted = folded(x), network(x)
        assert_equal_to_rounding(ours, wanted, single=folded.float()(x.float()))
    assert difference == (ours - wanted).abs().max()
    assert torch.equal(ours.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize(("depth", "stages"), [(50, (1, 2, 3, 4)), (18, (2, 3, 4))])
@pytest.mark.parametrize("head", ["deeplabv3", "fcn"])
def test_the_reference_keeps_the_batch_normalisations_of_shortcuts(head, depth, stages, tiny):
    network = build(f"{head}_resnet{depth}", "deconv-reference")
    assert audit(network).batch_norms == tuple(f"backbone.layer{stage}.0.shortcut.1" for stage in stages)
    assert all(isinstance(m, FastDeconv2d) for m in network.modules() if isinstance(m, nn.Conv2d))
    reference = DeconvConfig.reference
    for role in "conv", "shortcut", "aspp", "pooled", "head", "auxiliary":
        assert network.spec.layer(role).deconv == reference()
    assert network.spec.layer("first").deconv == reference(n_iter=15, freeze_after=101)
    for last in network.head.classifier, network.auxiliary.classifier:
        assert [(part.blocks, part.size) for part in last.whitening.parts] == [(1, last.in_channels)]


def test_our_form_is_ours_in_every_role():
    for name in SEGMENTATION_NAMES:
        assert arm("deconv", name) == deconv()
        assert {m.whitening.config for m in outline(name).modules() if isinstance(m, FastDeconv2d)} == {
            DeconvConfig(),
            DeconvConfig().for_first_layer(),
        }


def test_initial_weights_are_those_for_imagenet_but_of_layers_that_deconvolve(monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    for norm, wanted in ("bn", 1), ("deconv", None):
        network = build("fcn_resnet18", norm)
        for layer in (each for stage in (2, 3, 4) for each in network.backbone.get_submodule(f"layer{stage}")):
            fans = nn.init._calculate_fan_in_and_fan_out(layer.conv2.weight)
            expected = 2 / fans[1] if wanted else 1 / (3 * fans[0])
            assert layer.conv2.weight.var().item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("channels", [512, 2048])
@pytest.mark.parametrize("norm", ["deconv", "deconv-reference", "nd++"])
def test_few_images_do_not_blow_up_the_branch_of_the_whole_image(norm, channels, count):
    """In evaluation outputs are about as large as those of a large training batch."""
    torch.manual_seed(0)
    unit = Unit(channels, 32, 1, arm(norm, "deeplabv3_resnet50"), role="pooled")
    usual = torch.rand(channels) / 2

    def pooled(images):
        return (usual + 0.1 * torch.randn(images, channels)).relu()[..., None, None]

    with torch.no_grad():
        for _ in range(12):
            unit(pooled(count))
        found = unit.eval()(pooled(64))
        fresh = Unit(channels, 32, 1, arm(norm, "deeplabv3_resnet50"), role="pooled")
        fresh.load_state_dict(unit.state_dict())
        large = fresh(pooled(64))
    assert found.std() < 1.5 * large.std()
    assert found.max() < 2 * large.max()


def test_a_single_image_is_refused_where_it_is_the_only_sample(tiny):
    cases = [
        ("bn", "batch normalisation"),
        ("iternorm", "iterative normalisation"),
        ("first-whitened", "batch normalisation"),
        (deconv(DeconvConfig.paper()), "deconvolution with one D for each block"),
    ]
    for norm, words in cases:
        network = build("deeplabv3_resnet18", norm)
        with pytest.raises(OptionError, match=f"^batch_size: must be at least 2 for a DeepLabV3 with {words}: its"):
            network(images(1, dtype=torch.float32))
        network(images(2, dtype=torch.float32))
        network.eval()(images(1, dtype=torch.float32))
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        if norm == "bn":
            network(images(1, dtype=torch.float32))


@pytest.mark.parametrize("norm", ["deconv", "gn", "ln", "none"])
def test_a_single_image_is_enough_elsewhere(norm, monkeypatch):
    monkeypatch.setattr("ndtools.models.segmentation._WIDTH", 64)
    torch.manual_seed(0)
    aspp = ASPP(512, arm(norm, "deeplabv3_resnet18"))
    assert aspp(torch.randn(1, 512, 3, 3)).isfinite().all()


@pytest.mark.parametrize("norm", ["bn", "iternorm"])
def test_processes_of_one_image_each_share_their_statistics(norm, monkeypatch):
    monkeypatch.setattr("ndtools.models.segmentation._WIDTH", 64)
    aspp = ASPP(8, arm(norm, "deeplabv3_resnet18"))
    for module in ("ndtools.models.segmentation", "ndtools.training.processes"):
        monkeypatch.setattr(f"{module}.world_size", lambda: 2)
    with synchronised(aspp):
        _check_single_image(aspp.pooled)
    with pytest.raises(OptionError, match="^batch_size"):
        _check_single_image(aspp.pooled)


@pytest.mark.parametrize("norm", ["deconv", "deconv-reference", "gn", "iternorm", "first-whitened"])
@pytest.mark.parametrize("name", ["deeplabv3_resnet18", "fcn_resnet50"])
def test_networks_are_built_again_from_files(name, norm, tiny, tmp_path):
    network = build(name, norm, num_classes=3, in_channels=1).eval()
    save_network(network, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors").eval()
    assert (again.spec, str(again)) == (network.spec, str(network))
    x = torch.randn(1, 1, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "fcn_resnet18"])
def test_commands_convert_and_fold(name, tiny, tmp_path):
    save_network(build(name, "bn"), tmp_path / "net.safetensors")
    result = invoke("convert", tmp_path / "net.safetensors", "--quiet")
    assert result.exit_code == 0, result.output
    converted = load_network(tmp_path / "net-deconv.safetensors")
    assert {type(module) for module in converted.modules() if module._parameters} == {FastDeconv2d}
    assert (converted.spec.form, audit(converted).batch_norms) == ("deconv", ())
    with torch.no_grad():
        converted.train()(images(4, dtype=torch.float32))
    save_network(converted, tmp_path / "trained.safetensors")
    result = invoke("fold", tmp_path / "trained.safetensors")
    assert result.exit_code == 0, result.output
    assert ", 2 random images 224×224, seed 0" in result.stdout.replace(" · ", ", ")
    folded = load_network(tmp_path / "trained-folded.safetensors").eval()
    assert (folded.spec.form, folded.spec.arch) == ("plain", name)
    x = images(2, dtype=torch.float32)
    with torch.no_grad():
        ours, wanted = folded(x), converted.eval()(x)
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-3 * wanted.abs().max().item())


def as_torchvision(name, state):
    """Write names of ours as torchvision has them."""
    heads = {
        "auxiliary.unit.conv": "aux_classifier.0",
        "auxiliary.unit.norm": "aux_classifier.1",
        "auxiliary.classifier": "aux_classifier.4",
        "head.classifier": "classifier.4",
    }
    if name.startswith("fcn"):
        heads |= {"head.unit.conv": "classifier.0", "head.unit.norm": "classifier.1"}
    else:
        heads |= {"head.unit.conv": "classifier.1", "head.unit.norm": "classifier.2"}
        heads |= {f"head.aspp.branches.{i}.conv": f"classifier.0.convs.{i}.0" for i in range(4)}
        heads |= {f"head.aspp.branches.{i}.norm": f"classifier.0.convs.{i}.1" for i in range(4)}
        heads |= {"head.aspp.pooled.conv": "classifier.0.convs.4.1", "head.aspp.pooled.norm": "classifier.0.convs.4.2"}
        heads |= {"head.aspp.project.conv": "classifier.0.project.0"}
        heads |= {"head.aspp.project.norm": "classifier.0.project.1"}
    named = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        named[f"{heads.get(layer, layer.replace('shortcut', 'downsample'))}.{kind}"] = value
    return named


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "fcn_resnet50"])
def test_checkpoints_of_torchvision_are_read(name, tiny, tmp_path):
    network = build(name, "bn", num_classes=7).eval()
    named = as_torchvision(name, network.state_dict())
    assert not [key for key in named if key.startswith(("head", "auxiliary"))]
    torch.save(named, tmp_path / "net.pt")
    again = load_network(tmp_path / "net.pt", arch=name).eval()
    assert again.spec == network.spec
    with torch.no_grad():
        torch.testing.assert_close(again(images(1).float()), network(images(1).float()), rtol=1e-5, atol=1e-6)
    torch.save({key: value for key, value in named.items() if not key.startswith("aux")}, tmp_path / "less.pt")
    with pytest.raises(DataError, match=f"not a checkpoint of {name}: it has .* no convolution auxiliary.classifier$"):
        load_network(tmp_path / "less.pt", arch=name)


@pytest.mark.parametrize("make", [build, lambda name, stem: arm("bn", name, stem=stem)])
def test_they_have_one_form(make):
    with pytest.raises(OptionError, match="^stem: of fcn_resnet18 is 'imagenet'$"):
        make("fcn_resnet18", stem="cifar")
    make("fcn_resnet18", stem="imagenet")


def test_commands_for_classification_refuse_them(tmp_path):
    result = invoke("train", "mnist", "--arch", "fcn_resnet18", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "got 'fcn_resnet18', which is a network of `ndtools segment`" in result.stderr
    assert "deeplabv3" not in invoke("train", "--help").output


def test_the_reference_warns_of_few_samples(tiny):
    unit = Unit(512, 16, 1, arm("deconv-reference", "fcn_resnet18"), role="pooled")
    with pytest.warns(NumericalWarning, match="8 samples for 64 features"):
        unit(torch.randn(1, 512, 1, 1))
