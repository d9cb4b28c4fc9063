"""For the built pages: shapes as they are written, and formulas without a script."""

import html
import re

import griffe
from latex2mathml.converter import convert


class ShapesAreStrings(griffe.Extension):
    """Keep `Float[Array, "time *channel"]` as it is, where griffe would read a product in it.

    It does not look into strings where annotations are postponed, so every module is said to.
    """

    def on_module_instance(self, *, mod: griffe.Module, **_) -> None:
        mod.set_member("annotations", griffe.Alias("annotations", "__future__.annotations"))


def on_page_content(content: str, **_) -> str:
    """TeX to MathML, which every browser draws itself."""
    formula = r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>'
    return re.sub(formula, _mathml, content, flags=re.DOTALL)


def _mathml(found: re.Match) -> str:
    return convert(html.unescape(found[2]), display="block" if found[1] == "div" else "inline")
