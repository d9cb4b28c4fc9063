"""Langevin dynamics: of linear forces the matrices of a step give exact answers; else quadrature and symmetries do."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._integrate import without_noise
from ctmodels._integrate._methods import METHODS
from ctmodels._integrate._stochastic import Terms, move_by
from ctmodels.noise import Increment

K, GAMMA, T = 2.0, 0.7, 1.3
KEYS = jax.random.split(jax.random.key(3), 2000)
SPLITTINGS = [pytest.param(ct.BAOAB(), id="BAOAB"), pytest.param(ct.OBABO(), id="OBABO")]


def spring(**kwargs):
    return ct.fields.Langevin(ct.fields.Quadratic(K), GAMMA, T, **kwargs)


def step_of(sde, method):
    """`one(y, h, w, area)`, the increment and its area in units of their deviations."""
    taken = METHODS[type(method)]
    terms = Terms(sde.drift, sde.diffusion, sde.noise, sde, None, method)
    t = jnp.zeros(())

    def one(y, h, w, area):
        move = move_by(Increment(w, area / 12**0.5), h, y.dtype)
        return taken.step(terms, t, y, taken.begin(terms, t, y), move).y

    return one


@eqx.filter_jit
def matrices_of(method, sde, h):
    """Of a step of one position: what takes the state on, and the covariance of what is added."""
    one, zero = step_of(sde, method), jnp.zeros(1)
    parts = [jax.jacfwd(one, i)(jnp.zeros(2), h, zero, zero) for i in (0, 2, 3)]
    return parts[0], parts[1] @ parts[1].T + parts[2] @ parts[2].T


def matrices(method, sde, h):
    return [np.asarray(x, np.float64) for x in matrices_of(method, sde, jnp.asarray(h))]


def stationary(a, added):
    """S = A S A' + Q."""
    return np.linalg.solve(np.eye(4) - np.kron(a, a), added.ravel()).reshape(2, 2)


@pytest.mark.parametrize("method", SPLITTINGS)
def test_stationary_variances_in_a_spring_are_known_for_every_stable_step(method, tolerance):
    for h in (0.1, 0.5, 1.0, 1.3):  # stable below 2 / sqrt(K) = 1.41
        off = 1 - h**2 * K / 4
        position, velocity = (T / K, T * off) if isinstance(method, ct.BAOAB) else (T / K / off, T)
        found = stationary(*matrices(method, spring(), h))
        np.testing.assert_allclose(found, np.diag([position, velocity]), **tolerance(50))


def relaxed(sde, method, n, end=1.0):
    """The matrix of n steps, and the covariance after them."""
    a, added = matrices(method, sde, end / n)
    whole, covariance = np.eye(2), np.zeros((2, 2))
    for _ in range(n):
        whole, covariance = a @ whole, a @ covariance @ a.T + added
    return whole, covariance


def exactly(m, noise, end=1.0):
    """The same, of dy = m y dt and a noise of this covariance: Van Loan (1978)."""
    block = jax.scipy.linalg.expm(end * jnp.asarray(np.block([[-m, noise], [np.zeros((2, 2)), m.T]])))
    whole = np.asarray(block[2:, 2:]).T
    return whole, whole @ np.asarray(block[:2, 2:])


def pulled(of_position, of_velocity):
    return lambda t, state, args: -of_position * state[:1] - of_velocity * state[1:]


@pytest.mark.only("float64")
@pytest.mark.parametrize("method", SPLITTINGS)
@pytest.mark.parametrize(("pull", "order"), [((0.0, 0.0), 2), ((0.4, 0.0), 2), ((0.4, 0.3), 1)])
def test_weak_orders_without_control_and_with(method, pull, order):
    """A control that depends on the velocity is of first order, as the noise of a step does not know of it."""
    sde = spring(control=pulled(*pull))
    m = np.array([[0.0, 1.0], [-K - pull[0], -GAMMA - pull[1]]])
    exact = np.stack(exactly(m, np.diag([0.0, 2 * GAMMA * T])))
    error = lambda n: np.abs(np.stack(relaxed(sde, method, n)) - exact)
    found = np.log2(error(16).max(axis=(1, 2)) / error(64).max(axis=(1, 2))) / 2
    assert abs(found[1] - order) < 0.15 and found[0] > order - 0.15


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("method", SPLITTINGS)
def test_free_velocities_are_ornstein_and_uhlenbeck_s_for_any_bins(method, tolerance):
    """Bins of any width, one of none; the damping may vanish."""
    ts = jnp.array([0.0, 0.01, 0.4, 0.4, 3.0])
    free = lambda gamma: ct.fields.Langevin(lambda z: 0 * jnp.sum(z), gamma, T)
    solver = ct.Integrate(method, ct.Substeps(1))
    left = jax.jit(jax.jacfwd(lambda v, gamma: solver(free(gamma), ts, jnp.stack([0 * v, v]), key=KEYS[0])[0][:, 1]))
    for gamma in (0.0, 0.002, GAMMA):
        np.testing.assert_allclose(left(jnp.ones(()), jnp.asarray(gamma)), np.exp(-gamma * ts), **tolerance())
    for h in (0.0, 0.3, 2.0, 40.0):
        _, added = matrices(method, free(GAMMA), h)
        np.testing.assert_allclose(added[1, 1], T * -np.expm1(-2 * GAMMA * h), **tolerance())
    a, added = matrices(method, free(GAMMA), 0.0)
    np.testing.assert_array_equal(a, np.eye(2))
    np.testing.assert_array_equal(added, 0)


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("method", SPLITTINGS)
def test_the_weight_is_the_ratio_of_the_densities_of_what_was_drawn(method, tolerance):
    """Of a control that is linear, the path of some steps is Gaussian with it and without. Its divergence, which is a
    quadratic form of the noise, has theirs for its mean."""
    sde, free = spring(control=pulled(0.4, 0.9), weighed=True), spring()
    lengths = jnp.array([0.3, 0.05, 0.0, 0.7])
    # One noise a step moves the positions alone apart; two move all of the state.
    seen = slice(0, 1) if isinstance(method, ct.BAOAB) else slice(0, 2)

    def path(sde, noise):
        y, states, one = sde.state(jnp.array([0.5]), jnp.array([-1.0])), [], step_of(sde, method)
        for h, (w, area) in zip(lengths, noise, strict=True):
            y = one(y, h, w[None], area[None])
            states.append(y[seen])
        return jnp.concatenate([states[i] for i in (0, 1, 3)]), y[2:]

    @jax.jit
    def everything(noise):
        none = jnp.zeros_like(noise)
        drawn, (divergence, weight) = path(sde, noise)
        made = [jax.jacfwd(lambda noise, s=s: path(s, noise)[0])(none).reshape(drawn.size, -1) for s in (sde, free)]
        bend = jax.hessian(lambda noise: path(sde, noise)[1][0])(none).reshape(noise.size, noise.size)
        expected = path(sde, none)[1][0] + 0.5 * jnp.trace(bend)
        return drawn, divergence, weight, [path(s, none)[0] for s in (sde, free)], made, expected

    noise = np.random.default_rng(0).normal(size=(4, 2)).astype(lengths.dtype)
    drawn, _, weight, means, made, expected = jax.tree.map(lambda x: np.asarray(x, np.float64), everything(noise))
    q, p = [(drawn - mean, m @ m.T) for mean, m in zip(means, made, strict=True)]
    log_density = lambda off, s: -0.5 * (off @ np.linalg.solve(s, off) + np.linalg.slogdet(s)[1])
    np.testing.assert_allclose(weight, log_density(*p) - log_density(*q), **tolerance(500))
    apart, both = means[0] - means[1], np.linalg.solve(p[1], q[1])
    kl = 0.5 * (np.trace(both) - drawn.size - np.linalg.slogdet(both)[1] + apart @ np.linalg.solve(p[1], apart))
    np.testing.assert_allclose(expected, kl, **tolerance(500))


def test_the_divergence_of_a_constant_force_is_known(tolerance):
    """|r|^2 tanh(gamma h / 2) / (2 gamma^2 T) a step; the weight is without bias: E p/q = 1."""
    r, h, n = 0.8, 0.5, 6
    sde = spring(control=lambda t, state, args: jnp.full_like(state[:2], r), weighed=True)
    ts = h * jnp.arange(n + 1, dtype=jnp.zeros(()).dtype)
    y0 = sde.state(jnp.zeros(2), jnp.zeros(2))
    solve = jax.jit(jax.vmap(lambda key: ct.Integrate(ct.BAOAB(), ct.Substeps(1))(sde, ts, y0, key=key)[0][-1, 4:]))
    divergence, weight = solve(KEYS).T
    known = n * 2 * r**2 * np.tanh(GAMMA * h / 2) / (2 * GAMMA**2 * T)
    np.testing.assert_allclose(divergence, known, **tolerance())
    ratio = np.exp(np.asarray(weight))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / len(KEYS) ** 0.5


def test_all_methods_come_to_one_path(within):
    """In a double well, under a control, weights and all: of one key, which draws one path, or one with its areas."""
    control = lambda t, state, args: jnp.sin(t).astype(state.dtype) - 0.3 * state[2:] * args
    make = lambda weighed: ct.fields.Langevin(ct.fields.DoubleWell(), GAMMA, jnp.array([T, 0.5]), control, weighed)
    ts, z0, v0 = jnp.array([0.0, 0.5, 1.5]), jnp.array([1.0, -0.5]), jnp.zeros(2)

    @jax.jit
    def ends(key):
        def solve(method, sde):
            return ct.Integrate(method, ct.Substeps(255))(sde, ts, sde.state(z0, v0), jnp.ones(2), key=key)[0][-1]

        pairs = (ct.BAOAB(), diffrax.Euler(), make(True)), (ct.OBABO(), diffrax.SRA1(), make(False))
        return [(solve(method, sde), solve(other, sde)) for method, other, sde in pairs]

    for one, other in ends(KEYS[0]):
        np.testing.assert_allclose(one, other, **within(absolute=0.02))


@pytest.mark.only("float32")
def test_a_double_well_is_filled_as_its_density_says():
    """Kolmogorov and Smirnov's distance to the quadrature of exp(-U / T), by lanes that begin in one of the wells."""
    well = ct.fields.DoubleWell(1.0, 1.2)
    sde, ts = ct.fields.Langevin(well, 1.5, 0.9), jnp.array([0.0, 40.0])
    solver = ct.Integrate(ct.BAOAB(), ct.Substeps(200))
    ends = jax.jit(jax.vmap(lambda key: solver(sde, ts, jnp.array([1.2, 0.0]), key=key)[0][-1]))(KEYS)
    z = np.linspace(-4, 4, 4001)
    density = np.exp(-(((z / 1.2) ** 2 - 1) ** 2) / 0.9)
    by_now = np.cumsum(density) / density.sum()
    found = np.sort(np.asarray(ends[:, 0], np.float64))
    wanted, n = np.interp(found, z, by_now), len(found)
    distance = max((np.arange(1, n + 1) / n - wanted).max(), (wanted - np.arange(n) / n).max())
    assert distance < 1.63 / n**0.5  # one per cent of samples of the density itself
    assert abs(ends[:, 1].var() / 0.9 - 1) < 4 * (2 / n) ** 0.5


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("method", SPLITTINGS)
def test_without_damping_and_heat_it_is_newton_s_law(method, tolerance):
    """Symplectic; goes back as it came; its energy is kept to the square of the step, for long."""
    well, d = ct.fields.DoubleWell(0.5), 2
    newton = ct.fields.Langevin(well, 0.0, 0.0)
    y0 = newton.state(jnp.array([0.3, -0.8]), jnp.array([0.2, 0.5]))
    energy = jax.vmap(lambda y: well(y[:d]) + 0.5 * jnp.sum(y[d:] ** 2))

    @jax.jit
    def run(y0):
        solve = lambda n, y0: ct.Integrate(method, ct.Substeps(n))(newton, jnp.arange(41.0), y0, key=KEYS[0])[0]
        there = solve(10, y0)
        back = solve(10, there[-1] * jnp.array([1.0, 1.0, -1.0, -1.0]))
        few = lambda y0: ct.Integrate(method, ct.Substeps(5))(newton, jnp.arange(2.0), y0, key=KEYS[0])[0][-1]
        return back[-1], jax.jacfwd(few)(y0), energy(there), energy(solve(20, y0))

    back, j, coarse, fine = map(np.asarray, run(y0))
    np.testing.assert_allclose(back * [1, 1, -1, -1], y0, **tolerance(1000))
    omega = np.block([[np.zeros((d, d)), np.eye(d)], [-np.eye(d), np.zeros((d, d))]])
    np.testing.assert_allclose(j.T @ omega @ j, omega, **tolerance(10))
    off = lambda energies: np.abs(energies - energies[0]).max()
    assert off(coarse) < 0.02 and 3.5 < off(coarse) / off(fine) < 4.5


CONTROL = lambda t, state, args: args * state[:2]


@pytest.mark.parametrize("method", [SPLITTINGS[0], pytest.param(ct.OBABO(), id="OBABO", marks=pytest.mark.slow)])
def test_gradients_are_alike_in_every_composition_and_finite_at_bins_of_no_width(method, tolerance, within):
    ts = jnp.array([0.0, 0.3, 0.3, 1.0])
    solver = ct.Integrate(method, ct.Substeps(3))

    def loss(theta, ts, key):
        gamma, temperature, push = theta
        sde = ct.fields.Langevin(ct.fields.DoubleWell(), gamma, temperature, CONTROL, weighed=True)
        ys, _ = solver(sde, ts, sde.state(jnp.array([1.0, 0.2]), jnp.zeros(2)), push, key=key)
        return jnp.sum(ys[1:, :4] ** 2) + jnp.sum(ys[-1, 4:] * jnp.array([1.0, 0.3]))

    theta, keys = (jnp.asarray(GAMMA), jnp.asarray(T), jnp.asarray(-0.4)), KEYS[:3]
    gradient = jax.grad(loss, argnums=(0, 1))
    each = jax.jit(jax.vmap(gradient, (None, None, 0)))(theta, ts, keys)
    alone = jax.jit(gradient)(theta, ts, keys[1])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(each))
    for a, b in zip(jax.tree.leaves(each), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a[1], b, **tolerance(10))
    eps = 1e-5 if jax.config.jax_enable_x64 else 1e-2
    value = jax.jit(loss)
    for i in range(3):
        moved = lambda by, i=i: value(tuple(x + by * (i == j) for j, x in enumerate(theta)), ts, keys[1])
        close = within(1e-6) if jax.config.jax_enable_x64 else within(1e-2, absolute=1e-3)
        np.testing.assert_allclose(alone[0][i], (moved(eps) - moved(-eps)) / (2 * eps), **close)


def test_the_damping_has_its_gradient_at_zero_too(within):
    """Where the closed form is nought by nought."""
    sde = lambda gamma: ct.fields.Langevin(ct.fields.Quadratic(K), gamma, 0.0)
    solver = ct.Integrate(ct.BAOAB(), ct.Substeps(4))
    end = jax.jit(lambda gamma: solver(sde(gamma), jnp.arange(2.0), jnp.array([1.0, 0.0]), key=KEYS[0])[0][-1, 0])
    eps = 1e-4 if jax.config.jax_enable_x64 else 1e-2
    slope = (4 * end(jnp.asarray(eps)) - 3 * end(jnp.asarray(0.0)) - end(jnp.asarray(2 * eps))) / (2 * eps)
    np.testing.assert_allclose(jax.jit(jax.grad(end))(jnp.asarray(0.0)), slope, **within(1e-2))


def test_steps_between_times_on_a_grid_and_by_time_are_the_same(tolerance):
    ts = jnp.linspace(0.0, 2.0, 5)
    y0 = jnp.array([1.0, 0.3])
    solve = lambda controller: ct.Integrate(ct.BAOAB(), controller)(spring(), ts, y0, key=KEYS[0])[0]
    plain, grid, by_time = jax.jit(
        lambda: [solve(c) for c in (ct.Substeps(1), diffrax.StepTo(ts), ct.Substeps(1, 0.5))]
    )()
    np.testing.assert_allclose(grid, plain, **tolerance())
    np.testing.assert_allclose(by_time, plain, **tolerance())


def test_without_a_key_the_same_steps_are_taken_without_noise(tolerance, within):
    """Its path is the one at no temperature; of a controlled one the divergence is still known."""
    ts, y0 = jnp.linspace(0.0, 2.0, 5), jnp.array([1.0, 0.3])
    for method in (ct.BAOAB(), ct.OBABO()):
        integrate = ct.Integrate(method, ct.Substeps(2))
        same, still = without_noise(integrate, spring())
        quiet, stats = same(still, ts, y0)
        cold, _ = integrate(ct.fields.Langevin(ct.fields.Quadratic(K), GAMMA, 0.0), ts, y0, key=KEYS[0])
        np.testing.assert_allclose(quiet, cold, **tolerance())
        assert same.method is method and stats.status == 0
    sde = spring(control=lambda t, state, args: jnp.ones(1, state.dtype), weighed=True)
    same, still = without_noise(ct.Integrate(ct.BAOAB(), ct.Substeps(2)), sde)
    end = same(still, ts, sde.state(y0[:1], y0[1:]))[0][-1, 2:]
    known = 8 * np.tanh(GAMMA * 0.25 / 2) / (2 * GAMMA**2 * T)
    np.testing.assert_allclose(end, [known, -known], **tolerance())
    same, drift = without_noise(ct.Integrate(diffrax.Euler(), ct.Substeps(200)), spring())
    np.testing.assert_allclose(same(drift, ts, y0)[0], quiet, **within(absolute=0.1))


def test_parameters_are_once_in_the_tree_and_it_is_an_sde_to_models():
    sde = ct.fields.Langevin(ct.fields.Quadratic(jnp.ones(2)), jnp.ones(2), jnp.ones(()))
    assert len(jax.tree.leaves(eqx.filter(sde, eqx.is_inexact_array))) == 3
    model = ct.NeuralSDE(sde, 2, 2, integrate=ct.Integrate(ct.BAOAB(), ct.Substeps(2)))
    ts, x = jnp.linspace(0.0, 1.0, 3), jnp.array([1.0, 0.5])  # velocities are hidden channels
    drawn, mean = model(x, ts, key=KEYS[0]), model(x, ts)
    assert drawn.stats.status == mean.stats.status == 0
    assert np.abs(drawn.ys - mean.ys).max() > 0.1


def test_the_released_steps_know_no_time(tolerance):
    """By hand; the bin of no width is none."""
    method, ts = ct.Released(0.02), jnp.array([0.0, 1.0, 1.0, 7.0])
    sde, y0 = ct.fields.Langevin(ct.fields.DoubleWell(), 0.55, 0.0), jnp.array([1.3, 0.4])
    ys, _ = ct.Integrate(method, ct.Substeps(1))(sde, ts, y0, key=KEYS[0])
    z, v, wanted = 1.3, 0.4, [[1.3, 0.4]]
    for moves in (True, False, True):
        if moves:
            z = z + 0.02 * v
            v = 0.45 * (v - 0.02 * 4 * z * (z**2 - 1))
        wanted.append([z, v])
    np.testing.assert_allclose(ys, wanted, **tolerance())
    a, added = matrices(method, ct.fields.Langevin(ct.fields.Quadratic(K), 0.55, T), 1.0)
    np.testing.assert_allclose(added, np.diag([0, 2 * 0.55 * T]), **tolerance())
    np.testing.assert_allclose(a, [[1, 0.02], [-0.45 * 0.02 * K, 0.45 * (1 - 0.02**2 * K)]], **tolerance())


ADAPTIVE = [
    pytest.param(diffrax.ALIGN(0.1), id="ALIGN"),
    pytest.param(diffrax.HalfSolver(diffrax.ShOULD(0.1)), id="ShOULD", marks=pytest.mark.slow),
    pytest.param(diffrax.HalfSolver(diffrax.QUICSORT(0.1)), id="QUICSORT", marks=pytest.mark.slow),
]


@pytest.mark.only("float64")
@pytest.mark.parametrize("method", ADAPTIVE)
def test_diffrax_s_methods_adapt_their_steps(method, within):
    """Mean and covariance of a spring's state are those of its matrices."""
    solver = ct.Integrate(method, diffrax.PIDController(rtol=1e-3, atol=1e-3))
    y0 = jnp.array([1.0, 0.5])
    one = lambda key: solver(spring(), jnp.arange(2.0), y0, key=key)
    ys, stats = jax.jit(jax.vmap(one))(KEYS[:400])
    assert (stats.status == 0).all() and (stats.accepted > 2).all()
    whole, covariance = exactly(np.array([[0.0, 1.0], [-K, -GAMMA]]), np.diag([0.0, 2 * GAMMA * T]))
    off = np.asarray(ys[:, -1]) - whole @ np.asarray(y0)
    assert (np.abs(off.mean(0)) < 4 * np.sqrt(np.diag(covariance) / 400)).all()
    np.testing.assert_allclose(np.cov(off.T), covariance, **within(absolute=0.2))


def solve(sde=None, method=None, controller=None, y0=None, key=KEYS[0]):
    given = lambda: ct.Integrate(method or ct.BAOAB(), controller or ct.Substeps(1))
    return lambda: given()(sde or spring(), jnp.arange(3.0), jnp.ones(4) if y0 is None else y0, key=key)


PID = diffrax.PIDController(rtol=1e-2, atol=1e-2)
U = ct.fields.Quadratic(1.0)
PLAIN = ct.fields.SDE(lambda t, y, _: -y, lambda t, y, _: jnp.ones((4, 1)), noise="additive")
REFUSED = {
    "gamma": (lambda: ct.fields.Langevin(U, -0.5), "gamma=-0.5: a finite number, of at least 0 is needed"),
    "one gamma": (lambda: ct.fields.Langevin(U, np.array([1.0, np.nan])), "gamma=nan: a finite number, of at least 0"),
    "temperature": (lambda: ct.fields.Langevin(U, 1.0, -2), "temperature=-2: a finite number, of at least 0"),
    "a word": (lambda: ct.fields.Langevin(U, "1"), "gamma: '1', where a number is wanted"),
    "gammas": (solve(ct.fields.Langevin(U, jnp.ones(3))), r"gamma: shape \(3,\): a number or one for each of 2"),
    "weighed without heat": (lambda: spring_at(0.0), "temperature: 0 with weighed=True: without noise"),
    "no potential": (lambda: ct.fields.Langevin(1.0), "potential: 1.0, where a function"),
    "of no number": (solve(ct.fields.Langevin(lambda z: z)), r"potential: of shape \(2,\) .* a scalar is wanted"),
    "control": (lambda: ct.fields.Langevin(U, control=2.0), "control: 2.0, where a function"),
    "shape of control": (solve(spring(control=lambda t, s, a: s)), r"control: an array .* where a force of .*\(2,\)"),
    "odd state": (solve(y0=jnp.ones(3)), r"y0: an array .* one array \[z, v\], \(2 d,\): langevin.state"),
    "tree": (solve(y0=(jnp.ones(2), jnp.ones(2))), r"y0: a tuple: the state of a Langevin is one array"),
    "a tuple": (solve(y0=[jnp.ones(2)]), r"y0: a list: the state of a Langevin is one array"),
    "another SDE": (solve(PLAIN), "method: BAOAB takes steps of a Langevin, and not of any SDE"),
    "another SDE adaptively": (solve(PLAIN, diffrax.ALIGN(0.1), PID), "method: ALIGN takes steps of a Langevin"),
    "adaptive": (solve(controller=PID), "controller: BAOAB estimates no error"),
    "fixed": (solve(method=diffrax.ALIGN(0.1)), "method: ALIGN takes no steps of an SDE on a fixed grid"),
    "controlled": (
        solve(spring(weighed=True), diffrax.ALIGN(0.1), PID, jnp.ones(6)),
        "method: ALIGN takes a potential's",
    ),
    "cold": (solve(ct.fields.Langevin(U, 1.0, 0.0), diffrax.ALIGN(0.1), PID), "temperature: 0: method ALIGN divides"),
    "released": (
        solve(spring(control=pulled(1, 0)), ct.Released(), y0=jnp.ones(2)),
        "method: Released takes no control",
    ),
    "scale": (lambda: ct.Released(np.nan), "scale=nan: a finite number is needed"),
    "no key": (solve(key=None), "key: None, and the noise of an SDE"),
    "not drawn": (solve(spring(drawn=False), diffrax.ALIGN(0.1), PID), "drawn: False is of fixed grids"),
    "error": (
        lambda: ct.Integrate(ct.BAOAB(), ct.Substeps(1), measures=(ct.measures.local_error,))(
            spring(), jnp.arange(3.0), jnp.ones(4), key=KEYS[0]
        ),
        "`local_error` needs a method with an embedded error estimate",
    ),
}


def spring_at(temperature):
    return ct.fields.Langevin(U, 1.0, temperature, control=pulled(1, 0), weighed=True)


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_langevin_dynamics_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        call()
