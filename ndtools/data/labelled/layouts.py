"""The files by which data sets are laid out in folders."""

from dataclasses import dataclass

__all__ = [
    "CIFAR100_BINARY",
    "CIFAR100_PICKLE",
    "CIFAR10_BINARY",
    "CIFAR10_PICKLE",
    "IDX",
    "LAYOUTS",
    "Layout",
    "spellings",
]


@dataclass(frozen=True)
class Layout:
    """The files by which a data set is laid out in a folder.

    Parameters
    ----------
    kind : {"idx", "cifar-binary", "cifar-pickle"}
        Their format.
    train, test : tuple of str
        File names; for IDX those of images and labels, uncompressed and in the usual spelling.
    n_classes : int or None
        How many classes the format has room for; None if only the labels tell.
    names : str or None
        File with the names of the classes, which may be absent.
    label_bytes : int
        Of each record of the binary layout; the last of them is the label that is used.
    """

    kind: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    n_classes: int | None = None
    names: str | None = None
    label_bytes: int = 1


IDX = Layout(
    "idx",
    train=("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    test=("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR10_BINARY = Layout(
    "cifar-binary", tuple(f"{name}.bin" for name in _BATCHES), ("test_batch.bin",), 10, "batches.meta.txt"
)
CIFAR10_PICKLE = Layout("cifar-pickle", _BATCHES, ("test_batch",), 10, "batches.meta")
CIFAR100_BINARY = Layout("cifar-binary", ("train.bin",), ("test.bin",), 100, "fine_label_names.txt", label_bytes=2)
CIFAR100_PICKLE = Layout("cifar-pickle", ("train",), ("test",), 100, "meta", label_bytes=2)

LAYOUTS = (IDX, CIFAR10_BINARY, CIFAR10_PICKLE, CIFAR100_BINARY, CIFAR100_PICKLE)
"""All layouts that can be read, in the order in which a folder is tried."""


def spellings(file: str) -> tuple[str, ...]:
    """Return the names that a file of a layout goes by, the preferred one first.

    Parameters
    ----------
    file : str
        As a :class:`Layout` has it.

    Returns
    -------
    tuple of str
        For IDX also compressed, and with a dot before "idx"; else the name alone.

    Examples
    --------
    >>> spellings("t10k-labels-idx1-ubyte")[:2]
    ('t10k-labels-idx1-ubyte.gz', 't10k-labels-idx1-ubyte')
    """
    if not file.endswith("-ubyte"):
        return (file,)
    dotted = file.replace("-idx", ".idx")
    # What is fetched comes first, so that fetching again mends a set whatever lies beside it.
    return (f"{file}.gz", file, f"{dotted}.gz", dotted)
