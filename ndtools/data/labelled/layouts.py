"""Layouts: the files that a data set consists of, and their format."""

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
    """The files that a data set consists of in a folder, and their format.

    Attributes
    ----------
    kind : {"idx", "cifar-binary", "cifar-pickle"}
        Format of the files.
    train, test : tuple of str
        Names of the training and the test files. For IDX these are the images and the labels, uncompressed and in
        the usual spelling.
    n_classes : int or None
        Number of classes that the format allows; None if only the labels show how many classes there are.
    names : str or None
        Name of the optional file with the names of the classes; None if the layout has no such file.
    label_bytes : int
        Number of label bytes in each record of the binary layout, by default 1. The last of them is the label that
        is used.
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
"""All layouts that can be read, in the order in which they are looked for in a folder."""


def spellings(file: str) -> tuple[str, ...]:
    """Return the names under which a file of a layout is looked for, the preferred one first.

    Parameters
    ----------
    file : str
        Name of the file in a :class:`Layout`.

    Returns
    -------
    tuple of str
        Four names for an IDX file, compressed or not and with "-idx" or ".idx"; otherwise the given name alone.

    Examples
    --------
    >>> spellings("t10k-labels-idx1-ubyte")[:2]
    ('t10k-labels-idx1-ubyte.gz', 't10k-labels-idx1-ubyte')
    """
    if not file.endswith("-ubyte"):
        return (file,)
    dotted = file.replace("-idx", ".idx")
    # The name of the downloaded file comes first, so that fetching again repairs a set whatever lies beside it.
    return (f"{file}.gz", file, f"{dotted}.gz", dotted)
