"""A browser opens the page from a file: no error, no request, and nothing wider than the window."""

import base64

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


def test_the_page_prints(browser, report):
    session = browser.open(report.path.as_uri(), width=1280, scheme="dark")
    pdf = base64.b64decode(browser.call("Page.printToPDF", session)["data"])
    assert pdf.startswith(b"%PDF") and 3 <= pdf.count(b"/Type /Page\n") <= 20
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", session, media="print", features=features)
    assert browser.value(session, "getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert browser.value(session, "getComputedStyle(document.querySelector('nav')).display") == "none"
