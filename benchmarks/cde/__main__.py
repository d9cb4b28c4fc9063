"""A neural CDE's forward and backward pass, beside the recipes of the torchcde and diffrax documentation.

128 series of 200 irregular times (in common, since torchcde wants that) and 8 channels, a random walk; hidden 32, a
field of one hidden layer of 64, silu, and a final tanh. float32, one core, which it pins, unless there is a GPU. All
have the same field; the loss is the mean of the last state's squares. All take turns in one process, warm; medians.
Compilation is not counted.

`x_limit`: ours over the bare cost of its field evaluations, one a row forward and one with its vjp, in compiled loops
of their own. `speedup_*`: the peer's time over ours. torchcde's adaptive recipe: Hermite cubics with backward
differences, dopri5, rtol 1e-4, atol 1e-6, the adjoint; its `rk4` takes a step from time to time, with the gradient
through it. diffrax's: the same cubic, Tsit5, rtol 1e-3, atol 1e-6, vmapped.

`accuracy_*`: on 1024 spirals of which 70 % of the values are missing, by increments and by the adaptive recipe on our
engine, after 400 steps of training on 1024 others. `log_ode_gib`: memory of a training step of `LogNCDE` on 32 series
of 17 000 rows.
"""

import importlib.util

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._harness import main
from benchmarks._timing import contest, pinned

LOOP = 50  # evaluations in one compiled loop, so that its dispatch does not count


class Problem:
    """Series and weights, as NumPy arrays for whatever library."""

    def __init__(self, batch=128, length=200, channels=8, hidden=32, width=64):
        rng = np.random.default_rng(0)
        self.ts = np.cumsum(rng.uniform(0.5, 1.5, length)).astype(np.float32) / length
        self.ys = (rng.normal(size=(batch, length, channels)).cumsum(axis=1) / length**0.5).astype(np.float32)
        self.hidden, self.width, self.channels = hidden, width, channels

    @property
    def control(self) -> np.ndarray:
        """Time, and the values."""
        ts = np.broadcast_to(self.ts[:, None], (*self.ys.shape[:2], 1))
        return np.concatenate([ts, self.ys], axis=2)

    def model(self, scheme=ct.IncrementScheme()) -> ct.NeuralCDE:
        key = jax.random.key(0)
        sizes = self.channels, self.hidden, self.hidden
        return ct.NeuralCDE(*sizes, width=self.width, intensity=False, solver=scheme, key=key)

    def series(self) -> ct.Series:
        ts = jnp.broadcast_to(self.ts, self.ys.shape[:2])
        return ct.Series(ts, jnp.asarray(self.ys), jnp.ones(self.ys.shape, bool))


def gradient_of(loss, model):
    """Forward and backward of a loss in the model's arrays, ready to be called."""
    step = eqx.filter_jit(eqx.filter_value_and_grad(loss))
    return lambda: float(jax.block_until_ready(step(model))[0])


def ours(problem: Problem, scheme):
    series, model = problem.series(), problem.model(scheme)
    last = lambda model, x: model(x, x.end).latents[-1]
    return gradient_of(lambda model: jnp.mean(jax.vmap(lambda x: last(model, x))(series) ** 2), model)


def by_diffrax(problem: Problem):
    """The recipe of its documentation's example."""
    ts, xs = jnp.asarray(problem.ts), jnp.asarray(problem.control)
    coefficients = jax.vmap(diffrax.backward_hermite_coefficients, (None, 0))(ts, xs)

    def last(model, z0, coefficients):
        control = diffrax.CubicInterpolation(ts, coefficients)
        term = diffrax.ControlTerm(lambda t, z, args: model.field(z), control).to_ode()
        steps = diffrax.PIDController(rtol=1e-3, atol=1e-6)
        solution = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), ts[0], ts[-1], None, z0, stepsize_controller=steps, max_steps=16**4
        )
        return solution.ys[-1]

    def loss(model):
        start = jnp.concatenate([xs[:, 0, 1:], jnp.ones_like(xs[:, 0, 1:])], axis=1)
        z0 = jax.vmap(model.initial)(start)
        return jnp.mean(jax.vmap(last, (None, 0, 0))(model, z0, coefficients) ** 2)

    return gradient_of(loss, problem.model())


def by_torchcde(problem: Problem):
    """Both of its recipes."""
    import torch
    import torchcde

    torch.set_num_threads(1)
    model = problem.model()

    def linear(layer):
        made = torch.nn.Linear(*layer.weight.shape[::-1])
        made.weight.data, made.bias.data = torch.tensor(np.array(layer.weight)), torch.tensor(np.array(layer.bias))
        return made

    a, b, c, d = map(linear, (*model.initial.layers, *model.field.mlp.layers))
    initial = torch.nn.Sequential(a, torch.nn.ReLU(), b)
    mlp = torch.nn.Sequential(c, torch.nn.SiLU(), d, torch.nn.Tanh())

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = mlp

        def forward(self, t, z):
            return self.mlp(z).view(*z.shape, -1)

    field, ts, xs = Field(), torch.tensor(problem.ts), torch.tensor(problem.control)
    path = torchcde.CubicSpline(torchcde.hermite_cubic_coefficients_with_backward_differences(xs, ts), ts)

    def once(**options):
        values = xs[:, 0, 1:]
        z0 = initial(torch.cat([values, torch.ones_like(values)], dim=1))
        loss = (torchcde.cdeint(path, field, z0, ts[[0, -1]], **options)[:, -1] ** 2).mean()
        loss.backward()
        return loss.item()

    grid = dict(method="rk4", adjoint=False, options=dict(grid_constructor=lambda f, y0, t: ts))
    return {"torchcde_adaptive": once, "torchcde_rk4": lambda: once(**grid)}


def bare(problem: Problem):
    """`LOOP` evaluations of the batched field times an increment, and of it with its vjp."""
    trained, static = eqx.partition(problem.model().field, eqx.is_inexact_array)
    z = jnp.ones((len(problem.ys), problem.hidden))
    dX = jnp.asarray(problem.control[:, 1] - problem.control[:, 0])
    f = lambda trained, z: jax.vmap(lambda z, dX: eqx.combine(trained, static)(z) @ dX)(z, dX)

    @jax.jit
    def forward(trained, z):
        return jax.lax.fori_loop(0, LOOP, lambda i, z: f(trained, z), z)

    @jax.jit
    def with_vjp(trained, z):
        def one(i, carry):
            z, total = carry
            slope, pull = jax.vjp(f, trained, z)
            of_trained, of_z = pull(jnp.ones_like(slope))
            return slope + of_z, jax.tree.map(jnp.add, total, of_trained)

        return jax.lax.fori_loop(0, LOOP, one, (z, jax.tree.map(jnp.zeros_like, trained)))

    run = lambda g: lambda: jax.block_until_ready(g(trained, z))
    return {"f": run(forward), "f and vjp": run(with_vjp)}


def accuracy(scheme, number: int, samples: int, steps: int) -> float:
    """On as many new spirals as were learnt from, turning left or right."""

    def spirals(rng):
        labels, found = np.arange(number) % 2, []
        for label in labels:
            ts = np.cumsum(rng.uniform(0.2, 1.8, samples)) / samples
            turn = (1 if label else -1) * 4 * np.pi * ts + rng.uniform(0, 2 * np.pi)
            ys = np.exp(-2 * ts[:, None]) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            ys[rng.uniform(size=ys.shape) < 0.7] = np.nan
            found.append(ct.Series.from_nan(np.pi * ts, ys, one_of_many=True))
        return ct.collate(found), jnp.asarray(labels)

    rng = np.random.default_rng(0)
    train, (series, labels) = spirals(rng), spirals(rng)
    model = ct.NeuralCDE(2, 16, 2, width=64, solver=scheme, key=jax.random.key(0))
    adam = optax.adam(optax.cosine_decay_schedule(5e-3, steps))
    step = ct.make_step(ct.objective(ct.losses.cross_entropy), optax.chain(optax.clip_by_global_norm(1.0), adam))
    state = step.init(model, key=jax.random.key(1))
    state = ct.fit(step, state, ct.ArrayDataset(ct.Example(*train)), steps=steps, batch_size=min(64, number))
    answers = eqx.filter_jit(lambda model, xs: jax.vmap(lambda x: model(x, x.end).ys[-1])(xs))(state.model, series)
    return float(jnp.mean(jnp.argmax(answers, axis=1) == labels))


def log_ode_memory(length: int, batch: int) -> float:
    """GiB that a training step's program takes, without running it."""
    model = ct.LogNCDE(6, 32, 5, window=100, depth=2, key=jax.random.key(0))
    shape = lambda *s, dtype=jnp.float32: jax.ShapeDtypeStruct((batch, *s), dtype)
    series = ct.Series(shape(length), shape(length, 6), shape(length, 6, dtype=bool))
    trained, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(trained, xs):
        model = eqx.combine(trained, static)
        return jnp.mean(jax.vmap(lambda x: model(x, x.end).ys[-1])(xs) ** 2)

    memory = jax.jit(jax.grad(loss)).lower(trained, series).compile().memory_analysis()
    return (memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes) / 2**30


def run(quick: bool) -> tuple[list[dict], dict]:
    problem = Problem(4, 8, 2, 4, 8) if quick else Problem()
    adaptive = ct.Integrate(controller=diffrax.PIDController(rtol=1e-3, atol=1e-6), adjoint=ct.DiscreteAdjoint(256))
    steps = {
        "increments": ours(problem, ct.IncrementScheme()),
        "heun": ours(problem, ct.IncrementScheme(heun=True)),
        **bare(problem),
    }
    if not quick:
        steps |= {"ours_adaptive": ours(problem, adaptive), "diffrax_adaptive": by_diffrax(problem)}
        if importlib.util.find_spec("torchcde"):
            steps |= by_torchcde(problem)
    taken = contest(steps, 0 if quick else 120)
    rows_of = len(problem.ts) - 1
    limit = rows_of * (taken["f"] + taken["f and vjp"]) / LOOP
    size = (16, 10, 3) if quick else (1024, 50, 400)
    summary = {
        "x_limit": taken["increments"] / limit,
        "x_limit_heun": taken["heun"] / (2 * limit),
        **{f"speedup_{n}": taken[n] / taken["increments"] if n in taken else None for n in PEERS},
        "accuracy_increments": accuracy(ct.IncrementScheme(), *size),
        "accuracy_adaptive": accuracy(adaptive, *size),
        "log_ode_gib": log_ode_memory(200 if quick else 17_000, 2 if quick else 32),
    }
    return [{"what": name, "ms": 1e3 * seconds} for name, seconds in taken.items()], summary


PEERS = "ours_adaptive", "diffrax_adaptive", "torchcde_adaptive", "torchcde_rk4"

if __name__ == "__main__":
    pinned("cde")
    main("cde", run)
