"""The page of the models against the table of the tests."""

import pytest
import which_model

pytestmark = pytest.mark.only("float32")


def test_the_table_of_the_page_is_that_of_the_tests():
    found = which_model.BLOCK.search(which_model.PAGE.read_text(encoding="utf-8"))
    assert found and found[0] == which_model.table(), "run: PYTHONPATH=. python tests/which_model.py"


def test_each_class_of_models_has_its_facts_and_no_other():
    assert set(which_model.rows_by_class()) == set(which_model.FACTS)
