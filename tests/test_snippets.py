"""Every snippet of Python and every command in README and docs: it runs, those that take long at toy size."""

import re
import types
from pathlib import Path

import numpy as np
import pytest
import snippets

from ctmodels import cli

pytestmark = pytest.mark.only("float32")

# page: what is made smaller. `reconstruction.md`, `fit-a-law.md` and `adding-a-model.md` are in test_docs.py.
STEPS = (r"\bsteps=\d+", "steps=4")
TOYS = {
    "README.md": [STEPS],
    "analysis.md": [(r"steps=(2000|500)\b", "steps=60"), (r"\b4000\b", "400"), (r"\(64, 3\)", "(4, 3)")],
    "backtesting.md": [],
    "coming-from.md": [(r"steps=300", "steps=4")],
    "faq.md": [],
    "large-data.md": [(r"steps=100", "steps=4")],
    "sweeps.md": [
        (r"steps=800, batch_size=16,\n +every=40", "steps=8, batch_size=16, every=4"),
        (r"steps=400, batch_size=16, every=40", "steps=8, batch_size=16, every=4"),
        (r"steps=80, batch_size=16, every=20", "steps=4, batch_size=16, every=2"),
        (r"seeds=8", "seeds=2"),
        (r"range\(16\)", "range(3)"),
        (r"\[8, 32\]", "[8]"),
    ],
    "getting-started.md": [(r"\bsteps=\d+, members=\d+", "steps=4, members=1")],
    "plots.md": [(r"steps=300", "steps=4, members=1"), (r"\(64, 2\)", "(4, 2)"), (r"steps=500", "steps=20")],
    "uncertainty.md": [(r"\(fit, method\)", "(fit, method, draws=24)")],
}
ELSEWHERE = {"reconstruction.md", "fit-a-law.md", "adding-a-model.md"}
# Of which the usual suite asks only for the names.
SLOW = {"analysis.md", "coming-from.md", "getting-started.md", "plots.md", "sweeps.md", "uncertainty.md"}
WITH_CODE = [page for page in snippets.PAGES if snippets.blocks(page)]


def test_every_page_with_code_is_run():
    assert {page.name for page in WITH_CODE} == set(TOYS) | ELSEWHERE


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_what_a_page_names_of_the_library_is_there(page):
    """Every `ct.a.b` in the code of a page, which costs nothing."""
    import ctmodels

    for name in {n for source, _ in snippets.blocks(page) for n in re.findall(r"\bct((?:\.\w+)+)", source)}:
        thing = ctmodels
        for part in name[1:].split("."):
            if not isinstance(thing, types.ModuleType):
                break  # an attribute of a value
            thing = getattr(thing, part)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TOYS])
def test_a_page_runs(name, monkeypatch, tmp_path):
    (page,) = (page for page in WITH_CODE if page.name == name)
    monkeypatch.chdir(tmp_path)  # what it writes
    snippets.run(page, TOYS[name])
    for figure in re.findall(r"!\[.*?\]\((\S+?)\)", page.read_text(encoding="utf-8")):
        saved = any(figure in source for source, _ in snippets.blocks(page))
        assert (tmp_path / figure).exists() or not saved, figure


COMMANDS = {page.name: snippets.commands(page) for page in snippets.PAGES if snippets.commands(page)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_of_a_page_are_understood(name):
    for argv in COMMANDS[name]:
        cli._parser().parse_args(argv)


def data_of(argv: list[str]) -> None:
    """A file as a command would have it: two channels that swing, of one trial or of ten."""
    path = Path(argv[1])
    time, trial = (argv[argv.index(flag) + 1] if flag in argv else None for flag in ("--time", "--id"))
    lines = [",".join([*([trial] if trial else []), time, "x", "y"])]
    for k in range(10 if trial else 1):
        ts = 0.1 * np.arange(60 if trial else 200)
        swing = 0.9 ** (ts + 0.1 * k) * np.exp(2j * ts)
        prefix = f"run{k}," if trial else ""
        lines += [f"{prefix}{t:.1f},{3 + s.real:.4f},{3 - s.imag:.4f}" for t, s in zip(ts, swing, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_of_a_page_run(name, monkeypatch, tmp_path):
    """One after the other, each with few steps of one member; `demo` and `doctor` have tests of their own."""
    monkeypatch.chdir(tmp_path)
    law = snippets.blocks(Path(snippets.ROOT / "docs" / "fit-a-law.md"))[0][0]
    (tmp_path / "law.py").write_text(law)
    if not any(argv[0] == "reconstruct" for argv in COMMANDS[name]):  # what the page begins with
        COMMANDS[name].insert(0, ["reconstruct", "data.csv", "--time", "t", "--out", "runs/first"])
    for argv in COMMANDS[name]:
        if argv[0] in ("demo", "doctor"):
            continue
        if argv[0] == "reconstruct":
            data_of(argv)
            argv = [*argv, "--steps", "4", "--members", "1"]
        assert cli.main([argv[0], *argv[1:]]) == 0, argv
