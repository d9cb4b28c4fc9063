"""Cells: whose units do not mix, and all of which are solved in parallel to the states that they have row by row."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctmodels import ssm

CELLS = {"gru": ssm.ParaGRU, "lstm": ssm.ParaLSTM, "time constants": ssm.TimeConstantRNN}


def drawn(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(jax.dtypes.canonicalize_dtype(float)))


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_a_cell_in_parallel_is_the_cell_row_by_row(make, tolerance):
    """With its gradients, and as many iterations as a wide layer may have."""
    cell, xs = make(2, 3, key=jax.random.key(0)), drawn(17, 2)
    solver = ssm.NewtonScan(cell.linearisation)

    def total(parallel, cell):
        row_by_row = lambda h, x: (cell(h, x),) * 2
        solve = lambda: ssm.newton_scan(cell, cell.start, xs, solver=solver)
        hs, stats = solve() if parallel else (jax.lax.scan(row_by_row, cell.start, xs)[1], None)
        return jnp.sum(jnp.sin(hs)), (hs, stats)

    both = [eqx.filter_value_and_grad(lambda cell, way=way: total(way, cell), has_aux=True) for way in (True, False)]
    ((_, (hs, stats)), gradient), ((_, (wanted, _)), plain) = eqx.filter_jit(lambda cell: [f(cell) for f in both])(cell)
    np.testing.assert_allclose(hs, wanted, **tolerance())
    for x, y in zip(jax.tree.leaves(gradient), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(x, y, **tolerance(10))
        assert np.any(np.asarray(y) != 0)
    assert stats.converged and stats.iterations <= 6 and stats.exponent < 0


@pytest.mark.only("float32")
def test_units_mix_where_they_are_said_to():
    def jacobian(make):
        cell = make(2, 3, key=jax.random.key(0))
        h = drawn(*cell.start.shape)
        return np.asarray(jax.jit(lambda h, x: jax.jacfwd(cell)(h, x))(h, drawn(2)))

    others = ~np.eye(3, dtype=bool)
    gru, lstm, full = (jacobian(make) for make in CELLS.values())
    assert np.all(gru[others] == 0) and np.all(np.diag(gru) != 0)
    assert np.all(lstm.swapaxes(1, 2)[:, :, others] == 0) and np.all(np.diagonal(lstm, axis1=1, axis2=3) != 0)
    assert np.all(full != 0)


def test_the_cells_are_what_their_papers_say(tolerance):
    """In NumPy, of one row."""
    sigma = lambda x: 1 / (1 + np.exp(-x))
    x, h, c = drawn(2), drawn(3, seed=1), drawn(3, seed=2)
    gru, lstm, rnn = (make(2, 3, key=jax.random.key(1)) for make in CELLS.values())
    one = jax.jit(lambda h, c, x: (gru(h, x), lstm(jnp.stack([h, c]), x), rnn(h, x)))(h, c, x)
    h, c, x = np.asarray(h), np.asarray(c), np.asarray(x)
    a, B, b = (np.asarray(y) for y in (gru.weights, gru.inputs, gru.bias))
    z, r = (sigma(a[i] * h + B[i] @ x + b[i]) for i in (0, 1))
    np.testing.assert_allclose(one[0], (1 - z) * h + z * np.tanh(a[2] * (h * r) + B[2] @ x + b[2]), **tolerance())
    a, p, B, b = (np.asarray(y) for y in (lstm.weights, lstm.peepholes, lstm.inputs, lstm.bias))
    f = sigma(a[0] * h + B[0] @ x + p[0] * c + b[0])
    c = f * c + (1 - f) * np.tanh(a[1] * h + B[1] @ x + b[1])
    o = sigma(a[2] * h + B[2] @ x + p[1] * c + b[2])
    np.testing.assert_allclose(one[1], np.stack([o * np.tanh(c), c]), **tolerance())
    W, B, tau = (np.asarray(y) for y in (rnn.weights * (1 - jnp.eye(3)), rnn.inputs, rnn.tau))
    wanted = (1 - 1 / tau) * h + (W @ h + B @ x) / tau
    np.testing.assert_allclose(one[2], np.where(wanted > 0, wanted, 0.01 * wanted), **tolerance())
    assert np.all(tau >= 1)


@pytest.mark.only("float32")
@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_sizes_that_make_no_sense_are_refused(make):
    with pytest.raises(ValueError, match="size=0: a whole number of at least 1"):
        make(2, 0, key=jax.random.key(0))
    with pytest.raises(TypeError, match="key: 0 is no key"):
        make(2, 3, key=0)
