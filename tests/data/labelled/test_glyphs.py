import hashlib

import matplotlib
import pytest
import torch

from ndtools.data.labelled.datasets import load_dataset
from ndtools.data.labelled.glyphs import FONTS, glyphs
from ndtools.errors import DataError


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def digest(data):
    tensors = (data.train.images, data.train.labels, data.test.images, data.test.labels)
    return [hashlib.md5(tensor.numpy().tobytes()).hexdigest() for tensor in tensors]


def test_shape_and_range():
    data = load_dataset()
    assert (data.name, data.synthetic, data.location) == ("glyphs", True, "built in")
    assert data.classes == tuple("0123456789")
    for split, n in ((data.train, 20_000), (data.test, 4_000)):
        assert split.images.shape == (n, 1, 28, 28)
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        assert split.labels.bincount().tolist() == [n // 10] * 10
    # Light on black, about as MNIST (0.131 and 0.308).
    pixels = data.train.images.double() / 255
    assert 0.1 < pixels.mean() < 0.2
    assert 0.2 < pixels.std() < 0.35
    assert digest(data) == digest(glyphs())


def test_classes_are_balanced_to_within_one():
    counts = glyphs(1234, 7).train.labels.bincount(minlength=10)
    assert counts.max() - counts.min() == 1
    assert glyphs(10, 7).test.labels.unique().numel() == 7


def test_threads_do_not_matter_and_seeds_do(threads):
    found = []
    for n in (1, 2, 3):
        threads(n)
        found.append(digest(glyphs(1500, 300, seed=5)))
    assert found[0] == found[1] == found[2]
    other = digest(glyphs(1500, 300, seed=6))
    assert not set(other) & set(found[0])


def test_train_and_test_are_different_draws():
    data = glyphs(400, 400, seed=2)
    train = {image.numpy().tobytes() for image in data.train.images}
    assert len(train) == 400
    assert not train & {image.numpy().tobytes() for image in data.test.images}
    assert digest(glyphs(10, 400, seed=2))[2:] == digest(data)[2:]


def test_digits_are_told_apart_but_vary():
    """Neighbours in pixels mostly show the same digit: the classes can be learned, and not by heart."""
    data = glyphs(2000, 300, seed=1)
    train, test = (split.images.float().flatten(1) for split in (data.train, data.test))
    distances = torch.cdist(test, train)
    nearest = data.train.labels[distances.argmin(1)]
    assert (nearest == data.test.labels).float().mean() > 0.9
    assert distances.min() > 100  # no image is nearly another


def test_digits_are_whole():
    """Nothing bright touches the border."""
    data = glyphs(3000, 10, seed=3)
    border = torch.ones(28, 28, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    bright = (data.train.images[:, 0][:, border] > 150).any(1).float().mean()
    assert bright < 0.01


def test_all_fonts_are_here():
    from pathlib import Path

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    assert all((folder / name).is_file() for name in FONTS)


def test_without_fonts(tmp_path, monkeypatch):
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match="fonts are not in .*reinstall matplotlib"):
        glyphs(10, 10)


@pytest.mark.parametrize("numbers", [{"n_train": 0}, {"n_test": 0}, {"seed": -1}])
def test_numbers_out_of_range(numbers):
    with pytest.raises(ValueError, match="n_train and n_test must be at least 1"):
        glyphs(**{"n_train": 10, "n_test": 10} | numbers)
