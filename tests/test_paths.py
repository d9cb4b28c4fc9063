"""Paths against torchcde's (tests/reference/torchcde.npz), what each looks ahead to, and controls that are held."""

from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

pytestmark = pytest.mark.mostly("float64")

TORCHCDE = np.load(Path(__file__).parent / "reference" / "torchcde.npz")
TS, QUERY = TORCHCDE["t"], TORCHCDE["query"]
INSIDE = (QUERY >= TS[0]) & (QUERY <= TS[-1])
MAKE = {
    "linear": ct.paths.LinearPath.between,
    "forward": ct.paths.LinearPath.from_series,
    "natural": ct.paths.CubicPath.natural,
    "hermite": ct.paths.CubicPath.hermite,
    "rectilinear": ct.paths.RectilinearPath.from_series,
    "held": ct.paths.HeldPath.from_series,
}


def by_hand(ts, ys, under=0.0) -> ct.Series:
    """A series of what is not NaN, with something under the mask; no check asks what it is."""
    mask = ~np.isnan(ys)
    as_float = lambda x: jnp.asarray(x, jnp.zeros(()).dtype)
    return ct.Series(as_float(ts), as_float(np.where(mask, ys, under)), jnp.asarray(mask))


def batch(kind: str) -> ct.Series:
    """Both samples of the reference: `full`, or `nan` with missing values, all of a channel's and at the ends."""
    ys = TORCHCDE[{"full": "x", "nan": "x_nan"}[kind]]
    return jax.tree.map(lambda *xs: jnp.stack(xs), *[by_hand(TS, y) for y in ys])


def sample_of(kind: str, i: int) -> ct.Series:
    return jax.tree.map(lambda x: x[i], batch(kind))


@jax.jit
def sampled(series, t):
    """Each path, and its values and slopes at t (the rectilinear one's at 4 t, in its index); compiled once for each
    shape of a series."""
    paths = {name: make(series) for name, make in MAKE.items()}
    at = lambda path, t: (jax.vmap(path)(t), jax.vmap(path.derivative)(t))
    return paths, {name: at(path, 4 * t if name == "rectilinear" else t) for name, path in paths.items()}


samples = jax.jit(jax.vmap(sampled, in_axes=(0, None)))


def times(*t) -> jax.Array:
    """As many as the reference asks for, so that nothing is compiled anew."""
    return jnp.asarray(np.resize(t, len(QUERY)), jnp.zeros(()).dtype)


@pytest.fixture
def assert_is(tolerance):
    """Equal to rounding, of the largest: gaps of 0.06 take four digits of a third derivative."""

    def compare(actual, reference):
        largest = np.max(np.abs(reference))
        np.testing.assert_allclose(actual / largest, reference / largest, **tolerance(25))

    return compare


def coefficients(paths):
    return np.concatenate([paths.a, paths.b, paths.two_c, paths.three_d], axis=-1)


@pytest.mark.parametrize("kind", ["full", "nan"])
def test_paths_are_torchcdes(kind, assert_is):
    paths, found = samples(batch(kind), times(*QUERY))
    for name in ("natural", "hermite", "linear"):
        values, slopes = found[name]
        # Outside, a line is constant here: torchcde's goes on, as cubics do in both.
        at = INSIDE if name == "linear" else slice(None)
        assert_is(values[:, at], TORCHCDE[f"{name}_{kind}_eval"][:, at])
        assert_is(slopes[:, at], TORCHCDE[f"{name}_{kind}_deriv"][:, at])
    for name in ("natural", "hermite"):
        assert_is(coefficients(paths[name]), TORCHCDE[f"{name}_{kind}_coeffs"])
    assert_is(paths["linear"].ys, TORCHCDE[f"linear_{kind}_coeffs"])


def test_lines_and_holds_are_constant_outside():
    paths, found = samples(batch("nan"), times(*QUERY))
    for name in ("linear", "forward", "held"):
        values, slopes = found[name]
        np.testing.assert_array_equal(values[:, ~INSIDE], paths[name].ys[:, np.array([0, -1])])
        assert not slopes[:, ~INSIDE].any()


def test_two_times_make_a_line(assert_is):
    series = jax.tree.map(lambda *xs: jnp.stack(xs), *[by_hand(TS[:2], y) for y in TORCHCDE["x"][:, :2]])
    both = jax.jit(jax.vmap(lambda s: [ct.paths.CubicPath.natural(s), ct.paths.CubicPath.hermite(s)]))(series)
    for name, paths in zip(("natural", "hermite"), both, strict=True):
        assert_is(coefficients(paths), TORCHCDE[f"{name}_len2_coeffs"])


def test_rectilinear_paths_are_torchcdes(assert_is):
    rows = TORCHCDE["rect_input"]
    series = jax.tree.map(lambda *xs: jnp.stack(xs), *[by_hand(r[:, 0], r[:, 1:]) for r in rows])
    paths, found = samples(series, times(0.5, 0.625, 0.75))
    path, (values, slopes) = paths["rectilinear"], found["rectilinear"]
    assert_is(path.ys, TORCHCDE["rect_coeffs"])
    np.testing.assert_array_equal(path.ts[0], np.arange(2 * len(TS) - 1))
    assert_is(values[:, 1], (path.ys[:, 2] + path.ys[:, 3]) / 2)
    # Up to 2 values have moved, and from 2 to 3 time.
    assert not slopes[:, 0, 0].any() and not slopes[:, 1:3, 1:].any()
    assert_is(slopes[:, 2, 0], np.full(2, TS[2] - TS[1]))


def test_derivatives_are_those_of_the_values(within):
    series, t = sample_of("nan", 0), times(0.3, 1.3, 2.9, 4.05, 4.7)
    h = 1e-6 if jax.config.jax_enable_x64 else 1e-2
    slopes = sampled(series, t)[1]
    after, before = sampled(series, t + h)[1], sampled(series, t - h)[1]
    for name in MAKE:
        ratio = (after[name][0] - before[name][0]) / (2 * h * (4 if name == "rectilinear" else 1))
        np.testing.assert_allclose(ratio, slopes[name][1], **within(2e-3, absolute=2e-2), err_msg=name)


def test_a_gradient_by_time_is_the_derivative_also_at_a_knot(tolerance):
    series = sample_of("nan", 0)
    for path in (ct.paths.LinearPath.between(series), ct.paths.CubicPath.hermite(series)):
        both = jax.jit(jax.vmap(lambda t, path=path: (jax.jacfwd(path)(t), path.derivative(t))))
        by_grad, slopes = both(jnp.asarray(QUERY, series.ts.dtype))
        np.testing.assert_allclose(by_grad, slopes, **tolerance(10))


def test_what_comes_later_changes_nothing_before():
    series = sample_of("full", 0)
    now, after = times(*np.linspace(0.0, TS[3], 33), 0.0), times(TS[3] + 1e-2)
    for name, ahead in {"held": 0, "rectilinear": 0, "forward": 1, "linear": 1, "hermite": 1}.items():
        later = eqx.tree_at(lambda s: s.ys, series, series.ys.at[3 + ahead :].add(1))
        t = {"held": now * 0.999, "rectilinear": now * 5 / 4 / TS[3].item()}.get(name, now)
        then = times(5.25 / 4) if name == "rectilinear" else after
        first, second = (sampled(s, t)[1][name][0] for s in (series, later))
        np.testing.assert_array_equal(first, second, err_msg=name)
        assert np.any(sampled(series, then)[1][name][0] != sampled(later, then)[1][name][0]), name


def test_what_is_called_causal_is_and_the_others_look_ahead():
    # Of one channel row 3 is the second that was observed, of another row 4 the first.
    series = sample_of("nan", 1)
    later = eqx.tree_at(lambda s: s.ys, series, series.ys.at[3:].add(1))
    t = times(*np.linspace(0.0, 5 / 4, 5))
    (paths, first), (_, second) = (sampled(s, t) for s in (series, later))
    for name, path in paths.items():
        assert np.array_equal(first[name][0], second[name][0]) == path.causal, name


def test_padding_changes_no_value_and_no_slope(tolerance):
    series, t = sample_of("nan", 0), times(*QUERY)
    series = series[:9]
    one, padded = (sampled(s, t)[1] for s in (series, series.pad(12)))
    # In the index padding has a place, where nothing moves.
    for name in MAKE:
        for a, b in zip(one[name], padded[name], strict=True):
            np.testing.assert_allclose(a, b, **tolerance(5), err_msg=name)


def test_what_lies_under_the_mask_is_not_seen():
    t = times(-0.5, 0.0, 0.3, 2.0, 4.0, TS[9], 9.0)
    clean, dirty = (by_hand(TS[:10], TORCHCDE["x_nan"][1, :10], under).pad(12) for under in (0.0, np.nan))

    @jax.jit
    def seen(series):
        def total(ts, ys):
            found = sampled(ct.Series(ts, ys, series.mask), t)[1]
            return sum(jnp.sum(x) for x in jax.tree.leaves(found)), found

        return jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(series.ts, series.ys)

    for a, b in zip(jax.tree.leaves(seen(clean)), jax.tree.leaves(seen(dirty)), strict=True):
        assert np.isfinite(b).all()
        np.testing.assert_array_equal(a, b)


def test_of_nothing_and_of_one(tolerance):
    ys = np.full((12, 3), np.nan)
    ys[5, 1] = 3.0
    found = sampled(by_hand(TS, ys), times(-1.0, 0.0, 3.48, 4.0, 7.0))[1]
    wanted = {"held": [0, 0, 0, 3, 3], "rectilinear": [0, 0, 3, 3, 3]}
    for name, (values, slopes) in found.items():
        values = values[:5, -3:]
        assert not values[:, [0, 2]].any() and not slopes[:, [-3, -1]].any(), name
        np.testing.assert_allclose(values[:, 1], wanted.get(name, [3] * 5), err_msg=name, **tolerance())


@pytest.mark.only("float32")
def test_one_time_is_refused_and_may_be_held():
    one = by_hand(np.array([2.0]), np.array([[5.0, 5.0, 5.0]]))
    for make in MAKE.values():
        with pytest.raises(ValueError, match=r"ts has 1 time.*at least 2.*pad\(2\)"):
            make(one)
    with pytest.raises(ValueError, match="at least 2"):
        ct.paths.LinearPath(one.ts, one.ys)
    for name, (values, slopes) in sampled(one.pad(12), times(1.0, 2.0, 3.0))[1].items():
        assert np.all(values[:, -1] == 5) and not slopes.any(), name


@pytest.mark.only("float32")
def test_a_batch_is_refused_and_sent_to_vmap():
    for make in [*MAKE.values(), ct.paths.with_time, ct.paths.with_intensity]:
        with pytest.raises(ValueError, match=r"shape \(2, 12\).*jax.vmap"):
            make(batch("full"))


@pytest.mark.only("float32")
def test_duplicate_times_and_empty_channels_are_refused():
    with pytest.raises(ct.DataError, match=r"ts\[1\].*duplicate"):
        ct.Series.from_nan([0.0, 0.0, 1.0], np.arange(3.0)[:, None])
    with pytest.raises(ct.DataError, match="all 3 values are missing"):
        ct.Series.from_nan([0.0, 1.0, 2.0], np.full((3, 1), np.nan))


def test_a_time_that_repeats_in_the_middle_makes_no_nan():
    ts = np.where(np.isin(np.arange(12), (4, 5)), TS[3], TS)
    found = sampled(by_hand(ts, TORCHCDE["x"][0]), times(*QUERY))[1]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_vmap_is_a_loop(tolerance):
    series, t = batch("nan"), times(*QUERY)
    together = samples(series, t)[1]
    for i in range(2):
        alone = sampled(sample_of("nan", i), t)[1]
        for name in MAKE:
            for a, b in zip(alone[name], together[name], strict=True):
                np.testing.assert_allclose(a, b[i], **tolerance(100), err_msg=name)


def test_times_and_counts_as_channels():
    series = by_hand(np.array([0.0, 0.5, 2.0]), np.array([[np.nan, 1.0], [2.0, 1.0], [3.0, np.nan]]))
    both = jax.jit(lambda series: ct.paths.with_time(ct.paths.with_intensity(series)))
    full = both(series)
    np.testing.assert_array_equal(full.to_nan()[:, [0, 3, 4]], [[0, 0, 1], [0.5, 1, 2], [2, 2, 2]])
    np.testing.assert_array_equal(full.ys[:, 1:3], series.ys)
    np.testing.assert_array_equal(full.mask[:, 1:3], series.mask)
    # Padding before and after are one, and a path holds the last.
    padded = both(series.pad(5))
    for a, b in zip(jax.tree.leaves(full.pad(5)), jax.tree.leaves(padded), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(ct.paths.HeldPath.from_series(padded).ys[-1], [2, 3, 1, 2, 2])


# Controls that are held.

KNOTS, HELD = np.array([0.0, 0.7, 1.0, 2.0, 2.5]), np.array([1.0, -2.0, 4.0, 0.5, 3.0])


def forced(t, y, u):
    return u(t) - y


def exact(t):
    """The solution of y' = u(t) - y, y(0) = 0, stretch by stretch."""
    y, out = 0.0, []
    for a, b, u in zip(KNOTS, [*KNOTS[1:], np.inf], HELD, strict=True):
        out += [u + (y - u) * np.exp(a - s) for s in t if a <= s < b]
        y = u + (y - u) * np.exp(a - b)
    return np.array(out)


def held() -> ct.paths.HeldPath:
    return ct.paths.HeldPath.from_series(by_hand(KNOTS, HELD[:, None]))


def worst(ys, t=KNOTS):
    return float(np.max(np.abs(np.asarray(ys)[:, 0] - exact(t))))


def test_adaptive_steps_that_know_of_the_jumps_are_exact():
    # Of a padded path: a jump may be declared twice.
    path = ct.paths.HeldPath.from_series(by_hand(KNOTS, HELD[:, None]).pad(7))
    tight = diffrax.PIDController(rtol=1e-5, atol=1e-6)
    solve = lambda t, path: ct.Integrate(diffrax.Bosh3(), knowing(path))(forced, t, jnp.zeros(1), path)
    knowing = lambda path: diffrax.ClipStepSizeController(tight, jump_ts=path.jumps)
    t = jnp.array([0.0, 0.2, 1.0, 1.7, 2.5])
    ys, stats = jax.jit(solve)(t, path)
    stats.check()
    assert worst(ys, np.asarray(t)) < 1e-4


def test_a_fixed_grid_is_of_first_order_through_jumps_and_of_its_own_between_them(within):
    path, y0 = held(), jnp.zeros(1)
    through, between = [], []
    for n in (2, 4):
        integrate = ct.Integrate(ct.RK4(), ct.Substeps(n))
        plainly = lambda path, i=integrate: i(forced, path.ts, y0, path)[0]
        by_stretches = lambda path, i=integrate: ct.solve_piecewise_constant(i, forced, None, y0, path)[0]
        ys, zs = jax.jit(lambda path, both=(plainly, by_stretches): [solve(path) for solve in both])(path)
        through.append(worst(ys))
        between.append(worst(zs))
    through, between = np.log2(through), np.log2(between)
    np.testing.assert_allclose(np.diff(through), -1, **within(absolute=0.2))
    assert np.all(np.diff(between) < -3.3) and np.all(between < through - 4)


TIGHT = ct.Integrate(diffrax.Bosh3(), diffrax.PIDController(rtol=1e-6, atol=1e-7), ct.DiscreteAdjoint(4))

GRID = ct.Integrate(ct.RK4(), ct.Substeps(2))


@eqx.filter_jit
def solved(us, y0, t, integrate=TIGHT):
    path = ct.paths.HeldPath(jnp.asarray(KNOTS, y0.dtype), us)
    return ct.solve_piecewise_constant(integrate, forced, t, y0, path)


def test_a_held_control_at_other_times_and_back(within):
    us, t = jnp.asarray(HELD, jnp.zeros(()).dtype)[:, None], jnp.array([0.0, 0.2, 1.0, 1.7, 2.3])
    ys, stats = solved(us, jnp.zeros(1), t)
    stats.check()
    assert worst(ys, np.asarray(t)) < 1e-5 and stats.t == t[-1]
    back, stats = solved(us, ys[-1], t[::-1])
    np.testing.assert_allclose(back[::-1], ys, **within(absolute=1e-4))
    assert stats.t == 0


@pytest.mark.only("float32")
def test_gradients_and_batches_of_held_controls(tolerance, within):
    us = jnp.asarray(HELD, jnp.zeros(()).dtype)[:, None]
    many = jnp.stack([us, -2 * us])
    last = jax.value_and_grad(lambda us: solved(us, jnp.zeros(1), None, GRID)[0][-1, 0])
    ends, slopes = jax.jit(jax.vmap(last))(many)
    # The solution is linear in the control, so that it is its gradient's product with it.
    np.testing.assert_allclose(jnp.sum(slopes * many, axis=(1, 2)), ends, **tolerance())
    np.testing.assert_allclose(ends, exact(KNOTS)[-1] * np.array([1.0, -2.0]), **within(1e-3))
    assert slopes[0, -1, 0] == 0 and np.all(slopes[0, :-1] > 0)


@pytest.mark.only("float32")
@pytest.mark.parametrize("failed", ["nan", "hold"])
def test_a_failed_stretch_ends_the_solve(failed):
    path = held()
    burst = lambda t, y, u: jnp.where((t > 1.5) & (t < 2), jnp.nan, 1.0) * forced(t, y, u)
    integrate = ct.Integrate(ct.RK4(), ct.Substeps(4), failed=failed)
    ys, stats = ct.solve_piecewise_constant(integrate, burst, None, jnp.zeros(1), path)
    assert stats.status == 2 and stats.t < 2 and stats.accepted == 12
    assert worst(ys[:3], KNOTS[:3]) < 1e-4
    np.testing.assert_array_equal(ys[3:, 0], np.nan if failed == "nan" else 0)


@pytest.mark.only("float32")
def test_every_path_says_where_it_jumps():
    for name, path in sampled(sample_of("full", 0), times(*QUERY))[0].items():
        assert (path.jumps is None) if name in ("natural", "hermite") else (path.jumps is path.ts)
