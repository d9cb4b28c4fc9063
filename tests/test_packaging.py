"""The package as others meet it: version, citation, requirements, contents, and the import."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

import ctmodels

pytestmark = pytest.mark.only("float32")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def versions(lock: Path) -> dict[str, set[str]]:
    found = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.M):
        found.setdefault(name, set()).add(version)
    return found


def test_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == ctmodels.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["message"] and citation["title"].startswith(PROJECT["name"])
    assert citation["authors"] == [{"name": author["name"]} for author in PROJECT["authors"]]


def test_pythons_that_are_promised_are_tested():
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    promised = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert jobs["test"]["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_data_of_others_have_their_licence():
    rules = tomllib.loads((ROOT / "REUSE.toml").read_text())["annotations"]
    marked = [path for rule in rules[1:] for path in np.atleast_1d(rule["path"])]
    assert all(list(ROOT.glob(path)) for path in marked), marked
    shipped = {path for kind in ("csv", "json") for path in (ROOT / "ctmodels").rglob(f"*.{kind}")}
    assert shipped == {found for path in marked for found in ROOT.glob(path) if found.is_relative_to(ROOT / "ctmodels")}
    assert all(path.name in (path.parent / "SOURCES.md").read_text() for path in shipped)


def test_releases_of_jax_that_miscompute_are_excluded():
    (jax,) = [line for line in PROJECT["dependencies"] if re.match(r"jax\b", line)]
    assert "!=0.10.2" in jax and "!=0.11.0" in jax
    locked = versions(ROOT / "requirements/dev.txt")["jax"]
    assert "0.10.1" in locked and len(locked) == 2  # Python 3.11, and every later one
    assert not locked & {"0.10.2", "0.11.0"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_holds_requirements_and_hashes_only(lock):
    requirement = r"[a-z0-9-]+==[\w.]+( ; [\w.<>=!' ()]+)? \\"
    digest = r"    --hash=sha256:[0-9a-f]{64}( \\)?"
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    strange = [line for line in lines if not re.fullmatch(f"{requirement}|{digest}", line)]
    assert lines and not strange  # so no address, no option, nothing without a hash


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_is_free_of_torch_and_cuda(lock):
    text = lock.read_text().lower()
    assert "://" not in text
    assert not re.search(r"^(\w*torch\w*|triton|nvidia|jax-cuda)", text, re.M)


def test_locks_agree():
    dev, docs = (versions(ROOT / "requirements" / name) for name in ("dev.txt", "docs.txt"))
    assert all(dev[name] == docs[name] for name in dev.keys() & docs.keys())


@pytest.mark.slow
def test_wheel_ships_types_and_data(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    run(*build, "--directory", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = [path for path in (ROOT / "ctmodels").rglob("*") if path.is_file()]
    shipped = {str(path.relative_to(ROOT)) for path in package if path.suffix != ".pyc"}
    assert shipped <= names
    assert {name.split("/")[0] for name in names - shipped} == {f"ctmodels-{ctmodels.__version__}.dist-info"}


def test_types_and_data_are_there():
    package = ROOT / "ctmodels"
    assert (package / "py.typed").is_file()
    assert (package / "data/bundled/SOURCES.md").is_file()
    assert list((package / "data/bundled").glob("*.csv"))


def test_import_leaves_jax_as_it_is_and_is_light_and_text_and_npz_need_no_extra(tmp_path):
    """The configuration is the user's; what draws and what reads tables is imported where used. One process tells."""
    np.savez(tmp_path / "a.npz", t=np.arange(3.0), x=np.arange(3.0))
    (tmp_path / "a.csv").write_text("t,x\n0,1\n1,2\n2,3\n")
    script = """
import sys, jax, diffrax, equinox, optax
before = dict(jax.config.values)
import ctmodels
changed = {name for name, value in before.items() if jax.config.values[name] != value}
print(changed or "", *({"matplotlib", "pandas", "scipy.stats"} & set(sys.modules)))
for name in sys.argv[1:]:
    ctmodels.data.read(name, "t")
print(*({"pandas", "pyarrow", "xarray", "h5py", "h5netcdf"} & set(sys.modules)))
"""
    assert run(sys.executable, "-c", script, str(tmp_path / "a.csv"), str(tmp_path / "a.npz")).split() == []
