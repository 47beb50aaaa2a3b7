"""Files of the networks of a comparison, and what the commands make of them."""

from dataclasses import asdict, replace

import pytest
import torch

from ndtools.checkpoints.config import CheckpointConfig
from ndtools.checkpoints.files import load_network, save_network
from ndtools.checkpoints.metadata import spec_from_metadata
from ndtools.checkpoints.operations import audit_checkpoint, convert_checkpoint, fold_checkpoint
from ndtools.errors import DataError
from ndtools.layers.config import DeconvConfig
from ndtools.models import build
from ndtools.models.factories import LayerSpec
from ndtools.models.norms import NORMS, prepare
from ndtools.surgery.recalibrate import recalibrate
from tests.narrow_networks import narrow

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
ARCH = "vgg11"
DECONVOLVING = ("deconv", "deconv-reference", "first-whitened")


@pytest.fixture(scope="module", params=list(NORMS))
def trained(request, tmp_path_factory):
    """Name of an arm, its network after two training batches, and the file of it."""
    with pytest.MonkeyPatch.context() as patch:
        narrow(patch)
        torch.manual_seed(0)
        network = build(ARCH, request.param, num_classes=5)
        images = torch.randn(32, 3, 32, 32)
        prepare(network, images)
        with torch.no_grad():
            network(images)
            network(images + 0.1)
        path = tmp_path_factory.mktemp("arms") / f"{request.param}.safetensors"
        save_network(network, path)
        yield request.param, network.eval(), path


def given(path):
    return CheckpointConfig(source=str(path))


def test_files_hold_all_of_an_arm(trained):
    _, network, path = trained
    again = load_network(path)
    assert again.spec == network.spec
    assert str(again) == str(network)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in again.state_dict().items())
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images))


def test_tensors_alone(trained, tmp_path):
    """Files of torch.save do not say which network they hold; names of averages tell some normalisations."""
    norm, network, _ = trained
    path = tmp_path / "bare.pt"
    torch.save(network.state_dict(), path)
    if norm in ("gn", "ln"):
        with pytest.raises(
            DataError, match=r"group or layer normalisation, .* write the network with ndtools\.save_net"
        ):
            load_network(path, arch=ARCH)
        return
    if norm in ("bn", "iternorm", "none"):
        again = load_network(path, arch=ARCH)
        assert again.spec == network.spec
        images = torch.randn(3, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(again(images), network(images))


def test_tensors_that_do_not_tell_all_have_a_remedy(tmp_path):
    path = tmp_path / "bare.pt"
    torch.save(build("resnet18", "first-whitened").state_dict(), path)
    with pytest.raises(DataError, match=r"some of its layers alone deconvolve, .* with ndtools\.save_network"):
        load_network(path, arch="resnet18")


def test_folding(trained):
    norm, network, path = trained
    if norm == "nd++":
        with pytest.raises(DataError, match=r"features.0 normalises each sample by itself \(layer_norm=True\), which"):
            fold_checkpoint(given(path))
    elif norm in DECONVOLVING:
        result = fold_checkpoint(given(path))
        assert result.max_difference < 1e-3 * result.largest
        assert result.network.form == ("batch_norm" if norm == "first-whitened" else "plain")
        result.save(path.with_name("folded.safetensors"))
        folded = load_network(path.with_name("folded.safetensors"))
        images = torch.randn(3, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(folded(images), network(images), rtol=1e-3, atol=1e-4)
    else:
        with pytest.raises(DataError, match="the network has no deconvolution layers: there is nothing to fold$"):
            fold_checkpoint(given(path))


def test_auditing(trained):
    norm, _, path = trained
    if norm in ("nd++", *DECONVOLVING):
        _, found = audit_checkpoint(given(path), batch_size=8)
        assert len(found.rows) == {"first-whitened": 1, "deconv": 8}.get(norm, 9)
        assert len(found.batch_norms) == (8 if norm == "first-whitened" else 0)
        assert found.rows[0].frozen == (norm == "first-whitened")
    else:
        left = "but 8 batch normalisations" if norm == "bn" else ""
        with pytest.raises(DataError, match=f"the network has no deconvolution layers *{left}: there is nothing to in"):
            audit_checkpoint(given(path))


def test_conversion(trained):
    norm, _, path = trained
    if norm in ("bn", "none"):
        result = convert_checkpoint(given(path))
        arm = build(ARCH, "deconv", num_classes=5).spec
        linear = LayerSpec(deconv=DeconvConfig(block_size=512))
        assert result.network == replace(arm, layers={**arm.layers, "linear": linear})
    elif norm in ("nd++", *DECONVOLVING):
        with pytest.raises(DataError, match="it has deconvolution layers of ndtools already; nothing to convert"):
            convert_checkpoint(given(path))
    else:
        with pytest.raises(DataError, match="has (group|layer|iterative) normalisation, which stays"):
            convert_checkpoint(given(path))


def test_recalibration(trained):
    norm, network, _ = trained
    images = torch.randn(16, 3, 32, 32)
    if norm in ("nd++", *DECONVOLVING):
        before = {key: value.clone() for key, value in network.state_dict().items()}
        assert recalibrate(network, [images]) == 1
        changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
        assert {key.split(".")[-2] for key in changed} == {"whitening"}
        network.load_state_dict(before)
    else:
        with pytest.raises(ValueError, match="there is no deconvolution layer in this VGG"):
            recalibrate(network, [images])


def test_files_hold_the_stem(tmp_path, monkeypatch):
    narrow(monkeypatch)
    network = build("resnet18", "bn", num_classes=5, stem="imagenet").eval()
    save_network(network, tmp_path / "large.safetensors")
    again = load_network(tmp_path / "large.safetensors")
    assert again.spec.stem == "imagenet"
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images))


def test_metadata_with_a_stem_that_the_network_does_not_have_is_refused():
    metadata = asdict(build("senet18", "bn").spec)
    with pytest.raises(DataError, match="does not know: stem: of senet18 is 'cifar'"):
        spec_from_metadata(metadata | {"stem": "imagenet"})
    del metadata["stem"]  # as in files of earlier versions
    assert spec_from_metadata(metadata).stem == "cifar"
