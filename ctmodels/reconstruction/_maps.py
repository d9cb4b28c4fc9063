"""Candidates in closed form by name: linear maps, monomials and radial functions of delays, reservoirs, sparse laws."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ctmodels import regression
from ctmodels.fields import Library, RadialBasis
from ctmodels.models import NVAR, EchoState, LinearDynamics
from ctmodels.reconstruction._candidate import Problem
from ctmodels.reconstruction._regressed import Family, Trials, as_lists
from ctmodels.reconstruction._sparse_laws import SPARSE_LAW

LINEAR = (1, 2, 4, 8, 16, 32)  # delays
NVARS = ((1, 1, 2), (1, 1, 3), (2, 1, 2), (2, 1, 3), (2, 5, 2), (3, 2, 2), (4, 5, 2), (4, 5, 3), (8, 2, 2))
KERNELS = ((1, 1), (2, 1), (3, 2), (3, 5), (6, 2), (6, 5), (10, 2), (10, 5))  # delays, skip
WIDTHS, PENALTIES = (0.5, 1.5, 4.0), (1e-8, 1e-6, 1e-4, 1e-2)
KERNEL_ROWS = 1500  # its cost grows with their cube
TERMS = 400  # of a map of monomials, at most
UNITS, CONFIGURATIONS = 300, 60  # of a reservoir; how many are tried


def _terms(variables: int, degree: int) -> int:
    return math.comb(variables + degree, degree)


def _shapes(problem: Problem, usual: tuple) -> list[tuple[int, int]]:
    """Delays and how many rows these are apart, to be tried: the usual; of an embedding, its own, as many again, and
    the same stretch in more detail."""
    if problem.embedding is None:
        return list(usual)
    skip, delays = problem.embedding
    return list(dict.fromkeys([(delays, skip), (2 * delays, skip), (2 * delays - 1, max(1, skip // 2))]))


# ---- linear


def _linear_model(problem: Problem, A, b, B) -> LinearDynamics:
    return LinearDynamics(A, problem.step, b, B, max_steps=problem.max_steps)


def _fit_linear(problem: Problem, trials: Trials, key, delays: int, penalty) -> LinearDynamics:
    series, control = as_lists(trials)
    model, _ = regression.dmd(series, control, dt=problem.step, delays=delays, penalty=penalty, affine=True)
    return _linear_model(problem, model.A, model.b, model.B)


def _linear(problem: Problem, key=None, *, delays: int, penalty=0.0) -> LinearDynamics:
    c, inputs = problem.channels, problem.inputs
    B = jnp.zeros((c, 2 * inputs)) if inputs else None
    return _linear_model(problem, jnp.zeros((c, delays * c)), jnp.zeros(c), B)


def _linear_choices(problem: Problem, rows: int) -> list[dict]:
    least = max(1, rows // (3 * problem.channels))
    shapes = _shapes(problem, tuple((k, 1) for k in LINEAR))
    reaches = dict.fromkeys((k - 1) * skip + 1 for k, skip in shapes)
    return [{"delays": k, "penalty": p} for k in reaches if k <= least or k == min(reaches) for p in PENALTIES]


# ---- monomials and radial functions of delays


def _delayed(problem: Problem, W, library, delays: int, skip: int) -> NVAR:
    return NVAR(W, library, problem.step, delays, skip, max_steps=problem.max_steps)


def _fit_nvar(problem: Problem, trials: Trials, key, delays: int, skip: int, degree: int, penalty) -> NVAR:
    how: dict[str, Any] = dict(dt=problem.step, delays=delays, skip=skip, degree=degree, penalty=penalty)
    model, _ = regression.nvar(*as_lists(trials), **how)
    return _delayed(problem, model.W, model.library, delays, skip)


def _nvar(problem: Problem, key=None, *, delays: int, skip: int, degree: int, penalty=0.0) -> NVAR:
    library = Library(delays * problem.channels + 2 * problem.inputs, degree)
    return _delayed(problem, jnp.zeros((problem.channels, library.size)), library, delays, skip)


def _nvar_choices(problem: Problem, rows: int) -> list[dict]:
    many = lambda k, degree: _terms(k * problem.channels + 2 * problem.inputs, degree)
    fits = lambda k, skip, d: many(k, d) <= min(rows // 2, TERMS) and (k - 1) * skip < rows // 10
    all_of = NVARS if problem.embedding is None else [(*s, d) for s in _shapes(problem, ()) for d in (2, 3)]
    chosen = [shape for shape in all_of if fits(*shape)] or [all_of[0]]
    return [{"delays": k, "skip": s, "degree": d, "penalty": p} for k, s, d in chosen for p in PENALTIES]


def _fit_kernel(problem: Problem, trials: Trials, key, delays: int, skip: int, width, penalty, rows=0) -> NVAR:
    how: dict[str, Any] = dict(dt=problem.step, delays=delays, skip=skip, width=width, penalty=penalty)
    model, _ = regression.kernel(*as_lists(trials), **how)
    return _delayed(problem, model.W, model.library, delays, skip)


def _kernel(problem: Problem, key=None, *, delays: int, skip: int, rows: int, width=1.0, penalty=0.0) -> NVAR:
    library = RadialBasis(jnp.zeros((rows, delays * problem.channels + 2 * problem.inputs)), jnp.asarray(1.0))
    return _delayed(problem, jnp.zeros((problem.channels, rows)), library, delays, skip)


def _kernel_choices(problem: Problem, rows: int) -> list[dict]:
    exact = jnp.finfo(jnp.result_type(float)).eps < 1e-10
    penalties = list(dict.fromkeys(p if exact else max(p, 1e-5) for p in PENALTIES))
    tried = _shapes(problem, KERNELS)
    shapes = [(k, s) for k, s in tried if (k - 1) * s < rows // 10 and k * problem.channels <= 60] or tried[:1]
    each = itertools.product(shapes, WIDTHS, penalties)
    return [{"delays": k, "skip": s, "width": w, "penalty": p} for (k, s), w, p in each]


# ---- reservoirs


def _reservoir(problem: Problem, key=None, *, units: int, washout: int, **settings) -> EchoState:
    key = jax.random.key(0) if key is None else key
    how = {name: x for name, x in settings.items() if name != "penalty"}
    of: dict[str, Any] = dict(dt=problem.step, inputs=problem.inputs, washout=washout, max_steps=problem.max_steps)
    return EchoState(problem.channels, units, key=key, **of, **how)


def _fit_reservoir(problem: Problem, trials: Trials, key, penalty, **settings) -> EchoState:
    return regression.echo_state(_reservoir(problem, key, **settings), *as_lists(trials), penalty=penalty)[0]


def _tuned_reservoir(problem: Problem, trials: Trials, key) -> dict:
    """By a sweep, on the longest trial."""
    series, control = max(trials, key=lambda pair: pair[0].ts.shape[0])
    rows = series.ts.shape[0]
    shape = {"units": min(UNITS, max(20, rows // 4)), "washout": min(50, rows // 10)}
    made = _reservoir(problem, key, **shape)
    horizon = max(1, min(50, rows // 12))
    how: dict[str, Any] = dict(configurations=CONFIGURATIONS, horizon=horizon, batch=20, key=key)
    model, found = regression.tune_echo_state(made, series, control, **how)
    best = int(np.nanargmin(np.asarray(found.error))) % found.penalty.shape[0]
    names = ("spectral_radius", "leak", "input_scale")
    return shape | {name: float(getattr(model, name)) for name in names} | {"penalty": float(found.penalty[best])}


MAPS = tuple(
    family.candidate()
    for family in (
        Family("linear", _fit_linear, _linear, lambda p: 3 * p.channels + 10, _linear_choices, remembers=True),
        Family(
            "nvar",
            _fit_nvar,
            _nvar,
            lambda p: 2 * _terms(p.channels + 2 * p.inputs, 2),
            _nvar_choices,
            remembers=True,
        ),
        Family(
            "kernel",
            _fit_kernel,
            _kernel,
            lambda p: 20 + 2 * p.channels,
            _kernel_choices,
            most=KERNEL_ROWS,
            saved=lambda model: {"rows": model.library.size},
            remembers=True,
        ),
        Family(
            "reservoir",
            _fit_reservoir,
            _reservoir,
            lambda p: 100 + 10 * p.channels,
            choose=_tuned_reservoir,
            seeded=True,
        ),
        SPARSE_LAW,
    )
)
