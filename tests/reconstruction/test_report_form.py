"""The report's form: what can be read in both themes, on a telephone too, and dates below the axes."""

import base64
import dataclasses
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from test_report import reconstruction

from ctmodels.plot._dates import date_axis
from ctmodels.plot._style import COLOURS, GREY, INK, drawing
from ctmodels.reconstruction.report import render
from ctmodels.reconstruction.report._css import CSS, PHONE
from ctmodels.reconstruction.report._drawing import NARROW, PAGE_WIDTH, picture
from ctmodels.reconstruction.report._themes import DARK, LIGHT, line, text
from ctmodels.reconstruction.report._view import View

pytestmark = pytest.mark.only("float32")

TEXT, LINE = 4.5, 3.0  # WCAG 2.2, success criteria 1.4.3 and 1.4.11
GROUNDS = {"#f5f7f9", "#f6f8fa", "#eceff2", "#aab1ba", "#cccccc", "#ffffff"}  # behind what is read, and around it
TELEPHONE = 368  # pixels that are left of 400


def luminance(colour: str) -> float:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(c @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def svg_of(address: str) -> str:
    return base64.b64decode(address.partition("base64,")[2]).decode()


def width_of(svg: str) -> float:
    return float(ElementTree.fromstring(svg).attrib["viewBox"].split()[2])


@pytest.fixture(scope="module")
def page() -> str:
    """Two channels over dates, and three candidates."""
    return render(reconstruction(("x", "y"), candidates=("a", "b", "c"), samples=60))


@pytest.fixture(scope="module")
def figures(page) -> list[str]:
    """All that the page may show."""
    return [svg_of(a) for a in re.findall(r'(?:src|srcset)="(data:[^"]+)"', page)]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("colour", [*COLOURS, INK, GREY])
def test_every_colour_is_seen_on_both_papers(colour, dark):
    paper = DARK if dark else LIGHT
    assert contrast(line(colour, dark), paper) >= LINE
    assert contrast(line(colour, dark), line("#f5f7f9", dark)) >= LINE  # the ground of what is held out
    assert colour == GREY or contrast(text(colour, dark), paper) >= TEXT


@pytest.mark.parametrize("theme", [0, 1])
def test_the_pages_words_are_read_on_both_papers(theme):
    found = [dict(re.findall(r"--(\w+):\s*(#[0-9a-f]{3,6});", rules)) for rules in CSS.split("@media")[:2]]
    colours = {name: c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for name, c in found[theme].items()}
    assert colours["paper"] == (LIGHT, DARK)[theme]
    for ink in ("ink", "soft", "yes", "no"):
        assert all(contrast(colours[ink], colours[paper]) >= TEXT for paper in ("paper", "wash"))


def test_every_figure_follows_the_theme(figures):
    assert len(figures) > 8
    for svg in figures:
        ElementTree.fromstring(svg)
        sheet = svg.partition("</style>")[0]
        assert "(prefers-color-scheme:dark)" in sheet and "fill:#e6e9ed}" in sheet
        body = svg.partition("</style>")[2]
        for name, colour in set(re.findall(r"(fill|stroke): (#[0-9a-f]{6})", body)):
            changed = line(colour, True) != colour
            assert changed == (f'[style*="{name}: {colour}"]{{{name}:{line(colour, True)}!important}}' in sheet)
            for dark, paper in ((False, LIGHT), (True, DARK)):
                assert colour in GROUNDS or contrast(line(colour, dark), paper) >= LINE, (colour, dark)
        for style in set(re.findall(r'<text style="([^"]*)"', body)):
            colour = re.search(r"fill: (#\w+)", style)
            for dark, paper in ((False, LIGHT), (True, DARK)):
                assert colour is None or contrast(text(colour[1], dark), paper) >= TEXT, (colour, dark)


def test_tints_are_stronger_in_the_dark_but_for_those_of_grey(figures):
    assert "fill-opacity: 0.16" in figures[0]
    rule = '[style*="fill-opacity: 0.16"]:not([style*="#8c939c"]){fill-opacity:0.29!important}'
    assert rule in figures[0].partition("</style>")[0]


def test_swatches_are_of_the_colours_of_lines():
    light, dark = CSS.rpartition("@media not all and (prefers-color-scheme: dark)")[2].split("@media")
    assert '.key i[style*="#1b1f24" i]{--c:#e6e9ed!important}' in dark
    assert '.dot[style*="#E69F00" i]{background:#b57d00!important}' in light
    assert contrast("#e69f00", LIGHT) < LINE and "#E69F00" not in dark  # where it is seen it stays


def test_letters_are_large_enough_on_a_telephone(page):
    images = re.findall(
        r'<div>(?:<picture><source media="\(max-width: (\d+)px\)" srcset="([^"]+)">)?<img src="([^"]+)"', page
    )
    assert len(images) == page.count("<img") and any(wide for wide, *_ in images)
    for until, narrow, wide in images:
        svg = svg_of(narrow or wide)
        assert until in ("", str(PHONE)) and "font: " not in svg
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
        assert min(sizes) * TELEPHONE / width_of(svg) >= 9
        # And on the least wide of the pages that show the other.
        assert not narrow or 10.5 * (PHONE + 1 - 45) / width_of(svg_of(wide)) >= 9


def test_nothing_is_wider_than_a_telephone():
    rules = re.sub(r"@media \([^)]*\)", "", CSS)
    assert all(float(w) <= 360 for w in re.findall(r"(?<!max-)(?:min-)?width:\s*([\d.]+)px", rules))
    assert ".scroll { overflow-x: auto" in CSS and "<details open" not in CSS


def test_what_columns_mean_is_folded(page):
    assert "<details><summary>What the columns mean" in page


def test_panels_side_by_side_are_stacked_where_it_is_narrow():
    with drawing(PAGE_WIDTH, 3.0) as figure:
        panels = figure.subplots(2, 4, sharex="col", sharey="row")
        for i, axes in enumerate(panels[0]):
            axes.set_title(f"trial {i}")
        for axes in panels[:, 0]:
            axes.set_ylabel("x")
        drawn = picture(figure, "panels")
        assert figure.get_figwidth() == NARROW and figure.get_figheight() == 6
        assert [axes.get_subplotspec().get_geometry() for axes in figure.axes] == [(4, 2, i, i) for i in range(8)]
    words = lambda address: re.findall(r">trial (\d)<", svg_of(address))
    assert words(drawn.address) == list("0123") and words(drawn.narrow) == 2 * list("0123")
    assert width_of(svg_of(drawn.narrow)) == pytest.approx(72 * NARROW)


@pytest.mark.parametrize("map_of_colours", [False, True])
def test_lines_drawn_as_pixels_are_turned_and_maps_of_colours_are_not(map_of_colours):
    with drawing(2.0, 2.0) as figure:
        axes = figure.subplots()
        if map_of_colours:
            axes.imshow(np.eye(2))
        else:
            axes.plot([0, 1], [0, 1], color=INK, rasterized=True)
        svg = svg_of(picture(figure, "pixels").address)
    assert "<image" in svg and ("image{filter:invert(1)" in svg) != map_of_colours


def test_dates_stand_below_the_axes(figures):
    shown = next(svg for svg in figures if "Feb 2001" in svg)
    words = ["".join(e.itertext()) for e in ElementTree.fromstring(shown).iter() if e.tag.endswith("}text")]
    assert {"08", "15", "Feb 2001", "t"} <= set(words) and "days since" not in shown


@pytest.mark.parametrize(
    "unit, origin, ends, wanted, common",
    [
        ("days", "1900-12-31", (0, 7305), ["1905", "1910", "1915", "1920"], ""),
        ("days", "2001-02-03", (0, 500), ["May", "Sep", "2002", "May"], ""),
        ("seconds", "2024-02-28T23:10:00Z", (0, 15_000), ["29 Feb", "01:00", "02:00", "03:00"], "29 Feb 2024"),
        ("seconds", "2024-02-28", (0, 380), ["00:00", "00:02", "00:04", "00:06"], "28 Feb 2024"),
        ("seconds", "2024-02-28", (5, 35), ["10", "20", "30"], "28 Feb 2024, 00:00"),
    ],
)
def test_ticks_are_where_a_calendar_has_them(unit, origin, ends, wanted, common):
    with drawing(4.2, 2.0) as figure:
        axes = figure.subplots()
        axes.set_xlim(*ends)
        assert date_axis(axes.xaxis, unit, origin)
        svg = svg_of(picture(figure, "dates").address)
        seen = [t.get_text() for t, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
                if ends[0] <= at <= ends[1]]  # fmt: skip
    assert seen == wanted and (not common or f">{common}<" in svg)
    assert axes.get_xlim() == ends


@pytest.mark.parametrize("unit, origin, end", [("", "", 9.0), ("days", "", 9.0), ("seconds", "2024-02-28", 9.0),
                                               ("days", "0900-01-01", 9.0), ("days", "2024-02-28", 1e9)])  # fmt: skip
def test_what_are_no_dates_stay_numbers(unit, origin, end):
    with drawing(4.0, 2.0) as figure:
        axes = figure.subplots()
        axes.set_xlim(0, end)
        before = axes.xaxis.get_major_locator()
        assert not date_axis(axes.xaxis, unit, origin) and axes.xaxis.get_major_locator() is before


def test_a_table_says_from_when_to_when():
    result = reconstruction(candidates=("a",), samples=60)
    assert View.of(result).span() == "t, 2001-02-03 to 2001-02-27"
    bare = dataclasses.replace(result.table, origin="", time_unit="")
    assert View.of(dataclasses.replace(result, table=bare)).span() == "t, 0 to 24"
