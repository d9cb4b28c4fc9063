r"""Generalised teacher forcing: in training the state is drawn toward what was observed, time after time.

$$\tilde z_k = z_k + \alpha\, L\, m_k (y_k - g(z_k)), \qquad z_{k+1} = \mathrm{flow}(t_k, t_{k+1}, \tilde z_k)$$

with g the observation of a state, L the linear part of its lift, and $m_k$ the mask: where all of the state is
observed, $\tilde z_k = (1 - \alpha) z_k + \alpha \hat z_k$. Products of Jacobians, which explode
along chaotic orbits, are then multiplied by $1 - \alpha$ at each observation. The error is that of $z_k$, which is not
forced.

??? cite

    Hess, Monfared, Brenner and Durstewitz, "Generalized teacher forcing for learning chaotic dynamics", ICML 2023;
    Mikhaeil, Monfared and Durstewitz, "On the difficulty of learning chaotic dynamics with RNNs", NeurIPS 2022 (sparse
    forcing). Brenner et al., "GTF-DEER", 2026: in parallel over time.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._model import AbstractDynamics, state_of
from ctmodels._core._output import Output, Stats
from ctmodels._core._series import Driven, Series
from ctmodels._core._times import increasing
from ctmodels._core._words import argument, kind_of
from ctmodels.ssm._newton import NewtonScan

Alpha = float | int | Float[Array, ""]


def check_alpha(name: str, alpha: Any) -> None:
    """From 0 to 1, as far as that is known while a step is traced."""
    if isinstance(alpha, jax.core.Tracer):
        return
    if isinstance(alpha, bool) or np.ndim(alpha) or not np.issubdtype(np.asarray(alpha).dtype, np.number):
        raise TypeError(f"{name}: {kind_of(alpha)}, where a number from 0 to 1 is wanted")
    if not 0 <= alpha <= 1:
        raise ValueError(
            f"{argument(name, alpha)}: forcing goes from 0, a free run, to 1, where each step starts from what was "
            "observed"
        )


def within_limits(alpha: Alpha, dtype) -> Float[Array, ""]:
    """NaN where it is not from 0 to 1, which compiled code cannot refuse."""
    alpha = jnp.asarray(alpha, dtype)
    return jnp.where((alpha >= 0) & (alpha <= 1), alpha, jnp.nan)


def _check_forced(dynamics, x, target, alpha, every, solver, **_) -> None:
    if not isinstance(dynamics, AbstractDynamics):
        raise TypeError(f"dynamics: {kind_of(dynamics)}, where a dynamics is wanted: ct.NeuralODE, ct.PLRNN")
    if not isinstance(target, Series) or target.ts.ndim != 1:
        shape = f"a Series with times of shape {target.ts.shape}" if isinstance(target, Series) else kind_of(target)
        raise TypeError(f"target: {shape}, where one Series is wanted, of times (time,); for a batch, jax.vmap")
    if target.ys.shape[1] != dynamics.channels:
        raise ValueError(
            f"target has {target.ys.shape[1]} channels and the dynamics {dynamics.channels}: make them equal; what is "
            "not observed is masked out"
        )
    check_alpha("alpha", alpha)
    check_whole("every", every, 1)
    if not isinstance(solver, NewtonScan | None):
        raise TypeError(f"solver: {kind_of(solver)}, where ct.ssm.NewtonScan() is wanted, or None: step by step")


@before(_check_forced)
def teacher_forced(
    dynamics: AbstractDynamics,
    x: Float[Array, " start"] | Driven,
    target: Series,
    alpha: Alpha,
    *,
    every: int = 1,
    solver: NewtonScan | None = None,
) -> Output:
    r"""What a dynamics predicts of a series while it is forced by it.

    **Arguments:**

    - `dynamics`: a map or a flow, of one sample. Its lift is taken as affine, as those of the library are.
    - `x`: the state at the first of the times, or observed channels, which are lifted; or a [`ctmodels.Driven`][] of
        either and a control.
    - `target`: what was observed. The state is forced at each of its times where something was, by what was.
    - `alpha`: how strongly, $\alpha$, from 0 (a free run) to 1.
    - `every`: only at each so many-th row, from the first on (sparse forcing).
    - `solver`: all rows at once by Newton's method ([`ctmodels.ssm.newton_scan`][]), on accelerators. It takes few
        iterations where forcing holds the orbit. None: from row to row.

    **Returns:** an `Output` at the times of the target: `ys` and `latents` before they are forced.
    """
    x = x if isinstance(x, Driven) else Driven(x)
    ts, z0 = increasing(target.ts, "target.ts"), state_of(dynamics, x.y0)
    z0 = jnp.where(jnp.isfinite(ts[0]), z0, jnp.nan)
    if ts.shape[0] == 1:
        return Output(dynamics.observe(z0)[None], Stats.none(ts[0]), z0[None])
    force = forcing(dynamics, within_limits(alpha, z0.dtype))
    seen = target.mask & (jnp.arange(ts.shape[0]) % every == 0)[:, None]
    rows = ts[:-1], ts[1:], target.ys[:-1], seen[:-1]

    def move(z, row):
        t0, t1, y, seen = row
        z, stats = dynamics.flow(t0, t1, force(z, y, seen), x.control)
        return z, (z, stats)

    if solver is None:
        _, (zs, stats) = jax.lax.scan(move, z0, rows)
        stats = Stats.in_sequence(stats)
    else:
        zs, found = solver(lambda z, row: move(z, row)[0], z0, rows)
        stats = found.to_stats(ts[-1])
    zs = jnp.concatenate([z0[None], zs])
    return Output(jax.vmap(dynamics.observe)(zs), stats, zs)


def forcing(dynamics: AbstractDynamics, alpha: Float[Array, ""]) -> Callable[[Array, Array, Array], Array]:
    """(state, observed, mask) -> the state, forced by what was observed of it."""
    # A pseudo-inverse belongs in front of the loop over rows.
    gain = alpha * jax.jacfwd(dynamics.lift)(jnp.zeros(dynamics.channels, alpha.dtype))

    def force(z: Float[Array, " state"], y: Float[Array, " channel"], seen: Bool[Array, " channel"]):
        return z + gain @ jnp.where(seen, y - dynamics.observe(z), 0)

    return force


def jacobians(
    dynamics: AbstractDynamics, x: Float[Array, " start"] | Driven, target: Series, alpha: Alpha
) -> Float[Array, "row state state"]:
    """Those of the flow from each row to the next, from the states that forcing leads to; without gradient."""
    dynamics = jax.tree.map(lambda a: jax.lax.stop_gradient(a) if eqx.is_array(a) else a, dynamics)
    x = x if isinstance(x, Driven) else Driven(x)
    out = teacher_forced(dynamics, x, target, alpha)
    force = forcing(dynamics, within_limits(alpha, out.ys.dtype))
    zs = jax.vmap(force)(out.latents, target.ys, target.mask)[:-1]
    # In reverse: a solve has no other derivative on every engine.
    slope = jax.jacrev(lambda z, t0, t1: dynamics.flow(t0, t1, z, x.control)[0])
    return jax.lax.stop_gradient(jax.vmap(slope)(zs, target.ts[:-1], target.ts[1:]))
