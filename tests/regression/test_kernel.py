"""A map by radial functions: kernel ridge regression as NumPy has it, and a law that is no polynomial."""

import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct


def orbit(rows: int) -> np.ndarray:
    """Of a chaotic map that no monomials of low degree describe: x -> 2.2 sin(2 x)."""
    ys = [0.4]
    for _ in range(rows - 1):
        ys.append(2.2 * np.sin(2 * ys[-1]))
    return np.array(ys)[:, None]


def test_it_is_kernel_ridge_regression_and_leaves_out_what_is_missing(tolerance):
    ys = np.random.default_rng(0).normal(size=(12, 2))
    ys[5, 1] = np.nan
    model, fit = ct.regression.kernel(
        ct.Series.from_nan(np.arange(12.0), ys), delays=2, skip=2, width=1.5, penalty=1e-2
    )
    pasts = np.stack([np.concatenate([ys[t], ys[t - 2]]) for t in range(2, 11)])
    changes = ys[3:] - ys[2:-1]
    # A step looks at the rows between its delays too: they are part of the state.
    used = [np.isfinite(ys[t - 2 : t + 2]).all() for t in range(2, 11)]
    pasts, changes = pasts[used], changes[used]
    square = np.mean((pasts[:, None] - pasts[None]) ** 2, axis=2)
    alpha = np.linalg.solve(np.exp(-square / (2 * 1.5**2)) + 1e-2 * np.eye(len(pasts)), changes)
    z = np.concatenate([ys[2], ys[1], ys[0]])
    wanted = ys[2] + np.exp(-np.mean((pasts - np.concatenate([ys[2], ys[0]])) ** 2, axis=1) / (2 * 1.5**2)) @ alpha
    assert float(fit.rows) == sum(used)
    np.testing.assert_allclose(model.step(jnp.zeros(()), jnp.asarray(z, model.W.dtype))[:2], wanted, **tolerance(30))


@pytest.mark.only("float64")
def test_it_foretells_where_monomials_do_not(within):
    ys = orbit(240)
    series, true = ct.Series.from_nan(np.arange(200.0), ys[:200]), ys[200:206, 0]
    ahead = jnp.arange(199.0, 206.0)
    bumps, fit = ct.regression.kernel(series, delays=1, width=0.3, penalty=1e-12)
    monomials, _ = ct.regression.nvar(series, delays=1, degree=2, penalty=1e-12)
    found, other = (np.asarray(model(series.ys[-1], ahead).ys)[1:, 0] for model in (bumps, monomials))
    np.testing.assert_allclose(found, true, **within(absolute=2e-3))
    assert float(fit.error[0]) < 1e-5 and np.abs(other - true).max() > 0.1
    assert "radial functions" in bumps.describe()
