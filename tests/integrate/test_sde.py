"""SDEs through `Integrate`: orders against exact solutions, derivatives, statistics, and what is refused."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels.noise import Brownian

Y0 = jnp.array([1.0, 0.5])
TS = jnp.array([0.0, 1.0])
KEYS = jax.random.split(jax.random.key(1), 600)


def geometric(interpretation, noise="diagonal", mu=0.5, sigma=0.7):
    """Its exact end, y0 exp((mu - sigma^2 / 2) + sigma W)."""
    drift = mu - (0.5 * sigma**2 if interpretation == "stratonovich" else 0)
    sde = ct.fields.SDE(
        lambda t, y, _: drift * y, lambda t, y, _: sigma * y, noise=noise, interpretation=interpretation
    )
    return sde, lambda W: Y0 * jnp.exp(mu - sigma**2 / 2 + sigma * W)


def bounded(p=0.8):
    """torchsde's scalar problem: dX = -p^2 sin X cos^3 X dt + p cos^2 X dW."""
    drift = lambda t, y, _: -(p**2) * jnp.sin(y) * jnp.cos(y) ** 3
    sde = ct.fields.SDE(drift, lambda t, y, _: p * jnp.cos(y) ** 2, noise="scalar")
    return sde, lambda W: jnp.arctan(p * W + jnp.tan(Y0))


def additive(interpretation, a=0.5, b=0.6):
    """torchsde's additive problem, by a matrix."""
    drift = lambda t, y, _: b / jnp.sqrt(1 + t) - y / (2 * (1 + t))
    diffusion = lambda t, y, _: a * b / jnp.sqrt(1 + t) * jnp.eye(2, dtype=y.dtype)
    sde = ct.fields.SDE(drift, diffusion, noise="additive", interpretation=interpretation)
    return sde, lambda W: (Y0 + b * (1 + a * W)) / 2**0.5


def rotating(interpretation, angle=0.6):
    """General noise that does not commute with itself: nothing exact is known, and the order is a half."""
    turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    diffusion = lambda t, y, _: angle * jnp.stack([turn @ y, jnp.sin(y)], axis=1)
    return ct.fields.SDE(lambda t, y, _: -y, diffusion, noise="general", interpretation=interpretation), None


CASES = {  # method: (problem, strong order)
    "Euler": (diffrax.Euler(), geometric("ito"), 0.5),
    "Euler, additive": (diffrax.Euler(), additive("ito"), 1.0),
    "Euler, general": (diffrax.Euler(), rotating("ito"), 0.5),
    "Milstein": (diffrax.ItoMilstein(), bounded(), 1.0),
    "SRI": (ct.SRI(), geometric("ito"), 1.5),
    "SRI, scalar": (ct.SRI(), bounded(), 1.5),
    "Euler-Heun": (diffrax.EulerHeun(), geometric("stratonovich", "scalar"), 1.0),
    "Heun": (diffrax.Heun(), geometric("stratonovich"), 1.0),
    "Heun, general": (diffrax.Heun(), rotating("stratonovich"), 0.5),
    "Milstein, Stratonovich": (diffrax.StratonovichMilstein(), geometric("stratonovich"), 1.0),
    "reversible Heun": (diffrax.ReversibleHeun(), geometric("stratonovich"), 1.0),
    "SRA1": (diffrax.SRA1(), additive("ito"), 1.5),
}


# Rows whose step is that of another, with another kind of noise.
SLOW = {"Euler, additive", "Euler, general", "SRI, scalar", "Euler-Heun", "Heun, general", "Milstein, Stratonovich"}
ROWS = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CASES]


def ends(sde, method, n, keys):
    solve = lambda key: ct.Integrate(method, ct.Substeps(n))(sde, TS, Y0, key=key)[0][-1]
    return jax.jit(jax.vmap(solve))(keys)


def whole_increment(method, noise, key):
    area, shape = isinstance(method, ct.SRI | diffrax.SRA1), () if noise == "scalar" else (2,)
    return Brownian(key, 1, shape, jnp.dtype("float64"), area).of_part(0, 0).w * jnp.ones(2)


@pytest.mark.only("float64")
@pytest.mark.parametrize("name", ROWS)
def test_strong_orders(name):
    method, (sde, exact), order = CASES[name]
    if exact is None:
        wanted = ends(sde, method, 512, KEYS)
    else:
        wanted = jax.vmap(lambda key: exact(whole_increment(method, sde.noise, key)))(KEYS)
    error = lambda n: jnp.sqrt(jnp.mean((ends(sde, method, n, KEYS) - wanted) ** 2))
    found = jnp.log2(error(8) / error(64)) / 3
    assert found > order - 0.15
    assert found < order + (0.15 if "additive" not in sde.noise and exact else 0.55)


@pytest.mark.only("float64")
def test_weak_order_of_euler():
    """The mean, by what it differs from the exact solution on the same path."""
    sde, exact = geometric("ito", mu=1.5, sigma=0.3)
    wanted = jax.vmap(lambda key: exact(whole_increment(None, "diagonal", key)))(KEYS)
    bias = lambda n: jnp.abs(jnp.mean(ends(sde, diffrax.Euler(), n, KEYS) - wanted))
    assert abs(jnp.log2(bias(16) / bias(64)) / 2 - 1) < 0.15


def decay(theta):
    drift = lambda t, y, _: -theta * y
    return ct.fields.SDE(drift, lambda t, y, _: 0.3 * jnp.cos(theta * y), interpretation="stratonovich")


def test_gradients_are_those_of_the_steps_and_alike_in_every_composition(tolerance, within):
    ts = jnp.array([0.0, 0.3, 0.3, 1.0])  # a repeat is a step of no length
    solver = ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(6), measures=(ct.measures.local_error,))

    def loss(theta, ts, key):
        ys, stats = solver(decay(theta), ts, Y0, key=key)
        return jnp.sum(ys[1:] ** 2) + stats.measures["local_error"]

    theta, keys = jnp.asarray(0.7), KEYS[:3]
    gradient = jax.grad(loss, argnums=(0, 1))
    each = jax.jit(jax.vmap(gradient, (None, None, 0)))(theta, ts, keys)
    alone = jax.jit(gradient)(theta, ts, keys[1])
    for a, b in zip(each, alone, strict=True):
        np.testing.assert_allclose(a[1], b, **tolerance())
    total = lambda theta, ts: jnp.sum(jax.vmap(loss, (None, None, 0))(theta, ts, keys))
    np.testing.assert_allclose(jax.jit(jax.grad(total))(theta, ts), jnp.sum(each[0]), **tolerance(10))
    eps = 1e-5 if jax.config.jax_enable_x64 else 1e-2
    value = jax.jit(lambda theta, last: loss(theta, ts.at[-1].set(last), keys[1]))
    quotient = lambda a, b: (value(theta + a, ts[-1] + b) - value(theta - a, ts[-1] - b)) / (2 * eps)
    close = within(1e-7) if jax.config.jax_enable_x64 else within(5e-3)
    np.testing.assert_allclose(alone[0], quotient(eps, 0), **close)
    np.testing.assert_allclose(alone[1][-1], quotient(0, eps), **close)


def test_given_steps_are_those_between_save_times(tolerance):
    """A grid of its own that is the save times', and one that has a time more: what is saved there lies on a line."""
    ts, key = jnp.linspace(0.0, 1.0, 5), KEYS[0]
    at = lambda controller, ts: ct.Integrate(diffrax.Heun(), controller)(decay(0.7), ts, Y0, key=key)
    plain, stats = at(ct.Substeps(1), ts)
    given, given_stats = at(diffrax.StepTo(ts), ts)
    np.testing.assert_allclose(given, plain, **tolerance())
    assert int(stats.accepted) == int(given_stats.accepted) == 4 and int(stats.evaluations) == 8
    middle, _ = at(diffrax.StepTo(ts), jnp.array([0.0, 0.375, 1.0]))
    np.testing.assert_allclose(middle[1], (plain[1] + plain[2]) / 2, **tolerance())


def test_a_solve_in_a_tree_is_the_flat_one(tolerance):
    solver, key = ct.Integrate(diffrax.Euler(), ct.Substeps(2)), KEYS[0]
    tree = ct.fields.SDE(
        lambda t, y, _: {"a": -y["a"], "b": y["a"] - y["b"]}, lambda t, y, _: {"a": 0.1 + 0 * y["a"], "b": y["b"]}
    )
    flat = ct.fields.SDE(
        lambda t, y, _: jnp.stack([-y[0], y[0] - y[1]]), lambda t, y, _: jnp.stack([0.1 + 0 * y[0], y[1]])
    )
    ys, _ = solver(tree, TS, {"a": Y0[:1], "b": Y0[1:]}, key=key)
    wanted, _ = solver(flat, TS, Y0, key=key)
    np.testing.assert_allclose(jnp.concatenate([ys["a"], ys["b"]], axis=1), wanted, **tolerance())


@pytest.mark.only("float64")
@pytest.mark.parametrize(
    ("method", "interpretation"),
    [
        pytest.param(diffrax.SPaRK(), "stratonovich", id="SPaRK"),
        pytest.param(diffrax.HalfSolver(diffrax.ItoMilstein()), "ito", id="half steps", marks=pytest.mark.slow),
    ],
)
def test_adaptive_steps_have_the_moments(method, interpretation):
    sde, _ = geometric(interpretation)
    solver = ct.Integrate(method, diffrax.PIDController(rtol=1e-2, atol=1e-2))
    ys, stats = jax.jit(jax.vmap(lambda key: solver(sde, TS, Y0, key=key)))(KEYS)
    logs = np.log(np.asarray(ys)[:, -1] / np.asarray(Y0))
    assert (stats.status == 0).all() and stats.rejected.sum() > 0
    assert np.abs(logs.mean(0) - (0.5 - 0.7**2 / 2)).max() < 4 * 0.7 / 600**0.5
    assert np.abs(logs.std(0) - 0.7).max() < 0.1


def test_steps_finer_than_the_tree_are_a_failure_and_not_silence():
    """Below what the tree tells apart there would be no noise, and the steps would grow again."""
    sde = ct.fields.SDE(lambda t, y, _: -y, lambda t, y, _: 1e4 * y, interpretation="stratonovich")
    solver = ct.Integrate(diffrax.SPaRK(), diffrax.PIDController(rtol=1e-4, atol=1e-4), max_steps=64)
    _, stats = solver(sde, TS, Y0, key=KEYS[0])
    assert ct.STATUS[int(stats.status)].startswith("steps too short")


def test_a_lane_that_fails_harms_no_other_and_says_where(tolerance):
    ts = jnp.linspace(0.0, 1.0, 4)
    drift = lambda t, y, bad: jnp.where(bad & (t > 0.45), jnp.inf, -y)
    sde = ct.fields.SDE(drift, lambda t, y, _: 0.1 + 0 * y)
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(2))
    run = jax.jit(jax.vmap(lambda key, bad: solver(sde, ts, Y0, bad, key=key)))
    ys, stats = run(KEYS[:3], jnp.array([False, True, False]))
    well, _ = run(KEYS[:3], jnp.array([False, False, False]))
    np.testing.assert_allclose(ys[jnp.array([0, 2])], well[jnp.array([0, 2])], **tolerance())
    assert stats.status.tolist() == [0, 2, 0] and 0.3 < stats.t[1] < 0.4
    assert np.isfinite(ys[1, :2]).all() and np.isnan(ys[1, 2:]).all()


def test_times_that_go_back_are_a_status_where_they_are_not_known():
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(1))
    sde, _ = geometric("ito")
    _, stats = jax.jit(lambda ts: solver(sde, ts, Y0, key=KEYS[0]))(TS[::-1])
    assert ct.STATUS[int(stats.status)].startswith("times that are not finite or not in order")


def test_under_a_control_that_is_held_each_stretch_has_noise_of_its_own():
    ts = jnp.linspace(0.0, 1.0, 9)
    walk = ct.fields.SDE(lambda t, y, u: 0 * y, lambda t, y, u: jnp.ones_like(y))
    held = ct.paths.HeldPath(ts, jnp.ones((9, 1)))
    ys, _ = ct.solve_piecewise_constant(EULER, walk, ts, Y0, held, key=KEYS[0])
    steps = np.diff(np.asarray(ys), axis=0)
    assert len(np.unique(steps.round(6))) == steps.size


@pytest.mark.only("float32")
def test_a_key_that_is_used_for_two_solves_is_refused_where_jax_looks_for_that():
    solver = ct.Integrate(diffrax.Heun(), ct.Substeps(2), measures=(ct.measures.local_error, ct.measures.jacobian))
    solve = lambda y0, key: solver(decay(0.7), TS, y0, key=key)[0]
    batch = jax.vmap(solve, (0, None))

    def each_with_a_key(keys):
        return solve(Y0, keys[0]), jax.vmap(solve)(jnp.stack([Y0, -Y0]), keys[1:])

    with jax.debug_key_reuse(True):
        jax.jit(each_with_a_key)(jax.random.split(jax.random.key(0), 3))
        jax.jit(lambda key: (solve(Y0, jax.random.clone(key)), solve(Y0, key)))(jax.random.key(0))  # one path, as meant
        with pytest.raises(jax.errors.KeyReuseError):
            jax.jit(lambda key: (batch(jnp.stack([Y0, -Y0]), key), batch(jnp.stack([Y0, Y0]), key)))(jax.random.key(0))
        key = jax.random.key(0)
        solve(Y0, key)
        with pytest.raises(jax.errors.KeyReuseError):
            solve(-Y0, key)


def sde(noise="diagonal", interpretation="ito", diffusion=lambda t, y, _: y):
    return ct.fields.SDE(lambda t, y, _: y, diffusion, noise=noise, interpretation=interpretation)


EULER = ct.Integrate(diffrax.Euler(), ct.Substeps(1))
REFUSED = {
    "interpretation": (
        lambda: EULER(sde(interpretation="stratonovich"), TS, Y0, key=KEYS[0]),
        "method: Euler does not solve SDEs in the sense of interpretation='stratonovich'",
    ),
    "method of ODEs": (
        lambda: ct.Integrate(diffrax.Tsit5(), ct.Substeps(1))(sde(), TS, Y0, key=KEYS[0]),
        "method: Tsit5 takes no steps of an SDE",
    ),
    "kind of noise": (
        lambda: ct.Integrate(diffrax.ItoMilstein(), ct.Substeps(1))(
            sde("general", diffusion=lambda t, y, _: jnp.outer(y, y)), TS, Y0, key=KEYS[0]
        ),
        "method: ItoMilstein takes noise of the kinds .* noise='general'",
    ),
    "Euler adaptively": (
        lambda: ct.Integrate(diffrax.HalfSolver(diffrax.Euler()), diffrax.PIDController(rtol=1e-2, atol=1e-2))(
            sde(), TS, Y0, key=KEYS[0]
        ),
        "method: HalfSolver: with steps that adapt",
    ),
    "another controller": (
        lambda: ct.Integrate(
            diffrax.HalfSolver(diffrax.ItoMilstein()),
            diffrax.ClipStepSizeController(diffrax.PIDController(rtol=1e-2, atol=1e-2), step_ts=TS),
        )(sde(), TS, Y0, key=KEYS[0]),
        "controller: ClipStepSizeController: steps of an SDE adapt by",
    ),
    "no key": (lambda: EULER(sde(), TS, Y0), "key: None, and the noise"),
    "backwards": (lambda: EULER(sde(), TS[::-1], Y0, key=KEYS[0]), "ts: from 1 down to 0"),
    "shape of diagonal noise": (
        lambda: EULER(sde(diffusion=lambda t, y, _: y[:1]), TS, Y0, key=KEYS[0]),
        r"diffusion returns shape \(1,\) for a state of shape \(2,\): with noise='diagonal'",
    ),
    "shape of general noise": (lambda: EULER(sde("general"), TS, Y0, key=KEYS[0]), r"a diffusion \(state, noise\)"),
    "additive that is not": (
        lambda: EULER(sde("additive", diffusion=lambda t, y, _: jnp.outer(y, y)), TS, Y0, key=KEYS[0]),
        "diffusion depends on y",
    ),
    "drift": (
        lambda: EULER(ct.fields.SDE(lambda t, y, _: y[:1], lambda t, y, _: y), TS, Y0, key=KEYS[0]),
        "drift returns shape",
    ),
    "a word": (lambda: sde("diag"), "noise='diag'"),
    "no function": (lambda: ct.fields.SDE(1.0, jnp.sin), "drift: float"),
    "stiffness": (
        lambda: ct.Integrate(diffrax.Euler(), ct.Substeps(1), measures=(ct.measures.stiffness,))(
            sde(), TS, Y0, key=KEYS[0]
        ),
        "measures: `stiffness` .* or is of an SDE",
    ),
    "no error estimate": (
        lambda: ct.Integrate(diffrax.Euler(), ct.Substeps(1), measures=(ct.measures.local_error,))(
            sde(), TS, Y0, key=KEYS[0]
        ),
        "`local_error` needs a method with an embedded error estimate",
    ),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_another_solution_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        call()
