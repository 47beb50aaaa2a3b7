import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.data.labelled import catalogue, locations
from ndtools.data.labelled.catalogue import KNOWN
from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import DataError
from tests.labelled_files import IDX_NAMES, idx, idx_contents, put, records
from tests.places import real

pytestmark = pytest.mark.usefixtures("nothing_elsewhere")


@pytest.fixture
def small_mnist(monkeypatch):
    """A catalogue whose MNIST and Fashion-MNIST are small: their contents by file name."""
    contents = {"mnist": idx_contents(1), "fashion-mnist": idx_contents(2)}
    for name, files in contents.items():
        md5 = MappingProxyType({file: hashlib.md5(content).hexdigest() for file, content in files.items()})
        monkeypatch.setitem(KNOWN, name, replace(KNOWN[name], md5=md5))
    return contents


def cifar10_contents(seed=0):
    rng = np.random.default_rng(seed)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    return {name: records(rng.integers(0, 256, (2, 3072)), rng.integers(0, 10, 2)) for name in names}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_a_folder_of_another_idx_set(tmp_path, compress, dotted):
    contents = {name.replace("-idx", ".idx") if dotted else name: c for name, c in idx_contents(n_classes=7).items()}
    folder = put(tmp_path / "mine\x1b", contents, compress=compress)
    data = load_dataset(str(folder))
    assert data.name == "mine\\x1b"
    assert data.location == str(tmp_path / "mine\\x1b")
    assert data.classes == tuple("0123456")
    assert not data.synthetic
    assert data.train.images.shape == (30, 1, 4, 4)
    assert data.test.images.shape == (10, 1, 4, 4)
    assert (data.train.images.dtype, data.train.labels.dtype) == (torch.uint8, torch.int64)
    assert data.train.labels.tolist() == [i % 7 for i in range(30)]
    found = idx_contents(n_classes=7)[IDX_NAMES[2]][16:]
    assert data.test.images.numpy().tobytes() == found


@pytest.mark.parametrize("where", ["mnist", "MNIST/raw", "mnist/MNIST/raw", "."])
@pytest.mark.parametrize("by", ["data_dir", "environment", "cache"])
def test_where_a_name_is_looked_for(tmp_path, small_mnist, monkeypatch, where, by):
    root = tmp_path / ("cache" if by == "cache" else "sets")
    put(root / where, small_mnist["mnist"], compress=True)
    if by == "environment":
        monkeypatch.setenv("NDTOOLS_DATA", str(root))
    data = load_dataset("mnist", data_dir=root if by == "data_dir" else None)
    assert data.name == "mnist"
    assert data.location == str(root / where)
    assert data.classes == tuple("0123456789")


def test_the_order_of_places(tmp_path, small_mnist, monkeypatch):
    places = [tmp_path / name for name in ("given", "environment", "cache")]
    for place in places:
        put(place / "mnist", small_mnist["mnist"])
    monkeypatch.setenv("NDTOOLS_DATA", str(places[1]))
    for i, place in enumerate(places):
        data_dir = tmp_path / "given" if i == 0 else None
        assert load_dataset("mnist", data_dir=data_dir).location == str(place / "mnist")
        for file in (place / "mnist").iterdir():
            file.unlink()
    with pytest.raises(DataError, match="is not here"):
        load_dataset("mnist", data_dir=tmp_path / "given")


def test_an_existing_path_wins_over_a_name(tmp_path, monkeypatch, small_mnist):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "glyphs", idx_contents())
    data = load_dataset("glyphs")
    assert not data.synthetic
    assert data.location == "glyphs"
    put(tmp_path / "cache" / "mnist", small_mnist["mnist"])
    (tmp_path / "mnist").mkdir()
    with pytest.raises(DataError, match="no data set in 'mnist'"):
        load_dataset("mnist")


@pytest.mark.parametrize("layout", ["binary", "pickle"])
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("names", [False, True])
def test_cifar_layouts(tmp_path, layout, coarse, names):
    rng = np.random.default_rng(0)
    n_classes = 100 if coarse else 10
    batches = ["train", "test"] if coarse else [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    content = {name: (rng.integers(0, 256, (2, 3072), dtype=np.uint8), rng.integers(0, 10, 2)) for name in batches}
    folder = tmp_path / "pictures"
    folder.mkdir()
    classes = [f"class {i}" for i in range(n_classes)]
    for name, (pixels, labels) in content.items():
        if layout == "binary":
            (folder / f"{name}.bin").write_bytes(records(pixels, labels, [0, 1] if coarse else None))
        else:
            held = {b"data": pixels, b"fine_labels" if coarse else b"labels": labels.tolist()}
            (folder / name).write_bytes(pickle.dumps(held, protocol=2))
    if names and layout == "binary":
        file = folder / ("fine_label_names.txt" if coarse else "batches.meta.txt")
        file.write_text("\n".join(classes) + "\n\n")
    elif names:
        key = b"fine_label_names" if coarse else b"label_names"
        (folder / ("meta" if coarse else "batches.meta")).write_bytes(pickle.dumps({key: classes}))
    data = load_dataset(str(folder))
    assert data.name == "pictures"
    assert data.classes == (tuple(classes) if names else tuple(map(str, range(n_classes))))
    expected = np.concatenate([pixels for pixels, _ in list(content.values())[:-1]])
    assert data.train.images.numpy().tobytes() == expected.tobytes()
    assert data.train.labels.tolist() == [int(i) for _, labels in list(content.values())[:-1] for i in labels]
    assert data.test.images.shape == (2, 3, 32, 32)


@pytest.mark.parametrize("where", ["cifar10/cifar-10-batches-bin", "cifar-10-batches-bin", "cifar10", "."])
def test_cifar_by_name(tmp_path, monkeypatch, where):
    contents = cifar10_contents()
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setitem(KNOWN, "cifar10", replace(KNOWN["cifar10"], md5=md5))
    put(tmp_path / "sets" / where, contents)
    data = load_dataset("cifar10", data_dir=tmp_path / "sets")
    assert data.classes[:2] == ("airplane", "automobile")
    assert len(data.train.images) == 10
    assert load_dataset(str(tmp_path / "sets" / where)).name == "cifar10"  # by its content
    file = tmp_path / "sets" / where / "data_batch_3.bin"
    file.write_bytes(contents["data_batch_2.bin"])
    for source in ("cifar10", str(tmp_path / "sets" / where)):
        with pytest.raises(DataError, match=r"data_batch_3\.bin is not the file of cifar10"):
            load_dataset(source, data_dir=tmp_path / "sets")


def test_names_and_folders_that_are_not_here(tmp_path):
    with pytest.raises(DataError, match="no such folder or data set: 'fashion_mnst'; did you mean fashion-mnist?"):
        load_dataset("fashion_mnst")
    with pytest.raises(DataError, match=r"'zzz' \(names: fashion-mnist, mnist, cifar10, cifar100, glyphs\)"):
        load_dataset("zzz")
    with pytest.raises(DataError, match=r"no such folder: '.*absent' \(`data_dir`\)"):
        load_dataset("mnist", data_dir=tmp_path / "absent")
    with pytest.raises(DataError) as caught:
        load_dataset("cifar100", data_dir=tmp_path)
    for part in (
        f"'ndtools data fetch cifar100 --data-dir {tmp_path}'",
        "train.bin or train",
        str(tmp_path / "cifar100"),
        "cache",
    ):
        assert part in str(caught.value)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="file' is not a folder"):
        load_dataset(str(tmp_path / "file"))
    with pytest.raises(DataError, match="no data set in .*looked for train-images-idx3-ubyte.*'ndtools data list' has"):
        load_dataset(str(tmp_path))


def test_a_folder_above_the_files(tmp_path, small_mnist):
    put(tmp_path / "MNIST" / "raw", small_mnist["mnist"])
    assert load_dataset(str(tmp_path)).name == "mnist"
    put(tmp_path / "FashionMNIST" / "raw", small_mnist["fashion-mnist"])
    with pytest.raises(DataError, match="holds several data sets; choose one .*: fashion-mnist, mnist"):
        load_dataset(str(tmp_path))
    assert load_dataset("mnist", data_dir=tmp_path).name == "mnist"
    put(tmp_path, idx_contents())
    assert load_dataset(str(tmp_path)).name == tmp_path.name


def test_a_file_that_is_missing_is_named(tmp_path):
    folder = put(tmp_path / "mnist", idx_contents())
    (folder / IDX_NAMES[3]).unlink()
    with pytest.raises(DataError, match=f"mnist' lacks {IDX_NAMES[3]}"):
        load_dataset("mnist", data_dir=tmp_path)
    with pytest.raises(DataError, match=f"mnist' lacks {IDX_NAMES[3]}"):
        load_dataset(str(folder))


@pytest.mark.parametrize("file", IDX_NAMES)
@pytest.mark.parametrize("compress", [False, True])
def test_a_known_set_with_a_wrong_file(tmp_path, small_mnist, file, compress):
    contents = dict(small_mnist["mnist"])
    contents[file] = contents[file][:-1] + bytes([contents[file][-1] ^ 1])
    put(tmp_path / "mnist", contents, compress=compress)
    put(tmp_path / "other", contents, compress=compress)
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", data_dir=tmp_path)
    wanted = KNOWN["mnist"].md5[file]
    for part in (str(tmp_path / "mnist" / file), hashlib.md5(contents[file]).hexdigest(), wanted, "data fetch mnist"):
        assert part in str(caught.value)
    for folder in ("mnist", "other"):  # known by its name, and by its other files
        with pytest.raises(DataError, match=f"{file}.* is not the file of mnist"):
            load_dataset(str(tmp_path / folder))


def test_one_known_set_in_place_of_another(tmp_path, small_mnist):
    put(tmp_path / "mnist", small_mnist["fashion-mnist"])
    with pytest.raises(DataError, match=r"is not the file of mnist \(it is the file of fashion-mnist\)"):
        load_dataset("mnist", data_dir=tmp_path)
    put(tmp_path / "fashion-mnist", small_mnist["fashion-mnist"])
    assert load_dataset("fashion-mnist", data_dir=tmp_path / "fashion-mnist").classes[9] == "Ankle boot"
    with pytest.raises(DataError, match="mnist is not here"):
        load_dataset("mnist", data_dir=tmp_path / "fashion-mnist")


@pytest.fixture
def different_labels(monkeypatch):
    """The same with labels that tell the sets apart, as the real ones do."""
    contents = {"mnist": idx_contents(1, n_classes=9), "fashion-mnist": idx_contents(2, n_classes=8)}
    for name, files in contents.items():
        md5 = MappingProxyType({file: hashlib.md5(content).hexdigest() for file, content in files.items()})
        monkeypatch.setitem(KNOWN, name, replace(KNOWN[name], md5=md5))
    return contents


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("damaged", [None, *IDX_NAMES])
def test_files_of_one_known_set_are_not_taken_for_another(tmp_path, different_labels, compress, damaged):
    folder = put(tmp_path / "dl", different_labels["mnist"], compress=compress)
    if damaged:
        path = folder / (f"{damaged}.gz" if compress else damaged)
        path.write_bytes(path.read_bytes()[:-1])
    assert locations.find(KNOWN["fashion-mnist"], folder) is None
    assert not any(found.files for found in locations.search(KNOWN["fashion-mnist"], folder))
    with pytest.raises(DataError, match="fashion-mnist is not here; fetch it with .* with `data_dir`"):
        load_dataset("fashion-mnist", data_dir=folder)
    assert locations.locate(KNOWN["mnist"], folder).folder == folder
    elsewhere = put(tmp_path / "cache" / "fashion-mnist", different_labels["fashion-mnist"])
    assert load_dataset("fashion-mnist", data_dir=folder).location == str(elsewhere)


def test_files_of_no_known_set_in_the_folder_that_is_named(tmp_path, different_labels):
    put(tmp_path / "dl", idx_contents(3, n_classes=5))
    with pytest.raises(DataError, match="is not the file of mnist"):
        load_dataset("mnist", data_dir=tmp_path / "dl")
    for file in IDX_NAMES[1::2]:
        (tmp_path / "dl" / file).write_bytes(idx([0] * (1 << 21)))
    assert locations.find(KNOWN["mnist"], tmp_path / "dl") is not None


@pytest.mark.parametrize("damage", [True, False])
def test_no_advice_to_delete_files_of_another_known_set(tmp_path, different_labels, damage):
    folder = put(tmp_path / "mnist", different_labels["fashion-mnist"], compress=True)
    if damage:
        (folder / f"{IDX_NAMES[0]}.gz").write_bytes(b"")
    for source, data_dir in (("mnist", tmp_path), ("mnist", folder), (str(folder), None)):
        with pytest.raises(DataError) as caught:
            load_dataset(source, data_dir=data_dir)
        assert "delete it" not in str(caught.value)
        advice = "move the files of fashion-mnist to a folder of their own, and fetch mnist with"
        assert f"{advice} 'ndtools data fetch mnist --data-dir {tmp_path}'" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({IDX_NAMES[1]: idx(range(9))}, f"{IDX_NAMES[1]} holds 9 labels, but {IDX_NAMES[0]} holds 30 images"),
        ({IDX_NAMES[1]: idx([200, *[0, 1] * 14, 1])}, f"{IDX_NAMES[1]}: label 200 of image 0 is out of range"),
        ({IDX_NAMES[3]: idx([0] * 9 + [10])}, f"{IDX_NAMES[3]}: label 10 of image 9 is out of range"),
        ({IDX_NAMES[2]: idx(np.zeros((10, 5, 4)))}, f"{IDX_NAMES[2]}: its images do not have the size .*1×5×4"),
    ],
)
def test_files_that_do_not_go_together(tmp_path, change, message):
    put(tmp_path / "set", idx_contents() | change)
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path / "set"))


@settings(max_examples=60)
@given(
    file=st.sampled_from(IDX_NAMES),
    share=st.floats(0, 1, exclude_max=True),
    value=st.integers(1, 255),
    gz=st.booleans(),
)
def test_a_known_set_with_a_damaged_byte_is_never_another_set(tmp_path, small_mnist, file, share, value, gz):
    folder = put(tmp_path / "mnist", small_mnist["mnist"], compress=gz)
    path = folder / (f"{file}.gz" if gz else file)
    content = bytearray(path.read_bytes())
    at = int(share * len(content))
    content[at] ^= value
    path.write_bytes(content)
    try:
        data = load_dataset("mnist", data_dir=tmp_path)
    except DataError as error:
        assert str(path) in str(error)
        assert "data fetch mnist" in str(error)
    else:
        assert gz and at < 10  # the time, the system: nothing of the content
        assert data.train.images.numpy().tobytes() == small_mnist["mnist"][IDX_NAMES[0]][16:]
    finally:
        for other in folder.iterdir():
            other.unlink()


def test_fetched_files_come_before_others(tmp_path, small_mnist):
    folder = put(tmp_path / "mnist", small_mnist["mnist"], compress=True)
    (folder / IDX_NAMES[0]).write_bytes(b"stale")
    assert load_dataset("mnist", data_dir=tmp_path).name == "mnist"


def test_the_catalogue_is_whole():
    for known in catalogue.KNOWN.values():
        if known.classes:
            assert len(known.classes) == known.n_classes
        assert all(len(digest) == 32 for digest in known.md5.values())
        for item in known.downloads:
            assert len(item.md5) == 32
            assert item.mirrors


@pytest.mark.parametrize(
    ("name", "mean", "std", "classes"),
    [
        ("fashion-mnist", 0.28604, 0.35302, ("T-shirt/top", "Ankle boot")),
        ("mnist", 0.13066, 0.30811, ("0", "9")),
    ],
)
def test_real_idx_sets(name, mean, std, classes):
    folder = real(name)
    data = load_dataset(name, data_dir=folder.parent)
    assert load_dataset(str(folder)).name == name
    pixels = data.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(mean, abs=5e-6)
    assert pixels.std(correction=0).item() == pytest.approx(std, abs=5e-6)
    assert (len(data.train.labels), len(data.test.labels)) == (60_000, 10_000)
    assert (data.classes[0], data.classes[-1]) == classes


def test_real_cifar10(tmp_path):
    """From the mosaics, in both layouts; the binary one has the published checksums."""
    from PIL import Image

    source = real("cifar-10-webp")
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        labels = np.frombuffer((source / f"{name}.labels").read_bytes(), np.uint8)
        with ThreadPoolExecutor() as pool:  # decoding, which releases the lock of Python, takes longest
            mosaics = pool.map(lambda i, name=name: np.asarray(Image.open(source / f"{name}_{i}.webp")), range(10))
        tiles = [m.reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3).reshape(1000, 3072) for m in mosaics]
        pixels = np.concatenate(tiles)
        (folder / f"{name}.bin").write_bytes(np.concatenate([labels[:, None], pixels], axis=1).tobytes())
        held = {b"data": pixels, b"labels": labels.tolist()}
        (pickled / name).write_bytes(pickle.dumps(held, protocol=4))
    data = load_dataset("cifar10", data_dir=tmp_path)
    assert data.location == str(folder)
    pixels = data.train.images.double().div_(255)
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx([0.49140, 0.48216, 0.44653], abs=5e-6)
    assert pixels.std((0, 2, 3), correction=0).tolist() == pytest.approx([0.24703, 0.24349, 0.26159], abs=5e-6)
    assert data.train.labels.bincount().tolist() == [5000] * 10
    other = load_dataset(str(pickled))
    assert torch.equal(other.train.images, data.train.images)
    assert torch.equal(other.test.labels, data.test.labels)
