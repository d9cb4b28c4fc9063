"""What colours the page and its figures have on light and on dark paper: both follow the reader's setting.

Figures are drawn in the colours of [`ctmodels.plot`][]. Where one of these would be hard to see on the paper, a rule
inside the image gives another of the same hue: text has a contrast of 4.5 to 1, a line 3 to 1 (WCAG 2.2, 1.4.3 and
1.4.11).
"""

import re
from collections.abc import Iterable

from ctmodels.plot._series import HELD_OUT
from ctmodels.plot._style import COLOURS, GREY, INK, STYLE

LIGHT, DARK = "#ffffff", "#15181c"  # paper
INK_DARK = "#e6e9ed"  # on dark paper
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY = (c.lower() for c in COLOURS)  # as matplotlib writes them

LINES_LIGHT = {PINK: "#c0699a", ORANGE: "#b57d00", SKY: "#2f8fc9", GREY: "#848b94"}
TEXT_LIGHT = {VERMILION: "#b34700", GREEN: "#007a59", PINK: "#a14d7c", ORANGE: "#8a5f00", SKY: "#1f78ad"}
ON_DARK = {
    BLUE: "#2b8fd0",
    VERMILION: "#e8722a",
    SKY: "#8fd0f7",
    INK: INK_DARK,
    "#000000": INK_DARK,
    STYLE["axes.labelcolor"]: "#c3cad3",
    STYLE["xtick.color"]: "#a2abb6",
    STYLE["axes.edgecolor"]: "#565e68",
    STYLE["grid.color"]: "#2a3037",
    "#cccccc": "#31373f",  # frame of a legend
    "#d5d9de": "#3d444d",  # bars behind others
    HELD_OUT: "#1e2328",
    "#f6f8fa": "#1e2328",  # planes behind an orbit in space
    "#ffffff": DARK,
}


def line(colour: str, dark: bool) -> str:
    """What a line or a ground drawn in a colour is seen in."""
    return (ON_DARK if dark else LINES_LIGHT).get(colour.lower(), colour.lower())


def text(colour: str, dark: bool) -> str:
    """What letters drawn in a colour are seen in."""
    return ON_DARK.get(colour.lower(), colour.lower()) if dark else TEXT_LIGHT.get(colour.lower(), colour.lower())


def svg_rules(svg: str, photographs: bool = False) -> str:
    """The style sheet of a figure that matplotlib wrote, with rules for those colours alone that are in it.

    - `photographs`: whether pixels in it are a map of colours, which stay; else they are lines too many to be paths.
    """
    light = _rules(svg, LINES_LIGHT.items()) + _rules(svg, TEXT_LIGHT.items(), "text", ("fill",))
    dark = f"svg{{fill:{INK_DARK}}}" + _rules(svg, ON_DARK.items())  # black is written by leaving it out
    pixels = "" if photographs or "<image" not in svg else "image{filter:invert(1) hue-rotate(180deg)}"
    when = "(prefers-color-scheme:dark)"
    return f"@media not all and {when}{{{light}}}@media {when}{{{dark}{pixels}{_tints(svg)}}}"


def _tints(svg: str) -> str:
    """A tint on dark paper is more of its colour, or it would be lost; but for those of grey."""
    found = sorted(set(re.findall(r"(?:; |fill-)opacity: [\d.]+", svg)))
    rule = '[style*="{0}"]:not([style*="{1}"]){{{2}:{3:.2g}!important}}'
    split = lambda tint: (tint.strip("; ").partition(":")[0], float(tint.rpartition(" ")[2]))
    return "".join(rule.format(t, GREY, name, 1.8 * o) for t in found for name, o in [split(t)] if o <= 0.55)


def _rules(
    svg: str, changes: Iterable[tuple[str, str]], element: str = "", properties: tuple[str, ...] = ("stroke", "fill")
) -> str:
    return "".join(
        f'{element}[style*="{name}: {old}"]{{{name}:{new}!important}}'
        for old, new in changes
        for name in properties
        if f"{name}: {old}" in svg
    )


def page_rules(colours: Iterable[str]) -> str:
    """For the page's own swatches, which name their colours in `style`."""
    rules = lambda dark: "".join(
        f'.key i[style*="{c}" i]{{--c:{new}!important}}.dot[style*="{c}" i]{{background:{new}!important}}'
        for c in colours
        if (new := line(c, dark)) != c.lower()
    )
    when = "(prefers-color-scheme: dark)"
    return f"@media not all and {when} {{ {rules(False)} }}\n@media {when} {{ {rules(True)} }}"
