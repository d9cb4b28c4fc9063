"""The pages against the code: every public name has its place, and what is shown runs."""

import re
import sys
import types
from pathlib import Path
from pydoc import locate

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import ctmodels as ct

pytestmark = pytest.mark.only("float32")

DOCS = Path(__file__).parents[1] / "docs"
ROOMS = [ct, ct.analysis, ct.backtesting, ct.data, ct.distributions, ct.embedding, ct.fields, ct.forcing, ct.losses,
         ct.measures, ct.metrics, ct.paths, ct.plot, ct.reconstruction, ct.regression, ct.regularisers, ct.signatures,
         ct.smoothing, ct.ssm, ct.sweeps, ct.symbolic, ct.systems, ct.transforms, ct.uncertainty]  # fmt: skip


def public(room):
    """Name and value of all that a room exports; of a room of one file, what it defines."""
    names = [name for name in dir(room) if not name.startswith("_")]
    values = {f"{room.__name__}.{name}": getattr(room, name) for name in names}
    own = lambda x: hasattr(room, "__path__") or getattr(x, "__module__", "") == room.__name__
    return [(name, x) for name, x in values.items() if not isinstance(x, types.ModuleType) and own(x)]


def test_every_public_name_is_on_one_api_page():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("api/*.md"))
    entries = re.findall(r"^::: (\S+)$", pages, re.M)
    documented = [locate(entry) for entry in entries]
    assert all(found is not None for found in documented), entries
    for name, value in (pair for room in ROOMS for pair in public(room)):
        assert sum(found is value for found in documented) == 1, name


@pytest.mark.parametrize("path", [*DOCS.glob("*.md"), *DOCS.glob("../*.md")], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert "://" in target or (path.parent / target).exists(), target


@pytest.mark.slow
def test_the_page_on_the_main_job_runs(capsys, monkeypatch):
    from ctmodels.reconstruction import _maps, _reconstruct, _sparse_laws

    monkeypatch.setattr(_reconstruct, "LYAPUNOV_STEPS", 20)  # few of all that is tried
    monkeypatch.setattr(_maps, "LINEAR", (1,))
    monkeypatch.setattr(_sparse_laws, "LAWS", ((1, 20),))
    names = {"__name__": "page"}
    for source in re.findall(r"```python\n(.*?)```", (DOCS / "reconstruction.md").read_text(encoding="utf-8"), re.S):
        exec(compile(source, "reconstruction.md", "exec"), names)
    said = capsys.readouterr().out
    assert "y0' = " in said and "delay 4, dimension 2: as given" in said


def test_the_law_of_the_page_on_laws_is_fitted(capsys):
    text, names = (DOCS / "fit-a-law.md").read_text(encoding="utf-8"), {"__name__": "page"}
    for source in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(source, "fit-a-law.md", "exec"), names)
    words = lambda line: re.sub(r"[\d.]+", "0", line).split()  # digits depend on the machine
    shown = [words(line) for line in text.splitlines()]
    assert [line for line in capsys.readouterr().out.splitlines() if words(line) not in shown] == []


def test_the_model_of_the_page_on_models_runs():
    text = (DOCS / "adding-a-model.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", text, re.S)
    module = types.ModuleType("readout_ode")
    sys.modules[module.__name__] = module  # where dataclasses look
    exec(compile(source, "adding-a-model.md", "exec"), vars(module))
    field, readout = jax.random.split(jax.random.key(0))
    model = module.ReadoutODE(
        ct.fields.MLPField(3, width=4, key=field),
        eqx.nn.Linear(3, 2, key=readout),
        ct.Integrate(ct.RK4(), ct.Substeps(1)),
    )
    out = model(jnp.ones(3), jnp.linspace(0.0, 1.0, 5))
    assert out.ys.shape == (5, 2) and out.latents.shape == (5, 3) and out.stats.status == 0
