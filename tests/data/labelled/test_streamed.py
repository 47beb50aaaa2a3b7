"""Sets that are streamed are found in every layout, and read as their files are."""

import io
import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from ndtools.data.labelled.label_maps import CITYSCAPES
from ndtools.data.labelled.samples import Names, decode_label_map
from ndtools.data.labelled.streamed import load_streamed
from ndtools.errors import DataError, OptionError, SkippedImageWarning
from tests.data.labelled.streamed_files import (
    camvid,
    cityscapes,
    class_contents,
    class_folders,
    class_shards,
    encoded,
    picture,
    scene,
    shard,
    write,
)
from tests.places import real
from tests.png import png


def everything(samples):
    return [(name, *samples.read(i)) for i, name in enumerate(samples.names)]


def assert_same(first, second):
    assert first.fingerprint == second.fingerprint
    for (name, image, label), (other, pixels, number) in zip(everything(first), everything(second), strict=True):
        assert name == other and label == number and torch.equal(image, pixels)


def test_names_are_a_list_in_one_piece():
    names = ["a/b.jpg", "", "ö\udcff", "z"]
    packed = Names(names)
    assert list(packed) == names and packed[-1] == "z" and list(packed[1:3]) == names[1:3] and len(packed) == 4
    with pytest.raises(IndexError):
        packed[4]


def test_class_folders(tmp_path):
    contents = class_contents()
    found = load_streamed(class_folders(tmp_path / "pets"))
    assert found.name == "pets" and found.classes == ("cat", "dog", "owl") and not found.pairs and found.test is None
    for split, samples in (("train", found.train), ("val", found.eval)):
        assert list(samples.names) == sorted(name for key, name in contents if key == split)
        for i, (name, image, label) in enumerate(everything(samples)):
            wanted = np.asarray(Image.open(io.BytesIO(contents[split, name])))
            assert np.array_equal(image.permute(1, 2, 0), wanted) and label == samples.labels[i]
            assert found.classes[label] == name.partition("/")[0]


@pytest.mark.parametrize("shards", [1, 4])
def test_shards_of_classes_equal_folders(tmp_path, shards):
    folders = load_streamed(class_folders(tmp_path / "folders"))
    found = load_streamed(class_shards(tmp_path / "shards", shards=shards))
    assert found.classes == folders.classes
    assert_same(found.train, folders.train)
    assert_same(found.eval, folders.eval)
    assert_same(pickle.loads(pickle.dumps(found.train)), folders.train)


def test_the_tar_files_of_imagenet_equal_its_folders(tmp_path):
    classes = ("n01440764", "n01484850")
    contents = class_contents(classes=classes)
    folders = load_streamed(class_folders(tmp_path / "folders", contents))
    for label in classes:
        for split in ("train", "val"):
            flat = [(k[1].partition("/")[2], c) for k, c in contents.items() if k[0] == split and label in k[1]]
            shard(tmp_path / "tars" / split / f"{label}.tar", flat)
    found = load_streamed(tmp_path / "tars")
    assert found.classes == classes
    assert_same(found.train, folders.train)
    assert_same(found.eval, folders.eval)
    assert_same(load_streamed(tmp_path / "tars" / "train").train, folders.train)


@pytest.mark.parametrize("named", [False, True])
def test_pairs_of_images_and_classes_in_shards(tmp_path, named):
    classes = ("cat", "dog", "owl")
    for split, count in (("train", 9), ("val", 3)):
        members = []
        for i in range(count):
            label = classes[i % 3] if named else str(i % 3)
            members += [(f"./k{i:03}.cls", label.encode() + b"\n"), (f"./k{i:03}.jpg", encoded(picture(i)))]
            members += [(f"./k{i:03}.json", b"{}")]
        shard(tmp_path / f"{split}-0.tar", members[:12])
        shard(tmp_path / f"{split}-1.tar", members[12:])
    found = load_streamed(tmp_path)
    assert found.classes == (classes if named else ("0", "1", "2"))
    assert found.train.labels.tolist() == [i % 3 for i in range(9)] and found.train.names[4] == "k004.jpg"
    given = load_streamed(tmp_path, classes=classes)
    assert given.classes == classes and given.train.labels.tolist() == found.train.labels.tolist()
    with pytest.raises(DataError, match="other classes than the 2 that are in `classes`: .*; add these to `classes`"):
        load_streamed(tmp_path, classes=classes[:2])


def test_keys_that_each_shard_counts_from_0_stay_apart(tmp_path):
    for number in range(2):
        members = [(f"{i}.jpg", encoded(picture([number, i]))) for i in range(2)]
        shard(tmp_path / f"train-{number}.tar", [*members, ("0.cls", b"0"), ("1.cls", b"1")])
    train = load_streamed(tmp_path).train
    assert list(train.names) == ["train-0.tar/0.jpg", "train-0.tar/1.jpg", "train-1.tar/0.jpg", "train-1.tar/1.jpg"]
    assert train.labels.tolist() == [0, 1, 0, 1]


def test_folders_without_splits(tmp_path):
    class_folders(tmp_path)
    found = load_streamed(tmp_path / "train")
    assert found.eval is None and len(found.train) == 12
    chosen = found.chosen(images=5, holdout=4)
    assert (len(chosen.train), len(chosen.eval)) == (5, 4) and not set(chosen.train.names) & set(chosen.eval.names)
    assert list(found.chosen(holdout=4).eval.names) == list(chosen.eval.names)
    for i, name in enumerate(chosen.train.names):
        assert chosen.train.labels[i] == found.train.labels[list(found.train.names).index(name)]
    with pytest.raises(OptionError, match="holdout"):
        found.chosen(holdout=12)
    with pytest.raises(OptionError, match="of which 4 are held out, got 9"):
        found.chosen(images=9, holdout=4)


def test_what_lies_beside_the_classes_is_named_and_changes_no_number(tmp_path):
    wanted = load_streamed(class_folders(tmp_path / "whole"))
    root = class_folders(tmp_path / "pets")
    write(root / "train" / "readme.txt", b"")
    write(root / "train" / "lone.jpg", encoded(picture(0)))
    write(root / "train" / "ant" / "notes.txt", b"")  # by its name it would come first, and be number 0
    (root / "val" / "ant").mkdir()
    for hidden in (".DS_Store", "__MACOSX"):
        write(root / "train" / hidden, b"")
    said = (
        "left out 4 entries of .*pets that belong to no class or hold no images:"
        " train/ant/, train/lone.jpg, train/readme.txt and 1 more"
    )
    with pytest.warns(SkippedImageWarning, match=said) as caught:
        found = load_streamed(root)
    assert len(caught) == 1 and found.classes == wanted.classes
    assert_same(found.train, wanted.train)
    assert_same(found.eval, wanted.eval)
    write(root / "val" / "ant" / "a.jpg", encoded(picture(0)))
    with pytest.raises(DataError, match="images of other classes than the 3 that the training images have: ant; add"):
        load_streamed(root)
    shutil.rmtree(root / "val" / "ant")
    said = "an entry of .*train that belongs to no class or holds no images: lone.jpg$"
    with pytest.warns(SkippedImageWarning, match=said):
        for name in ("ant", "readme.txt"):
            (shutil.rmtree if name == "ant" else os.remove)(root / "train" / name)
        assert len(load_streamed(root / "train").train) == 12


def test_tar_files_of_classes_beside_folders_of_others_are_named(tmp_path):
    contents = class_contents((("train", 6),), classes=("n01440764", "n01484850"))
    root = class_folders(tmp_path, contents)
    shard(root / "train" / "n01491361.tar", [("a.jpg", encoded(picture(0)))])
    with pytest.warns(SkippedImageWarning, match="left out an entry of .*: train/n01491361.tar$"):
        assert load_streamed(root).classes == ("n01440764", "n01484850")
    for name in ("n01440764", "n01484850"):
        shutil.rmtree(root / "train" / name)
    write(root / "train" / "n01484850" / "notes.txt", b"")
    with pytest.warns(SkippedImageWarning, match="left out an entry of .*: train/n01484850/$"):
        assert load_streamed(root).classes == ("n01491361",)


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_other_names_of_splits_and_unlabelled_test_images(tmp_path, name):
    contents = class_contents((("train", 6), (name, 3), ("test", 3)))
    class_folders(tmp_path / "a", contents)
    found = load_streamed(tmp_path / "a")
    assert (len(found.train), len(found.eval), len(found.test)) == (6, 3, 3)
    class_folders(tmp_path / "b", {key: content for key, content in contents.items() if key[0] != "test"})
    write(tmp_path / "b" / "test" / "x.jpg", encoded(picture(0)))
    assert load_streamed(tmp_path / "b").test is None


def test_grey_cmyk_deep_and_turned_images(tmp_path):
    pixels = picture(3, 10, 20)
    turned = Image.Exif()
    turned[0x0112] = 6
    write(tmp_path / "a" / "grey.png", encoded(pixels[..., 0], "PNG"))
    write(tmp_path / "a" / "deep.png", encoded(pixels[..., 0].astype(np.uint16) * 257, "PNG"))
    write(tmp_path / "a" / "turned.png", encoded(pixels, "PNG", exif=turned))
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "a" / "cmyk.jpg")
    images = {name: image for name, image, _ in everything(load_streamed(tmp_path).train)}
    grey = torch.from_numpy(pixels[..., 0].copy()).expand(3, -1, -1)
    assert torch.equal(images["a/grey.png"], grey) and torch.equal(images["a/deep.png"], grey)
    assert np.array_equal(images["a/turned.png"].permute(1, 2, 0), np.rot90(pixels, -1))
    assert images["a/cmyk.jpg"].shape == (3, 10, 20) and images["a/cmyk.jpg"].dtype == torch.uint8


def test_camvid(tmp_path):
    found = load_streamed(camvid(tmp_path / "somewhere"))
    assert (found.name, len(found.classes), found.pairs) == ("camvid", 11, True)
    assert (len(found.train), len(found.eval), len(found.test)) == (4, 2, 2) and found.train.labels is None
    for i in range(4):
        pixels, labels = scene([5, i])
        image, read = found.train.read(i)
        assert np.array_equal(image.permute(1, 2, 0), pixels) and np.array_equal(read, labels)
    write(tmp_path / "somewhere" / "valannot" / "s1.png", encoded(np.full((24, 32), 12, np.uint8), "PNG"))
    with pytest.raises(DataError, match=r"its label map s1.png: holds the number 12, which stands for no class"):
        found.eval.read(1)
    (tmp_path / "somewhere" / "valannot" / "s1.png").unlink()
    with pytest.raises(DataError, match="has no label map for 1 of 2 images: s1.png; add the label maps"):
        load_streamed(tmp_path / "somewhere")


def test_real_camvid():
    found = load_streamed(real("camvid-240x180"))
    assert (len(found.train), len(found.eval), len(found.test)) == (367, 101, 233)
    image, labels = found.test.read(0)
    assert image.shape == (3, *labels.shape) and set(labels.unique().tolist()) <= {*range(11), 255}


def test_cityscapes_has_19_classes_and_prefers_numbers_for_training(tmp_path):
    wanted = cityscapes(tmp_path)
    found = load_streamed(tmp_path)
    assert found.classes == CITYSCAPES and len(CITYSCAPES) == 19 and found.test is None and found.name == "cityscapes"
    evaluated = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # as published
    for split, samples in (("train", found.train), ("val", found.eval)):
        for name, _, labels in everything(samples):
            slow = [[evaluated.index(n) if n in evaluated else 255 for n in row] for row in wanted[split, name]]
            assert labels.tolist() == slow
    cityscapes(tmp_path, train_ids=True)
    numbers = wanted["val", found.eval.names[0]]
    assert np.array_equal(load_streamed(tmp_path).eval.read(0)[1], np.where(numbers < 19, numbers, 255))


@pytest.mark.parametrize("divided", [False, True])
def test_two_folders_of_images_and_label_maps(tmp_path, divided):
    splits = ("train/", "val/") if divided else ("",)
    for split in splits:
        for i in range(3):
            pixels, labels = scene(i, classes=4)
            write(tmp_path / "photos" / f"{split}x/{i}.jpg", encoded(pixels))
            write(tmp_path / "maps" / f"{split}x/{i}.png", encoded(np.where(labels == 255, 9, labels), "PNG"))
    found = load_streamed(tmp_path, images="photos", labels="maps", ignore=9)
    assert found.classes == ("0", "1", "2", "3") and (found.eval is not None) is divided
    assert np.array_equal(found.train.read(2)[1], scene(2, classes=4)[1])
    with pytest.raises(DataError, match="has a class; .*0.jpg: has colours"):
        load_streamed(tmp_path, images="photos", labels="photos")
    named = load_streamed(tmp_path, images="photos", labels="maps", ignore=9, classes=("a", "b"))
    assert named.classes == ("a", "b")
    with pytest.raises(DataError, match="which stands for no class"):
        [named.train.read(i) for i in range(3)]
    wrong = np.resize(np.array([-1, 0, 1], np.int32), (24, 32))
    write(tmp_path / "maps" / f"{splits[0]}x/0.tif", encoded(wrong, "TIFF"))
    (tmp_path / "maps" / f"{splits[0]}x/0.png").unlink()
    with pytest.raises(DataError, match="holds the number -1, which stands for no class"):
        load_streamed(tmp_path, images="photos", labels="maps", classes=("a", "b")).train.read(0)
    (tmp_path / "maps" / f"{splits[0]}x/0.tif").unlink()
    write(tmp_path / "maps" / f"{splits[0]}x/0.png", encoded(np.full((24, 32), 255, np.uint8), "PNG"))
    with pytest.raises(DataError, match="`ignore` may name one"):
        load_streamed(tmp_path, images="photos", labels="maps", ignore=9)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encoded(picture(0), "PNG"), "has colours"),
        (encoded(picture(0)[..., 0]), "is in the format JPEG, which alters numbers"),
        (encoded(np.zeros((24, 30), np.uint8), "PNG"), "has 30 x 24 pixels, but the image 32 x 24"),
        (encoded(np.full((24, 32), 300, np.uint16), "PNG"), "holds the number 300"),
        (b"text", "not an image"),
        (encoded(scene(0)[1], "PNG")[:-30], "truncated|cannot be decoded"),
    ],
)
def test_damaged_label_maps_say_why(tmp_path, content, reason):
    found = load_streamed(camvid(tmp_path))
    write(tmp_path / "trainannot" / "s0.png", content)
    with pytest.raises(DataError, match=f"its label map s0.png.*({reason})"):
        found.train.read(0)


def test_label_maps_of_palettes_hold_their_indices(tmp_path):
    camvid(tmp_path)
    labels = scene([5, 0])[1] % 11
    image = Image.fromarray(labels)
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "trainannot" / "s0.png")
    with Image.open(tmp_path / "trainannot" / "s0.png") as written:
        assert written.mode == "P"
    assert np.array_equal(load_streamed(tmp_path).train.read(0)[1], labels)


def of_few_bits(numbers, bits):
    """Content of a PNG file of grey levels with few bits, packed into bytes."""
    digits = (numbers[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(digits.reshape(len(numbers), -1).astype(np.uint8), axis=1)
    return png(numbers.shape[::-1], bits, 0, [row.tobytes() for row in rows])


@pytest.mark.parametrize("most", [1, 3, 15, 11, 200, 300])
def test_label_maps_of_few_grey_levels_hold_the_numbers_of_their_files(most):
    numbers = np.arange(most + 1).repeat(2).reshape(2, -1)
    header, words = f"{most + 1} 2 {most}\n", " ".join(map(str, numbers.flat))
    raw = numbers.astype(np.uint8 if most < 256 else ">u2").tobytes()
    for content in (f"P2 {header}{words}".encode(), f"P5 {header}".encode() + raw):
        assert np.array_equal(decode_label_map(content), numbers)
    if most < 16 and most != 11:
        assert np.array_equal(decode_label_map(of_few_bits(numbers, most.bit_length())), numbers)


def test_splits_without_label_maps_are_not_dropped_in_silence(tmp_path):
    camvid(tmp_path)
    shutil.rmtree(tmp_path / "testannot")
    with pytest.warns(SkippedImageWarning, match=r"left out the 2 images of .*test: there is no folder .*testannot"):
        assert load_streamed(tmp_path).test is None
    shutil.rmtree(tmp_path / "valannot")
    with pytest.raises(DataError, match=r"val has 2 images, but there is no folder .*valannot with their label maps"):
        load_streamed(tmp_path)


def test_images_for_validation_are_not_trained_on(tmp_path):
    for i in range(2):
        pixels, labels = scene(i, classes=4)
        for split in ("training", "validation"):
            write(tmp_path / "photos" / split / f"{i}.jpg", encoded(pixels))
            write(tmp_path / "maps" / split / f"{i}.png", encoded(labels, "PNG"))
    with pytest.raises(DataError, match="photos has the folder validation, but no folder train"):
        load_streamed(tmp_path, images="photos", labels="maps")


def test_links_in_shards_are_named_and_left_out(tmp_path):
    shard(tmp_path / "train-0.tar", [("cat/a.jpg", encoded(picture(0)))])
    with tarfile.open(tmp_path / "train-0.tar", "a") as archive:
        link = tarfile.TarInfo("cat/b.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "a.jpg"
        archive.addfile(link)
    with pytest.warns(SkippedImageWarning, match=r"left out .*train-0.tar: cat/b.jpg: a link or special file"):
        assert list(load_streamed(tmp_path).train.names) == ["cat/a.jpg"]


def test_images_with_label_maps_are_not_turned(tmp_path):
    camvid(tmp_path)
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "train" / "s0.png").unlink()
    write(tmp_path / "train" / "s0.jpg", encoded(scene([5, 0])[0], exif=turned))
    image, labels = load_streamed(tmp_path).train.read(0)
    assert image.shape == (3, *labels.shape)


@pytest.mark.parametrize("cut", [0.5, 0])
def test_damaged_images_say_why(tmp_path, cut):
    content = encoded(picture(0))
    write(tmp_path / "a" / "x.jpg", content[: int(cut * len(content))] or b"some text")
    with pytest.raises(DataError, match="truncated" if cut else "not an image"):
        load_streamed(tmp_path).train.read(0)


def test_shards_that_cannot_be_used(tmp_path):
    shard(tmp_path / "a" / "train-0.tar", [("x.jpg", encoded(picture(0)))])
    with pytest.raises(DataError, match=r"no class for x.jpg: there is no x.cls"):
        load_streamed(tmp_path / "a")
    write(tmp_path / "b" / "train-0.tar", b"no tar file at all" * 100)
    with pytest.raises(DataError, match=r"cannot use .*train-0.tar"):
        load_streamed(tmp_path / "b")
    write(tmp_path / "c" / "train-0.tar", b"\x1f\x8b" + bytes(100))
    with pytest.raises(DataError, match="compressed"):
        load_streamed(tmp_path / "c")
    shard(tmp_path / "d" / "train-0.tar", [("a/x.jpg", encoded(picture(0))), ("a/y.jpg", encoded(picture(1)))])
    train = load_streamed(tmp_path / "d").train
    whole = (tmp_path / "d" / "train-0.tar").read_bytes()
    (tmp_path / "d" / "train-0.tar").write_bytes(whole[: int(train.files.places.offset[1]) + 10])
    train.read(0)
    with pytest.raises(DataError, match="ends before it does"):
        train.read(1)


def test_folders_that_hold_no_set(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        load_streamed(tmp_path / "nothing")
    with pytest.raises(DataError, match="no labelled images"):
        load_streamed(tmp_path)
    for folder in ("packed", "packed/val"):  # shards that are compressed, and named so
        write(tmp_path / folder / "train-0.tar.gz", b"\x1f\x8b")
        with pytest.raises(DataError, match="uncompress its shards first, such as train-0.tar.gz"):
            load_streamed(tmp_path / "packed")
    with pytest.raises(OptionError, match="labels: must be given"):
        load_streamed(tmp_path, images="a")
    class_folders(tmp_path, class_contents((("train", 3), ("val", 4)), ("a", "b", "c")))
    write(tmp_path / "val" / "zebra" / "x.jpg", encoded(picture(0)))
    with pytest.raises(DataError, match="other classes than the 3 that the training images have: zebra"):
        load_streamed(tmp_path)
    with pytest.raises(OptionError, match="classes: must be at least 1"):
        load_streamed(tmp_path, classes=0)


def test_broken_links_are_named_and_left_out(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "train" / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.warns(SkippedImageWarning, match="gone.jpg: a link to a file that does not exist"):
        assert len(load_streamed(tmp_path).train) == 12


def test_sizes_are_those_of_images_and_maps_in_files_as_in_shards(tmp_path):
    folders = load_streamed(class_folders(tmp_path / "folders")).train
    assert folders.sizes == load_streamed(class_shards(tmp_path / "shards")).train.sizes
    assert folders.files.sizes().tolist() == [len(folders.files.read(i)) for i in range(12)]
    assert folders.subset([3, 1]).files.sizes().tolist() == folders.files.sizes()[[3, 1]].tolist()
    some = camvid(tmp_path / "camvid") / "trainannot" / "s1.png"
    before = load_streamed(tmp_path / "camvid").train.sizes
    some.write_bytes(some.read_bytes() + b"0")
    assert load_streamed(tmp_path / "camvid").train.sizes != before
