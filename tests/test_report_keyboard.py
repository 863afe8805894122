"""The page by keyboard alone, on a phone, and as a screen reader is told of it: a real browser, real key presses."""

import base64
import re
import zlib

import pytest
from tests.headless import BROWSER, NO_BROWSER, driven

from onelip.bench.report.build import build_report

pytestmark = pytest.mark.skipif(BROWSER is None, reason=NO_BROWSER)

CONTROLS = """[...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']"
)].filter((one) => one.matches("summary") || !one.closest("details:not([open])"))"""
OUTLINE = "[getComputedStyle(one).outlineStyle, Number.parseFloat(getComputedStyle(one).outlineWidth)]"
STOPS = {
    "button",
    "link",
    "combobox",
    "spinbutton",
    "checkbox",
    "image",
    "img",
    "table",
    "region",
    "DisclosureTriangle",
}
ANSWER = "document.getElementById('answer').textContent"


@pytest.fixture(scope="module")
def browser(sample_records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyboard")
    sample_records.study(folder)
    address = build_report(folder).html.as_uri()
    with driven(folder) as opened:
        yield opened, address


@pytest.fixture
def page(browser):
    opened, address = browser
    opened.open(address)
    return opened


def focused(page, script):
    """A JavaScript expression of the element that has the focus, `one`."""
    return page.value(f"((one) => {script})(document.activeElement)")


def go_to(page, script):
    """Tab on until an expression of the element with the focus holds."""
    for _ in range(2 * page.value(f"{CONTROLS}.length")):
        page.press("Tab")
        if focused(page, script):
            return
    raise AssertionError(f"no stop for which {script}")


def test_every_control_is_reached_and_shows_that_it_is(page):
    count = page.value(f"{CONTROLS}.length")
    assert count > 30
    reached, hidden = [], []
    for _ in range(count):
        page.press("Tab")
        reached.append(focused(page, f"{CONTROLS}.indexOf(one)"))
        style, width = focused(page, OUTLINE)
        if style == "none" or width < 1:
            hidden.append(focused(page, "one.outerHTML.slice(0, 120)"))
    assert reached == list(range(count)), "in the order of the page"
    assert hidden == []


def test_a_heading_sorts_its_table_and_keeps_the_focus(page):
    go_to(page, "one.matches('table:not(#ranking) button.sort')")
    for key, order in (("Enter", "ascending"), ("Space", "descending"), ("Space", "ascending")):
        page.press(key)
        assert focused(page, "one.closest('th')?.getAttribute('aria-sort')") == order


def test_the_mark_of_what_sorts_is_as_dark_as_small_print(page):
    mark = page.value("getComputedStyle(document.querySelector('button.sort'), '::after').color")
    assert mark == page.value("getComputedStyle(document.querySelector('p.note')).color")


def test_a_limit_is_typed_and_answered(page):
    go_to(page, "one.matches('#question input[data-key=accuracy]')")
    before = page.value(ANSWER)
    for key in "100":
        page.press(key)
    assert focused(page, "one.value") == "100"
    assert page.value(ANSWER) != before
    assert page.value(ANSWER).startswith("Nothing")
    go_to(page, "one.matches('#question button[type=reset]')")
    page.press("Enter")
    page.wait_for(f"{ANSWER} === {before!r}")


def test_details_are_opened_and_closed(page):
    go_to(page, "one.matches('summary')")
    for is_open in (True, False):
        page.press("Enter")
        assert focused(page, "one.parentElement.open") is is_open


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_scrolls_down_and_not_aside(page, width):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=True)
    try:
        assert page.value("window.innerWidth") == width
        assert page.value("document.documentElement.scrollWidth") <= width
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")


def test_figures_on_a_phone_are_scrolled_and_not_shrunk(page):
    """Of every text in a figure its height on the screen; a figure is wider than the phone, and the page is not."""
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=True)
    try:
        sizes = page.value("""[...document.querySelectorAll("svg text")].map((one) => {
            const { a, b } = one.getScreenCTM();
            return Number.parseFloat(getComputedStyle(one).fontSize) * Math.hypot(a, b);
        })""")
        assert len(sizes) > 100
        assert min(sizes) > 9
        assert page.value("document.querySelector('.drawings svg').getBoundingClientRect().width") > 360
        assert page.value("document.documentElement.scrollWidth") <= 360
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")


def test_paper_has_what_is_closed_on_the_screen_and_is_not_overrun(page):
    """A4 between margins of a centimetre. What is left out is said."""
    page.call("Emulation.setDeviceMetricsOverride", width=717, height=1000, deviceScaleFactor=1, mobile=False)
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert page.value("document.querySelectorAll('details:not([open])').length") > 2
        heights = page.value(
            "[...document.querySelectorAll('details table')].map((one) => one.getBoundingClientRect().height)"
        )
        assert min(heights) > 20
        assert page.value("getComputedStyle(document.getElementById('question')).display") == "none"
        assert "onelip recommend" in page.value("document.getElementById('ask').innerText")
        ends = page.value("""[...document.querySelectorAll("table, svg")]
            .filter((one) => !one.closest("#ask")).map((one) => one.getBoundingClientRect().right)""")
        assert max(ends) <= 717
        small, cell = page.value("""["td small", "td:has(small)"].map((one) =>
            Number.parseFloat(getComputedStyle(document.querySelector(one)).fontSize))""")
        assert small < cell
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
        page.call("Emulation.clearDeviceMetricsOverride")


LONG = """(() => {
    const style = document.createElement("style");
    style.textContent = "@media print { .long thead, .long thead * { color: rgb(1, 2, 3) !important; } }";
    document.head.append(style);
    const table = document.querySelector("main section[id^=comparison] table");
    table.className = "long";
    const [body] = table.tBodies;
    for (let line = 0; line < 100; line++) body.append(body.rows[0].cloneNode(true));
})()"""
"""The first table grows longer than two pages, and its headings have a colour that nothing else has."""


def test_a_table_longer_than_a_page_has_its_headings_on_each(page):
    """Their words, and not only their boxes: each page is a stream of its own, in which the colour is set."""
    page.value(LONG)
    pdf = base64.b64decode(page.call("Page.printToPDF")["data"])
    streams = re.findall(rb"/FlateDecode[^>]*>>\s*stream\r?\n(.*?)\s*endstream", pdf, re.DOTALL)
    headed = [stream for stream in map(inflated, streams) if re.search(rb"\.0039\d* \.0078\d* \.011\d+ rg", stream)]
    assert len(headed) >= 3


def inflated(stream):
    return zlib.decompressobj().decompress(stream)


def test_figures_stand_side_by_side_on_paper(page):
    page.call("Emulation.setDeviceMetricsOverride", width=717, height=1000, deviceScaleFactor=1, mobile=False)
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        tops = page.value("""[...document.querySelector(".drawings").children]
            .map((one) => Math.round(one.getBoundingClientRect().top))""")
        assert tops[0] == tops[1] < tops[2] == tops[3]
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
        page.call("Emulation.clearDeviceMetricsOverride")


def test_older_browsers_open_what_is_closed_for_printing(page):
    is_open = "[...document.querySelectorAll('details')].filter((one) => one.open).length"
    page.value("dispatchEvent(new Event('beforeprint'))")
    assert page.value(is_open) == page.value("document.querySelectorAll('details').length")
    page.value("dispatchEvent(new Event('afterprint'))")
    assert page.value(is_open) == 0


def test_whatever_a_screen_reader_stops_at_has_a_name(page):
    tree = [node for node in page.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    roles = [node["role"]["value"] for node in tree]
    assert {"button", "combobox", "spinbutton", "checkbox", "table"} <= set(roles)
    assert {"image", "img"} & set(roles)
    nameless = [
        role for role, node in zip(roles, tree, strict=True) if role in STOPS and not node.get("name", {}).get("value")
    ]
    assert nameless == []
