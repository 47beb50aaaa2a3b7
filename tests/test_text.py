import pytest

from ndtools.text import counted, duration, percent, share_in_percent, shortened, source_name


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


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("sample", "sample"),
        ("/home/me/photos/", "photos"),
        ("/home/me/photos/, more/a.zip", "photos, a.zip"),
        ("photos/*.png", "*.png"),
        ("/", "/"),
        ("/data/" + 70 * "x", "…" + 59 * "x"),
    ],
)
def test_titles_name_a_source_without_its_folders(source, name):
    assert source_name(source) == name


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-"), (0.04, "0.04 s"), (9.9, "9.9 s"), (9.96, "10 s"), (99, "99 s"), (100, "2 min"), (5969, "99 min"),
     (5970, "1.7 h"), (3600 * 47, "47.0 h"), (86400 * 3, "3 days")],
)  # fmt: skip
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.911, "91.1"), (3.8e-18, "0"), (0.0, "0"), (-1e-17, "0"), (1e-5, "0.001"), (float("nan"), "nan")],
)
def test_a_share_that_is_rounding_is_none(share, text):
    assert share_in_percent(share) == text
