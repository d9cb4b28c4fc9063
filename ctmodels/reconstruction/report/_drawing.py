"""The report's figures: SVG without a screen, as wide as the page."""

import base64
import io
from typing import Any, NamedTuple

PAGE_WIDTH = 9.6  # inches; the page is ten wide
FONTS = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


class Picture(NamedTuple):
    """An image as a `data:` address, and what it shows in words."""

    address: str
    alt: str


def panel_width(count: int) -> float:
    """The width of one of so many figures of a kind: three go side by side, else two."""
    return PAGE_WIDTH / 3 - 0.1 if count == 3 else PAGE_WIDTH / 2 - 0.1


def picture(figure: Any, alt: str) -> Picture:
    """The figure as an image; to be called inside `drawing`."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, dpi=200, metadata={"Date": None})
    svg = file.getvalue().replace("'DejaVu Sans'", FONTS, -1)
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return Picture(address, alt)
