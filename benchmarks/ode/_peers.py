"""`benchmarks.ode`: the same training step with other libraries. Those for PyTorch are optional; see README.md."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.ode._limit import FRESH
from benchmarks.ode._ours import MAX_STEPS, METHOD, OPTIMISER, Problem

TORCH = {"torchdiffeq": "torchdiffeq", "torchdiffeq_adjoint": "torchdiffeq", "torchode": "torchode"}  # peer: package
NAMES = ("diffrax_vmap", *TORCH)


class Peer(NamedTuple):
    """`step()` returns the loss. `evaluations`: of the field, in the forward pass; the mean over the samples."""

    name: str
    step: Callable[[], float]
    evaluations: float


def peers(problem: Problem) -> dict[str, Peer | str]:
    """Each of `NAMES`, or why it is not there."""
    return {name: _why_not(name) or _made(name, problem) for name in NAMES}


def versions() -> dict[str, str | None]:
    return {package: _version(package) for package in ("torch", *dict.fromkeys(TORCH.values()))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _why_not(name: str) -> str:
    if name not in TORCH:
        return ""
    if jax.default_backend() != "cpu":
        return "compared on the CPU only"
    return "" if _version("torch") and _version(TORCH[name]) else "not installed"


def _made(name: str, problem: Problem) -> Peer:
    if name not in TORCH:
        return diffrax_vmap(problem)
    from benchmarks.ode import _torch

    return getattr(_torch, name)(problem)


def diffrax_vmap(problem: Problem) -> Peer:
    """A step per sample, and diffrax's default adjoint."""
    ts, y0, targets = (jnp.asarray(x) for x in (problem.ts, problem.y0, problem.targets))

    def solve(field, y0):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field), METHOD, ts[0], ts[-1], None, y0, saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=problem.controller(), max_steps=MAX_STEPS,
        )  # fmt: skip

    def loss(field):
        ys = jax.vmap(lambda y0: solve(field, y0).ys)(y0)
        return jnp.mean((ys - targets) ** 2)

    @eqx.filter_jit(donate="all")
    def step(field, state):
        value, gradient = eqx.filter_value_and_grad(loss)(field)
        updates, state = OPTIMISER.update(gradient, state)
        return eqx.apply_updates(field, updates), state, value

    field = problem.field()
    tries = eqx.filter_jit(jax.vmap(lambda y0: solve(field, y0).stats["num_steps"]))(y0)
    state = OPTIMISER.init(eqx.filter(field, eqx.is_inexact_array))

    def once():
        nonlocal field, state
        field, state, value = jax.block_until_ready(step(field, state))
        return float(value)

    # One more for the first slope; none for the first step's length, which diffrax 0.7.2 takes to be 0.01.
    return Peer("vmap(diffrax.diffeqsolve)", once, 1 + FRESH * float(jnp.mean(tries, dtype=jnp.float32)))
