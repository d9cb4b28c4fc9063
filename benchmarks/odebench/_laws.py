"""Sparse laws: libraries, windows and thresholds by regression, the best few fitted again through the solve, one chosen
by Schwarz's criterion of its orbit. Nothing of the orbit's truth, and nothing of the second start, is looked at."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix

import ctmodels as ct

LIBRARIES = [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1)]
WIDTHS, THRESHOLDS = (12, 40), (0.0, 0.003, 0.01, 0.03, 0.1)
MOST_TERMS, FITTED_AGAIN = 60, 3
BAD = 1e3  # deviations: as far off as a point counts


def solver() -> ct.Integrate:
    return ct.Integrate(ct.RK4(), ct.Substeps(2))


@eqx.filter_jit
def regressed(series: ct.Series, degree: int, waves: int, width: int):
    """The laws of all thresholds, and the criterion of each."""

    def one(threshold):
        how = dict(degree=degree, waves=waves, penalty=1e-8, normalise=True, width=width, stride=2)
        model, _ = ct.regression.sparse_law(series, threshold=threshold, integrate=solver(), **how)
        return model, criterion(model, series.ys[0], series)

    return eqx.filter_vmap(one)(jnp.asarray(THRESHOLDS))


def residuals(model, y0, series: ct.Series):
    """In deviations of each component."""
    off = (model(y0, series.ts).ys - series.ys) / (jnp.std(series.ys, axis=0) + 1e-12)
    return jnp.clip(jnp.where(jnp.isfinite(off), off, BAD), -BAD, BAD)


def criterion(model, y0, series: ct.Series):
    n, terms = series.ys.size, jnp.sum(model.field.active)
    return n * jnp.log(jnp.mean(residuals(model, y0, series) ** 2) + 1e-10) + terms * jnp.log(n)


@eqx.filter_jit
def fitted_again(model, series: ct.Series):
    """Coefficients and start by least squares of the whole orbit."""
    where = lambda model: model.field.coefficients

    def of(free, _):
        return residuals(eqx.tree_at(where, model, free[0]), free[1], series)

    start = where(model), series.ys[0]
    method = optimistix.LevenbergMarquardt(rtol=1e-6, atol=1e-8)
    found = optimistix.least_squares(of, method, start, max_steps=40, throw=False).value
    better = eqx.tree_at(where, model, found[0])
    return better, criterion(better, found[1], series)


def sparse(series: ct.Series) -> ct.NeuralODE:
    channels = series.ys.shape[1]
    tried = []
    for (degree, waves), width in itertools.product(LIBRARIES, WIDTHS):
        if ct.fields.Library(channels, degree, waves).size > MOST_TERMS or width > len(series.ts) // 3:
            continue
        models, values = regressed(series, degree, waves, width)
        for i, value in enumerate(np.asarray(values)):
            tried.append((float(value), jax.tree.map(lambda x, i=i: x[i] if eqx.is_array(x) else x, models)))
    return chosen(tried, series)


def chosen(tried: list, series: ct.Series) -> ct.NeuralODE:
    """The best few of different terms, fitted again; and of these and those the best."""
    in_order, first = sorted(tried, key=_finite), {}
    for value, model in in_order:
        first.setdefault(np.asarray(model.field.active).tobytes(), (value, model))
    few = list(first.values())[:FITTED_AGAIN]
    again = [fitted_again(model, series) for _, model in few]
    return min(few + [(float(value), model) for model, value in again], key=_finite)[1]


def _finite(pair) -> float:
    return pair[0] if np.isfinite(pair[0]) else np.inf


def linear(series: ct.Series) -> ct.NeuralODE:
    models, values = regressed(series, 1, 0, 30)
    best = int(np.nanargmin(np.asarray(values)))
    return jax.tree.map(lambda x: x[best] if eqx.is_array(x) else x, models)
