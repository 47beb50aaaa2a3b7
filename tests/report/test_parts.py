"""The parts of a report: numbers as tables, citations, figures within a page, and colours that can be read."""

import re

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.report.citing import cite, documents_of, with_unit
from ndtools.report.numbers import number_in_words, tables_of
from ndtools.report.pictures import Drawing, draw_figure, shrink
from tests.places import ROOT

CSS = (ROOT / "ndtools" / "report" / "page.css").read_text()


def test_single_values_lists_records_and_matrices_are_tables():
    numbers = {
        "kernel_size": 3,
        "images": {"read": 4, "skipped": []},
        "sides": {"before": {"kurtosis": 2.0}, "after": {"kurtosis": 16.25}},
        "channels": [{"center": 1.0, "name": "R"}, {"center": -2.5, "name": "G", "curve": list(range(9))}],
        "centers": [[1.0, 2.0], [3.0, None]],
        "curve": [0.1] * 50,
    }
    single, sides, channels, centers = tables_of(numbers)
    assert single.rows == (("kernel size", "3"), ("images: read", "4"), ("images: skipped", "none"))
    assert single.note == "1 longer list of numbers left out here: see the data of the page."
    assert (sides.caption, sides.head, sides.rows) == (
        "sides", ("name", "kurtosis"), (("before", "2"), ("after", "16.25"))
    )  # fmt: skip
    assert channels.head == ("name", "center") and channels.rows == (("R", "1"), ("G", "-2.5"))
    assert channels.note == "1 further column left out here: see the data of the page."
    assert centers.rows == (("1", "1", "2"), ("2", "3", "-"))


def test_long_tables_are_cut_and_say_so():
    (table,) = tables_of({"rows": [{"step": i} for i in range(100)]})
    assert len(table.rows) == 40 and table.note.startswith("60 further rows left out")


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "-"), (3, "3"), (1234567, "1,234,567"), (0.123456789, "0.1235"), (59430.4, "59,430"), (1.5e-7, "1.5e-07"),
     (2440788.0, "2,440,788"), (10**20, "1e+20")],
)  # fmt: skip
def test_numbers_in_words(value, words):
    assert number_in_words(value) == words


def test_citations_are_what_the_documents_print():
    number = cite("table1/vgg16/cifar10/nd/1")
    assert number.value == "74.18 %" and number.where == "paper: table 1, VGG-16"
    assert number.title == "top-1 accuracy: vgg16, cifar10, deconvolution, 1 epoch, batches of 128"
    second = cite("table2/resnet18/nd/top1/v2")
    assert second.value == "71.24 %" and second.where == "paper (second version): table 2, ResNet-18"
    assert second.doubt
    assert (
        number.conditions.startswith("lr 0.1, weight decay 0.001, opt sgd, momentum 0.9")
        and "arch" not in number.conditions
    )
    assert cite("rescience/vgg16/cifar10/bn/1").value == "14.38 ± 1.32 %"
    claim = cite("claim/center-surround")
    assert claim.quoted and claim.value == CLAIMS[claim.id].quote and claim.title == CLAIMS[claim.id].statement
    assert cite("no/such/id").value is None
    assert documents_of({"table2/resnet18/nd/top1/v2", "no/such/id"}) == ["Ye et al., Network Deconvolution, ICLR 2020"]


def test_every_number_and_claim_can_be_cited():
    for subject in (*ENTRIES, *CLAIMS):
        citation = cite(subject)
        assert citation.value and citation.title, subject
        assert citation.where.startswith(("paper", "summary", "report", "ReScience")), subject


def test_values_have_their_spread_and_unit():
    assert with_unit(93.4, 0.123, "%") == "93.4 ± 0.12 %"
    assert with_unit(0.0123456, None, "s") == "0.0123 s" and with_unit(3725.31, None, "s") == "3,725 s"
    assert with_unit(None, 0.1, "%") == "-" and with_unit(4.5, None, "") == "4.5"


def figure(image=None):
    drawn = Figure(figsize=(3, 2))
    ax = drawn.add_subplot()
    ax.plot([0, 1], [0, 1], marker="o", clip_on=True)
    ax.set_xlabel("<b>x</b> & y")
    if image is not None:
        ax.imshow(image)
    return drawn


def test_curves_are_svg_whose_names_and_styles_stay_within():
    one, two = (draw_figure(figure(), prefix=prefix, alt="A <line>", caption="c").svg for prefix in ("f1-", "f2-"))
    assert one.startswith("<svg ") and "<style" not in one and "<metadata" not in one and "xmlns" not in one
    names = [set(re.findall(r'id="([^"]+)"', text)) for text in (one, two)]
    assert not names[0] & names[1] and all(name.startswith("f1-") for name in names[0])
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', one)) <= names[0]
    assert '<title id="f1-title">A &lt;line&gt;</title>' in one and "<b>" not in one


def test_images_are_png():
    drawing = draw_figure(figure([[0, 1], [1, 0]]), prefix="f-", alt="a", caption="c")
    assert drawing.svg is None and drawing.size == (600, 400) and drawing.source.startswith("data:image/png;base64,")
    assert drawing.cost == len(drawing.source) - len("data:image/png;base64,")


def test_the_largest_pictures_are_shrunk_first_and_none_below_500_pixels():
    large = Image.effect_noise((1200, 400), 80).convert("RGB")
    small = Image.effect_noise((400, 100), 80).convert("RGB")
    drawings = [Drawing("a", "c", png=large), Drawing("a", "c", png=small)]
    most = drawings[0].cost // 2 + drawings[1].cost
    shrink(drawings, most, most)
    assert sum(drawing.cost for drawing in drawings) <= most
    assert drawings[0].size[0] < 1200 and drawings[1].size == (400, 100)
    shrink(drawings, 0, 0)
    assert 500 <= drawings[0].size[0] < 640


def test_one_picture_does_not_take_the_room_of_all():
    drawings = [Drawing("a", "c", png=Image.effect_noise((1200, 400), 80).convert("RGB")) for _ in range(2)]
    drawings[1].png = Image.new("RGB", (1200, 400), "white")
    shrink(drawings, 10**9, drawings[0].cost // 2)
    assert drawings[0].size[0] < 1200 and drawings[1].size == (1200, 400)


def luminance(colour):
    """Return the relative luminance of a colour, as the guidelines of the W3C on contrast define it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21, rel=1e-12)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # a grey known to be just too light


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
def test_texts_have_contrast(scheme):
    colours = dict(re.findall(r"--(\w+): (#\w{6})", re.findall(r":root \{([^}]*)\}", CSS)[scheme]))
    for name in ("text", "quiet", "link", "disagrees", "direction", "agrees", "none"):
        for ground in ("ground", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_styles_are_short():
    assert CSS.count("\n") <= 160 and "http" not in CSS and "@import" not in CSS
