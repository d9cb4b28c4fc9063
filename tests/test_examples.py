"""Each example runs, at toy size, and says something sane; so does the README's."""

import importlib.util
import inspect
import math
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.only("float32")

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(
    path.relative_to(ROOT / "examples").with_suffix("").as_posix() for path in (ROOT / "examples").rglob("*.py")
)

# name: (toy settings, the metric, the range it must lie in). Training is too short to be good.
TOYS = {
    "analyse_dynamics": (
        dict(seen=(10.0, 28.0), samples=60, width=8, steps=5, batch_size=8, count=3, orbit=50, figure="analysis.svg"),
        "exponent_true",
        (-5, 5),
    ),
    "backtest_forecasts": (
        dict(samples=150, horizon=3, origins=4, models=(), figure="backtest.svg"),
        "analogues",
        (0, 2),
    ),
    "batched_solves": (dict(samples=4, t1=2.0, stiffest=3.0, figure="batched_solves.svg"), "error", (-1, 0.1)),
    "classify_spirals": (
        dict(number=16, samples=12, hidden=4, width=8, steps=4, batch_size=8, figure="classify_spirals.svg"),
        "accuracy",
        (0, 1.01),
    ),
    "data_parallel": (
        dict(series=8, samples=6, width=8, steps=6, batch_size=4, figure="data_parallel.svg"),
        "rmse",
        (0, 5),
    ),
    "driven_oscillator": (
        dict(runs=4, samples=12, width=8, steps=6, batch_size=4, figure="driven_oscillator.svg"),
        "nrmse",
        (0, 10),
    ),
    "export_model": (dict(steps=3, width=8, figure="export_model.svg"), "difference", (-1, 1e-3)),
    "faster_neural_ode": (dict(points=64, width=8, steps=6, batch_size=32), "accuracy_vanilla", (0, 1.01)),
    "fit_a_law": (
        dict(trials=3, samples=12, bootstrap=24, noise=0.01, figure="fit_a_law.svg"),
        "error",
        (0, 0.5),
    ),
    "figures": (dict(samples=240, draws=2, figure="figures.svg"), "nrmse", (0, 5)),
    "find_the_equation": (
        dict(samples=400, bags=3, width=20, figure="find_the_equation.svg"),
        "wrong",
        (-1, 31),
    ),
    "forecast_irregular": (
        dict(number=8, samples=10, ahead=3, hidden=4, steps=3, batch_size=4, figure="forecast_irregular.svg"),
        "ode_rnn",
        (0, 10),
    ),
    "irregular_pendulum": (
        dict(number=8, features=4, depth=1, modes=2, steps=2, batch_size=4, kept=6, figure="pendulum.svg"),
        "gaps",
        (0, 5),
    ),
    "known_systems": (dict(names=("Lorenz", "MackeyGlass"), periods=4, figure="known.png"), "spread", (0, 1)),
    "langevin_flow": (
        dict(trials=8, bins=6, hidden=4, width=4, steps=4, batch_size=4, draws=2, figure="langevin_flow.svg"),
        "bits_true",
        (-5, 5),
    ),
    "latent_ode": (
        dict(number=8, samples=6, latent=2, hidden=4, width=6, steps=3, batch_size=4, draws=2, figure="latent_ode.svg"),
        "iwae_within",
        (0, 5),
    ),
    "latent_sde": (
        dict(number=8, samples=5, hidden=4, width=6, steps=6, batch_size=4, draws=4, figure="latent_sde.svg"),
        "error",
        (0, 5),
    ),
    "lyapunov_spectrum": (dict(time=30.0, iterations=2000, figure="lyapunov_spectrum.svg"), "lorenz_max", (0.5, 1.5)),
    "long_sequences": (
        dict(number=8, length=64, features=4, depth=1, modes=2, steps=2, batch_size=4, figure="long.svg"),
        "as_trained",
        (-1, 1.01),
    ),
    "many_trials": (
        dict(trials=6, samples=12, width=8, steps=6, batch_size=4, figure="many_trials.svg"),
        "ratio",
        (0, 5),
    ),
    "multiple_shooting": (
        dict(windows=3, window=7, width=8, steps=6, figure="multiple_shooting.svg"),
        "nrmse",
        (0, 10),
    ),
    "learned_field_to_equation": (
        dict(samples=30, members=1, steps=4, figure="learned_field_to_equation.svg"),
        "constants",
        (0.9, 21),
    ),
    "neural_sde": (
        dict(number=8, samples=8, width=8, steps=6, batch_size=4, figure="neural_sde.svg"),
        "variation",
        (0, 100),
    ),
    "neural_ode_spiral": (
        dict(series=8, samples=8, t1=1.0, width=8, steps=6, batch_size=4, figure="neural_ode_spiral.svg"),
        "rmse",
        (0, 5),
    ),
    "parallel_recurrence": (
        dict(units=3, rows=20, gains=(0.5, 3.0), shown=0, most=20, figure="parallel_recurrence.svg"),
        "error_full",
        (-1, 1e-4),
    ),
    "parameter_intervals": (
        dict(trials=5, samples=12, draws=24, searches=2, noise=0.01, figure="parameter_intervals.svg"),
        "bootstrap",
        (0.3, 3),
    ),
    "partly_observed": (
        dict(samples=1000, model="linear", embed="auto", members=1, figure="partly_observed.svg"),
        "dimension",
        (1, 9),
    ),
    "reconstruct_lorenz": (dict(samples=400, members=2, steps=20, figure="reconstruct_lorenz.svg"), "nrmse", (0, 1e7)),
    "resume_training": (
        dict(samples=30, width=8, steps=6, save_every=3, batch_size=4, figure="resume_training.svg"),
        "differ",
        (-1, 1),
    ),
    "sde_gan": (
        dict(number=8, samples=6, state=4, noise=2, width=4, steps=4, batch_size=4, figure="sde_gan.svg"),
        "variation",
        (0, 1e4),
    ),
    "sde_matching": (
        dict(number=4, samples=6, hidden=4, width=6, steps=6, batch_size=4, draws=3, figure="sde_matching.svg"),
        "error_within",
        (0, 5),
    ),
    "self_pretraining": (
        dict(
            number=8,
            labelled=4,
            samples=6,
            features=4,
            depth=1,
            pretraining=2,
            steps=2,
            batch_size=4,
            figure="self_pretraining.svg",
        ),
        "pretrained",
        (-1, 1.01),
    ),
    "spikes_to_rates": (
        dict(trials=8, duration=0.2, conditions=2, neurons=3, figure="spikes_to_rates.svg"),
        "true",
        (-5, 5),
    ),
    "streaming": (
        dict(number=4, samples=5, hidden=4, steps=2, batch_size=4, figure="streaming.svg"),
        "state_space_apart",
        (-1, 1e-4),
    ),
    "sweep_seeds": (
        dict(widths=(4,), rates=(1e-2, 1e-1), seeds=2, samples=6, steps=8, halve=1, figure="sweep_seeds.svg"),
        "trainings",
        (2.9, 3.1),
    ),
    "tasks/classify": (dict(number=8, samples=8, steps=3, figure="classify.svg"), "accuracy", (-1, 1.01)),
    "tasks/ensemble": (dict(members=2, steps=3, ahead=3, figure="ensemble.svg"), "spread", (0, 5)),
    "tasks/estimate_a_parameter": (
        dict(swings=2, samples=12, noise=0.01, figure="estimate.svg"),
        "ratio",
        (8.5, 9.5),
    ),
    "tasks/export": (dict(samples=100, ahead=20, figure="export.svg"), "error", (-1, 0.1)),
    "tasks/find_an_equation": (dict(samples=200, figure="find.svg"), "terms", (1, 12)),
    "tasks/forecast_with_inputs": (dict(samples=300, ahead=50, figure="forecast.svg"), "nrmse", (0, 1)),
    "tasks/generate": (dict(number=8, steps=3, figure="generate.svg"), "new", (-0.01, 1.01)),
    "tasks/reconstruct_trials": (dict(trials=6, samples=20, figure="trials.svg"), "nrmse", (0, 2)),
    "tasks/stream": (dict(number=4, samples=8, hidden=4, steps=3, figure="stream.svg"), "error", (0, 5)),
    "tasks/sweep": (dict(rates=(1e-3, 1e-2), seeds=2, steps=4, figure="sweep.svg"), "best", (0, 1e3)),
    "teacher_forcing": (
        dict(samples=400, width=8, window=10, steps=60, batch_size=16, lengths=(5, 10), figure="forcing.svg"),
        "forced",
        (0, 100),
    ),
    "two_processes": (
        dict(files=2, each=16, samples=5, steps=4, batch_size=8, width=4, figure="two_processes.svg"),
        "loss",
        (0, 10),
    ),
    "universal_lotka_volterra": (
        dict(samples=20, window=6, width=8, steps=6, figure="universal_lotka_volterra.svg"),
        "field_error",
        (0, 10),
    ),
}


def main_of(name: str):
    spec = importlib.util.spec_from_file_location(Path(name).name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_every_example_is_here():
    assert sorted(TOYS) == EXAMPLES


@pytest.mark.parametrize("name", TOYS)
def test_an_example_is_imported_and_has_its_settings(name):
    """What runs of the slow ones too: their imports, and their names for what is set."""
    inspect.signature(main_of(name)).bind(**TOYS[name][0])


# One of each kind, a training, a loop over series, a figure and two files; the others compile much, whatever the size.
USUAL = {"export_model", "many_trials", "neural_sde", "resume_training"}
NEEDS = {"two_processes": ("grain", "orbax.checkpoint")}


@pytest.mark.parametrize("name", [n if n in USUAL else pytest.param(n, marks=pytest.mark.slow) for n in TOYS])
def test_example(name, tmp_path, monkeypatch):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package, reason="the extra `multihost` is not installed")
    settings, metric, (low, high) = TOYS[name]
    monkeypatch.chdir(tmp_path)  # what it writes
    numbers = main_of(name)(**settings)
    assert all(math.isfinite(value) for value in numbers.values()), numbers
    assert low < numbers[metric] < high, numbers
    assert numbers.get("traces", 1) == 1
    assert Path(settings.get("figure", tmp_path)).exists()


def test_readme(monkeypatch, tmp_path):
    """The first Python block, as it stands but for the number of steps."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (snippet, *_) = re.findall(r"```python\n(.*?)```", text, re.S)
    toy, found = re.subn(r"\bsteps=\d+", "steps=4", snippet)
    assert found
    exec(compile(toy, "README.md", "exec"), {})
