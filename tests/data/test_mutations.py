"""Damaged files of every kind that is read: each reader gives a result or a DataError of one clean line.

The mutations are drawn from a fixed seed, a few hundred in all. ``NDTOOLS_MUTANTS=20000`` draws more of each kind,
and ``NDTOOLS_MUTATION_SEED`` others.
"""

import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as to_safetensors

from ndtools.checkpoints.state_dicts import load_state
from ndtools.data.arrays import read_arrays, read_matrix
from ndtools.data.images.decoding import decode_image
from ndtools.data.images.places import LocalPlace
from ndtools.data.images.sources import _read_list, resolve_source
from ndtools.data.labelled.cifar import read_binary, read_names, read_pickle
from ndtools.data.labelled.idx import read_idx
from ndtools.errors import DataError
from ndtools.moments.files import Moments, iterate_moments
from ndtools.moments.origin import Origin, PatchSetting, Shard
from ndtools.numerics.patch_covariance import PatchCovariance

MUTANTS = int(os.environ.get("NDTOOLS_MUTANTS", "25"))
SEED = int(os.environ.get("NDTOOLS_MUTATION_SEED", "0"))

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
WORDS = [
    b"\n",
    b"\x1b[31m",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"../",
    b"PK\x05\x06",
    b"\x93NUMPY",
    b"9" * 20,
]


def mutated(content, rng):
    """One to four random changes: bytes altered, cut out, doubled, replaced by telling ones."""
    mutant = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(mutant) + 1))
        length = int(rng.integers(1, 9))
        match int(rng.integers(6)):
            case 0:
                mutant[at : at + 1] = rng.bytes(1)
            case 1:
                mutant[at : at + 4] = int(rng.integers(2**32)).to_bytes(4, "little")
            case 2:
                del mutant[at : at + length]
            case 3:
                mutant[at:at] = mutant[at : at + length]
            case 4:
                del mutant[at + length :]
            case 5:
                word = WORDS[int(rng.integers(len(WORDS)))]
                mutant[at : at + len(word)] = word
    return bytes(mutant)


def saved(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def image(format, mode="RGB", **options):
    pixels = np.random.default_rng(1).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode == "F":
        picture = Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    else:
        picture = picture.convert(mode)
    return saved(lambda file: picture.save(file, format, **options))


def archive_of_images(suffix):
    members = {"a.png": image("PNG"), "b/c.jpg": image("JPEG"), "d.webp": image("WEBP")}
    if suffix == ".zip":
        with zipfile.ZipFile(content := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return content.getvalue()
    mode = {".tar": "w", ".tar.gz": "w:gz", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2"}[suffix]
    with tarfile.open(fileobj=(content := io.BytesIO()), mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def moments():
    covariance = PatchCovariance(1, 2).update(np.random.default_rng(0).random((1, 9, 9))).finalize()
    return saved(
        lambda file: np.savez(
            file, **Moments(covariance, 1, origin=Origin.of("photos", "0", PatchSetting(), Shard(1, 1))).arrays()
        )
    )


def idx():
    return struct.pack(">4B3I", 0, 0, 8, 3, 5, 4, 3) + bytes(range(60))


def cifar_pickle():
    data = np.zeros((2, 3072), np.uint8)
    return pickle.dumps({b"data": data, b"labels": [1, 2]}, protocol=2)


def images_of(path):
    for reference in resolve_source(path):
        decode_image(reference.read())


STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}

KINDS = {
    "a.png": (image("PNG"), images_of),
    "rgba.png": (image("PNG", "RGBA"), images_of),
    "palette.png": (image("PNG", "P"), images_of),
    "deep.png": (image("PNG", "I;16"), images_of),
    "a.jpg": (image("JPEG"), images_of),
    "cmyk.jpg": (image("JPEG", "CMYK"), images_of),
    "a.gif": (image("GIF", "P"), images_of),
    "a.bmp": (image("BMP"), images_of),
    "a.tif": (image("TIFF"), images_of),
    "packed.tif": (image("TIFF", compression="tiff_lzw"), images_of),
    "float.tif": (image("TIFF", "F"), images_of),
    "a.webp": (image("WEBP"), images_of),
    "alpha.webp": (image("WEBP", "RGBA", lossless=True), images_of),
    "a.ppm": (image("PPM"), images_of),
    "a.jp2": (image("JPEG2000"), images_of),
    "a.tga": (image("TGA"), images_of),
    "a.pcx": (image("PCX"), images_of),
    "a.sgi": (image("SGI"), images_of),
    "x.zip": (archive_of_images(".zip"), images_of),
    "x.tar": (archive_of_images(".tar"), images_of),
    "x.tar.gz": (archive_of_images(".tar.gz"), images_of),
    "x.tar.xz": (archive_of_images(".tar.xz"), images_of),
    "x.tar.bz2": (archive_of_images(".tar.bz2"), images_of),
    # Parsed alone: a mutant may name the root of the file system.
    "list.txt": (b"a.png\nb/c.jpg\r\n/nowhere/d.png\n\n../e.zip\n", lambda path: _read_list(str(path), LocalPlace())),
    "matrix.npy": (saved(lambda file: np.save(file, np.eye(4))), read_matrix),
    "bytes.npy": (saved(lambda file: np.save(file, np.asfortranarray(np.ones((4, 4), np.uint8)))), read_matrix),
    "matrix.npz": (saved(lambda file: np.savez_compressed(file, covariance=np.eye(4))), read_matrix),
    "two.npz": (saved(lambda file: np.savez(file, a=np.ones(3), b=np.ones(4))), lambda p: read_arrays(p, ["a", "b"])),
    "moments.npz": (moments(), lambda path: list(iterate_moments([str(path)]))),
    "images-idx3": (idx(), lambda path: read_idx(path, 3)),
    "images-idx3.gz": (gzip.compress(idx(), mtime=0), lambda path: read_idx(path, 3)),
    "batch.bin": (bytes([1, 2]) + bytes(3072) + bytes([0, 9]) + bytes(3072), lambda path: read_binary(path, 100, 2)),
    "batch": (cifar_pickle(), lambda path: read_pickle(path, 10)),
    "meta": (pickle.dumps({b"label_names": [b"a", b"b"]}, protocol=2), lambda path: read_names(path, 2)),
    "meta.txt": (b"a\nb\n", lambda path: read_names(path, 2)),
    "state.safetensors": (to_safetensors(STATE, {"ndtools": '{"arch": "vgg11"}'}), load_state),
    "state.pt": (saved(lambda file: torch.save(STATE, file)), load_state),
}


@pytest.mark.parametrize("name", KINDS)
def test_undamaged(name, tmp_path):
    content, read = KINDS[name]
    (tmp_path / name).write_bytes(content)
    read(tmp_path / name)


@pytest.mark.parametrize("name", KINDS)
def test_damaged(name, tmp_path):
    content, read = KINDS[name]
    rng = np.random.default_rng([SEED, *name.encode()])
    path = tmp_path / name
    for number in range(MUTANTS):
        mutant = mutated(content, rng)
        path.write_bytes(mutant)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, of oddities in files that it reads all the same
                read(path)
        except DataError as error:
            assert not CONTROL.search(str(error)), (number, str(error))
            assert 0 < len(str(error)) < 1000 + len(str(path)), (number, str(error))
        except Exception as error:
            kept = os.environ.get("NDTOOLS_MUTATION_KEEP")
            if kept:
                with open(os.path.join(kept, f"{SEED}-{number}-{name}"), "wb") as file:
                    file.write(mutant)
            raise AssertionError(f"mutant {number} of {name}: {error!r}") from error
