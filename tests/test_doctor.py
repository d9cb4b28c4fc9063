"""The canaries sing on a good jaxlib, and the doctor fails when one does not."""

import os
import subprocess
import sys

import jax
import pytest

import ctmodels.doctor as surgery
from ctmodels._core._versions import warn_if_bad


def test_doctor_prints_versions_and_devices():
    """In a child without the tests' flags: the canaries are of XLA as users have it."""
    as_users = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    code = "from ctmodels.doctor import doctor; raise SystemExit(doctor())"
    done = subprocess.run([sys.executable, "-c", code], env=as_users, capture_output=True, text=True)
    said = done.stdout
    assert done.returncode == 0, said
    for word in ("python", "jaxlib", "diffrax", "devices: ", "x64: ", "ok vmapped matrix-vector"):
        assert word in said


@pytest.mark.only("float64")
def test_a_wrong_number_or_an_exception_fails_with_a_remedy(monkeypatch, capsys):
    def dies():
        raise FloatingPointError("no")

    monkeypatch.setitem(surgery.CANARIES, "scatter with duplicates", lambda: 3.0)
    monkeypatch.setitem(surgery.CANARIES, "linear solve", dies)
    assert surgery.doctor() == 1
    said = capsys.readouterr().out
    assert "FAILED scatter with duplicates: 3 wrong" in said and "FAILED linear solve" in said
    assert "pip install" in said


@pytest.mark.only("float32")
def test_a_release_that_is_known_to_be_bad_fails_and_warns(monkeypatch, capsys):
    monkeypatch.setattr(surgery, "CANARIES", {})
    monkeypatch.setattr(jax, "__version__", "0.10.2")
    assert surgery.doctor() == 1
    assert "FAILED jax 0.10.2: it miscompiles" in capsys.readouterr().out
    with pytest.warns(RuntimeWarning, match="jax 0.11.0: .*hang.*pip install"):
        warn_if_bad("0.11.0")
    warn_if_bad("0.10.1")


@pytest.mark.only("float32")
def test_a_platform_that_is_not_there_is_one_line():
    code = "import os; os.environ['JAX_PLATFORMS'] = 'abacus'"
    code += "; from ctmodels.doctor import doctor; raise SystemExit(doctor())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "JAX_PLATFORMS='abacus'" in done.stdout and "Traceback" not in done.stderr
