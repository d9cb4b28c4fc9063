"""The gallery: every example stands on its page once, tasks are short, and a page and a notebook are made of each."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.only("float32")

ROOT = Path(__file__).parents[1]
MOST = 30  # lines of a task: all but its docstring, its last `if`, and what is blank or a comment
SOURCE = '''"""What it is about.

More of it."""

import math

WIDTH = 2


# Above it.
@staticmethod
def area(x):
    return WIDTH * x


def main(steps=3, figure=None):
    from matplotlib.figure import Figure

    print(area(steps), "m²")
    Figure().savefig(figure)


if __name__ == "__main__":
    main()
'''


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """The hook, on a folder of one example."""
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "one_area.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(module, "EXAMPLES", tmp_path)
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    return module


def test_every_example_has_one_card():
    found = re.findall(r"```gallery\n(.*?)```", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"), re.S)
    examples = ROOT / "examples"
    wanted = [path.relative_to(examples).with_suffix("").as_posix() for path in examples.rglob("*.py")]
    assert sorted(name for block in found for name in block.split()) == sorted(wanted)


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/tasks/*.py")), ids=lambda path: path.stem)
def test_a_task_is_short(path):
    source = path.read_text(encoding="utf-8")
    body = ast.parse(source).body
    lines = [line.strip() for line in source.splitlines()[body[0].end_lineno : body[-1].lineno - 1]]
    assert sum(bool(line) and not line.startswith("#") for line in lines) <= MOST


def test_ten_tasks_are_there():
    assert len(list(ROOT.glob("examples/tasks/*.py"))) == 10


def test_an_example_is_run_once_for_what_it_says(gallery, monkeypatch):
    monkeypatch.setattr(gallery, "SETTINGS", {"tasks/one_area": {"steps": 5}})
    folder = gallery.execute("tasks/one_area")
    text = gallery.page("tasks/one_area", SOURCE, folder)
    assert "10 m²" in text and "with `steps=5`" in text and "(one_area.svg)" in text and "More of it." in text
    (folder / "printed.txt").write_text("kept", encoding="utf-8")
    assert gallery.execute("tasks/one_area") == folder and (folder / "printed.txt").read_text("utf-8") == "kept"
    monkeypatch.setattr(gallery, "SETTINGS", {})
    assert gallery.results("tasks/one_area") != folder
    assert "Not run" in gallery.page("tasks/one_area", SOURCE, gallery.results("tasks/one_area"))


@pytest.mark.parametrize("spoilt", ["raise ValueError('no')", "pass"], ids=["an error", "no figure"])
def test_an_example_that_fails_fails_the_build(gallery, spoilt):
    path = gallery.EXAMPLES / "tasks" / "one_area.py"
    path.write_text(SOURCE.replace("Figure().savefig(figure)", spoilt), encoding="utf-8")
    with pytest.raises(RuntimeError, match="one_area.py failed"):
        gallery.execute("tasks/one_area")


def test_a_notebook_installs_defines_and_runs(gallery):
    cells = json.loads(gallery.notebook("tasks/one_area", SOURCE))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    assert [cell["cell_type"] for cell in cells] == ["markdown"] + ["code"] * (len(cells) - 1)
    assert sources[0].startswith("# One area") and sources[1] == "%pip install -q ctmodels"
    assert sources[2] == "import math\n\nWIDTH = 2" and sources[3].startswith("# Above it.\n@staticmethod\ndef area")
    assert sources[4].startswith("def main") and "__main__" not in "".join(sources)
    assert "main(figure='one_area.svg')" in sources[5]
    for source in sources[2:]:
        compile(source, "cell", "exec")
