"""The page of faults against the tests: every number has its row, and every test that a row names exists."""

import ast
import functools
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.only("float64")

ROOT = Path(__file__).parents[1]
NUMBERS = list(range(1, 131))
ROWS = re.findall(
    r"^\| (\d+) (.+?) \| (.+) \|$", (ROOT / "docs" / "failure-modes.md").read_text(encoding="utf-8"), re.M
)


def test_every_number_has_one_row():
    assert [int(number) for number, *_ in ROWS] == NUMBERS


@functools.cache
def functions_in(file: str) -> set[str]:
    tree = ast.parse(next((ROOT / "tests").rglob(file)).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named_tests_exist(text: str) -> int:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    for file, name in named:
        assert name in functions_in(file), f"{file}::{name}"
    return len(named)


@pytest.mark.parametrize("number, fault, shown", ROWS, ids=[number for number, *_ in ROWS])
def test_a_row_names_tests_that_exist_or_says_why_not(number, fault, shown):
    assert named_tests_exist(shown) or "why not" in shown.lower(), fault


def test_odd_records_are_tested_where_their_page_says():
    page = (ROOT / "docs" / "irregular.md").read_text(encoding="utf-8")
    assert named_tests_exist(page) >= 8
