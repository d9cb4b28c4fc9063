r"""How strongly to force: by a schedule of the step, or by what Jacobians ask for.

$\alpha^* = \max(0, 1 - 1 / \sigma)$, with $\sigma$ how much a step stretches: then products of $(1 - \alpha^*) J$ are
bounded. Hess, Monfared, Brenner and Durstewitz (ICML 2023).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ctmodels._core._arguments import before, check_called, check_kept, check_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._series import Driven, Example
from ctmodels._core._words import argument
from ctmodels.trajectories._forcing import Alpha, check_alpha, jacobians, within_limits


class Forced(eqx.Module):
    """What a dynamics starts from, and how strongly it is forced: the `x` of an example for
    [`ctmodels.losses.teacher_forcing`][]`()`, from [`ctmodels.forcing.scheduled`][] or
    [`ctmodels.forcing.ForcedData`][]."""

    x: Float[Array, "*batch start"] | Driven
    alpha: Float[Array, "*batch"]


@before(lambda alpha: check_called("alpha", alpha, "step -> number", "a schedule of optax, as optax.linear_schedule"))
def scheduled(alpha: Callable) -> Callable:
    """A transform for [`ctmodels.objective`][]: examples are forced as strongly as a schedule of the step says.

    A schedule that leaves 0 to 1 gives NaN: the step is skipped and counted.
    """

    def transform(example: Example, key, step) -> Example:
        return Example(Forced(example.x, within_limits(alpha(step), example.target.ys.dtype)), example.target)

    return transform


class ForcedData(eqx.Module):
    """Data whose examples say how strongly they are forced, for [`ctmodels.fit`][] with
    [`ctmodels.forcing.adaptive`][] as its `refresh`.

    - `data`: of examples, on the device: [`ctmodels.Windows`][] with starts, [`ctmodels.ArrayDataset`][].
    - `alpha`: now; `turn`: how often it was adapted.
    """

    data: Any
    alpha: Float[Array, ""]
    turn: Int[Array, ""]

    @before(lambda alpha, **_: check_alpha("alpha", alpha))
    def __init__(self, data: Any, alpha: Alpha = 1.0):
        self.data, self.turn = data, jnp.zeros((), jnp.int32)
        self.alpha = jnp.asarray(alpha, jnp.zeros(()).dtype)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Int[Array, "*batch"]) -> Example:
        example = self.data[index]
        return Example(Forced(example.x, jnp.broadcast_to(self.alpha, jnp.shape(index))), example.target)


def _norm(J: Float[Array, "... state state"]) -> Float[Array, "..."]:
    return jnp.linalg.norm(J, 2, axis=(-2, -1))


def _log_growth(J: Float[Array, "row state state"]) -> Float[Array, ""]:
    """The mean logarithm of how much the product of all rows stretches, per row; renormalised as it grows."""

    def grow(product, J):
        product = J @ product
        size = jnp.maximum(_norm(product), jnp.finfo(J.dtype).tiny)
        return product / size, jnp.log(size)

    return jnp.mean(jax.lax.scan(grow, jnp.eye(J.shape[-1], dtype=J.dtype), J)[1])


# From the Jacobians of a batch, (window, row, state, state).
STRETCHES: dict[str, Callable] = {
    "maximum": lambda J: jnp.max(_norm(J)),
    "geometric_mean": lambda J: jnp.max(jnp.exp(jnp.mean(jnp.log(_norm(J)), axis=1))),
    "arithmetic_mean": lambda J: _norm(jnp.mean(J, axis=(0, 1))),
    "product": lambda J: jnp.max(jnp.exp(jax.vmap(_log_growth)(J))),
}


def _check_estimate(by="maximum", **_) -> None:
    check_kept("by", by, tuple(STRETCHES))


@before(_check_estimate)
def estimate(
    dynamics: AbstractDynamics, examples: Example, by: str = "geometric_mean", *, alpha: Alpha = 1.0
) -> Float[Array, ""]:
    r"""The forcing that bounds the Jacobians of a batch, $\alpha^* = \max(0, 1 - 1/\sigma)$. It carries no gradient.

    **Arguments:**

    - `examples`: a batch, as of [`ctmodels.Windows`][] with starts.
    - `by`: what $\sigma$ is, from Jacobians of the flow from each row to the next: `"maximum"`, the largest spectral
        norm of any; `"geometric_mean"`, of a window's norms, which bounds the norm of their product, of the worst
        window; `"arithmetic_mean"`, the norm of the mean of all Jacobians; `"product"`, the norm of a window's product
        itself, to the power of one over its rows, of the worst window.
    - `alpha`: how strongly the states at which they are taken were forced.
    """
    one = lambda example: jacobians(dynamics, _start(example.x), example.target, alpha)
    sigma = STRETCHES[by](jax.vmap(one)(examples))
    return alpha_for(sigma)


def _start(x: PyTree):
    return x.x if isinstance(x, Forced) else x


def alpha_for(sigma: Float[Array, ""]) -> Float[Array, ""]:
    r"""$\max(0, 1 - 1/\sigma)$: with this forcing, what stretches by $\sigma$ no longer does."""
    return jnp.where(sigma > 1, 1 - 1 / jnp.maximum(sigma, 1), jnp.where(jnp.isnan(sigma), jnp.nan, 0))


def _check_gamma(gamma, **_) -> None:
    if not 0 <= gamma < 1:
        raise ValueError(f"{argument('gamma', gamma)}: a number from 0 to below 1 is needed; give such as 0.999")


@before(_check_gamma)
def annealed(alpha: Float[Array, ""], wanted: Float[Array, ""], gamma: float | int = 0.999) -> Float[Array, ""]:
    r"""The next $\alpha$: what is wanted if that is more, and else $\gamma \alpha + (1 - \gamma) \alpha^*$. An estimate
    that is not finite, of an orbit that blew up, asks for all: 1."""
    wanted = jnp.where(jnp.isfinite(wanted), wanted, 1)
    return jnp.where(wanted > alpha, wanted, gamma * alpha + (1 - gamma) * wanted)


def _check_adaptive(by, gamma, windows, **_) -> None:
    _check_estimate(by)
    _check_gamma(gamma)
    check_whole("windows", windows, 1)


@before(_check_adaptive)
def adaptive(by: str = "geometric_mean", *, gamma: float | int = 0.999, windows: int = 16) -> Callable:
    """The `refresh` of [`ctmodels.fit`][] that adapts how strongly its [`ctmodels.forcing.ForcedData`][] are forced:

        ct.fit(step, state, ct.forcing.ForcedData(windows), refresh=ct.forcing.adaptive(), refresh_every=5, ...)

    **Arguments:** `by`: as of [`ctmodels.forcing.estimate`][]; `gamma`: of [`ctmodels.forcing.annealed`][];
    `windows`: of how many, others each time, Jacobians are taken.

    **Returns:** `(model, data) -> data`, with another `alpha`.
    """

    @eqx.filter_jit
    def adapted(model, data: ForcedData) -> tuple[Array, Array]:
        draw = jax.random.randint(jax.random.fold_in(jax.random.key(0), data.turn), (windows,), 0, len(data))
        wanted = estimate(model, data[draw], by)
        return annealed(data.alpha, wanted, gamma), data.turn + 1

    return lambda model, data: eqx.tree_at(lambda d: (d.alpha, d.turn), data, adapted(model, data))
