"""The report's figures: SVG without a screen, as wide as the page; wide ones once more for a narrow page. They have no
paper of their own and follow the reader's theme."""

import base64
import io
import re
from typing import Any, NamedTuple

from ctmodels.reconstruction.report._themes import svg_rules

PAGE_WIDTH = 9.6  # inches; the page is ten wide
NARROW = 4.4  # inches: on a telephone, letters are then as large as on a screen
FONTS = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


class Picture(NamedTuple):
    """An image as a `data:` address, what it shows in words, and another for narrow pages, if that one is too wide."""

    address: str
    alt: str
    narrow: str = ""


def panel_width(count: int) -> float:
    """The width of one of so many figures of a kind: three go side by side, else two."""
    return PAGE_WIDTH / 3 - 0.1 if count == 3 else PAGE_WIDTH / 2 - 0.1


def picture(figure: Any, alt: str) -> Picture:
    """The figure as an image; to be called inside `drawing`."""
    address = _address(figure)
    if figure.get_figwidth() <= panel_width(2):
        return Picture(address, alt)
    _narrow(figure)
    return Picture(address, alt, _address(figure))


def _address(figure: Any) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, dpi=200, metadata={"Date": None})
    svg = file.getvalue().replace("'DejaVu Sans'", FONTS, -1)
    mapped = any(axes.images or _meshes(axes) for axes in figure.axes)
    svg = _shorter(svg).replace("</style>", f"{svg_rules(svg, mapped)}</style>", 1)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _shorter(svg: str) -> str:
    """Places to a hundredth of a point, and the style of equal markers once."""
    svg = re.sub(r'(?<= [dxy]=")[^"]*', lambda places: re.sub(r"(\.\d\d)\d+", r"\1", places[0]), svg)
    return re.sub(r'<g([^<>]*)>(\s*<use [^<>]* (style="[^"]*")/>(?:\s*<use [^<>]* \3/>)+\s*)</g>', _styled_once, svg)


def _styled_once(group: re.Match[str]) -> str:
    about, markers, style = group.groups()
    return f"<g{about} {style}>{markers.replace(' ' + style, '')}</g>"


def _meshes(axes: Any) -> list:
    return [c for c in axes.collections if type(c).__name__ == "QuadMesh"]


def _narrow(figure: Any) -> None:
    """Less wide by half, with half as many panels side by side and as many more rows."""
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    rows, columns = panels[0].get_subplotspec().get_gridspec().get_geometry() if panels else (1, 1)
    beside = max(1, columns // 2)
    high = figure.get_figheight() * columns // beside
    if columns > 1:
        _name_all(panels, columns)
        grid = figure.add_gridspec(rows * columns // beside, beside)
        for axes, place in zip(panels, grid, strict=True):
            axes.set_subplotspec(place)
    figure.set_size_inches(NARROW, high)


def _name_all(panels: list, columns: int) -> None:
    """Titles and labels that stood at the edges of the grid alone."""
    for i, axes in enumerate(panels):
        top, left = panels[i % columns], panels[i - i % columns]
        axes.set_title(axes.get_title("left") or top.get_title("left"), parse_math=False)
        if not axes.get_ylabel() and i % columns == 0:
            axes.set_ylabel(left.get_ylabel(), parse_math=False)
        axes.tick_params(labelbottom=True, labelleft=True)
