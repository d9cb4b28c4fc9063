"""Whether a model with noise of its own forecasts distributions better than an ensemble without: neural-sde, neural.

2000 rows each, the last fifth held out, three seeds: a particle in two wells (system noise 0.5, 3 % of measurement) and
Van der Pol's oscillator (0.1 and 0.5 on its two states, 3 %), where noise moves the system; Lorenz-63 (5 % of
measurement), where there is nothing but measurement noise. Of the scored forecasts, raw and widened by past forecasts
as the main job widens them: coverage of the 90 % band, continuous ranked probability score (in standard deviations),
PIT distance; and of their median the NRMSE. `--quick` takes few rows and steps of one system and
model; `--seeds` says which.
"""

import time
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from benchmarks._reproduction import main
from ctmodels import losses
from ctmodels.data import Table
from ctmodels.demo import noisy_lorenz63
from ctmodels.reconstruction import CANDIDATES, Recipe
from ctmodels.reconstruction._calibration import calibrate
from ctmodels.reconstruction._evaluation import forecast, known_states
from ctmodels.reconstruction._fitting import train
from ctmodels.reconstruction._preparing import Task, prepare
from ctmodels.reconstruction._rows import Rows
from ctmodels.reconstruction._scores import coverage, pit_distance
from ctmodels.reconstruction._split import Split, Spread

MODELS = "neural", "neural-sde"
ROWS, FINE, NOISE = 2000, 20, 0.03
QUANTILES = 200  # that stand for a forecast's distribution


def one(method: str, seed: int, data, quick: bool) -> dict:
    system, _, model = method.partition(": ")
    begun = time.monotonic()
    rows = 200 if quick else ROWS
    task = prepare(Rows.of(SYSTEMS[system](seed, rows), 0.2), (), None, None, False)
    recipe = Recipe(members=1, steps=8, refreshes=1) if quick else Recipe(members=2, steps=2000)
    trained = train(CANDIDATES[model], task.problem, task.split.train(), recipe, seed, progress=False)
    known = known_states(trained, task.split)
    raw = forecast(trained, task.split, known)
    widened = raw.widened(calibrate(trained, task.split, known, raw).origins)
    seconds = time.monotonic() - begun
    found = {f"raw_{key}": value for key, value in judged(raw, task.split).items()} | judged(widened, task.split)
    return {**found, "nrmse": error(raw, task), "seconds": seconds}


def judged(spread: Spread, split: Split) -> dict[str, float | None]:
    true = split.targets()
    z = norm.ppf((jnp.arange(QUANTILES) + 0.5) / QUANTILES)[:, None, None, None]
    samples = spread.median + np.where(z < 0, spread.below, spread.above) * np.asarray(z)
    flat = lambda x: jnp.asarray(x.reshape(*x.shape[:-3], -1, x.shape[-1]), jnp.zeros(()).dtype)
    return {
        "coverage": coverage(*spread.limits(), split).value,
        "crps": float(losses.crps(flat(samples), flat(np.nan_to_num(true)), flat(~np.isnan(true)) > 0)),
        "pit": pit_distance(spread, split).value,
    }


def error(spread: Spread, task: Task) -> float:
    return float(np.sqrt(np.nanmean((spread.median - task.split.targets()) ** 2)))


def simulated(name: str, drift: Callable, diffusion: np.ndarray, dt: float) -> Callable[[int, int], Table]:
    """By Euler's steps, twenty from row to row, after a transient."""

    def table(seed: int, rows: int) -> Table:
        rng = np.random.default_rng([160_000, seed])
        y, states, h = np.ones(len(diffusion)), [], dt / FINE
        for i in range((rows + 100) * FINE):
            if i % FINE == 0:
                states.append(y)
            y = y + h * drift(y) + np.sqrt(h) * diffusion * rng.normal(size=y.shape)
        ys = np.array(states[100:])
        ys = ys + NOISE * ys.std(axis=0) * rng.normal(size=ys.shape)
        return Table(dt * np.arange(rows), ys, tuple("xy"[: ys.shape[1]]), "t", "", "", name)

    return table


SYSTEMS = {
    "two wells": simulated("two wells", lambda y: y - y**3, np.array([0.5]), 0.2),
    "Van der Pol": simulated(
        "Van der Pol", lambda y: np.array([y[1], (1 - y[0] ** 2) * y[1] - y[0]]), np.array([0.1, 0.5]), 0.15
    ),
    "Lorenz-63": lambda seed, rows: noisy_lorenz63(rows, seed=seed),
}


METHODS = [f"{system}: {model}" for system in SYSTEMS for model in MODELS]


def compared(methods: dict[str, dict]) -> dict:
    """Of each, in the mean over seeds, how far the raw band's coverage is from 0.9, and the scores."""
    of = lambda row: {
        "coverage_off": abs(row["raw_coverage"] - 0.9),
        **{k: row[k] for k in ("raw_crps", "crps", "nrmse")},
    }
    return {name: of(row) for name, row in methods.items()}


if __name__ == "__main__":
    main("reconstruct.stochastic", one, METHODS, compared, quick=["two wells: neural-sde"])
