"""For the built pages: shapes as they are written, papers in boxes, and formulas without a script."""

import html
import re
import sys
from pathlib import Path

import griffe
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent))
import references


class ShapesAreStrings(griffe.Extension):
    """Keep `Float[Array, "time *channel"]` as it is, where griffe would read a product in it.

    It does not look into strings where annotations are postponed, so every module is said to.
    """

    def on_module_instance(self, *, mod: griffe.Module, **_) -> None:
        mod.set_member("annotations", griffe.Alias("annotations", "__future__.annotations"))


def on_page_markdown(markdown: str, page, **_) -> str:
    """Boxes of papers on the pages of the API, and all of them on the page on citing."""
    to_citing = "../" * page.file.src_uri.count("/") + "citing.md"
    markdown = references.with_boxes(markdown, to_citing)
    return markdown.replace("<!-- references -->", references.listed())


def on_page_content(content: str, **_) -> str:
    """TeX to MathML, which every browser draws itself."""
    formula = r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>'
    return re.sub(formula, _mathml, content, flags=re.DOTALL)


def _mathml(found: re.Match) -> str:
    return convert(html.unescape(found[2]), display="block" if found[1] == "div" else "inline")
