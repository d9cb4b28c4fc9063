"""Pieces of HTML that the sections are made of."""

from ctmodels.reconstruction.report._css import PHONE
from ctmodels.reconstruction.report._drawing import Picture
from ctmodels.reconstruction.report._view import html


def section(title: str, *parts: str) -> str:
    """A heading, and what is under it."""
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"


def pictures(drawn: list[Picture]) -> str:
    """Two or three side by side, where there is room."""
    kind = "three" if len(drawn) == 3 else "two"
    images = "".join(map(_image, drawn))
    return f'<div class="figures {kind}">{images}</div>' if drawn else ""


def full_width(drawn: Picture) -> str:
    """A figure of the page's width."""
    return f'<div class="figures one">{_image(drawn)}</div>'


def _image(drawn: Picture) -> str:
    image = f'<img src="{drawn.address}" alt="{html(drawn.alt, 600)}">'
    if not drawn.narrow:
        return f"<div>{image}</div>"
    return f'<div><picture><source media="(max-width: {PHONE}px)" srcset="{drawn.narrow}">{image}</picture></div>'


def note(*sentences: str) -> str:
    """A paragraph of plain text."""
    text = " ".join(s for s in sentences if s)
    return f'<p class="note">{html(text, 2000)}</p>' if text else ""


def legend(*entries: tuple[str, str, str]) -> str:
    """A legend in the page's own type: (class of the swatch, colour, HTML)."""
    items = "".join(f'<li><i class="{kind}" style="--c:{colour}"></i>{text}</li>' for kind, colour, text in entries)
    return f'<ul class="key">{items}</ul>'


def definitions(kind: str, items: dict[str, str]) -> str:
    """A list of terms and what they mean, both HTML."""
    rows = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in items.items())
    return f'<dl class="{kind}">{rows}</dl>'
