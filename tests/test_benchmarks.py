"""The benchmarks' harness, and that each benchmark runs at toy size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _harness

ROOT = Path(__file__).parents[1]
NAMES = [p.stem for p in (ROOT / "benchmarks").glob("*.py") if not p.stem.startswith("_")]


def test_a_saved_result_becomes_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_harness, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(_harness, "REPORT", tmp_path / "RESULTS.md")
    monkeypatch.setattr(sys, "argv", ["toy", "--save", "--quick"])
    summary = {"worst": 1 / 3, "peers": {"a": {"x": 2.0}, "b": None}}
    _harness.main("toy", lambda quick: ([{"seed": 0, "score": 1 / 3, "quick": quick}], summary))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "| seed | score | quick |" and said[2] == "| 0 | 0.3333 | True |"
    assert json.loads(said[-1]) == summary
    kept = json.loads((tmp_path / "results" / "toy.json").read_text())
    assert kept["summary"] == summary and kept["command"] == "python -m benchmarks.toy --quick"
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## toy" in page and "| 0 | 0.3333 | True |" in page and "- `worst`: 0.3333" in page
    assert "- `peers.a.x`: 2\n- `peers.b`: None" in page


def test_the_results_page_is_that_of_the_results():
    assert _harness.REPORT.read_text(encoding="utf-8") == _harness.report()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_quick(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert isinstance(json.loads(done.stdout.splitlines()[-1]), dict)
