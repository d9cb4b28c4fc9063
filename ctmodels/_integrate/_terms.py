"""What diffrax is given to solve: a field's term; of an SDE, a drift's and a diffusion's along a Brownian tree."""

import dataclasses
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax as lx

from ctmodels._integrate._langevin import is_underdamped
from ctmodels._integrate._problem import Noise, Problem


def terms_of(problem: Problem, wider, times, controller):
    """The terms, in the `wider` type of state and times; and the controller, which for an SDE keeps steps above what
    the tree tells apart: shorter ones would see no noise."""
    ts, y0, noise = problem.ts, problem.y0, problem.noise
    narrower = lambda of: lambda t, y, args: of(jnp.asarray(t, ts.dtype), y.astype(y0.dtype), args).astype(wider)
    drift = diffrax.ODETerm(narrower(problem.field))
    if noise is None:
        return drift, controller
    span = jnp.where(times[-1] > times[0], times[-1] - times[0], 1)
    shortest = getattr(controller, "dtmin", None)
    if shortest is None:
        shortest = span / (4 * problem.integrate.max_steps)
        controller = dataclasses.replace(controller, dtmin=shortest, force_dtmin=False)
    tree = diffrax.VirtualBrownianTree(
        times[0],
        times[0] + span,
        tol=shortest / 2,
        shape=jax.ShapeDtypeStruct(noise.shape, wider),
        key=noise.key,
        levy_area=_area_for(problem.integrate.method),
    )
    if is_underdamped(problem.integrate.method):
        return _underdamped(noise.sde, y0, wider, tree), controller
    return diffrax.MultiTerm(drift, diffrax.ControlTerm(_operator(narrower(noise.diffusion), noise), tree)), controller


def _area_for(method) -> type:
    least = getattr(getattr(method, "solver", method), "minimal_levy_area", None)  # of diffrax.HalfSolver
    return (
        diffrax.SpaceTimeTimeLevyArea if least is diffrax.AbstractSpaceTimeTimeLevyArea else diffrax.SpaceTimeLevyArea
    )


def _underdamped(sde: Any, y0, wider, tree):
    """The terms of diffrax's methods for Langevins, which name temperature u, and multiply the force by it."""
    z = sde.split(y0)[0]
    gamma, u = (sde.of(name, z).astype(wider) for name in ("gamma", "temperature"))
    grad_f = lambda z, args: -sde.force(z.astype(y0.dtype)).astype(wider) / u
    drift = diffrax.UnderdampedLangevinDriftTerm(gamma, u, grad_f)
    return diffrax.MultiTerm(drift, diffrax.UnderdampedLangevinDiffusionTerm(gamma, u, tree))


def parted(problem: Problem, y):
    """A state as the method takes it: those for Langevins take position and velocity apart."""
    return tuple(jnp.split(y, 2)) if is_underdamped(problem.integrate.method) else y


def joined(problem: Problem, ys):
    """The states of `parted`, `(time, state)`."""
    return jnp.concatenate(ys, axis=1) if is_underdamped(problem.integrate.method) else ys


def _operator(diffusion, noise: Noise):
    """The diffusion as what a Brownian increment is multiplied by."""
    if noise.kind == "scalar":
        return diffusion
    kind = lx.DiagonalLinearOperator if noise.kind == "diagonal" else lx.MatrixLinearOperator
    return lambda t, y, args: kind(diffusion(t, y, args))
