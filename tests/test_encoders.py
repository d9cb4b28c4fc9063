"""Encoders: what is said of each row, from either side, whatever lies between the rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

TS = np.array([0.1, 0.3, 0.7, 1.0, 1.6])
YS = np.random.default_rng(0).normal(size=(5, 2))
KEY = jax.random.key(0)
READERS = {"forth": ct.GRUEncoder, "back": ct.ReverseGRUEncoder, "both": ct.BidirectionalGRUEncoder}


def series(ts=TS, ys=YS, seen=()):
    """Of rows all of which are seen, but those."""
    return ct.Series.from_nan(ts, np.where(np.isin(np.arange(len(ts)), seen)[:, None], np.nan, ys))


@pytest.fixture(scope="module")
def contexts():
    """Of a series, one with an unseen row within and padding, and one whose third row is another."""
    within = series(np.insert(TS, 2, 0.5), np.insert(YS, 2, 0.0, axis=0), [2]).pad(8)
    plain, other = (series(ys=ys).pad(8) for ys in (YS, np.where(np.arange(5)[:, None] == 2, 3.0, YS)))
    batch = jax.tree.map(lambda *xs: jnp.stack(xs), plain, within, other)
    ts = jnp.asarray([0.0, 0.2, 0.31, 0.8, 1.2, 1.7])

    def of(kind):
        encoder = READERS[kind](2, 3, key=KEY)

        @jax.jit
        @jax.vmap
        def said(x):
            states = encoder.states(x)
            return jax.vmap(states.context(jnp.zeros(()).astype(x.ts.dtype)))(ts), encoder(x, jnp.zeros((), x.ts.dtype))

        return jax.device_get(said(batch))

    return {kind: of(kind) for kind in READERS}


@pytest.mark.parametrize("kind", READERS)
def test_unseen_rows_and_padding_change_nothing(kind, contexts, tolerance):
    held, code = contexts[kind]
    np.testing.assert_allclose(held[1], held[0], **tolerance())
    np.testing.assert_allclose(code[1], code[0], **tolerance())


@pytest.mark.parametrize(("kind", "changed"), [("forth", [2, 3, 4]), ("back", [0, 1, 2]), ("both", [0, 1, 2, 3, 4])])
def test_which_rows_a_context_knows(kind, changed, contexts):
    """Between two rows it is of the later one; beyond the last, what is said before any row."""
    held, _ = contexts[kind]
    hs = held[..., :-2]
    moved = np.any(hs[2] != hs[0], axis=1)
    # at 0.0, 0.2, 0.31, 0.8, 1.2 the rows 0, 1, 2, 3, 4 come next
    assert np.flatnonzero(moved).tolist() == changed
    np.testing.assert_array_equal(hs[0, -1], 0)
    np.testing.assert_array_equal(held[0, :, -1], [1, 1, 1, 1, 1, 0])


def test_both_are_the_two_side_by_side(tolerance):
    """Each by its own weights."""
    both = ct.BidirectionalGRUEncoder(2, 3, key=KEY)
    x, t0 = series(), jnp.zeros(())
    joined = lambda x: (both.states(x), both.forwards.states(x), both.backwards.states(x), both(x, t0))
    found, forth, back, code = jax.device_get(jax.jit(joined)(x))
    np.testing.assert_allclose(found.hs, np.concatenate([forth.hs, back.hs], axis=1), **tolerance())
    np.testing.assert_allclose(code[:-1], np.concatenate([forth.hs[-1], back.hs[0]]), **tolerance())
    np.testing.assert_allclose(code[-1], TS[0], **tolerance())
