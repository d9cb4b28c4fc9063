"""A law from a file goes through the main job, and its models come back with it."""

import json
import sys

import numpy as np
import pytest

import ctmodels as ct
from ctmodels.cli import main
from ctmodels.reconstruction import forecast_csv, law_candidate, load_model, reconstruct
from ctmodels.reconstruction._law_files import read_law

pytestmark = pytest.mark.only("float32")

FILE = '''"""What cools."""
from typing import Annotated

from ctmodels.fields import PositiveFloat


def cooling(t, y, *, rate: Annotated[PositiveFloat, "1/min"] = 1.0, room: Annotated[float, "°C"] = 5.0):
    return [-rate * (y[0] - room)]
'''


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Of rate 0.4 to 20 degrees, through the command line."""
    folder = tmp_path_factory.mktemp("cooling")
    ts = 0.25 * np.arange(40)
    ys = 20 + 60 * np.exp(-0.4 * ts) + np.random.default_rng(0).normal(size=40)
    np.savetxt(folder / "data.csv", np.stack([ts, ys], 1), delimiter=",", header="minutes,degrees", comments="")
    (folder / "law.py").write_text(FILE, encoding="utf-8")
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[reconstruct.__module__], "LYAPUNOV_STEPS", 20)
        arguments = [str(folder / "data.csv"), "--time", "minutes", "--law", f"{folder / 'law.py'}:cooling"]
        assert main(["reconstruct", *arguments, "--out", str(out), "--members", "2"]) == 0
    return folder, out


def test_parameters_are_in_the_metrics_and_the_report(done):
    found = json.loads((done[1] / "metrics.json").read_text())["candidates"]["cooling"]["parameters"]
    for name, true in (("rate", 0.4), ("room", 20.0)):
        parameter = found["values"][name]
        assert parameter["lower"] < true < parameter["upper"] and abs(parameter["value"] / true - 1) < 0.1
    assert found["level"] == 0.9 and found["values"]["rate"]["unit"] == "1/min"
    page = (done[1] / "report.html").read_text(encoding="utf-8")
    assert "The law and its parameters" in page and "-rate * (y[0] - room)" in page and "°C" in page


def test_a_model_comes_back_with_its_law_and_goes_on(done, tolerance):
    trained, problem, _ = load_model(done[1] / "model-cooling.safetensors")
    law = trained.model.field.law
    assert law.names == ("rate", "room") and law.parameters["rate"].shape == (3,)
    np.testing.assert_allclose(trained.model.field.units.mean[0], problem.scaling.mean, **tolerance())
    rows = [line.split(",") for line in forecast_csv(done[1], 3).splitlines()]
    assert rows[0] == ["minutes", "degrees", "degrees_lower", "degrees_upper"] and len(rows) == 4
    assert 20 < float(rows[1][1]) < 23


def test_a_law_that_was_changed_is_not_taken_for_the_one_that_was_fitted(done):
    copy = done[1] / "model-cooling.law.py"
    assert copy.read_text(encoding="utf-8") == FILE
    copy.write_text(FILE.replace("- room", "+ room"), encoding="utf-8")
    with pytest.raises(ct.DataError, match="was changed since its parameters were estimated"):
        load_model(done[1] / "model-cooling.safetensors")
    copy.unlink()
    with pytest.raises(ct.DataError, match="law's file is not there"):
        load_model(done[1] / "model-cooling.safetensors")
    copy.write_text(FILE, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (FILE, "law.py", "a file and a name in it are wanted"),
        (FILE, "other.py:cooling", r"cannot read .*other.py \(No such file"),
        (FILE, "law.py:warming", "the file has no 'warming'; it has cooling"),
        ("x = (", "law.py:x", "cannot be run, line 1: SyntaxError"),
        ("import nothing_there\n", "law.py:x", "line 1: ModuleNotFoundError"),
        ("\n\nraise SystemExit(3)\n", "law.py:x", "line 3: SystemExit"),
        ("x = 3\n", "law.py:x", "x is int; a function"),
        ("def x(t, y, *, a): return y\n", "law.py:x", "parameter a has no first guess"),
    ],
)
def test_a_file_without_a_law_is_refused(tmp_path, text, place, said):
    (tmp_path / "law.py").write_text(text, encoding="utf-8")
    with pytest.raises(ct.DataError, match=said):
        read_law(str(tmp_path / place))


def test_the_command_line_says_it_in_its_own_words(done, capsys):
    status = main(["reconstruct", "data.csv", "--time", "t", "--out", str(done[0] / "no"), "--law", "nothing.py:f"])
    assert status == 2
    assert "--law nothing.py:f: cannot read nothing.py" in capsys.readouterr().err


def neural(t, y, *, a=1.0):
    return -a * y


def test_a_law_does_not_take_the_name_of_a_candidate():
    with pytest.raises(ct.DataError, match="law neural: a candidate of the library is called so"):
        law_candidate(neural)


def test_two_laws_have_two_names():
    table = ct.data.lynx_hare()
    with pytest.raises(ct.DataError, match="models`: leaving is there twice"):
        reconstruct(table, models=[law_candidate(leaving), law_candidate(leaving)], progress=False)


def leaving(t, y, *, a=1.0):
    return -a * y
