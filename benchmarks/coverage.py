"""What intervals of parameters hold: `python -m benchmarks.coverage [--quick] [--save] [--resume] [--seeds 0]`.

Five known laws, 40 simulated data sets each, fitted by `ct.reconstruction.fit_law`; then intervals of 90 % by each
method of `ct.uncertainty.intervals`, and by `ct.uncertainty.profile`. A sixth row of data has noise with a memory (an
autoregression of 0.7), which a method either allows for or does not. A seed draws all data sets; methods were made
with seed 7, and seed 0 was not looked at before.

`coverage`: the share of intervals that hold the truth, all parameters and data sets counted; `least`, `most`: of the
parameters one by one; `width`: of the intervals in those of Laplace, the median; `stretch`: by how much they would have
to be stretched to hold the truth nine times in ten, over all data sets and parameters; to hundreds of millions, where
they have no width. 40 data sets tell a coverage of 0.9 to about 0.05 for each parameter.

`descents`, of the pendulum's angle: what people do who have no least squares. Eight fits by Adam of parameters and
starts, each from first guesses and with batches of its own; the interval is their mean and 1.645 of their deviations.
In `bags` each of them has trials of its own, drawn with replacement.
"""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.signal
import scipy.special

import ctmodels as ct
from benchmarks._reproduction import main

DATA_SETS, LEVEL = 40, 0.9
DESCENTS, MEMBERS, STEPS = ("descents", "bags"), 8, 1500
WAYS = ["laplace", "profile", "bootstrap", "blocks", "trials", "ensemble"]
DRAWS = {"ensemble": 4}  # else the default


def pendulum(t, y, *, damping: ct.fields.PositiveFloat = 0.5, gravity: ct.fields.PositiveFloat = 6.0):
    """`gravity`: over the length, g/L."""
    angle, velocity = y
    return [velocity, -damping * velocity - gravity * jnp.sin(angle)]


def predators(t, y, *, birth=0.7, eaten=0.05, death=0.7, fed=0.02):
    prey, hunter = y
    return [birth * prey - eaten * prey * hunter, fed * prey * hunter - death * hunter]


def lorenz(t, y, *, sigma=8.0, rho=25.0, beta=2.0):
    x, y, z = y
    return [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]


def logistic(t, y, *, rate: ct.fields.PositiveFloat = 0.5, capacity: ct.fields.PositiveFloat = 8.0):
    return [rate * y[0] * (1 - y[0] / capacity)]


class Setting(NamedTuple):
    """`starts(random)` of one trial; `noise`: its deviation; `relative`: of the logarithm; `memory`: its
    autocorrelation."""

    law: Callable
    truth: dict[str, float]
    starts: Callable
    trials: int
    rows: int
    dt: float
    noise: float
    channels: int
    relative: bool = False
    memory: float = 0.0


SWING = {"damping": 0.3, "gravity": 9.0}
thrown = lambda random: random.uniform(-1.5, 1.5, 2)
few = lambda random: random.uniform(0.3, 1.0, 1)
on_the_attractor = lambda random: np.array([-6.0, -7.0, 23.0]) + random.normal(size=3)
SETTINGS = {
    "pendulum": Setting(pendulum, SWING, thrown, 5, 30, 0.1, 0.1, 2),
    "angle alone": Setting(pendulum, SWING, thrown, 5, 30, 0.1, 0.1, 1),
    "Lotka-Volterra": Setting(
        predators, {"birth": 0.9, "eaten": 0.03, "death": 0.8, "fed": 0.025},
        lambda random: random.uniform(10, 40, 2), 1, 60, 0.3, 0.05, 2, relative=True,
    ),
    "Lorenz-63": Setting(lorenz, {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}, on_the_attractor, 1, 80, 0.025, 1.0, 3),
    "logistic": Setting(logistic, {"rate": 0.8, "capacity": 10.0}, few, 1, 25, 0.4, 0.4, 1),
    "noise with a memory": Setting(pendulum, SWING, thrown, 8, 40, 0.1, 0.1, 1, memory=0.7),
}  # fmt: skip
KNOWN = [name for name in SETTINGS if name != "noise with a memory"]
METHODS = [f"{name}: {way}" for way in WAYS for name in SETTINGS if way != "trials" or SETTINGS[name].trials > 1]
METHODS += [f"angle alone: {way}" for way in DESCENTS]


@functools.cache
def fits(name: str, seed: int, count: int) -> list[ct.reconstruction.LawFit]:
    """Of each data set."""
    setting = SETTINGS[name]
    fit = functools.partial(ct.reconstruction.fit_law, setting.law, log=setting.relative, level=LEVEL, seed=0)
    return [
        fit(data, states=len(data[0].ys[0]) if setting.channels > 1 else None) for data in data_of(name, seed, count)
    ]


def data_of(name: str, seed: int, count: int) -> list[list[ct.Series]]:
    setting = SETTINGS[name]
    return [measured(setting, np.random.default_rng((seed, i, list(SETTINGS).index(name)))) for i in range(count)]


def measured(setting: Setting, random: np.random.Generator) -> list[ct.Series]:
    truth = ct.fields.Law(setting.law, setting.truth)
    ts, trials = setting.dt * np.arange(setting.rows), []
    for _ in range(setting.trials):
        start = jnp.asarray(setting.starts(random), float)
        clean = np.asarray(ct.systems.simulate(truth, start, dt=setting.dt, steps=setting.rows), float)
        noise = setting.noise * with_memory(random.normal(size=(setting.rows + 50, setting.channels)), setting.memory)
        seen = clean[:, : setting.channels]
        trials.append(ct.Series.from_nan(ts, seen * np.exp(noise) if setting.relative else seen + noise))
    return trials


def with_memory(noise: np.ndarray, memory: float) -> np.ndarray:
    """Of the same variance; the first rows, from which it is on its way there, are left out."""
    return scipy.signal.lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=0)[50:]


def by_descent(name: str, seed: int, count: int, steps: int, bags: bool) -> np.ndarray:
    """`(data set, parameter, 2)`."""
    setting, random = SETTINGS[name], np.random.default_rng(seed)
    ys = np.stack([[np.asarray(one.ys) for one in data] for data in data_of(name, seed, count)])
    guesses = np.log([6.0 if p == "gravity" else 0.5 for p in setting.truth])
    trials = ys.shape[1]
    weights = random.multinomial(trials, np.full(trials, 1 / trials), (count, MEMBERS)) if bags else 1
    given = (
        guesses + 0.3 * random.normal(size=(count, MEMBERS, 2)),
        0.3 * random.normal(size=(count, MEMBERS, trials, 2))
        + np.concatenate([ys[:, :, 0], 0 * ys[:, :, 0]], -1)[:, None],
        np.broadcast_to(ys[:, None], (count, MEMBERS, *ys.shape[1:])),
        np.broadcast_to(weights, (count, MEMBERS, trials)),
        random.integers(2**31, size=(count, MEMBERS)),
    )
    descend = jax.jit(jax.vmap(jax.vmap(functools.partial(descent, setting, steps))))
    found = np.exp(np.asarray(descend(*(jnp.asarray(a, float) for a in given[:4]), jnp.asarray(given[4])), float))
    half = scipy.special.ndtri(0.5 + LEVEL / 2) * found.std(1, ddof=1)
    return np.stack([found.mean(1) - half, found.mean(1) + half], -1)


def descent(setting: Setting, steps: int, q, starts, ys, weights, seed):
    """The logarithms of the parameters, by Adam on batches of two trials."""

    def rows(q, start):
        field = lambda t, y, args: jnp.stack(setting.law(t, y, **dict(zip(setting.truth, jnp.exp(q), strict=True))))
        step = lambda y, _: (ct.rk_step(ct.RK4().tableau, field, 0.0, setting.dt, y, None).y1, y[:1])
        return jax.lax.scan(step, start, length=setting.rows)[1]

    def loss(parameters, key):
        q, starts = parameters
        batch = jax.random.choice(key, len(ys), (2,), replace=False)
        errors = jnp.mean((jax.vmap(rows, (None, 0))(q, starts[batch]) - ys[batch]) ** 2, (1, 2))
        return jnp.sum(weights[batch] * errors)

    optimiser = optax.adam(optax.cosine_decay_schedule(0.03, steps))

    def move(carry, key):
        parameters, state = carry
        updates, state = optimiser.update(jax.grad(loss)(parameters, key), state)
        return (optax.apply_updates(parameters, updates), state), None

    first = (q, starts)
    keys = jax.random.split(jax.random.key(seed), steps)
    return jax.lax.scan(move, (first, optimiser.init(first)), keys)[0][0][0]


def limits(fit: ct.reconstruction.LawFit, way: str, seed: int, quick: bool) -> np.ndarray:
    """`(parameter, 2)`: infinite to a side on which there is no limit."""
    if way == "profile":
        found = [ct.uncertainty.profile(fit, name, level=LEVEL) for name in fit.law.names]
    else:
        draws = 20 if quick and way != "ensemble" else DRAWS.get(way)
        found = ct.uncertainty.intervals(fit, way, level=LEVEL, draws=draws, seed=seed).table
    number = lambda x, unless: unless if x is None else x
    return np.array([(number(p.lower, -np.inf), number(p.upper, np.inf)) for p in found])


def one(method: str, seed: int, _, quick: bool) -> dict:
    name, way = method.split(": ")
    begun, law_fits = time.monotonic(), fits(name, seed, 2 if quick else DATA_SETS)
    truth = np.array([SETTINGS[name].truth[p] for p in law_fits[0].law.names])
    if way in DESCENTS:
        of_way = by_descent(name, seed, len(law_fits), 20 if quick else STEPS, way == "bags")
    else:
        of_way = np.array([limits(fit, way, i, quick) for i, fit in enumerate(law_fits)])
    plain = np.array([limits(fit, "laplace", i, quick) for i, fit in enumerate(law_fits)])
    held = (of_way[..., 0] <= truth) & (truth <= of_way[..., 1])
    values = (
        of_way.mean(-1) if way in DESCENTS else np.array([list(fit.parameters.values.values()) for fit in law_fits])
    )
    below, above = np.maximum(values - of_way[..., 0], 1e-9), np.maximum(of_way[..., 1] - values, 1e-9)
    stretch = np.where(truth < values, (values - truth) / below, (truth - values) / above)
    return {
        "coverage": float(held.mean()),
        "least": float(held.mean(0).min()),
        "most": float(held.mean(0).max()),
        "width": float(np.median((np.diff(of_way) / np.diff(plain))[np.isfinite(np.diff(plain))])),
        "stretch": float(np.quantile(stretch, LEVEL)),
        "parameters": [f"{p}: {share:.3f}" for p, share in zip(law_fits[0].law.names, held.mean(0), strict=True)],
        "seconds": time.monotonic() - begun,
    }


def compared(methods: dict[str, dict]) -> dict:
    """The coverage of each method, of the five laws together and of the noise with a memory; how many times too narrow
    ensembles are on a pendulum's g/L and damping."""
    found = {}
    for way in WAYS:
        rows = [methods[f"{name}: {way}"]["coverage"] for name in KNOWN if f"{name}: {way}" in methods]
        if rows:
            found[way] = {"mean": float(np.mean(rows)), "least": min(rows), "most": max(rows)}
        if (row := methods.get(f"noise with a memory: {way}")) is not None:
            found.setdefault(way, {})["noise with a memory"] = row["coverage"]
    for way in ("ensemble", *DESCENTS):
        if (row := methods.get(f"angle alone: {way}")) is not None:
            found[f"{way}, too narrow by"] = row["stretch"]
    return found


if __name__ == "__main__":
    main("coverage", one, METHODS, compared, quick=["logistic: laplace", "logistic: profile", "logistic: bootstrap"])
