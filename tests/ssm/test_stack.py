"""What stands between layers: maps of columns, features left out, and means over rows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._stack import GLU, kept_features
from ctmodels.layers._columns import Affine, Norm

KEY = jax.random.key(3)


def test_maps_of_columns_are_those_of_each_row(tolerance):
    hs = np.random.default_rng(0).normal(size=(5, 7)).astype(jnp.result_type(float))
    affine, norm, glu = Affine(5, 3, key=KEY), Norm(5), GLU(5, key=KEY)
    norm = eqx.tree_at(lambda n: (n.weight, n.bias), norm, (jnp.arange(1.0, 6), jnp.arange(5.0)))
    linear, gated = eqx.nn.Linear(5, 3, key=KEY), eqx.nn.Linear(5, 10, key=KEY)
    known = eqx.tree_at(lambda n: (n.weight, n.bias), eqx.nn.LayerNorm(5), (norm.weight, norm.bias))

    def gate(h):
        value, gate = jnp.split(gated(h), 2)
        return value * jax.nn.sigmoid(gate)

    @eqx.filter_jit
    def both(hs):
        each = lambda of_row: jax.vmap(of_row, in_axes=1, out_axes=1)(hs)
        return [(f(hs), each(f), each(of_row)) for f, of_row in ((affine, linear), (norm, known), (glu, gate))]

    for columns, rows, wanted in both(jnp.asarray(hs)):
        np.testing.assert_allclose(columns, wanted, **tolerance(1))
        np.testing.assert_allclose(rows, wanted, **tolerance(1))


@pytest.mark.parametrize("dropout", [0.1, 0.75])
def test_as_many_features_are_left_out_as_was_said(dropout, within):
    features, rows = 9, 4000
    kept = np.asarray(kept_features(KEY, dropout, features, rows))
    assert kept.shape == (features, rows)
    deviation = np.sqrt(dropout * (1 - dropout) / rows)
    np.testing.assert_allclose(kept.mean(axis=1), 1 - dropout, **within(absolute=5 * deviation))
    # The two halves of a number say nothing of each other, nor does a row of the next.
    seen = (kept - kept.mean(axis=1, keepdims=True)) / np.sqrt(dropout * (1 - dropout))
    np.testing.assert_allclose(seen @ seen.T / rows, np.eye(features), **within(absolute=6 / np.sqrt(rows)))
    np.testing.assert_allclose((seen[:, 1:] * seen[:, :-1]).mean(), 0, **within(absolute=6 / np.sqrt(features * rows)))


def test_the_mean_by_one_time_is_that_among_many(tolerance):
    rng = np.random.default_rng(1)
    sizes = dict(features=4, depth=1, pooled=True, key=KEY)
    model = ct.StateSpace(2, 3, layer=ct.layers.LRU, **sizes)
    ts = np.array([0.0, 1, 2.5, 3, 4.5])
    mask = jnp.asarray(rng.uniform(size=(5, 2)) < 0.8).at[1].set(False)
    x = ct.Series(
        jnp.asarray(ts, jnp.result_type(float)), jnp.asarray(rng.normal(size=(5, 2)), jnp.result_type(float)), mask
    )
    asked = jnp.asarray([-1.0, 0, 1.5, 4.4, 9])

    @eqx.filter_jit
    def both(model, x):
        at_once = lambda model: model(x, asked).ys
        one_by_one = lambda model: jax.vmap(lambda t: model(x, t[None]).ys[0])(asked)
        gradient = lambda f: eqx.filter_grad(lambda model: jnp.sum(jnp.sin(f(model))))(model)
        return [(f(model), gradient(f)) for f in (at_once, one_by_one)]

    (ys, gradient), (each, of_each) = both(model, x)
    np.testing.assert_allclose(each, ys, **tolerance(10))
    for a, b in zip(jax.tree.leaves(of_each), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a, b, **tolerance(100))
