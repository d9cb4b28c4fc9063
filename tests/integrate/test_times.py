"""Times, grids and types that do not fit, on every engine; and derivatives other than the first, backwards."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._core._output import BAD_TIMES

only64 = pytest.mark.only("float64")
GRID = jnp.linspace(0, 1, 5)
PID = diffrax.PIDController(rtol=1e-5, atol=1e-6)
DIFFRAX = ct.Integrate(diffrax.Bosh3(), PID, adjoint=diffrax.RecursiveCheckpointAdjoint())
ENGINES = {
    "ours": ct.Integrate(diffrax.Bosh3(), PID),
    "shared": ct.Integrate(diffrax.Bosh3(), PID, batching="shared"),
    "substeps": ct.Integrate(ct.RK4(), ct.Substeps(4)),
    "diffrax": DIFFRAX,
}
GRIDS = {
    "explicit": ct.Integrate(ct.RK4(), diffrax.StepTo(GRID)),
    "implicit": ct.Integrate(diffrax.ImplicitEuler(), diffrax.StepTo(GRID)),
}
UNSORTED = [[0.0, 3.0, 1.0, 2.0], [0.0, 1.0, 3.0, 2.0], [0.0, 1.0, 2.0, 0.0], [3.0, 1.0, 2.0, 0.0]]
NOT_FINITE = [[0.0, np.nan, 1.0, 2.0], [0.0, 1.0, 2.0, np.inf], [np.nan] * 4]
SOUND = [[0.0, 1.0, 1.0, 2.0], [2.0, 1.0, 0.0, 0.0]]
TIMES = jnp.array([*UNSORTED, *NOT_FINITE, *SOUND])


def decay(t, y, args):
    return -y


def at_origin(ts):
    return jnp.exp(-(ts - ts[:, :1]))[..., None]


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("integrate", ENGINES.values(), ids=ENGINES)
def test_bad_times_under_jit_are_a_status_and_nan_and_spoil_no_other(integrate, within):
    @jax.jit
    def solved(ts):
        ys, stats = jax.vmap(lambda ts: integrate(decay, ts, jnp.ones(1)))(ts)
        return ys, stats.status

    (ys, status), good = solved(TIMES), len(SOUND)
    assert status.tolist() == [BAD_TIMES] * (len(TIMES) - good) + [0] * good
    assert np.isnan(ys[:-good]).all()
    np.testing.assert_allclose(ys[-good:], at_origin(TIMES[-good:]), **within(2e-3))


@pytest.mark.only("float32")
@pytest.mark.parametrize("integrate", [*ENGINES.values(), GRIDS["explicit"]])
@pytest.mark.parametrize("ts", [*UNSORTED, *NOT_FINITE])
def test_bad_times_that_are_known_are_refused(integrate, ts):
    with pytest.raises(ValueError, match=r"ts\[\d\]"):
        integrate(decay, jnp.array(ts), jnp.ones(1))


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("integrate", GRIDS.values(), ids=GRIDS)
def test_a_grid_goes_from_the_first_time_to_the_last(integrate, within):
    """Forward, backward, and a little off by rounding; with the derivative in both ends."""
    missed = np.array([[-1.0, 0.5, 1.0], [0.0, 0.5, 2.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.5]], GRID.dtype)

    @jax.jit
    def run(ts, grid):
        def last(ts):
            solver = eqx.tree_at(lambda i: i.controller.ts, integrate, grid)
            ys, stats = solver(lambda t, y, args: -0.5 * (1 + t) * y, ts, jnp.ones(1))
            return ys[-1, 0], (ys[:, 0], stats)

        return jax.grad(last, has_aux=True)(ts)

    for ts in missed:
        _, (ys, stats) = run(ts, GRID)
        assert stats.status == BAD_TIMES and np.isnan(ys).all()
        with pytest.raises(ValueError, match="StepTo goes from 0 to 1 and ts from|sort them"):
            integrate(decay, jnp.array(ts), jnp.ones(1))
    there = np.array([0.0, 0.5, 1.0], GRID.dtype)
    order = 0.1 if integrate is GRIDS["implicit"] else 1e-3
    for ts, grid in ((there, GRID), (there[::-1], GRID[::-1])):
        slope, (ys, stats) = run(ts, grid)
        exact = np.exp(-(0.5 * ts + 0.25 * ts**2) + (0.5 * ts[0] + 0.25 * ts[0] ** 2))
        assert stats.status == 0
        np.testing.assert_allclose(ys, exact, **within(absolute=order))
        of_ends = 0.5 * exact[-1] * np.array([1 + ts[0], 0, -1 - ts[-1]])
        np.testing.assert_allclose(slope, of_ends, **within(absolute=3 * order))


@pytest.mark.only("float32")
def test_a_grid_of_unsorted_or_repeated_times_is_refused():
    for grid in ([0.0, 0.7, 0.3, 1.0], [0.0, 0.5, 0.5, 1.0]):
        integrate = ct.Integrate(ct.RK4(), diffrax.StepTo(jnp.array(grid)))
        with pytest.raises(ValueError, match="StepTo: its times go in one direction"):
            integrate(decay, GRID, jnp.ones(1))
        assert eqx.filter_jit(integrate)(decay, GRID, jnp.ones(1))[1].status == BAD_TIMES


MIXED = [(engine, *types) for types in (("float32", "float64"), ("float64", "float32")) for engine in ENGINES | GRIDS]
LATER = [(engine, "float64", "float32") for engine in ("shared", "diffrax", "explicit", "implicit")]
LATER.append(("shared", "float32", "float64"))  # which goes the way of "ours"
LATER.append(("implicit", "float32", "float64"))  # by the solver of "diffrax" on the grid of "explicit"


@only64
@pytest.mark.parametrize(
    "name, of_state, of_time", [pytest.param(*row, marks=[pytest.mark.slow] if row in LATER else []) for row in MIXED]
)
def test_the_state_keeps_its_type_and_the_times_theirs(name, of_state, of_time, within):
    integrate, seen = (ENGINES | GRIDS)[name], []

    def field(t, y, args):
        seen.append((t.dtype, y.dtype))
        return -y

    ts, y0 = GRID.astype(of_time), jnp.ones(1, of_state)
    run = jax.value_and_grad(lambda ts, y0: integrate(field, ts, y0)[0][-1, 0], argnums=(0, 1))
    value, (of_ts, of_y0) = jax.jit(run)(ts, y0)
    assert {(t.name, y.name) for t, y in seen} == {(of_time, of_state)}
    assert (value.dtype, of_ts.dtype, of_y0.dtype) == (of_state, of_time, of_state)
    order = 0.05 if name == "implicit" else 1e-4
    np.testing.assert_allclose(value, np.float32(np.exp(-1)), **within(absolute=order))


# -- other derivatives


def riccati(t, y, a):
    return -a * y**2  # y(1) = y0 / (1 + a y0)


POINT, ALONG = jnp.array([1.3, 0.7]), jnp.array([1.0, -0.5])


def end(integrate):
    return lambda p: integrate(riccati, jnp.array([0.0, 1.0]), p[:1], p[1])[0][-1, 0]


COARSE = ct.Integrate(diffrax.Heun(), diffrax.PIDController(rtol=1e-3, atol=1e-6))


@functools.cache
def hessian_of_the_steps():
    """On the grid that was taken, as a scan that JAX differentiates by itself."""
    edges = ct.accepted_times(COARSE, riccati, jnp.array([0.0, 1.0]), POINT[:1], POINT[1])
    frozen = ct.Integrate(COARSE.method, diffrax.StepTo(edges))
    return np.asarray(jax.jit(jax.hessian(end(frozen)))(POINT))


def product(f, p, along=ALONG):
    return jax.jvp(jax.grad(f), (p,), (along,))[1]


def in_a_scan(f, p):
    """For each of two lanes and of two directions."""
    of_all = lambda p: jax.vmap(lambda p: jax.vmap(lambda along: product(f, p, along))(jnp.eye(2)))(p)
    return jax.lax.scan(lambda sum_, _: (sum_ + of_all(jnp.stack([p, p])), None), jnp.zeros((2, 2, 2)), length=2)[0]


@only64
@pytest.mark.parametrize(
    "second, wanted",
    [
        pytest.param(product, lambda H: H @ np.asarray(ALONG), marks=pytest.mark.slow),
        (lambda f, p: jax.hessian(jax.jit(f))(p), lambda H: H),
        (in_a_scan, lambda H: 2 * np.stack([H, H])),
    ],
    ids=["product", "hessian", "in_a_scan"],
)
def test_second_derivatives_are_those_of_the_steps_as_taken(second, wanted, tolerance):
    found = jax.jit(lambda p: second(end(COARSE), p))(POINT)
    np.testing.assert_allclose(found, wanted(hessian_of_the_steps()), **tolerance())


@only64
@pytest.mark.parametrize(
    "derivative", [jax.jacfwd, pytest.param(lambda f: jax.jacrev(jax.jacfwd(f)), marks=pytest.mark.slow)]
)
def test_derivatives_that_replay_has_not_are_taken_all_the_same(derivative, within):
    ours = ct.Integrate(diffrax.Bosh3(), diffrax.PIDController(rtol=1e-8, atol=1e-8), max_steps=1024)
    exact = derivative(lambda p: p[0] / (1 + p[0] * p[1]))(POINT)
    np.testing.assert_allclose(derivative(end(ours))(POINT), exact, **within(1e-5))


@pytest.mark.only("float32")
def test_accepted_times_need_no_noise_of_measures():
    at = lambda *asked: ct.accepted_times(ct.Integrate(measures=asked), decay, GRID[jnp.array([0, -1])], jnp.ones(1))
    for asked in (
        (ct.measures.jacobian,),
        (ct.measures.local_measure(),),
        (ct.measures.local_measure(), ct.measures.jacobian),
    ):
        np.testing.assert_array_equal(at(*asked), at())


@pytest.mark.only("float32")
def test_a_good_solve_has_no_nan_at_which_debugging_stops():
    with jax.debug_nans(True):
        assert DIFFRAX(decay, GRID, jnp.ones(1))[1].status == 0
