"""Every regulariser: its formula by hand, its gradient by finite differences on the frozen grid, its refusals."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ctmodels as ct
from ctmodels._integrate._inspect import _solved
from ctmodels.measures._heuristics import stability_size

pytestmark = pytest.mark.mostly("float64")

M = ct.measures
METHOD = diffrax.Dopri5()
RTOL, ATOL = 1e-4, 1e-5
PID = diffrax.PIDController(rtol=RTOL, atol=ATOL)
TS = jnp.linspace(0.0, 1.5, 4)
Y0S = jnp.array([[1.0, 0.5], [-0.7, 1.2], [2.0, 0.1]])
W = jnp.array([[-0.3, 2.0], [-2.0, -0.3]])
STEPS = (
    M.local_error,
    M.scaled_error,
    M.stiffness,
    M.largest_eigenvalue,
    M.kinetic,
    M.path_length,
    M.jacobian,
    M.taylor(1),
    M.taylor(3),
)
NAMES = [m.name for m in STEPS]
LOCAL = (
    M.local_measure("unbiased"),
    M.local_measure("biased"),
    M.local_measure("biased", of="stiffness"),
)
only64 = pytest.mark.only("float64")


def field(t, y, W):
    return jnp.tanh(y**3 @ W) + 0.1 * jnp.sin(t)


def integrate(**options) -> ct.Integrate:
    return ct.Integrate(METHOD, PID, max_steps=32, adjoint=ct.DiscreteAdjoint(32), **options)


def keys(n: int = 3):
    return jax.random.split(jax.random.key(3), n)


def measures(W, **options) -> dict:
    """Of each sample."""
    solve = integrate(measures=STEPS, **options)
    return jax.vmap(lambda y, key: solve(field, TS, y, W, key=key)[1].measures)(Y0S, keys())


def grid_of(lanes, batching) -> np.ndarray:
    """The times between which the accepted steps of these samples go, if they have them in common."""
    carry, history = _solved(integrate(batching=batching), field, TS, Y0S[lanes], W)
    sigma = np.append(np.asarray(history.sigma[: int(history.count), 0]), np.asarray(carry.sigma)[0])
    return float(TS[0]) + float(TS[-1] - TS[0]) * sigma


def derivatives(t, g, noise, W):
    """eps^T df/dy, and d^3 y/dt^3 by the total derivative of the field, twice."""
    slope = lambda t, y: field(t, y, W)
    along = lambda d: lambda t, y: jax.jvp(d, (t, y), (1.0, slope(t, y)))[1]
    pulled = jax.vmap(lambda y, e: jax.vjp(lambda y: slope(t, y), y)[1](e)[0])(g, noise)
    return pulled, jax.vmap(lambda y: along(along(slope))(t, y))(g)


@jax.jit
def by_hand(W, grid, y0s, noise) -> dict:
    """The measures of Dopri5's steps on a grid, for samples that share it, from the formulas of the papers. Where the
    grid stands still there is no step."""
    A, b, b_hat, c = METHOD.tableau.a_lower, METHOD.tableau.b_sol, METHOD.tableau.b_error, [0.0, *METHOD.tableau.c]
    rms = lambda x: jnp.sqrt(jnp.mean(x**2))
    f = jax.vmap(field, (None, 0, None))

    def step(y, edges):
        t, h = edges
        g, k = [y], [f(t, y, W)]
        for i, row in enumerate(A):
            g.append(y + h * sum(a * k[j] for j, a in enumerate(row)))
            k.append(f(t + c[i + 1] * h, g[-1], W))
        y1 = y + h * sum(b_i * k_i for b_i, k_i in zip(b, k, strict=True))
        error = h * sum(b_i * k_i for b_i, k_i in zip(b_hat, k, strict=True))
        S = rms(k[6] - k[5]) / rms(g[6] - g[5])

        def rates(t, g, k):
            pulled, third = derivatives(t, g, noise, W)
            return jnp.stack([rms(k) ** 2, rms(k), rms(pulled) ** 2, rms(k) ** 2, rms(third) ** 2])

        integrals = h * jnp.asarray(b) @ jax.vmap(rates)(t + jnp.asarray(c) * h, jnp.stack(g), jnp.stack(k))
        heuristics = [
            rms(error) * h,
            rms(error / (ATOL + RTOL * jnp.maximum(abs(y), abs(y1)))) * h,
            S * h,
            S / stability_size(METHOD.tableau),
        ]
        return y1, jnp.where(h > 0, jnp.concatenate([jnp.stack(heuristics), integrals]), 0)

    each = jax.lax.scan(step, y0s, (grid[:-1], jnp.diff(grid)))[1]
    found = dict(zip(NAMES, jnp.sum(each, axis=0), strict=True))
    return {**found, "largest_eigenvalue": jnp.max(each[:, NAMES.index("largest_eigenvalue")])}


def of_one_length(grid):
    """For one program."""
    return jnp.asarray(np.pad(grid, (0, 24 - len(grid)), mode="edge"))


def noise_of(lanes):
    """What `Integrate` draws of the keys."""
    draw = lambda key: jax.random.rademacher(jax.random.split(key)[0], (2,), Y0S.dtype)
    return jax.vmap(draw)(keys())[lanes]


@functools.cache
def measured(batching, cotangents):
    """The measures of each sample, and the derivatives of their sums: one after another, by one program."""

    def total(W, weights):
        found = measures(W, batching=batching, cotangents=cotangents)
        return sum(weights[i] * jnp.sum(found[name]) for i, name in enumerate(NAMES)), found

    run = jax.jit(jax.grad(total, has_aux=True))
    slopes, found = zip(*(run(W, only) for only in np.eye(len(NAMES), dtype=W.dtype)), strict=True)
    return found[0], dict(zip(NAMES, slopes, strict=True))


@only64
@pytest.mark.parametrize(
    "batching, cotangents",
    [("per_sample", "per_sample"), pytest.param("shared", "summed", marks=pytest.mark.slow)],
)
def test_formulas_and_gradients_on_the_frozen_grid(batching, cotangents, tolerance, within):
    ours, slope = measured(batching, cotangents)
    groups = [slice(0, 3)] if batching == "shared" else [slice(i, i + 1) for i in range(3)]
    wanted, slopes = [], []
    for lanes in groups:
        grid, noise = grid_of(lanes, batching), noise_of(lanes)
        hand = functools.partial(by_hand, grid=of_one_length(grid), y0s=Y0S[lanes], noise=noise)
        h = np.zeros((2, 2))
        h[1, 0] = 1e-4
        near, far, low, lower = (hand(W + n * h) for n in (1, 2, -1, -2))
        wanted.append(hand(W))
        slopes.append({m: (8 * (near[m] - low[m]) - (far[m] - lower[m])) / 12e-4 for m in NAMES})  # of order four
    for name in NAMES:
        each = [w[name] for w in wanted] if batching == "per_sample" else [wanted[0][name]] * 3
        np.testing.assert_allclose(np.divide(ours[name], each), 1, **tolerance(), err_msg=name)
        times = 3 if batching == "shared" else 1
        difference = times * sum(s[name] for s in slopes)
        np.testing.assert_allclose(slope[name][1, 0], difference, **within(1e-6, absolute=1e-9), err_msg=name)


@only64
def test_who_differentiates_where_makes_no_difference(tolerance):
    """Cotangents of each sample, of a norm over all: `vmap(grad)` has each sample's share, `grad(vmap)` their sum."""
    asked = (M.scaled_error, M.largest_eigenvalue)

    def total(W, cotangents):
        solve = integrate(measures=asked, batching="shared", cotangents=cotangents)
        found = jax.vmap(lambda y: solve(field, TS, y, W)[1].measures)(Y0S)
        return jnp.sum(found["scaled_error"]) + jnp.sum(found["largest_eigenvalue"])

    each, summed = (jax.jit(jax.grad(lambda W, c=c: total(W, c)))(W) for c in ("per_sample", "summed"))
    np.testing.assert_allclose(each, summed, **tolerance(10))


def test_the_fixed_grid_has_the_same_measures(tolerance):
    asked = tuple(m for m in STEPS if m is not M.scaled_error)
    grid = jnp.linspace(0.0, 1.5, 13)
    fixed = ct.Integrate(METHOD, diffrax.StepTo(grid), measures=asked)
    between = ct.Integrate(METHOD, ct.Substeps(4), measures=asked)
    found = [jax.jit(lambda y, s=s: s(field, TS, y, W, key=keys()[0])[1].measures)(Y0S[0]) for s in (fixed, between)]
    hand = by_hand(W, of_one_length(grid), Y0S[:1], noise_of(slice(0, 1)))
    for one in found:
        for name in one:
            np.testing.assert_allclose(one[name], hand[name], **tolerance(100), err_msg=name)


def test_diffraxs_engine_has_the_same_measures(within):
    asked = (
        M.scaled_error,
        M.largest_eigenvalue,
        M.kinetic,
        M.path_length,
        M.jacobian,
        M.taylor(1),
    )
    solve = ct.Integrate(METHOD, PID, measures=asked, adjoint=diffrax.RecursiveCheckpointAdjoint(), max_steps=64)
    found = jax.jit(lambda y: solve(field, TS, y, W, key=keys()[0])[1].measures)(Y0S[0])
    ours, _ = measured("per_sample", "per_sample")
    for name in ("kinetic", "path_length", "jacobian", "taylor_1"):  # its steps begin otherwise
        np.testing.assert_allclose(found[name], ours[name][0], **within(1e-2), err_msg=name)
    assert set(found) == {measure.name for measure in asked}


@pytest.mark.only("float32")
def test_integrals_of_a_linear_field_are_exact(within):
    A = jnp.array([[-0.5, 1.0], [-1.0, -0.5]])  # y(t) is y0 times exp(-t / 2), turned
    fine = diffrax.PIDController(rtol=1e-6, atol=1e-6)
    solve = ct.Integrate(
        controller=fine,
        measures=(M.kinetic, M.path_length, M.jacobian, M.taylor(2)),
    )
    y0 = jnp.array([1.0, 0.0])
    found = jax.jit(lambda: solve(lambda t, y, args: A @ y, jnp.array([0.0, 2.0]), y0)[1].measures)()
    speed, decay = 1.25, (1 - np.exp(-2.0))  # |A y|^2 = 1.25 |y|^2; the mean over two channels halves it
    np.testing.assert_allclose(found["kinetic"], speed * decay / 2, **within(1e-4))
    np.testing.assert_allclose(found["path_length"], np.sqrt(speed / 2) * 2 * (1 - np.exp(-1.0)), **within(1e-4))
    np.testing.assert_allclose(found["taylor_2"], speed**2 * decay / 2, **within(1e-4))
    # eps^T A has the squared length 2.5 for each eps, over two channels and two units of time
    np.testing.assert_allclose(found["jacobian"], 2.5, **within(1e-4))


def test_the_stability_size_is_the_known_one():
    assert stability_size(diffrax.Tsit5().tableau) == pytest.approx(3.5068, abs=2e-4)
    assert stability_size(diffrax.Heun().tableau) == pytest.approx(2, abs=2e-4)
    assert stability_size(ct.RK4().tableau) == pytest.approx(2.7853, abs=2e-4)


# -- local


@only64  # a step's length has a root of the error in it, which float32 knows to three digits
def test_local_times_are_uniform_in_time_and_uniform_over_steps(within):
    from ctmodels._integrate._adaptive import solve
    from ctmodels._integrate._engine._draws import Draws
    from ctmodels._integrate._problem import Problem

    rules = integrate(measures=LOCAL[:2])
    n = 4000
    draws = jnp.linspace(0.5 / n, 1 - 0.5 / n, n)

    def starts_for(draw):
        problem = Problem(
            integrate=rules,
            measures=(),
            sampling=("biased", "unbiased"),
            field=field,
            ts=TS,
            y0=Y0S[2],
            args=W,
            draws=Draws(time=draw),
        )
        return solve(problem).starts

    found = jax.jit(jax.vmap(starts_for))(draws)
    # The steps of this very program: another rounds otherwise, and a step's length has a root of the error in it.
    starts = np.unique(found["biased"][0])
    edges = np.append(starts[np.diff(starts, prepend=-1) > 1e-4], 1.5)
    alone = ct._integrate.accepted_times(integrate(), field, TS, Y0S[2], W)
    np.testing.assert_allclose(edges, alone, **within(1e-4))
    t, h, _ = found["unbiased"]
    at = np.searchsorted(edges, 1.5 * np.asarray(draws), side="right") - 1
    inside = np.min(np.abs(1.5 * np.asarray(draws)[:, None] - edges), axis=1) > 1e-5  # at an edge, either will do
    assert np.sum(~inside) < len(edges)
    np.testing.assert_allclose(t[inside], edges[at][inside], **within(absolute=1e-6))  # the step that contains the time
    np.testing.assert_allclose(h[inside], np.diff(edges)[at][inside], **within(absolute=1e-6))
    t, h, y = found["biased"]
    which = np.argmin(np.abs(np.asarray(t)[:, None] - edges[:-1]), axis=1)
    np.testing.assert_allclose(t, edges[which], **within(absolute=1e-6))
    counts = np.bincount(which, minlength=len(edges) - 1)
    np.testing.assert_allclose(counts, n / (len(edges) - 1), **within(0.15))
    np.testing.assert_allclose(y[which == 0], jnp.broadcast_to(Y0S[2], y[which == 0].shape))


KEY = keys()[0]
ADJOINTS = {
    "discrete": ct.DiscreteAdjoint(64),
    "backsolve": diffrax.BacksolveAdjoint(),
    "checkpoints": diffrax.RecursiveCheckpointAdjoint(),
}


@functools.cache
def of_local(name):
    """The measures of one sample, and their derivatives."""
    solve = ct.Integrate(METHOD, PID, max_steps=64, measures=LOCAL, adjoint=ADJOINTS[name])
    twice = lambda found: (found, found)
    found = lambda W: twice(solve(field, TS, Y0S[0], W, key=KEY)[1].measures)
    slope, value = jax.jit(jax.jacrev(found, has_aux=True))(W)
    return value, slope


@only64
def test_local_is_one_step_whose_gradient_is_its_own(within):
    """By finite differences at the time, state and length that were drawn."""
    from ctmodels._integrate._engine._draws import Draws

    value, slope = of_local("discrete")
    t = 1.5 * float(Draws.for_measures(LOCAL, KEY, Y0S[0]).time)
    exact = ct.Integrate(controller=diffrax.PIDController(rtol=1e-10, atol=1e-12))
    y = exact(field, jnp.array([0.0, t]), Y0S[0], W)[0][-1]
    edges = ct._integrate.accepted_times(integrate(), field, TS, Y0S[0], W)
    h = min(np.diff(edges)[np.searchsorted(edges, t) - 1], 1.5 - t)  # the solver's step there, up to the end

    def step(W):
        one = ct.rk_step(METHOD.tableau, field, jnp.asarray(t), jnp.asarray(h), y, W)
        scale = ATOL + RTOL * jnp.maximum(abs(y), abs(one.y1))
        return jnp.sqrt(jnp.mean((one.error / scale) ** 2)) * h

    wanted, its_slope = jax.jit(jax.value_and_grad(step))(W)
    name = "local_error_unbiased"
    np.testing.assert_allclose(value[name], wanted, **within(1e-2))  # the solution there is known to the tolerance
    np.testing.assert_allclose(slope[name], its_slope, **within(2e-2, absolute=1e-3 * float(value[name])))


@only64
@pytest.mark.parametrize("name", ["backsolve", pytest.param("checkpoints", marks=pytest.mark.slow)])
def test_local_is_the_same_by_every_adjoint(name, tolerance):
    (value, slope), (other, its_slope) = of_local("discrete"), of_local(name)
    for m in LOCAL:
        np.testing.assert_allclose(other[m.name] / value[m.name], 1, **tolerance(10))
        largest = np.max(np.abs(slope[m.name]))
        np.testing.assert_allclose(its_slope[m.name] / largest, slope[m.name] / largest, **tolerance(100))


# -- in training


class Data(eqx.Module):
    batch: ct.Example

    @classmethod
    def made(cls):
        target = ct.Series(jnp.broadcast_to(TS, (3, 4)), jnp.ones((3, 4, 2)), jnp.ones((3, 4, 2), bool))
        return ct.Example(Y0S, target)


def model(**options) -> ct.NeuralODE:
    return ct.NeuralODE(
        ct.fields.MLPField(2, width=4, depth=1, key=jax.random.key(0)), 2, integrate=integrate(**options)
    )


@pytest.mark.only("float32")
def test_any_number_in_one_objective_with_numbers_and_schedules():
    schedule = lambda step: 0.5 * jnp.exp(-0.1 * step)
    terms = {
        "error": (schedule, M.scaled_error),
        "stiffness": (0.1, M.largest_eigenvalue),
        "local": (2, M.local_measure("biased")),
        "taylor": (0.01, M.taylor(3)),
    }
    asked = model(measures=tuple(measure for _, measure in terms.values()), batching="shared")
    value, metrics = eqx.filter_jit(ct.objective(ct.losses.squared, terms))(asked, Data.made(), jax.random.key(0), 7)
    weights = {"error": float(schedule(7)), "stiffness": 0.1, "local": 2, "taylor": 0.01}
    total = metrics["loss"] + sum(w * metrics[name] for name, w in weights.items())
    assert float(value) == pytest.approx(float(total), rel=1e-5)
    assert all(float(metrics[name]) > 0 for name in terms)


@M.measure(per_step=True)
def displacement(step: M.Step):
    return step.norm(step.y1 - step.y0)


@pytest.mark.only("float32")
def test_one_function_is_a_measure_and_its_regulariser():
    asked = model(measures=(displacement, M.maximum_over_steps(displacement)))
    out = eqx.filter_jit(asked)(Y0S[0], TS)
    total, largest = out.stats.measures["displacement"], out.stats.measures["largest_displacement"]
    assert float(displacement(asked, out)) == pytest.approx(float(total) / int(out.stats.accepted), rel=1e-6)
    assert M.maximum_over_steps(displacement)(asked, out) == largest
    assert 0 < largest < total
    # What is equal serves one compiled solve.
    assert M.taylor(2) == M.taylor(2) != M.taylor(3) and hash(M.taylor(2)) == hash(M.taylor(2))
    assert M.maximum_over_steps(M.eigenvalue) == M.largest_eigenvalue != M.eigenvalue
    with pytest.raises(ValueError, match="`largest_of_all`.*maximum_over_steps"):
        M.Measure(of=displacement.of, name="largest_of_all")


REFUSED = {
    "a negative weight": (dict(measures=(M.local_error,)), -1.0, M.local_error, "`x`: weight -1"),
    "a weight of NaN": (dict(measures=(M.local_error,)), float("nan"), M.local_error, "`x`: weight nan"),
    "nothing measured": ({}, 1.0, M.taylor(2), r"`taylor_2`.*measures=\(ctmodels.measures.taylor\(2\),\)"),
    "no estimate": (
        dict(method=ct.RK4(), controller=ct.Substeps(2), measures=(M.local_error,)),
        1.0, M.local_error, "`local_error` needs.*Dopri5",
    ),
    "no tolerance": (
        dict(controller=ct.Substeps(2), measures=(M.scaled_error,)),
        1.0, M.scaled_error, "`scaled_error`.*fixed grid.*local_error",
    ),
    "no two stages at the end": (
        dict(method=diffrax.Bosh3(), measures=(M.stiffness,)), 1.0, M.stiffness, "`stiffness`.*Tsit5"
    ),
    "a continuous adjoint": (
        dict(measures=(M.kinetic,), adjoint=diffrax.BacksolveAdjoint()),
        1.0, M.kinetic, "`kinetic`.*BacksolveAdjoint.*DiscreteAdjoint",
    ),
    "local on a grid": (
        dict(controller=ct.Substeps(2), measures=(M.local_measure(),)),
        1.0, M.local_measure(), "`local_measure`.*PIDController",
    ),
}  # fmt: skip


@pytest.mark.only("float32")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_before_training_with_name_and_remedy(case):
    options, weight, regulariser, words = REFUSED[case]
    settings = {"method": METHOD, "controller": PID, **options}
    asked = eqx.tree_at(lambda m: m.integrate, model(), ct.Integrate(**settings))
    with pytest.raises(ValueError, match=words):
        step = ct.make_step(ct.objective(ct.losses.squared, {"x": (weight, regulariser)}), optax.adam(1e-3))
        step(step.init(asked, key=jax.random.key(0)), Data.made())


@pytest.mark.only("float32")
def test_a_field_that_taylor_mode_cannot_take_is_refused():
    sorted_field = lambda t, y, args: jnp.linalg.qr(jnp.outer(y, y) + jnp.eye(2))[0] @ y
    with pytest.raises(ValueError, match="`taylor_2` cannot go through this field.*kinetic"):
        ct.Integrate(measures=(M.taylor(2),))(sorted_field, TS, Y0S[0])
    with pytest.raises(ValueError, match="order=0"):
        M.taylor(0)
    with pytest.raises(ValueError, match="rule='often'"):
        M.local_measure("often")
