"""The papers of `docs/references.bib` against the library: each is of something, whose file names its first author."""

import importlib.util
import inspect
import re
from pathlib import Path
from pydoc import locate

import pytest
import which_model

pytestmark = pytest.mark.only("float32")


def references():
    from snippets import ROOT

    spec = importlib.util.spec_from_file_location("references", ROOT / "docs" / "references.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAPERS = references().papers()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.key)
def test_a_paper_is_named_in_the_rooms_that_it_is_of(paper):
    """Its first author, in a file beside one of the things that are said to be of it."""
    things = [locate(f"ctmodels.{name}") for name in paper.models]
    assert all(thing is not None for thing in things), paper.models
    files = [Path(inspect.getsourcefile(inspect.unwrap(getattr(thing, "of", thing)))) for thing in things]
    surname = re.compile(rf"\b{paper.fields['author'].split(',')[0].split()[-1]}\b")
    texts = [path.read_text(encoding="utf-8") for file in files for path in file.parent.glob("*.py")]
    assert any(surname.search(text) for text in texts), surname.pattern


def test_every_model_of_the_table_has_a_paper():
    cited = {name for paper in PAPERS for name in paper.models}
    assert set(which_model.FACTS) - {"StateSpace"} <= cited  # whose layers have theirs


def test_keys_are_unique_and_the_box_says_who():
    assert len({paper.key for paper in PAPERS}) == len(PAPERS)
    assert str(PAPERS[0]).startswith("Ricky T. Q. Chen, Yulia Rubanova") and "models =" not in PAPERS[0].bibtex
