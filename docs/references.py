"""The papers, from `references.bib`: a box below what is of them, and the page on citing."""

import re
from pathlib import Path
from typing import NamedTuple

import griffe

ROOT = Path(__file__).parents[1]
BIB = ROOT / "docs" / "references.bib"
ACCENTS = {r"{\`o}": "ò", r"{\'e}": "é", r"{\"a}": "ä", r"{\"o}": "ö", r"{\'c}": "ć", "``": "“", "''": "”"}


class Paper(NamedTuple):
    """One entry: as it is quoted (`bibtex`), its fields as text, and the names in ctmodels that are of it."""

    key: str
    bibtex: str
    fields: dict[str, str]
    models: tuple[str, ...]

    def __str__(self) -> str:
        where = next(self.fields[k] for k in ("booktitle", "journal", "institution") if k in self.fields)
        number = " ".join(self.fields[k] for k in ("volume", "number") if k in self.fields)
        return f"{self.authors} ({self.fields['year']}). *{self.fields['title']}*. {where}{number and ' ' + number}."

    @property
    def authors(self) -> str:
        names = [a.split(", ") for a in self.fields["author"].split(" and ")]
        return ", ".join("et al." if n == ["others"] else f"{n[1]} {n[0]}" for n in names)


def papers(text: str | None = None) -> list[Paper]:
    """All entries of the file, or of `text`."""
    text = BIB.read_text(encoding="utf-8") if text is None else text
    return [_paper(*found) for found in re.findall(r"^(@\w+\{([\w-]+),\n.*?^\})", text, re.M | re.S)]


def _paper(entry: str, key: str) -> Paper:
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.M))
    models = tuple(fields.pop("models").split(", "))
    bibtex = re.sub(r"  models = .*\n", "", entry)
    return Paper(key, bibtex, {name: _plain(value) for name, value in fields.items()}, models)


def _plain(tex: str) -> str:
    for accent, letter in ACCENTS.items():
        tex = tex.replace(accent, letter)
    return re.sub(r"[{}]", "", tex)


def with_boxes(markdown: str, to_citing: str) -> str:
    """A box after each `::: name` of which a paper is known, here or in its file's docstring."""
    boxed = lambda found: found[0] + _box(found[1], to_citing)
    return re.sub(r"^::: (\S+)(\n    .*)*$", boxed, markdown, flags=re.M)


def _box(path: str, to_citing: str) -> str:
    name = path.removeprefix("ctmodels.")
    lines = [f"- {paper} [BibTeX]({to_citing}#{paper.key})" for paper in papers() if name in paper.models]
    lines += ["", *_of_file(path)]
    if not "".join(lines):
        return ""
    return "\n\n??? cite\n\n" + "\n".join(f"    {line}" for line in lines)


_modules = {}


def _of_file(path: str) -> list[str]:
    """What the docstring of its file has under `??? cite`."""
    if not _modules:
        _modules["ctmodels"] = griffe.load("ctmodels", search_paths=[str(ROOT)], resolve_aliases=True)
    found = _modules["ctmodels"][path.removeprefix("ctmodels.")]
    text = found.module.docstring.value if found.module.docstring else ""
    cited = re.search(r"^\?\?\? cite\n\n((?:    .*\n?|\n)+)", text, re.M)
    return [line.strip() for line in cited[1].strip().splitlines()] if cited else []


def listed() -> str:
    """The page on citing: the entries in the order of the file, each under a heading of its own."""
    return "\n\n".join(_listed(paper) for paper in papers())


def _listed(paper: Paper) -> str:
    of = ", ".join(f"[`ctmodels.{name}`][]" for name in paper.models)
    return f"### {paper.fields['title']} {{ #{paper.key} }}\n\n{of}\n\n```bibtex\n{paper.bibtex}\n```"
