"""Maps by regression: exact on data of their own law, honest about what is missing, and pure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

A = np.array([[0.9, -0.4], [0.3, 0.8]])
B = np.array([[0.5, 0.0], [-0.2, 0.1]])  # of an input at both ends of a step


def trials(rng, rows=24):
    """Two trials of a linear law under an input, of which the second lacks a row, and of another a value."""
    for missing in ([], [5]):
        us, ys = rng.normal(size=(rows, 1)), [rng.normal(size=2)]
        for u in np.concatenate([us[:-1], us[1:]], axis=1):
            ys.append(A @ ys[-1] + B @ u + 0.3)
        ys, ts = np.array(ys), 2.0 + 0.5 * np.arange(rows)
        if missing:
            ys[9, 0] = np.nan
        kept = np.delete(np.arange(rows), missing)
        yield ct.Series.from_nan(ts[kept], ys[kept]), ct.Series.from_nan(ts[kept], us[kept])


def henon(rows: int) -> np.ndarray:
    ys = [np.array([0.1, 0.1])]
    for _ in range(rows - 1):
        x, y = ys[-1]
        ys.append(np.array([1 - 1.4 * x * x + y, 0.3 * x]))
    return np.array(ys)


def on_grid(ys, dt=1.0) -> ct.Series:
    return ct.Series.from_nan(dt * np.arange(len(ys)), ys)


@pytest.mark.only("float64")
def test_dmd_is_exact_on_data_of_a_linear_law(tolerance):
    """Inputs, a constant, trials; the step over the missing row goes by the control between, and so is left out."""
    series, controls = zip(*trials(np.random.default_rng(0)), strict=True)
    model, fit = ct.regression.dmd(series, controls, affine=True)
    assert model.dt == 0.5 and fit.rows == 23 + 23 - 2 - 2
    for found, wanted in ((model.A, A), (model.B, B), (model.b, [0.3, 0.3])):
        np.testing.assert_allclose(found, wanted, **tolerance(10))
    np.testing.assert_allclose(fit.error, 0, **tolerance(1))
    wanted = np.log(np.linalg.eigvals(A).astype(complex)) / 0.5
    np.testing.assert_allclose(np.sort_complex(model.rates()), np.sort_complex(wanted), **tolerance(10))


@pytest.mark.only("float64")
def test_delays_show_the_frequencies_of_one_channel_and_a_rank_is_enough(tolerance):
    ts = 0.1 * np.arange(80)
    ys = np.cos(2 * ts) + 0.5 * np.sin(5 * ts)
    series = ct.Series.from_nan(ts, ys[:, None])
    for kwargs in (dict(delays=4), dict(delays=9, rank=4)):
        model, fit = ct.regression.dmd(series, **kwargs)
        np.testing.assert_allclose(fit.error, 0, **tolerance(100))
        rates = model.rates()
        slow = np.sort(rates.imag[np.abs(rates.real) < 1e-6])
        np.testing.assert_allclose(slow, [-5, -2, 2, 5], **tolerance(1e4))
    z = model.listen(series)
    assert np.isnan(z[:8]).all() and np.isfinite(z[8:]).all()
    ahead = ct.roll_out(model, ct.Driven(z[40]), series.ts[40:]).ys
    np.testing.assert_allclose(ahead[:, 0], ys[40:], **tolerance(1e4))


@pytest.mark.only("float64")
def test_nvar_finds_the_henon_map():
    series = on_grid(henon(300))
    model, _ = ct.regression.nvar(series, delays=1, penalty=0.0)
    names = model.library.names(["x", "y"])
    wanted = {"1": (1, 0), "x": (-1, 0.3), "y": (1, -1), "x^2": (-1.4, 0)}  # of the increments
    for name, found in zip(names, np.asarray(model.W).T, strict=True):
        assert np.abs(found - wanted.get(name, (0, 0))).max() < 1e-10, name


def test_nvar_listens_and_what_is_missing_is_what_it_foretells(within):
    """The Henon map again, by rows that do not lie together; of one value that is missing it is sure."""
    ys = henon(60)
    model, _ = ct.regression.nvar(on_grid(ys), delays=2, skip=2, penalty=1e-6)
    assert model.size == 6
    ys[30, 1] = np.nan
    rows = np.delete(np.arange(60), 40)
    zs = np.asarray(model.listen(ct.Series.from_nan(1.0 * rows, ys[rows])))
    assert np.isnan(zs[:2]).all() and np.isfinite(zs[2:]).all()
    np.testing.assert_array_equal(zs[5], np.float64(ys[[5, 4, 3]]).astype(zs.dtype).ravel())
    whole = henon(60)
    np.testing.assert_allclose(zs[30], whole[[30, 29, 28]].ravel(), **within(1e-3))
    np.testing.assert_allclose(zs[40, 2:4], whole[40], **within(1e-3))


def test_fits_are_pure(tolerance):
    """A batch of systems, side by side; with a padded end, and NaN where times are not what they are said to be."""
    ys = np.stack([henon(40), 0.9 * henon(40)])
    ys = np.concatenate([ys, np.zeros((2, 3, 2))], axis=1)
    mask = np.broadcast_to(np.arange(43)[:, None] < 40, (43, 2))
    ts = np.minimum(np.arange(43.0), 39)

    @jax.jit
    @jax.vmap
    def fit(ys, ts):
        return ct.regression.nvar(ct.Series(ts, ys, jnp.asarray(mask)), dt=1.0, delays=1)[0].W

    found = fit(jnp.asarray(ys), jnp.asarray(np.stack([ts, np.where(ts > 20, ts + 0.5, ts)])))
    alone, _ = ct.regression.nvar(on_grid(ys[0, :40]), delays=1)
    np.testing.assert_allclose(found[0], alone.W, **tolerance(100))
    assert np.isnan(found[1]).all()


SERIES = on_grid(henon(8))
UNEVEN = ct.Series.from_nan(np.array([0.0, 1.0, 2.4, 3.4]), henon(4))
MISSING = ct.Series.from_nan(np.arange(8.0), np.where(np.arange(8)[:, None] % 2 == [0, 1], henon(8), np.nan))
BAD = {
    "times off the grid": (lambda: ct.regression.nvar(UNEVEN), r"series.ts\[2\]: 2.4 follows 1 by 1.4 steps of dt"),
    "of several": (lambda: ct.regression.dmd([SERIES, UNEVEN], dt=1.0), r"series\[1\].ts\[2\]"),
    "too short": (lambda: ct.regression.nvar(SERIES, delays=5, skip=2), "series: 8 rows, .* takes 10"),
    "never whole": (lambda: ct.regression.dmd(MISSING), "series: 0 usable rows: .*ctmodels.smoothing.smooth"),
    "no series": (lambda: ct.regression.dmd([]), "series is empty"),
    "other channels": (
        lambda: ct.regression.dmd([SERIES, ct.Series.from_nan(np.arange(3.0), henon(3)[:, :1])]),
        r"series\[1\]: 1 channels",
    ),
    "controls": (lambda: ct.regression.dmd(SERIES, [SERIES, SERIES]), "control: 2 of them for 1 series"),
    "no control": (lambda: driven_without(), "control: none is given"),
    "delays": (lambda: ct.regression.nvar(SERIES, delays=0), "delays=0: a whole number of at least 1"),
    "names": (lambda: ct.fields.Library(2).names(["x"]), "names: 1 of them"),
    "library": (lambda: ct.fields.Library(2, degree=-1), "degree=-1"),
    "spacing in compiled code": (
        lambda: jax.eval_shape(lambda s: ct.regression.dmd(s)[0].A, SERIES),
        "dt=None: in compiled code",
    ),
}


def driven_without():
    model, _ = ct.regression.dmd(SERIES, SERIES)
    return model(jnp.zeros(2), jnp.arange(2.0))


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_fitted_is_refused_with_a_remedy(name):
    run, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        run()
