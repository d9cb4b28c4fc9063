"""States by components, or whole: the same solves, and the same gradients."""

import dataclasses

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._integrate._engine._components import Parts, by_entries, has_products

pytestmark = pytest.mark.mostly("float64")
A = np.random.default_rng(0).normal(size=(3, 3))
Y = np.array([0.3, -1.2, 0.7])


def unpacked(y):
    a, b, c = y
    return jnp.array([b * c, a - c, 2.0 * a])


def scanned(y):
    return jax.lax.scan(lambda y, _: (y * 0.9 + jnp.roll(y, 1), None), y, length=3)[0]


FIELDS = {
    "indices": lambda y: jnp.stack([y[-1] * y[0], y[1] ** 2, y[2] ** 1.0]),
    "unpacked": unpacked,
    "rolled": lambda y: (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.flip(y),
    "concatenated": lambda y: jnp.concatenate([y[1:], -y[:1]]),
    "split": lambda y: jnp.concatenate(jnp.split(y, [1])[::-1]),
    "product": lambda y: jnp.asarray(A, y.dtype) @ y,
    "from the left": lambda y: y @ jnp.asarray(A, y.dtype),
    "summed in another type": lambda y: jnp.dot(
        y.astype(jnp.bfloat16), jnp.asarray(A, jnp.bfloat16), preferred_element_type=jnp.float32
    ).astype(y.dtype),
    "differentiated": lambda y: jax.grad(lambda y: jnp.prod(y) + jnp.sum(jnp.sin(y) ** 2))(y),
    "outer": lambda y: jnp.outer(y, y)[1] + jnp.sum(y[:, None] * y[None], axis=0) + (y[None] * 2).T[:, 0],
    "norms": lambda y: y / jnp.linalg.norm(y) + jnp.sum(y**2, keepdims=True) + jnp.mean(y),
    "where": lambda y: jnp.where(y > 0, jnp.sin(y), jnp.clip(y, -1.0, 1.0)),
    "set": lambda y: jnp.zeros(3, y.dtype).at[0].set(y[1]).at[2].add(y[0]),
    "chosen": lambda y: y[jnp.array([2, 0, 0])],
    "softplus": lambda y: jax.nn.softplus(y) + jax.nn.sigmoid(y) + jnp.maximum(y, 0.0),
    "cond": lambda y: jax.lax.cond(y[0] > 0, lambda y: 2 * y, lambda y: y, y),
    "scanned": scanned,
    "constant": lambda y: jnp.array([1.0, 2.0, 3.0], y.dtype),
}


def test_a_field_by_entries_is_the_field_with_its_derivatives(tolerance):
    def both(y, u):
        def by_parts(field):
            run = by_entries(jax.make_jaxpr(field)(y))
            return lambda y: run(Parts.of(y)).array()

        pulled = lambda f: (f(y), *jax.vjp(f, y)[1](u), jax.jvp(f, (y,), (u,))[1])
        return {name: (pulled(field), pulled(by_parts(field))) for name, field in FIELDS.items()}

    found = jax.jit(both)(jnp.asarray(Y, float), jnp.asarray(Y[::-1].copy(), float))
    for name, (wanted, by_parts) in found.items():
        for one, other in zip(wanted, by_parts, strict=True):
            np.testing.assert_allclose(other, one, err_msg=name, **tolerance())


def test_what_multiplies_more_than_a_small_matrix_is_kept_whole():
    mlp = eqx.nn.MLP(3, 3, 3, 1, key=jax.random.key(0))
    traced = lambda f: jax.make_jaxpr(f)(jnp.asarray(Y, float))
    assert has_products(traced(mlp))
    assert has_products(traced(lambda y: jax.lax.scan(lambda y, _: (mlp(y), None), y, length=2)[0]))
    assert not any(has_products(traced(field)) for field in FIELDS.values())


def lorenz(t, y, args):
    common, rho = args
    sigma, beta = common
    a, b, c = y["ab"][0], y["ab"][1], y["c"]
    return {"ab": jnp.stack([sigma * (b - a), a * (rho[0] - c) - b + jnp.sin(t)]), "c": a * b - beta * c}


SOLVERS = {  # of few stages, as each is compiled in both layouts
    "per sample": ct.Integrate(diffrax.Bosh3(), diffrax.PIDController(rtol=1e-5, atol=1e-5)),
    "shared, summed, measured": ct.Integrate(
        diffrax.Dopri5(),
        diffrax.PIDController(rtol=1e-4, atol=1e-4),
        measures=(ct.measures.local_error, ct.measures.stiffness),
        batching="shared",
        cotangents="summed",
    ),
    "no FSAL, few kept": ct.Integrate(
        diffrax.Heun(), diffrax.PIDController(rtol=1e-3, atol=1e-3), adjoint=ct.DiscreteAdjoint(4), max_steps=256
    ),
    "substeps": ct.Integrate(ct.RK4(), ct.Substeps(2)),
    "substeps by time": ct.Integrate(diffrax.Heun(), ct.Substeps(1, longest=0.05), measures=(ct.measures.local_error,)),
    "given steps": ct.Integrate(diffrax.Bosh3(), diffrax.StepTo(jnp.linspace(0.0, 0.5, 21))),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_both_layouts_give_the_same(name, tolerance):
    n, solver = 3, SOLVERS[name]
    rng = np.random.default_rng(1)
    y0 = {"ab": rng.normal(size=(n, 2)), "c": 20 + rng.normal(size=n)}
    args = (np.array([10.0, 8 / 3]), rng.uniform(24, 32, size=(n, 1)))
    ts = np.array([0.0, 0.1, 0.17, 0.5])

    def values(layout, ts, y0, common, rho):
        laid_out = dataclasses.replace(solver, layout=layout)
        ys, stats = jax.vmap(lambda y, rho: laid_out(lorenz, ts, y, (common, rho)))(y0, rho)
        return jnp.sum(ys["ab"][:, -1] ** 2) + jnp.sum(ys["c"] ** 2) + sum(map(jnp.sum, stats.measures.values()))

    @jax.jit
    def both(*of):
        return [jax.value_and_grad(values, (1, 2, 3, 4))(layout, *of) for layout in ("components", "whole")]

    floats = jax.tree.map(lambda x: jnp.asarray(x, float), (ts, y0, *args))
    components, whole = both(*floats)
    assert np.isfinite(whole[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance(1000)), components, whole)


def test_many_cotangents_of_one_solve(tolerance):
    def jacobian(layout):
        solver = ct.Integrate(diffrax.Tsit5(), diffrax.PIDController(rtol=1e-5, atol=1e-5), layout=layout)
        field = lambda t, y, k: jnp.stack([y[1], -k * jnp.sin(y[0])])
        ends = lambda y, k: solver(field, jnp.linspace(0.0, 1.0, 3), y, k)[0][-1]
        return jax.vmap(jax.jacrev(ends, (0, 1)), (0, None))(
            jnp.asarray(Y[:2] * np.ones((2, 1)), float), jnp.asarray(2.0)
        )

    components, whole = jax.jit(lambda: (jacobian("components"), jacobian("whole")))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance(100)), components, whole)


def test_a_layout_is_one_of_three():
    with pytest.raises(ValueError, match="layout='rows': must be one of 'auto', 'components', 'whole'"):
        ct.Integrate(layout="rows")
