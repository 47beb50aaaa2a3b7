"""A browser opens the page from a file: no error, no request, and nothing wider than the window."""

import base64
import time

import pytest

from tests.report.chromium import PATH, Chromium

pytestmark = pytest.mark.skipif(PATH is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_from_a_file(scheme, width, browser, report):
    session = browser.open(report.path.as_uri(), width=width, scheme=scheme)
    assert browser.of("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown") == []
    asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
    assert asked[0] == report.path.as_uri() and all(url.startswith("data:image/png") for url in asked[1:])
    assert browser.value(session, "document.documentElement.scrollWidth <= innerWidth")
    assert browser.value(session, "[...document.images].every(i => i.complete && i.naturalWidth > 500)")
    assert browser.value(session, "document.querySelectorAll('table').length") > 5
    assert browser.value(session, "[...document.querySelectorAll('svg')].every(s => s.clientHeight > 100)")
    ground = browser.value(session, "getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 27)")
    # The skip link is seen when the keyboard reaches it, and leads to the content.
    browser.value(session, "document.querySelector('.skip').focus()")
    assert browser.value(session, "document.querySelector('.skip').getBoundingClientRect().left >= 0")


def test_the_keyboard_goes_through_the_page(browser, report):
    """Tab visits all links, folded parts and scrolling parts, each once, in the order of the page, and shows where."""
    session = browser.open(report.path.as_uri(), width=1280, scheme="light")
    reachable = "[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility())"
    browser.value(session, f"window.all = {reachable}; window.seen = []; undefined")
    number = browser.value(session, "all.length")
    assert number > 20
    for _ in range(number):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", session, type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        browser.value(
            session,
            "seen.push([all.indexOf(document.activeElement), getComputedStyle(document.activeElement).outlineStyle]);"
            " undefined",
        )
    seen = browser.value(session, "seen")
    assert [place for place, _ in seen] == list(range(number))
    assert {outline for _, outline in seen} == {"solid"}
    # The keyboard opens what is folded.
    browser.value(session, "document.querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", session, type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
        )
    assert browser.value(session, "document.querySelector('details').open")


PAGE = 718  # pixels of CSS: an A4 page without margins of 1 cm


def test_nothing_is_cut_on_paper(browser, report):
    session = browser.open(report.path.as_uri(), width=PAGE, scheme="light")
    browser.call("Emulation.setEmulatedMedia", session, media="print", features=[])
    browser.value(session, "document.querySelectorAll('details').forEach(each => each.open = true)")
    beyond = browser.value(
        session,
        "[...document.querySelectorAll('p, li, h1, h2, h3, h4, th, td, pre, dt, dd, caption, figcaption, svg, img')]"
        ".filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.tagName + ': ' + e.textContent.slice(0, 60))",
    )
    assert beyond == []


def test_what_is_folded_is_printed(browser, report):
    session = browser.open(report.path.as_uri(), width=PAGE, scheme="light")
    if not browser.value(session, "CSS.supports('selector(details::details-content)')"):
        pytest.skip("this Chromium is older than that selector")
    folded = "[...document.querySelectorAll('details > :not(summary)')]"
    seen = f"{folded}.filter(e => e.checkVisibility({{contentVisibilityAuto: true}}) && e.clientHeight > 0).length"
    assert browser.value(session, f"{folded}.length") > 5
    assert browser.value(session, seen) == 0
    browser.call("Emulation.setEmulatedMedia", session, media="print", features=[])
    for _ in range(100):  # a page that no window shows is laid out anew some time later
        if browser.value(session, seen) == browser.value(session, f"{folded}.length"):
            return
        time.sleep(0.1)
    pytest.fail("what is folded is not seen on paper")


def test_the_page_prints(browser, report):
    session = browser.open(report.path.as_uri(), width=1280, scheme="dark")
    pdf = base64.b64decode(browser.call("Page.printToPDF", session)["data"])
    assert pdf.startswith(b"%PDF") and 3 <= pdf.count(b"/Type /Page\n") <= 20
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", session, media="print", features=features)
    assert browser.value(session, "getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert browser.value(session, "getComputedStyle(document.querySelector('nav')).display") == "none"
