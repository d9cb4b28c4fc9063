"""The snippets of the pages: what is fenced as Python, and the commands.

`python tests/snippets.py docs/getting-started.md` runs a page in full, and puts the figures that it saves beside it.
"""

import contextlib
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:^<!-- not run: ([^\n]*) -->\n+)?^```python\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^(?:    |\$ )(?:\.venv/bin/)?ctmodels (.*)$", re.M)
PLACES = {"FILE": "data.csv", "COLUMN": "t", "DIR": "runs/first", "N": "5"}


def blocks(page: Path) -> list[tuple[str, int]]:
    """Each block of Python that runs, with its line; of one that does not, the page says why in a comment above it."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    assert len(found) == text.count("```python\n"), f"{page.name}: a fence that is not closed, or is indented"
    return [(m[2], text.count("\n", 0, m.start(2)) + 1) for m in found if m[1] is None]


def compiled(page: Path, toys=()) -> list:
    """The blocks, each with its lines' own numbers; `toys` are pairs of a pattern, which must be there, and what
    stands for it."""
    codes, unused = [], {pattern for pattern, _ in toys}
    for source, line in blocks(page):
        for pattern, value in toys:
            source, changed = re.subn(pattern, value, source)
            unused -= {pattern} if changed else set()
        codes.append(compile("\n" * (line - 1) + source, str(page), "exec"))
    assert not unused, f"{page.name} has nothing like {unused}"
    return codes


def run(page: Path, toys=()) -> dict:
    """Runs the blocks of a page one after the other, with the names of those before; returns the names."""
    names = {"__name__": "page"}
    for code in compiled(page, toys):
        exec(code, names)
    return names


def commands(page: Path) -> list[list[str]]:
    """The arguments of each command: without what is optional, with a name in each place that is left to the reader."""
    lines = COMMAND.findall(page.read_text(encoding="utf-8"))
    plain = [re.sub(r"\[.*?\]", "", line.split(" #")[0]) for line in lines]
    return [[PLACES.get(word, word) for word in shlex.split(line)] for line in plain]


if __name__ == "__main__":
    page = Path(sys.argv[1]).resolve()
    with contextlib.chdir(page.parent):
        run(page)
