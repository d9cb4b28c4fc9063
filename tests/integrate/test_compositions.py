"""Transformations around a solve and within it: each engine, each composition, against the closed form.

y' = c w y from y0, to T: y(T) = y0 exp(c w T). What is differentiated is a function of one sample (w, y0, T, which);
each case is taken as the value of a vmap, as a vmap of gradients, and as the gradient of a vmap's sum.
"""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

X64 = jax.config.jax_enable_x64
PID = diffrax.PIDController(rtol=1e-7 if X64 else 1e-5, atol=1e-8 if X64 else 1e-6)
integrate = functools.partial(ct.Integrate, controller=PID, max_steps=512)
COARSE = diffrax.PIDController(rtol=1e-5, atol=1e-6)  # the step of Heun's method is held by its error of first order
OURS = {  # of few stages, as each is compiled in every solve of every case
    "ours": integrate(diffrax.Heun(), controller=COARSE),
    "ours, shared": integrate(diffrax.Heun(), controller=COARSE, batching="shared"),
    "ours, a small buffer": integrate(diffrax.Heun(), controller=COARSE, adjoint=ct.DiscreteAdjoint(4)),
    "ours, shared, a small buffer": integrate(diffrax.Bosh3(), adjoint=ct.DiscreteAdjoint(4), batching="shared"),
    "ours, Bosh3": integrate(diffrax.Bosh3()),
    "ours, Dopri8": integrate(diffrax.Dopri8()),
}
OTHERS = {
    "fixed grid": ct.Integrate(ct.RK4(), ct.Substeps(32)),
    "StepTo": ct.Integrate(ct.RK4(), diffrax.StepTo(jnp.linspace(0, 1, 33))),
    "DirectAdjoint": integrate(adjoint=diffrax.DirectAdjoint(), max_steps=64),
    "BacksolveAdjoint": integrate(adjoint=diffrax.BacksolveAdjoint()),
    "RecursiveCheckpointAdjoint": integrate(adjoint=diffrax.RecursiveCheckpointAdjoint()),
}
ENGINES = OURS | OTHERS
NO_TIMES = "StepTo", "BacksolveAdjoint"  # these have ends of their own, or no gradient in the times


@pytest.fixture
def close(within):
    """As closely as the steps are controlled."""
    return within(2e-5, absolute=1e-6) if X64 else within(2e-3, absolute=1e-4)


W, Y0 = jnp.array([0.3, 0.5, -0.4, 0.2]), jnp.array([1.0, 2.0, 3.0, 0.5])
T, WHICH = jnp.ones(4), jnp.array([0, 1, 2, 1])
RATES = 1.0, -2.0, 0.5


def end(engine, c, w, y, T, field=lambda t, y, w: w * y):
    ts = jnp.stack([jnp.zeros_like(T), 0.4 * T, T])
    return engine(field, ts, y[None], c * w)[0][-1, 0]


def by_switch(engine, w, y, T, which):
    return jax.lax.switch(which, [functools.partial(end, engine, c) for c in RATES], w, y, T)


def by_cond(engine, w, y, T, which):
    closed = lambda c: lambda: end(engine, c, w, y, T)
    return jax.lax.cond(which == 1, closed(RATES[1]), closed(RATES[0]))


def by_one_cond(engine, w, y, T, which):
    """One predicate for all lanes, not known before."""
    yes = jax.lax.optimization_barrier(jnp.array(True))
    return jax.lax.cond(yes, lambda: end(engine, 1.0, w, y, T), lambda: y * w)


def by_cond_of_unequal(engine, w, y, T, which):
    """Branches whose solves have little in common but what they keep: all lanes are of one shape to JAX."""
    kick = lambda t, y, w: w * y + 0 * jnp.sin(40 * t)
    first, second = lambda: end(engine, 1.0, w, y, T), lambda: end(engine, -2.0, w, 1000 * y, T, kick)
    return jax.lax.cond(which == 1, second, first)


def by_scan(engine, w, y, T, which):
    return jax.lax.scan(lambda y, c: (end(engine, c, w, y, T), None), y, jnp.array(RATES[:2]))[0]


def by_map(engine, w, y, T, which):
    return jnp.sum(jax.lax.map(lambda c: end(engine, c, w, y, T), jnp.array(RATES[:2])))


def by_checkpoint(engine, w, y, T, which):
    return jax.checkpoint(functools.partial(end, engine, 1.0))(w, y, T)


def by_custom_vjp(engine, w, y, T, which):
    solve = functools.partial(end, engine, 1.0)
    own = jax.custom_vjp(solve)
    own.defvjp(lambda *x: (solve(*x), x), lambda x, ct: jax.vjp(solve, *x)[1](ct))
    return own(w, y, T)


def by_cond_in_scan(engine, w, y, T, which):
    return in_scan(functools.partial(end, engine, 1.0), lambda w, y, T: y * jnp.exp(-2 * w * T), w, y, T, which)


def by_cond_of_two_in_scan(engine, w, y, T, which):
    return in_scan(functools.partial(end, engine, 1.0), functools.partial(end, engine, -2.0), w, y, T, which)


def in_scan(yes, no, w, y, T, which):
    return jax.lax.scan(lambda y, i: (jax.lax.cond(which == i, yes, no, w, y, T), None), y, jnp.arange(2))[0]


@jax.custom_vjp
def doubled(x):
    return 2 * x


doubled.defvjp(lambda x: (2 * x, None), lambda _, ct: (2 * ct,))


def inside(engine, w, y, T, which):
    """A field of all of them: its value is that of w y."""

    def field(t, y, w):
        w = jax.lax.switch(jnp.minimum(which, 1), [lambda w: w * 1, lambda w: w * 1.0], w)
        y = jax.lax.cond(which == 2, lambda y: 0.5 * doubled(y), lambda y: y, y)
        part = jax.lax.scan(lambda s, _: (s + 0.25 * w * y, None), jnp.zeros_like(y), None, length=2)[0]
        rest = jax.checkpoint(lambda w, y: jnp.sum(jax.lax.map(lambda q: q * w * y, jnp.array([0.2, 0.3])), axis=0))
        return part + rest(w, y)

    return end(engine, 1.0, w, y, T, field)


def exact(factor):
    return lambda w, y, T, which: y * jnp.exp(factor(which) * w * T)


BY_WHICH = lambda which: jnp.array(RATES)[which]
PICKED = lambda which: jnp.where(which == 1, -2.0, 1.0)
CASES = {
    by_switch: exact(BY_WHICH),
    by_cond: exact(PICKED),
    by_one_cond: exact(lambda which: 1.0),
    by_cond_of_unequal: lambda w, y, T, which: exact(PICKED)(w, y, T, which) * jnp.where(which == 1, 1000, 1),
    by_scan: exact(lambda which: -1.0),
    by_map: lambda w, y, T, which: y * jnp.exp(w * T) + y * jnp.exp(-2 * w * T),
    by_checkpoint: exact(lambda which: 1.0),
    by_custom_vjp: exact(lambda which: 1.0),
    by_cond_in_scan: exact(lambda which: jnp.where(which < 2, -1.0, -4.0)),
    by_cond_of_two_in_scan: exact(lambda which: jnp.where(which < 2, -1.0, -4.0)),
    inside: exact(lambda which: 1.0),
}
TABLE = [("ours", case) for case in CASES if case is not by_map]  # whose sums Heun's method does not follow closely
TABLE += [("ours, shared", case) for case in (by_switch, by_cond_of_unequal, by_one_cond, by_cond_of_two_in_scan)]
TABLE += [("ours, a small buffer", case) for case in (by_cond_of_unequal, by_cond_of_two_in_scan)]
TABLE += [("ours, shared, a small buffer", case) for case in (by_cond_of_unequal, by_checkpoint)]
TABLE += [("ours, Bosh3", by_map)]
TABLE += [("ours, Dopri8", case) for case in (by_cond_of_unequal, by_map)]
TABLE += [(name, case) for name in OTHERS for case in (by_switch, by_scan)] + [
    ("StepTo", by_cond),
    ("BacksolveAdjoint", by_checkpoint),
]
# Each composition, and each engine but those of Diffrax's adjoints, which take long to trace; the whole table is slow.
USUAL = {
    ("ours", by_cond_in_scan),
    ("ours", by_custom_vjp),
    ("ours", inside),
    ("ours, shared", by_one_cond),
    ("ours, a small buffer", by_cond_of_unequal),
    ("ours, shared, a small buffer", by_checkpoint),
    ("ours, Bosh3", by_map),
    ("fixed grid", by_switch),
    ("StepTo", by_cond),
    ("fixed grid", by_scan),
}


def marked(row):
    """Long, and what they show does not depend on the precision: the two processes share them."""
    light = row[0] in OTHERS or row[0] in ("ours, Bosh3", "ours, Dopri8", "ours, shared, a small buffer")
    marks = [pytest.mark.only("float32" if light else "float64")]
    return pytest.param(*row, marks=marks if row in USUAL else [*marks, pytest.mark.slow])


# Equinox's checkpointed loop, in a `cond` that is differentiated within a vmap, says "Nonconstant batch".
REFUSED = ("RecursiveCheckpointAdjoint", by_switch)


def ways(f, argnums, refused=False):
    """A value for each lane, a gradient for each lane, and the gradient of the sum, of what lanes share and of each."""
    loss = lambda *x: f(*x) ** 2

    def all_of_them(W, Y0, T, WHICH):
        each = None if refused else jax.vmap(jax.grad(loss, argnums))(W, Y0, T, WHICH)
        summed = jax.grad(lambda w, Y0: jnp.sum(jax.vmap(loss, (None, 0, 0, 0))(w, Y0, T, WHICH)), (0, 1))(W[0], Y0)
        return {"value": jax.vmap(f)(W, Y0, T, WHICH), "each": each, "summed": summed}

    return jax.jit(all_of_them)(W, Y0, T, WHICH)


@pytest.mark.parametrize(
    "name, case", [marked(row) for row in TABLE], ids=lambda x: x if isinstance(x, str) else x.__name__
)
def test_every_composition_gives_the_closed_form(name, case, close):
    argnums = (0, 1) if name in NO_TIMES else (0, 1, 2)
    refused = (name, case) == REFUSED
    found, wanted = (ways(f, argnums, refused) for f in (functools.partial(case, ENGINES[name]), CASES[case]))
    jax.tree.map(functools.partial(np.testing.assert_allclose, **close), found, wanted)


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", ["ours", "ours, shared", "fixed grid"])
def test_a_while_loop_of_solves_forward(name, close):
    """As many solves as the sample says."""

    def repeated(w, y, which):
        one = lambda s: (s[0] + 1, end(ENGINES[name], 1.0, w, s[1], jnp.ones_like(y)))
        return jax.lax.while_loop(lambda s: s[0] < which, one, (jnp.zeros_like(which), y))[1]

    found = jax.jit(jax.vmap(repeated))(W, Y0, WHICH)
    np.testing.assert_allclose(found, Y0 * jnp.exp(WHICH.astype(W.dtype) * W), **close)


# -- an objective, whose vmap over samples may be differentiated, or be within what is


class Linear(eqx.Module):
    w: jax.Array

    def __call__(self, t, y, args):
        return self.w * y


USUALLY, ALL = ("batch", "sample", "each"), ("batch", "sample", "sweep", "sum", "each")
EACH = pytest.param("per_sample", USUALLY, marks=pytest.mark.only("float64"))
MORE = pytest.param("per_sample", ALL, marks=[pytest.mark.only("float64"), pytest.mark.slow])
TOGETHER = pytest.param("shared", ALL, marks=[pytest.mark.only("float32"), pytest.mark.slow])


@pytest.mark.parametrize("batching, asked", [EACH, MORE, TOGETHER], ids=["per_sample", "all_per_sample", "all_shared"])
def test_gradients_of_an_objective_for_each_batch_and_each_sample(batching, asked, close):
    engine = integrate(diffrax.Heun(), controller=COARSE, batching=batching)
    y0 = jnp.arange(1.0, 7.0).reshape(3, 2, 1)
    times = jnp.linspace(0, 1, 3)
    target = lambda *lead: ct.Series(
        jnp.broadcast_to(times, (*lead, 3)), jnp.zeros((*lead, 3, 1)), jnp.ones((*lead, 3, 1), bool)
    )
    judge = ct.objective(ct.losses.squared)
    loss = lambda w, batch: judge(ct.NeuralODE(Linear(w), 1, integrate=engine), batch, jax.random.key(0), 0)[0]

    def all_of_them(w):
        batches = ct.Example(ct.Driven(y0), target(3, 2))
        samples = ct.Example(ct.Driven(y0.reshape(6, 1, 1)), target(6, 1))
        of_batches = lambda w: jax.vmap(loss, (None, 0))(w, batches)
        grad = jax.grad(loss)
        found = {
            "batch": lambda: jax.vmap(grad, (None, 0))(w, batches),
            "sample": lambda: jax.vmap(grad, (None, 0))(w, samples),
            "sweep": lambda: jax.vmap(lambda w: grad(w, jax.tree.map(lambda x: x[0], batches)))(jnp.stack([w, 2 * w])),
            "sum": lambda: jax.grad(lambda w: jnp.sum(of_batches(w)))(w),
            "each": lambda: jax.jacrev(of_batches)(w),
        }
        return {name: found[name]() for name in asked}

    w = jnp.array(0.3)
    slope = lambda w: jnp.mean(2 * times * jnp.exp(2 * w * times))  # of the mean of (y0 exp(w t))^2 / y0^2
    batch = jnp.mean(y0**2, axis=(1, 2)) * slope(w)
    wanted = {"batch": batch, "sample": jnp.ravel(y0**2) * slope(w), "sum": jnp.sum(batch), "each": batch}
    wanted["sweep"] = jnp.mean(y0[0] ** 2) * jnp.stack([slope(w), slope(2 * w)])
    wanted = {name: wanted[name] for name in asked}
    jax.tree.map(functools.partial(np.testing.assert_allclose, **close), jax.jit(all_of_them)(w), wanted)


@pytest.mark.only("float32")
def test_a_loss_that_takes_the_gradient_of_its_sample(close):
    engine = integrate(diffrax.Heun(), controller=COARSE)

    def weighted(model, y0, key):
        still = jax.lax.stop_gradient
        square = lambda w: model.integrate(Linear(w), jnp.array([0.0, 1.0]), y0)[0][-1, 0] ** 2
        ys, stats = model.integrate(model.field, jnp.array([0.0, 1.0]), y0)
        slope = jax.grad(square)(still(model.field.w))
        return slope * ys[-1, 0], jnp.ones(()), ct.Output(ys, stats)

    judge = ct.objective(weighted)
    y0 = jnp.array([[1.0], [2.0], [3.0]])

    def loss(w):
        model = ct.NeuralODE(Linear(w), 1, integrate=engine)
        return judge(model, y0, jax.random.key(0), 0)[0]

    w = jnp.array(0.3)
    wanted = jnp.mean(2 * y0**2 * jnp.exp(2 * w) * y0 * jnp.exp(w))
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(w), wanted, **close)
