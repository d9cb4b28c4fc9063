"""Stochastic differential equations: what a solve and its gradient cost, beside a scan by hand, diffrax and torchsde.

On one core, which it pins. A batch of samples, each with noise of its own; drift and diffusion are MLPs of one hidden
layer; Euler-Maruyama with 100 steps in float32; the loss is the mean square of the states at all steps, and its
gradient is in the weights. All take turns in one process, warm; medians. Compilation is not counted.

`x_scan`, `gradient_x_scan`: ours over the scan by hand, saved at each step; `substeps_x_scan`, ...: with all steps
between two save times. `speedup_*`: the peer's forward pass and gradient, together, over ours. The signature kernel is
compared in float64.

`reversible_backward_x`: the backward pass of the reversible adjoint over its forward pass, in an objective, which sums
the weights' cotangents; `scan_backward_x`: of the same method by a scan's. `memory_growth`: the memory that the
reversible gradient takes for 100 000 steps over that for 100.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx

import ctmodels as ct
from benchmarks._harness import main
from benchmarks._timing import contest, pinned
from benchmarks.sde._kernel import kernel_x_tensordev


class Setting(NamedTuple):
    batch: int = 128
    state: int = 8
    steps: int = 100
    width: int = 64


class Model(eqx.Module):
    """Drift and diffusion."""

    f: eqx.nn.MLP
    g: eqx.nn.MLP

    @classmethod
    def of(cls, s: Setting) -> "Model":
        of_f, of_g = jax.random.split(jax.random.key(0))
        f = eqx.nn.MLP(s.state, s.state, s.width, 1, jax.nn.silu, key=of_f)
        return cls(f, eqx.nn.MLP(s.state, s.state, s.width, 1, jax.nn.silu, jax.nn.sigmoid, key=of_g))

    def sde(self, interpretation: str = "ito") -> ct.fields.SDE:
        drift, diffusion = (lambda t, y, args: self.f(y)), (lambda t, y, args: self.g(y))
        return ct.fields.SDE(drift, diffusion, interpretation=interpretation)


def by_hand(s: Setting) -> Callable:
    h = 1 / s.steps

    def solve(model, y0, key):
        def one(y, i):
            dW = h**0.5 * jax.random.normal(jax.random.fold_in(key, i), y.shape)
            y = y + h * model.f(y) + model.g(y) * dW
            return y, y

        return jax.lax.scan(one, y0, jnp.arange(s.steps))[1]

    return solve


def ours(times: int, steps: int) -> Callable:
    """`steps` between each two of so many times."""
    ts, solver = jnp.linspace(0.0, 1.0, times), ct.Integrate(diffrax.Euler(), ct.Substeps(steps))
    return lambda model, y0, key: solver(model.sde(), ts, y0, key=key)[0]


def by_diffrax(s: Setting) -> Callable:
    h, ts = 1 / s.steps, jnp.linspace(0.0, 1.0, s.steps + 1)

    def solve(model, y0, key):
        tree = diffrax.VirtualBrownianTree(0.0, 1.0, tol=h / 2, shape=y0.shape, key=key)
        diffusion = diffrax.ControlTerm(lambda t, y, args: lx.DiagonalLinearOperator(model.g(y)), tree)
        terms = diffrax.MultiTerm(diffrax.ODETerm(lambda t, y, args: model.f(y)), diffusion)
        save = diffrax.SaveAt(ts=ts)
        return diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, 1.0, h, y0, saveat=save, max_steps=s.steps + 1).ys

    return solve


def passes(solve: Callable, s: Setting) -> dict[str, Callable]:
    model, keys = Model.of(s), jax.random.split(jax.random.key(1), s.batch)
    y0 = jax.random.normal(jax.random.key(2), (s.batch, s.state))
    loss = lambda model: jnp.mean(jax.vmap(lambda y0, key: solve(model, y0, key))(y0, keys) ** 2)
    forward, gradient = eqx.filter_jit(loss), eqx.filter_jit(eqx.filter_grad(loss))
    return {
        "forward": lambda: jax.block_until_ready(forward(model)),
        "gradient": lambda: jax.block_until_ready(gradient(model)),
    }


def by_torchsde(s: Setting) -> dict[str, Callable]:
    import torch
    import torchsde

    torch.set_num_threads(1)
    net = lambda *last: torch.nn.Sequential(
        torch.nn.Linear(s.state, s.width), torch.nn.SiLU(), torch.nn.Linear(s.width, s.state), *last
    )

    class Problem(torch.nn.Module):
        sde_type, noise_type = "ito", "diagonal"

        def __init__(self):
            torch.nn.Module.__init__(self)
            self.drift, self.diffusion = net(), net(torch.nn.Sigmoid())

        def f(self, t, y):
            return self.drift(y)

        def g(self, t, y):
            return self.diffusion(y)

    problem, y0 = Problem(), torch.randn(s.batch, s.state)
    ts = torch.linspace(0, 1, s.steps + 1)
    loss = lambda: torchsde.sdeint(problem, y0, ts, method="euler", dt=1 / s.steps).square().mean()
    parameters = list(problem.parameters())
    return {"forward": lambda: loss().detach(), "gradient": lambda: torch.autograd.grad(loss(), parameters)}


class Solved(eqx.Module):
    """The model as one of ours, for an objective."""

    of: Model
    integrate: ct.Integrate

    def __call__(self, x, ts, *, key=None):
        return ct.Output(*self.integrate(self.of.sde("stratonovich"), ts, x, key=key))


def in_objective(s: Setting, adjoint) -> dict[str, Callable]:
    """Reversible Heun, by this adjoint."""
    ts = jnp.linspace(0.0, 1.0, s.steps + 1)
    y0 = jax.random.normal(jax.random.key(2), (s.batch, s.state))

    def squares(model, y0, key):
        out = model(y0, ts, key=key)
        return jnp.sum(out.ys**2), jnp.asarray(out.ys.size, out.ys.dtype), out

    objective = ct.objective(squares)
    model = Solved(Model.of(s), ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(1), adjoint))
    value = lambda model: objective(model, y0, jax.random.key(1), 0)[0]
    forward, gradient = eqx.filter_jit(value), eqx.filter_jit(eqx.filter_grad(value))
    return {
        "forward": lambda: jax.block_until_ready(forward(model)),
        "gradient": lambda: jax.block_until_ready(gradient(model)),
    }


def memory(s: Setting, steps: int) -> int:
    """Bytes of the batch's gradient, by the reversible adjoint, beside what it is given and gives."""
    solver = ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(steps), ct.ReversibleAdjoint())
    trained, static = eqx.partition(Model.of(s), eqx.is_inexact_array)

    def loss(trained):
        sde, ts = eqx.combine(trained, static).sde("stratonovich"), jnp.array([0.0, 1.0])
        one = lambda key: jnp.sum(solver(sde, ts, jnp.ones(s.state), key=key)[0] ** 2)
        return jnp.sum(jax.vmap(one)(jax.random.split(jax.random.key(0), s.batch)))

    return jax.jit(jax.grad(loss)).lower(trained).compile().memory_analysis().temp_size_in_bytes


SAVED, SUBSTEPS = "ctmodels, saved at each step", "ctmodels, Substeps"
BY_SCAN, BACK = "reversible Heun, by a scan", "reversible Heun, taken back"


def contestants(s: Setting) -> dict[str, dict[str, Callable]]:
    found = {
        "scan by hand": passes(by_hand(s), s),
        SAVED: passes(ours(s.steps + 1, 1), s),
        SUBSTEPS: passes(ours(2, s.steps), s),
        BY_SCAN: in_objective(s, ct.DiscreteAdjoint()),
        BACK: in_objective(s, ct.ReversibleAdjoint()),
        "diffrax": passes(by_diffrax(s), s),
    }
    if find_spec("torchsde"):
        found["torchsde"] = by_torchsde(s)
    return found


def run(quick: bool) -> tuple[list[dict], dict]:
    s = Setting(4, 2, 4, 4) if quick else Setting()
    all_of_them = contestants(s)
    turns = {(name, part): work for name, parts in all_of_them.items() for part, work in parts.items()}
    taken = contest(turns, 0.5 if quick else 60.0)
    over = lambda name, part, other: taken[name, part] / taken[other, part]
    over_forward = lambda name: taken[name, "gradient"] / taken[name, "forward"] - 1
    both = lambda name: taken[name, "forward"] + taken[name, "gradient"]
    rows = [
        {
            "solver": name,
            **{f"{part} ms": 1e3 * taken[name, part] for part in ("forward", "gradient")},
            **{f"{part} x scan": over(name, part, "scan by hand") for part in ("forward", "gradient")},
        }
        for name in all_of_them
    ]
    summary = {
        **{
            f"{label}x_scan": both(name) / both("scan by hand")
            for label, name in (("", SAVED), ("substeps_", SUBSTEPS))
        },
        "gradient_x_scan": over(SAVED, "gradient", "scan by hand"),
        **{
            f"speedup_{name}": both(name) / both(SAVED) if name in all_of_them else None
            for name in ("diffrax", "torchsde")
        },
        "reversible_backward_x": over_forward(BACK),
        "scan_backward_x": over_forward(BY_SCAN),
        "memory_growth": memory(s, 200 if quick else 100_000) / memory(s, 100),
        **kernel(quick),
        "backend": jax.default_backend(),
    }
    return rows, summary


def kernel(quick: bool) -> dict:
    with jax.enable_x64(True):  # pyright: ignore
        return kernel_x_tensordev(*((4, 5, 2, 0.2) if quick else (64, 64, 3, 20.0)))


if __name__ == "__main__":
    pinned("sde")
    main("sde", run)
