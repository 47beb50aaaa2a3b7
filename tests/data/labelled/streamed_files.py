"""Small labelled sets in every layout that is streamed, made of generated images."""

import io
import tarfile

import numpy as np
from PIL import Image


def picture(seed, height=24, width=32):
    """Pixels of a generated image, smooth enough for JPEG."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels, form="JPEG", **settings):
    """Return the content of an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **settings)
    return file.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def class_contents(splits=(("train", 12), ("val", 6)), classes=("cat", "dog", "owl")):
    """Contents by split and name CLASS/NAME.jpg, with images of different sizes."""
    contents = {}
    for split, count in splits:
        for i in range(count):
            label = classes[i % len(classes)]
            pixels = picture([len(split), i], 20 + i, 40 - i)
            contents[split, f"{label}/{split}{i:02}.jpg"] = encoded(pixels)
    return contents


def class_folders(root, contents=None):
    for (split, name), content in (contents or class_contents()).items():
        write(root / split / name, content)
    return root


def shard(path, members):
    """Write a tar archive of the given names and contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def class_shards(root, contents=None, shards=3):
    """Write shards whose members are CLASS/NAME.jpg, dealt out in turn."""
    by_split = {}
    for (split, name), content in (contents or class_contents()).items():
        by_split.setdefault(split, []).append((name, content))
    for split, members in by_split.items():
        for number in range(shards):
            shard(root / f"{split}-{number:03}.tar", members[number::shards])
    return root


def scene(seed, height=24, width=32, classes=11):
    """Pixels and label map of a generated scene; label 255 stands in a corner."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, classes, (3, 4), dtype=np.uint8), np.ones((height // 3, width // 4), np.uint8))
    labels[:2, :3] = 255
    return picture(seed, height, width), labels


def camvid(root, splits=(("train", 4), ("val", 2), ("test", 2))):
    for split, count in splits:
        for i in range(count):
            pixels, labels = scene([len(split), i])
            labels[labels == 255] = 11
            write(root / split / f"s{i}.png", encoded(pixels, "PNG"))
            write(root / f"{split}annot" / f"s{i}.png", encoded(labels, "PNG"))
    return root


def cityscapes(root, ids=True, train_ids=False):
    """Write scenes in the layout of Cityscapes; returns the labels that each should have by split and name."""
    wanted = {}
    for split in ("train", "val", "test"):
        for i, city in enumerate(("aachen", "ulm")):
            name = f"{city}/{city}_{i:06}_000019"
            pixels, _ = scene([len(split), i], 16, 32)
            numbers = np.arange(16 * 32, dtype=np.uint8).reshape(16, 32) % 34
            write(root / "leftImg8bit" / split / f"{name}_leftImg8bit.png", encoded(pixels, "PNG"))
            if ids:
                write(root / "gtFine" / split / f"{name}_gtFine_labelIds.png", encoded(numbers, "PNG"))
            if train_ids:
                other = np.where(numbers < 19, numbers, 255).astype(np.uint8)
                write(root / "gtFine" / split / f"{name}_gtFine_labelTrainIds.png", encoded(other, "PNG"))
            wanted[split, f"{name}_leftImg8bit.png"] = numbers
    return wanted
