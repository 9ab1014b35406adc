"""Charts are valid SVG that says its numbers in text."""

from xml.etree import ElementTree

import pytest
from faion_finetuner.core.reports.chart import Bar, histogram, horizontal
from faion_finetuner.core.reports.report import Figure, to_html

SVG = "{http://www.w3.org/2000/svg}"


def rects(svg):
    return ElementTree.fromstring(svg).findall(f"{SVG}rect")


def test_bars_are_as_long_as_their_values_and_labels_cannot_break_out():
    svg = horizontal("Classes", [Bar("<b>one</b> & 'two'", 30, "30"), Bar("three", 10, "10")])
    long, short = (float(rect.get("width", "")) for rect in rects(svg))
    assert long == pytest.approx(3 * short, rel=0.01)
    assert b"&lt;b&gt;one&lt;/b&gt; &amp;" in svg


def test_a_histogram_has_a_bar_for_each_count_and_names_its_bounds():
    svg = histogram("Lengths", [0, 10, 20, 500], [4, 8, 0], "tokens")
    heights = [float(rect.get("height", "")) for rect in rects(svg)]
    assert heights[1] == 2 * heights[0]
    assert heights[2] == 0
    assert b"<title>20 to 500 tokens: 0 rows</title>" in svg


def test_no_bars_are_no_error():
    assert not rects(horizontal("Nothing", []))
    assert not rects(histogram("Nothing", [0], [], "tokens"))


def test_a_page_holds_its_charts():
    page = to_html("Title", "# Title", (Figure("a.svg", horizontal("One", [Bar("a", 1, "1")]), "A chart"),))
    assert 'src="data:image/svg+xml;base64,' in page
    assert "<figcaption>A chart</figcaption>" in page
