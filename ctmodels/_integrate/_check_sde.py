"""What is wrong with the solve of an SDE before it begins."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.extend.core import Literal
from jaxtyping import PyTree

from ctmodels._integrate._adjoint import ReversibleAdjoint
from ctmodels._integrate._check import check_field, value_of
from ctmodels._integrate._fixed import Substeps
from ctmodels._integrate._langevin import check_langevin
from ctmodels._integrate._methods import METHODS
from ctmodels.fields import AbstractSDE, Langevin

KINDS = {"ito": diffrax.AbstractItoSolver, "stratonovich": diffrax.AbstractStratonovichSolver}
METHOD_OF = {"ito": "diffrax.Euler(), diffrax.ItoMilstein() or ct.SRI()", "stratonovich": "diffrax.Heun()"}


def check_sde(integrate: Any, sde: AbstractSDE, ts, y0: PyTree, args: PyTree, key) -> list:
    """Refuse what would be solved, and be something else.

    **Returns:** the arrays that the SDE closes over.
    """
    if key is None and sde.drawn:
        raise ValueError("key: None, and the noise of an SDE is drawn from one: give key=jax.random.key(0)")
    times = value_of(ts)
    if times is not None and times[-1] < times[0]:
        raise ValueError(f"ts: from {times[0]:g} down to {times[-1]:g}: an SDE is solved forwards in time")
    if isinstance(sde, Langevin):
        sde.split(y0)  # which says what its state is
    within = check_field(sde.drift, ts, y0, args, "drift")
    _check_method(integrate, sde)
    return within + _check_diffusion(sde, ts, y0, args)


def _check_method(integrate: Any, sde: AbstractSDE) -> None:
    method, name = integrate.method, type(integrate.method).__name__
    fixed = isinstance(integrate.controller, Substeps | diffrax.StepTo)
    if not sde.drawn and (not fixed or isinstance(integrate.adjoint, ReversibleAdjoint)):
        raise ValueError("drawn: False is of fixed grids, and not of ReversibleAdjoint: solve the drift, `sde.drift`")
    if fixed and type(method) not in METHODS:
        some = ", ".join(kind.__name__ for kind in METHODS)
        raise ValueError(f"method: {name} takes no steps of an SDE on a fixed grid; these do: {some}")
    if not fixed and type(integrate.controller) is not diffrax.PIDController:
        raise ValueError(
            f"controller: {type(integrate.controller).__name__}: steps of an SDE adapt by diffrax.PIDController(...) "
            "only, or are ctmodels.Substeps(n), or diffrax.StepTo(ts)"
        )
    inner = getattr(method, "solver", method)  # of diffrax.HalfSolver
    check_langevin(integrate, inner, sde, METHODS[type(method)].of if fixed else AbstractSDE)
    if sde.noise != "additive" and not isinstance(inner, KINDS[sde.interpretation]):
        raise ValueError(
            f"method: {name} does not solve SDEs in the sense of interpretation={sde.interpretation!r}: take "
            f"{METHOD_OF[sde.interpretation]}, or write the SDE in the other"
        )
    if not fixed and isinstance(inner, diffrax.Euler):
        raise ValueError(
            f"method: {name}: with steps that adapt to it, Euler's method may come to another solution than the "
            "SDE's: take diffrax.HalfSolver(diffrax.ItoMilstein()), or a fixed grid"
        )
    if fixed and sde.noise not in METHODS[type(method)].noise:
        takes = ", ".join(map(repr, METHODS[type(method)].noise))
        raise ValueError(f"method: {name} takes noise of the kinds {takes}, and the SDE says noise={sde.noise!r}")


def _check_diffusion(sde: AbstractSDE, ts, y0: PyTree, args: PyTree) -> list:
    jaxpr, out = jax.make_jaxpr(lambda y: sde.diffusion(ts[0], y, args), return_shape=True)(y0)
    shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
    state, got = shapes(jax.eval_shape(lambda: y0)), shapes(out)
    if sde.noise in ("diagonal", "scalar"):
        if got != state:
            raise ValueError(
                f"diffusion returns shape {got} for a state of shape {state}: with noise={sde.noise!r} they are equal"
            )
    elif not (_is_array(state, 1) and _is_array(got, 2) and got[:1] == state):
        raise ValueError(
            f"diffusion returns shape {got} for a state of shape {state}: with noise={sde.noise!r} a state (state,) "
            "has a diffusion (state, noise)"
        )
    for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(y0), strict=True):
        if a.dtype != jnp.result_type(b):
            raise ValueError(
                f"diffusion returns {a.dtype} for a state of {jnp.result_type(b)}: return `.astype(y.dtype)`"
            )
    if sde.noise == "additive" and _depends(jaxpr.jaxpr):
        raise ValueError("diffusion depends on y, and the SDE says noise='additive': say 'general', or 'diagonal'")
    return jaxpr.consts


def _is_array(shapes, axes: int) -> bool:
    """Of shapes in a tree: whether they are one array's, of so many axes."""
    return isinstance(shapes, tuple) and len(shapes) == axes and all(isinstance(n, int) for n in shapes)


def _depends(jaxpr) -> bool:
    """Whether what is returned depends on what is given."""
    reached = set(jaxpr.invars)
    for eqn in jaxpr.eqns:
        if any(v in reached for v in eqn.invars if not isinstance(v, Literal)):
            reached.update(eqn.outvars)
    return any(v in reached for v in jaxpr.outvars if not isinstance(v, Literal))
