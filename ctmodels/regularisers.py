"""Regularisers: (model, Output) -> scalar, each for one example; and `steer`, a transform of the example.

Each reads one measure out of the account that `Integrate(measures=...)` was asked for, which has the same name; what is
punished is chosen in the objective, with a weight or an optax schedule of it:

    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(measures=(ct.scaled_error,), batching="shared"))
    objective = ct.objective(ct.losses.squared, {"error": (weight, ct.regularisers.scaled_error)})
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels import _integrate as account
from ctmodels._output import Output
from ctmodels._series import Example


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the account has of a measure; `per_step`: over the number of accepted steps."""

    measure: Callable | account.local
    per_step: bool = False

    def __call__(self, model, output: Output) -> Float[Array, ""]:
        name, stats = self.measure.__name__, output.stats
        if name not in stats.measures:
            asked = ", ".join(stats.measures) or "nothing"
            raise ValueError(
                f"regulariser `{name}`: the solve did not measure it (it measured {asked}); ask for it by "
                f"Integrate(measures=(ctmodels.{_written(self.measure)},))"
            )
        value = stats.measures[name]
        return value / jnp.maximum(stats.accepted, 1).astype(value.dtype) if self.per_step else value


def _written(measure: Callable | account.local) -> str:
    return repr(measure) if dataclasses.is_dataclass(measure) else measure.__name__


local_error = Measured(account.local_error)
"""ERNODE as the paper has it: the sum over the accepted steps of ||E_j|| |h_j| (Pal et al. 2021)."""

scaled_error = Measured(account.scaled_error, per_step=True)
"""ERNODE as its released code has it: the mean over the accepted steps of q_j |h_j|, with the error in units of the
tolerance."""

stiffness = Measured(account.stiffness)
"""SRNODE as the paper has it: the sum over the accepted steps of S_j |h_j| (Pal et al. 2021)."""

largest_eigenvalue = Measured(account.largest_eigenvalue)
"""SRNODE as its released code has it: the largest S_j of all accepted steps, over the method's stability size."""

kinetic = Measured(account.kinetic)
"""RNODE's kinetic energy: the integral of ||f||^2 (Finlay et al. 2020)."""

jacobian = Measured(account.jacobian)
"""RNODE's Jacobian: the integral of ||eps^T df/dy||^2, by Hutchinson's estimate (Finlay et al. 2020)."""

path_length = Measured(account.path_length)
"""The integral of ||f||."""


def kl(model, output: Output) -> Float[Array, ""]:
    """Divergence of the posterior from the prior, a latent model's. Losses are means over observed entries: where an
    example has n of these, a weight of 1 / n makes the evidence bound. Raises `ValueError` for a model that has none.
    """
    if output.kl is None:
        raise ValueError(f"kl: {type(model).__name__} returns no divergence: a regulariser of latent models")
    return output.kl


def taylor(order: int) -> Measured:
    """TayNODE: the integral of ||d^K y/dt^K||^2, K = `order` (Kelly et al. 2020)."""
    return Measured(account.taylor(order))


def local(rule: str = "unbiased", of: str = "error") -> Measured:
    """The error (or stiffness) of one step from a random time (Pal, Edelman, Rackauckas 2023)."""
    return Measured(account.local(rule, of))


def steer(width: float | int) -> Callable:
    """STEER: the last time is moved by a random length, uniform from -width to width, with each step of training
    (Ghosh et al. 2020); never before the time in front of it.

    **Returns:** a transform for [`ctmodels.objective`][].
    """
    if not width > 0:
        raise ValueError(f"steer: width={width} must be a positive length of time")

    def moved(example: Example, key, step) -> Example:
        ts = example.target.ts
        at_end = ts == ts[-1]
        before = jnp.max(jnp.where(at_end, ts[0], ts))
        most = jnp.minimum(jnp.asarray(width, ts.dtype), ts[-1] - before)
        draw = jax.random.uniform(jax.random.fold_in(key, 1), (), ts.dtype, -1, 1)
        return eqx.tree_at(lambda e: e.target.ts, example, jnp.where(at_end, ts + draw * most, ts))

    return moved
