"""Neural ODEs, and sparse laws with a network beside them, of all systems of one dimension side by side, in units in
which the data move at speed one; windows start where a smoother that knows no law has them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._neural import ManyWindows, Recipe, networks, on_the_host, trained
from benchmarks.odebench._data import Seen

RECIPE = Recipe(steps=800, window=10, batch=16)
DEGREE = 2  # of the hybrid's law
SHARE = 0.1  # of a network beside a law, to begin with


def neural(many: list[Seen], seed: int) -> list[np.ndarray]:
    """Of each system its orbits from both starts, `(start, time, state)`."""
    return foretold(many, seed, lambda models, series: models)


def hybrid(many: list[Seen], seed: int) -> list[np.ndarray]:
    return foretold(many, seed, with_laws)


def foretold(many: list[Seen], seed: int, build) -> list[np.ndarray]:
    scalings = [scaling_of(one.series) for one in many]
    pairs = list(zip(scalings, many, strict=True))
    series = stack(s.series(np.asarray(one.series.ts), np.asarray(one.series.ys)) for s, one in pairs)
    models = build(networks(len(many), series.ys.shape[2], RECIPE, seed), series)
    data = ManyWindows(series.ts, series.ys, series.mask, smoothed(series), RECIPE.window)
    models = trained(models, data, RECIPE, seed)
    ts = np.stack([s.times(one.ts) for s, one in pairs])
    each = []
    for start in range(2):
        y0 = np.stack([s.scale(one.orbits[start, :1])[0] for s, one in pairs])
        each.append(on_the_host(models, y0, ts - ts[:, :1]))
    units = zip(scalings, np.stack(each, axis=1), strict=True)
    return [np.stack([s.unscale(np.asarray(ys, np.float64)) for ys in both]) for s, both in units]


def scaling_of(series: ct.Series) -> ct.Scaling:
    return ct.Scaling.fit(np.asarray(series.ts), np.asarray(series.ys))


def stack(series) -> ct.Series:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *series)


@eqx.filter_jit
def smoothed(series: ct.Series):
    """Of each series the means, `(system, time, channel)`."""
    channels = series.ys.shape[2]
    move = ct.smoothing.constant_velocity

    def one(series):
        dtype = series.ys.dtype
        speeds = jnp.repeat(jnp.asarray([1e-4, 1.0], dtype), channels)
        first = ct.smoothing.Noise(speeds, jnp.full(channels, 1e-2, dtype))
        noise, _ = ct.smoothing.tune_noise(move, series, first)
        return ct.smoothing.smooth(move, series, noise).mean[:, :channels]

    return jax.lax.map(one, series)


@eqx.filter_jit
def with_laws(models: ct.NeuralODE, series: ct.Series) -> ct.NeuralODE:
    """To each network, made small, a polynomial law that regression found."""
    how = dict(degree=DEGREE, normalise=True, penalty=1e-6, threshold=0.03, width=20)
    law = lambda one: ct.regression.sparse_law(one, **how)[0]

    def both(model, one):
        last = lambda m: m.field.mlp.layers[-1].weight
        model = eqx.tree_at(last, model, SHARE * last(model))
        return eqx.tree_at(lambda m: m.field, model, ct.fields.SumField(law(one).field, model.field))

    return eqx.filter_vmap(both)(models, series)
