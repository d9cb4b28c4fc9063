"""The discrete adjoint: exact on the grid that was taken, under every composition of grad, vmap and jacrev."""

import dataclasses
import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._integrate import accepted_times

pytestmark = pytest.mark.mostly("float64")

X64 = jax.config.jax_enable_x64
only64 = pytest.mark.only("float64")
TS = jnp.array([0.0, 0.7, 0.9, 2.0])
W = jax.random.normal(jax.random.key(0), (2, 2))
Y0S = jax.random.normal(jax.random.key(1), (3, 2))
PID = diffrax.PIDController(rtol=1e-3, atol=1e-3)
# Of two stages, as it is compiled in each composition; where the last stage is the next step's first, see the tableaus.
INTEGRATE = ct.Integrate(diffrax.Heun(), PID, max_steps=64, adjoint=ct.DiscreteAdjoint(64))


@pytest.fixture
def close(tolerance):
    return tolerance(10)


def field(t, y, W):
    """Not autonomous, so that a wrong time shows."""
    return jnp.tanh(W @ y) * (1 + 0.5 * jnp.cos(3 * t)) - y


def solved(W, y0, ts=TS, integrate=INTEGRATE):
    return integrate(field, ts, y0, W)[0]


def loss(W, y0, ts=TS, integrate=INTEGRATE):
    return score(solved(W, y0, ts, integrate))


def score(ys):
    return jnp.sum(jnp.sin(ys) * jnp.arange(1.0, 1 + ys.size, dtype=ys.dtype).reshape(ys.shape))


# One program for all that it is told by: the gradient in parameters, state and times, and the states themselves.
GRADIENT = jax.jit(jax.grad(lambda W, y0, ts: (lambda ys: (score(ys), ys))(solved(W, y0, ts)), (0, 1, 2), has_aux=True))


@functools.cache
def grid_taken():
    """The times between which the first sample's steps go."""
    return accepted_times(INTEGRATE, field, TS, Y0S[0], W)


def on_grid(grid):
    """The same steps as a scan, which JAX differentiates by itself."""
    return ct.Integrate(INTEGRATE.method, diffrax.StepTo(ts=grid))


@pytest.mark.parametrize("ts", [TS, -TS])
def test_gradients_are_those_of_the_steps_taken(ts, close):
    grid = accepted_times(INTEGRATE, field, ts, Y0S[0], W)
    ours, ys = GRADIENT(W, Y0S[0], ts)
    frozen = lambda W, y0: (lambda ys: (score(ys), ys))(solved(W, y0, ts, on_grid(grid)))
    theirs, again = jax.jit(jax.grad(frozen, (0, 1), has_aux=True))(W, Y0S[0])
    np.testing.assert_allclose(ys, again, **close)
    for a, b in zip(ours[:2], theirs, strict=True):
        np.testing.assert_allclose(a, b, **close)


def test_agreement_with_diffrax_and_finite_differences_on_the_grid(close, within):
    grid = grid_taken()

    def by_diffrax(W, y0):
        sol = diffrax.diffeqsolve(
            diffrax.ODETerm(field), INTEGRATE.method, TS[0], TS[-1], None, y0, W,
            saveat=diffrax.SaveAt(ts=TS), stepsize_controller=diffrax.StepTo(ts=jnp.asarray(grid)),
        )  # fmt: skip
        return jnp.sum(jnp.sin(sol.ys) * jnp.arange(1.0, 9.0).reshape(4, 2).astype(sol.ys.dtype))

    ours, theirs = GRADIENT(W, Y0S[0], TS)[0][0], jax.jit(jax.grad(by_diffrax))(W, Y0S[0])
    np.testing.assert_allclose(ours, theirs, **close)
    frozen, h = jax.jit(lambda w: loss(W.at[0, 1].add(w), Y0S[0], TS, on_grid(grid))), 1e-5 if X64 else 1e-2
    difference = (frozen(h) - frozen(-h)) / (2 * h)
    np.testing.assert_allclose(ours[0, 1], difference, **within(1e-6 if X64 else 2e-2))


@only64
def test_gradients_of_times_are_those_of_the_first_and_last_step_and_of_the_interpolant(close, within):
    (_, _, ours), ys = GRADIENT(W, Y0S[0], TS)
    grid = grid_taken()

    def frozen(ts):
        edges = jnp.asarray(grid).at[0].set(ts[0]).at[-1].set(ts[-1])
        return loss(W, Y0S[0], ts, on_grid(edges))

    np.testing.assert_allclose(ours, jax.jit(jax.grad(frozen))(TS), **close)
    # Of the exact flow, dL/dt1 = <dL/dy1, f(y1)>: the discrete one differs by the local error only.
    ct_y1 = np.cos(ys[-1]) * np.array([7.0, 8.0])
    np.testing.assert_allclose(ours[-1], ct_y1 @ np.asarray(field(TS[-1], ys[-1], W)), **within(0.05))


FINE = diffrax.PIDController(rtol=1e-5, atol=1e-7)


@functools.cache
def finely(**options):
    """Gradients in (W, y0), and what they are of."""

    def total(W, y0):
        ys, stats = ct.Integrate(diffrax.Bosh3(), FINE, max_steps=128, **options)(field, TS, y0, W)
        return score(ys), (ys, stats)

    return jax.jit(jax.grad(total, (0, 1), has_aux=True))(W, Y0S[0])


@only64
def test_thinned_states_give_the_same_gradient(close, buffer=4):
    (many, (ys, stats)), (few, (thinned, _)) = finely(), finely(adjoint=ct.DiscreteAdjoint(buffer))
    assert stats.status == 0 and stats.accepted > buffer  # it does overflow
    np.testing.assert_allclose(thinned, ys, **close)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_allclose(a, b, **close)


@pytest.fixture(scope="module")
def loop():
    """Gradients in (W, y0), one sample after another."""
    return [GRADIENT(W, y0, TS)[0][:2] for y0 in Y0S]


def test_vmap_of_grad(loop, close):
    dW, dy0 = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1)), (None, 0)))(W, Y0S)
    for i, (a, b) in enumerate(loop):
        np.testing.assert_allclose(dW[i], a, **close)
        np.testing.assert_allclose(dy0[i], b, **close)


@pytest.mark.parametrize("cotangents", ["per_sample", "summed"])
def test_grad_of_vmap(cotangents, loop, close):
    integrate = dataclasses.replace(INTEGRATE, cotangents=cotangents)
    total = lambda W, y0s: jnp.sum(jax.vmap(loss, (None, 0, None, None))(W, y0s, TS, integrate))
    dW, dy0s = jax.jit(jax.grad(total, argnums=(0, 1)))(W, Y0S)
    np.testing.assert_allclose(dW, sum(a for a, _ in loop), **close)
    np.testing.assert_allclose(dy0s, jnp.stack([b for _, b in loop]), **close)


@only64
def test_jacrev_in_states_and_parameters_alone_and_under_vmap(close):
    both = jax.jacrev(solved, argnums=(0, 1))
    alone = jax.jit(both)(W, Y0S[0])
    gradient, ys = GRADIENT(W, Y0S[0], TS)
    of_ys = np.cos(ys) * np.arange(1.0, 9.0).reshape(4, 2)  # of the score
    for jacobian, wanted in zip(alone, gradient[:2], strict=True):
        np.testing.assert_allclose(np.tensordot(of_ys, jacobian, 2), wanted, **close)
    inside = jax.jit(jax.vmap(both, (None, 0)))(W, Y0S)
    np.testing.assert_allclose(inside[0][0], alone[0], **close)
    np.testing.assert_allclose(inside[1][0], alone[1], **close)
    outside = jax.jit(jax.jacrev(jax.vmap(solved, (None, 0)), argnums=(0, 1)))(W, Y0S)
    np.testing.assert_allclose(outside[0], inside[0], **close)
    for i in range(3):
        np.testing.assert_allclose(outside[1][i, :, :, i], inside[1][i], **close)


@only64
@pytest.mark.parametrize(
    "cotangents, batching",
    [("per_sample", "per_sample"), pytest.param("summed", "shared", marks=pytest.mark.slow)],
)
def test_ensembles_and_nested_vmaps(cotangents, batching, close, within):
    rtol = 1e-3 if batching == "per_sample" else 1e-5
    controller = diffrax.PIDController(rtol=rtol, atol=rtol)
    method = diffrax.Heun() if batching == "per_sample" else diffrax.Bosh3()
    integrate = ct.Integrate(method, controller, max_steps=64, cotangents=cotangents, batching=batching)
    Ws = jnp.stack([W, -W])
    one = lambda W, y0: loss(W, y0, TS, integrate)
    batch = lambda W, y0s=Y0S: jnp.sum(jax.vmap(one, (None, 0))(W, y0s))
    one_member = jax.jit(jax.grad(batch))
    alone = [one_member(w, Y0S) for w in Ws]
    # If shared, an ensemble's members share the step.
    loose = close if batching == "per_sample" else within(3e-2, absolute=3e-2)
    # each member's gradient, by vmap(grad(vmap)) and by grad(vmap(vmap))
    for together in (jax.vmap(jax.grad(batch)), jax.grad(lambda Ws: jnp.sum(jax.vmap(batch)(Ws)))):
        for a, b in zip(jax.jit(together)(Ws), alone, strict=True):
            np.testing.assert_allclose(a, b, **loose)


@only64
@pytest.mark.slow  # nested vmaps, as those of an ensemble, but of one member
@pytest.mark.parametrize("cotangents, batching", [("per_sample", "per_sample"), ("summed", "shared")])
def test_two_axes_of_samples(cotangents, batching, close, within):
    rtol = 1e-3 if batching == "per_sample" else 1e-5
    controller = diffrax.PIDController(rtol=rtol, atol=rtol)
    integrate = ct.Integrate(diffrax.Bosh3(), controller, max_steps=64, cotangents=cotangents, batching=batching)
    loose = close if batching == "per_sample" else within(3e-2, absolute=3e-2)
    one = lambda W, y0: loss(W, y0, TS, integrate)
    one_member = jax.jit(jax.grad(lambda W, y0s: jnp.sum(jax.vmap(one, (None, 0))(W, y0s))))
    grid = jnp.stack([Y0S, 0.5 * Y0S])
    two = lambda W: jnp.sum(jax.vmap(jax.vmap(one, (None, 0)), (None, 0))(W, grid))
    np.testing.assert_allclose(jax.jit(jax.grad(two))(W), sum(one_member(W, y0s) for y0s in grid), **loose)


@only64
def test_a_field_of_each_sample_and_times_of_each_sample(close):
    Ws = jnp.stack([W, 2 * W, -W])
    tss = jnp.stack([TS, 0.5 * TS, TS[::-1]])
    dW, dy, dt = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2))))(Ws, Y0S, tss)
    for i in range(3):
        a, b, c = GRADIENT(Ws[i], Y0S[i], tss[i])[0]
        np.testing.assert_allclose(dW[i], a, **close)
        np.testing.assert_allclose(dy[i], b, **close)
        np.testing.assert_allclose(dt[i], c, **close)


@only64
@pytest.mark.slow  # steps that are shared, with times of each sample, are in test_compositions.py
def test_shared_steps_with_times_of_each_sample(within):
    integrate = ct.Integrate(controller=diffrax.PIDController(rtol=1e-5, atol=1e-5), batching="shared")
    alone = ct.Integrate(controller=diffrax.PIDController(rtol=1e-5, atol=1e-5))
    tss = jnp.stack([TS, 0.5 * TS, 2 - TS])
    total = lambda W, integrate: jnp.sum(jax.vmap(lambda y0, ts: loss(W, y0, ts, integrate))(Y0S, tss))
    run = eqx.filter_jit(jax.value_and_grad(total))
    for together, one_by_one in zip(run(W, integrate), run(W, alone), strict=True):
        np.testing.assert_allclose(together, one_by_one, **within(1e-3, absolute=1e-3))


@pytest.mark.only("float32")
def test_a_gradient_penalty_inside_a_loss(within):
    """Second derivatives, by a fixed grid."""
    grid = ct.Integrate(diffrax.Heun(), ct.Substeps(3))

    @jax.jit
    def penalised(W):
        each = lambda y0: jnp.sum(jax.grad(loss, argnums=1)(W, y0, TS[:2], grid) ** 2)
        return jnp.sum(jax.vmap(each)(Y0S))

    h = 1e-2
    difference = (penalised(W.at[1, 0].add(h)) - penalised(W.at[1, 0].add(-h))) / (2 * h)
    np.testing.assert_allclose(jax.grad(penalised)(W)[1, 0], difference, **within(2e-2))


@only64
def test_forward_mode_by_another_adjoint(within):
    forward = ct.Integrate(diffrax.Bosh3(), FINE, max_steps=128, adjoint=diffrax.ForwardMode())
    slope = jax.jit(lambda y0, along: jax.jvp(lambda y0: loss(W, y0, TS, forward), (y0,), (along,))[1])
    along = [slope(Y0S[0], axis) for axis in np.eye(2)]
    np.testing.assert_allclose(along, finely()[0][1], **within(2e-3, absolute=2e-3))


@only64
def test_a_penalty_on_first_derivatives_of_each_sample(loop, close):
    """The gradient in y0 inside a vmap, of which only the value is used."""
    inner = jax.jit(jax.vmap(lambda y0: jnp.sum(jax.grad(loss, argnums=1)(W, y0) ** 2)))(Y0S)
    np.testing.assert_allclose(inner, [jnp.sum(b**2) for _, b in loop], **close)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(diffrax.Heun(), marks=pytest.mark.only("float32")),
        diffrax.Tsit5(),
        pytest.param(diffrax.Dopri5(), marks=pytest.mark.slow),
    ],
)
def test_every_tableau_with_measures(method, close):
    measures = (ct.measures.local_error,)
    integrate = ct.Integrate(method, PID, max_steps=64, measures=measures)
    frozen = ct.Integrate(method, diffrax.StepTo(ts=accepted_times(integrate, field, TS, Y0S[0], W)), measures=measures)

    def total(W, integrate):
        ys, stats = integrate(field, TS, Y0S[0], W)
        return jnp.sum(ys**2) + 10 * stats.measures["local_error"]

    run = eqx.filter_jit(jax.value_and_grad(total))
    (value, gradient), (value_2, gradient_2) = run(W, integrate), run(W, frozen)
    np.testing.assert_allclose(value, value_2, **close)
    np.testing.assert_allclose(gradient, gradient_2, **close)


@only64
def test_the_gradient_reaches_what_a_field_closes_over(close):
    class Field(eqx.Module):
        W: jax.Array
        name: str = "with a static part"

        def __call__(self, t, y, args):
            return field(t, y, self.W)

    of = lambda f: score(INTEGRATE(f, TS, Y0S[0])[0])
    by_module = eqx.filter_jit(eqx.filter_grad(of))(Field(W)).W
    by_closure = jax.jit(jax.grad(lambda W: of(lambda t, y, _: field(t, y, W))))(W)
    by_args = GRADIENT(W, Y0S[0], TS)[0][0]
    np.testing.assert_allclose(by_module, by_args, **close)
    np.testing.assert_allclose(by_closure, by_args, **close)
