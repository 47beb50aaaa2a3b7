import pytest

from ndtools.text import counted, percent, shortened


@pytest.mark.parametrize(("number", "words"), [(0, "0 images"), (1, "1 image"), (25, "25 images")])
def test_plurals(number, words):
    assert counted(number, "image") == words


def test_long_texts_keep_their_end():
    assert shortened("a" * 60) == "a" * 60
    assert shortened("b" + "a" * 60) == "…" + "a" * 59
    assert shortened("0123456789", 4) == "…789"


@pytest.mark.parametrize(
    ("values", "words"), [((0.123456,), "12.3 %"), ((0.015, 0.0012), "1.50 ± 0.12 %"), ((0.999, None, 6), "99.9 %")]
)
def test_shares_in_per_cent(values, words):
    assert percent(*values) == words
