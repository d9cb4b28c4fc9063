"""The reversible adjoint: the gradient of the steps as taken, in memory that does not grow."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._integrate import _reversible
from ctmodels._integrate._reversible import Grid
from ctmodels._integrate._steps_back import pair_of, reversible_heun_of

Y0 = jnp.array([1.0, 0.5])
TS = jnp.array([0.0, 0.3, 0.3, 1.0])  # a repeat is a step of no length
KEYS = jax.random.split(jax.random.key(1), 3)
BY_SCAN, BACK = ct.DiscreteAdjoint(), ct.ReversibleAdjoint()


def general(theta, kind=1):
    """Two channels, three noises, which do not commute. `kind`: a whole number that the drift closes over."""
    diffusion = lambda t, y, _: 0.3 * jnp.stack([jnp.cos(theta * y), y, jnp.ones_like(y)], axis=1)
    drift = lambda t, y, _: -theta * y + jnp.asarray(kind, y.dtype) * jnp.sin(t).astype(y.dtype)
    return ct.fields.SDE(drift, diffusion, noise="general", interpretation="stratonovich")


def pendulum(theta):
    return lambda t, y, _: jnp.stack([y[1], -theta * jnp.sin(y[0])])


@pytest.mark.only("float64")
def test_gradients_are_those_of_a_scan_in_every_composition(tolerance):
    def gradients(adjoint):
        solver = ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(6), adjoint)
        loss = lambda theta, ts, y0, key: jnp.sum(
            solver(general(theta), ts, y0, key=key)[0] ** 2 * jnp.arange(4.0, dtype=y0.dtype)[:, None]
        )
        each = jax.vmap(jax.grad(loss, argnums=(0, 1, 2)), (None, None, None, 0))
        total = lambda theta: jnp.sum(jax.vmap(loss, (None, None, None, 0))(theta, TS, Y0, KEYS))
        chosen = lambda theta: jax.lax.cond(theta > 0.5, lambda x: loss(x, TS, Y0, KEYS[0]), lambda x: x, theta)
        of_few = jax.vmap(jax.grad(chosen))(jnp.array([0.3, 0.7]))
        return jax.jit(lambda theta: (each(theta, TS, Y0, KEYS), jax.value_and_grad(total)(theta), of_few))

    found, wanted = (jax.tree.leaves(gradients(adjoint)(jnp.asarray(0.7))) for adjoint in (BACK, BY_SCAN))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, **tolerance(10))
    np.testing.assert_allclose(found[4], jnp.sum(found[0]), **tolerance(10))  # the batch's is the samples' sum


class Model(eqx.Module):
    theta: jax.Array
    own: jax.Array  # times a number of each sample
    integrate: ct.Integrate = eqx.field(static=True)

    def __call__(self, x, ts, *, key=None):
        rate, kind = x.control
        sde = general(self.theta + rate * self.own, kind)
        return ct.Output(*self.integrate(sde, ts, x.y0, key=key))


@pytest.mark.only("float32")
def test_what_samples_have_in_common_is_summed_in_the_objective_and_for_each_batch_around_it(tolerance):
    rates, kinds = jnp.array([0.1, 0.2, 0.3, 0.5]), jnp.array([1, 2, 3, 4])
    x = ct.Driven(jnp.stack([Y0, -Y0, 2 * Y0, Y0 / 2]), (rates, kinds))
    batch = ct.Example(x, ct.Series(jnp.tile(TS, (4, 1)), jnp.ones((4, 4, 2)), jnp.ones((4, 4, 2), bool)))
    halves = jax.tree.map(lambda x: jnp.stack([x[:2], x[2:]]), batch)
    objective = ct.objective(ct.losses.squared)

    def gradients(adjoint):
        integrate = ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(2), adjoint)
        model = Model(jnp.asarray(0.7), jnp.asarray(1.0), integrate)
        gradient = eqx.filter_grad(lambda model, batch: objective(model, batch, KEYS[0], 0)[0])
        of_each = eqx.filter_vmap(gradient, in_axes=(None, 0))
        return eqx.filter_jit(lambda model: (gradient(model, batch), of_each(model, halves)))(model)

    found, wanted = (jax.tree.leaves(gradients(adjoint)) for adjoint in (BACK, BY_SCAN))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, **tolerance(10))


@pytest.mark.only("float64")
def test_a_pair_has_the_order_of_its_method_and_its_own_gradient(within):
    ts = jnp.array([0.0, 2.0])
    solver = lambda n: ct.Integrate(ct.RK4(), ct.Substeps(n), BACK)
    precise = ct.Integrate(diffrax.Dopri8(), diffrax.PIDController(rtol=1e-12, atol=1e-12))
    end = lambda solver: jax.jit(lambda theta: solver(pendulum(theta), ts, Y0)[0][-1])
    theta = jnp.asarray(2.0)
    wanted = end(precise)(theta)
    error = lambda n: jnp.max(jnp.abs(end(solver(n))(theta) - wanted))
    assert abs(jnp.log2(error(8) / error(32)) / 2 - 4) < 0.3
    loss = lambda theta: jnp.sum(solver(8)(pendulum(theta), ts, Y0)[0][-1] ** 2)
    quotient = (jax.jit(loss)(theta + 1e-5) - jax.jit(loss)(theta - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(theta), quotient, **within(1e-8))


@pytest.mark.only("float64")
@pytest.mark.parametrize("kind", ["SDE", "pair"])
@pytest.mark.parametrize("n", [1, 3])
def test_gradients_are_those_of_the_steps_there(kind, n, monkeypatch, tolerance):
    """As JAX finds them, for the field, each time and the start."""
    method = diffrax.ReversibleHeun() if kind == "SDE" else ct.RK4()
    solver, field = ct.Integrate(method, ct.Substeps(n), BACK), general if kind == "SDE" else pendulum

    def loss(theta, ts, y0):
        ys = solver(field(theta), ts, y0, key=KEYS[0])[0]
        return jnp.sum(ys**2 * jnp.arange(4.0)[:, None])

    gradient = lambda: jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(jnp.asarray(0.7), TS, Y0)
    found = gradient()
    plain = lambda differentiable, *args: _reversible._there(differentiable, *args[:-1])[0]
    monkeypatch.setattr(_reversible, "_run", plain)
    for a, b in zip(found, gradient(), strict=True):
        np.testing.assert_allclose(a, b, **tolerance())


@pytest.mark.only("float64")
@pytest.mark.parametrize("kind", ["SDE", "pair"])
def test_steps_back_lead_to_where_they_began(kind):
    sde = general(0.7)
    if kind == "SDE":
        steps, grid = reversible_heun_of("general"), Grid.of(200, KEYS[0], (3,), jnp.dtype("float64"))
        slopes = lambda t, y: (sde.drift(t, y, None), sde.diffusion(t, y, None))
    else:
        steps, grid = pair_of(ct.RK4().tableau, 0.999), Grid(200, None, (), jnp.dtype("float64"))
        slopes = lambda t, y: pendulum(2.0)(t, y, None)
    t0, t1, none = jnp.zeros(()), jnp.ones(()), jnp.zeros(2)
    pull = lambda f, args, cotangent: (f(slopes, *args), jax.tree.map(jnp.zeros_like, args))

    @jax.jit
    def there_and_back():
        begun = steps.begin(slopes, t0, Y0)
        there = lambda carry, i, dW: steps.there(slopes, carry, *grid.ends(t0, t1, i), dW)
        back = lambda at, i, dW: steps.back(pull, at, none, *grid.ends(t0, t1, i), dW)[0]
        end = grid.along(there, begun, 0)
        return end, grid.along(back, steps.turn(end, t1, grid.increment()), 0, reverse=True)

    end, back = there_and_back()
    assert jnp.max(jnp.abs(end[0] - Y0)) > 0.1
    if kind == "SDE":  # half a step is left, by the slopes at the beginning
        f, g = slopes(t0, Y0)
        y = back.half - 0.5 * ((back.t1 - back.t0) * f + (back.t1 - back.t0) ** 0.5 * g @ back.increment.w)
    else:
        y = back.y
    assert jnp.max(jnp.abs(y - Y0)) < 1e-12 and jnp.max(jnp.abs(back.z - Y0)) < 1e-12


@pytest.mark.only("float32")
def test_memory_does_not_grow_with_steps():
    def taken(n):
        solver = ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(n), BACK)
        loss = lambda theta: jnp.sum(solver(general(theta), TS[jnp.array([0, 3])], Y0, key=KEYS[0])[0] ** 2)
        return jax.jit(jax.grad(loss)).lower(jnp.asarray(0.7)).compile().memory_analysis().temp_size_in_bytes

    few, many = taken(2**8), taken(2**16)
    assert many < 2 * few  # of 256 times as many steps: two levels of increments more


REFUSED = {
    "adaptive steps": (ct.Integrate(adjoint=BACK), pendulum(2.0), "takes back the steps of a fixed grid"),
    "another method of SDEs": (
        ct.Integrate(diffrax.Heun(), ct.Substeps(1), BACK),
        general(0.7),
        r"of an SDE takes diffrax.ReversibleHeun\(\), and not Heun\(\)",
    ),
    "implicit": (ct.Integrate(diffrax.ImplicitEuler(), ct.Substeps(1), BACK), pendulum(2.0), "not ImplicitEuler"),
    "measures": (
        ct.Integrate(diffrax.Heun(), ct.Substeps(1), BACK, measures=(ct.measures.local_error,)),
        pendulum(2.0),
        "`local_error` is not measured of steps that are taken back",
    ),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_back_is_refused(name):
    solver, field, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        solver(field, TS, Y0, key=KEYS[0])
    with pytest.raises(ValueError, match="coupling=0.0"):
        ct.ReversibleAdjoint(0.0)
