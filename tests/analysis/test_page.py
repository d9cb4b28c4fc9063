"""What the page on analysis shows runs, from top to bottom."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "analysis.md"


@pytest.mark.only("float32")
def test_the_snippets_run(capsys):
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(snippet, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "saddle" in said and "stable cycle of period 6.66" in said and "first minimum" in said
    assert names["four"].stable and names["states"].ys.shape[1] >= 3 and names["times"].shape == (16,)
