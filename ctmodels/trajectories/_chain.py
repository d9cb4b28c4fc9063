"""A Gaussian Markov chain by its precision, and its moments by elimination.

The chain is held as (mean, precision), not as (linear term, precision): a small noise weighs differences of
neighbouring means, and in a linear term of the size of the means over that noise they would be lost to rounding. No
jitter is added: where the precision is not positive the moments are NaN.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float


class GaussianChain(eqx.Module):
    r"""$q(z) \propto \exp\big(\sum_i h_i^T z_i - \frac12 z_i^T J_i z_i - z_{i+1}^T L_i z_i\big)$ over a grid of times.

    - `mean` `(time, state)`.
    - `diagonal` `(time, state, state)`: the blocks $J_i$ of the precision, symmetric.
    - `below` `(time - 1, state, state)`: the blocks $L_i$ below them.

    `linear` `(time, state)` are the $h_i$.
    """

    mean: Float[Array, "*batch time state"]
    diagonal: Float[Array, "*batch time state state"]
    below: Float[Array, "*batch rest state state"]

    @property
    def linear(self) -> Float[Array, "*batch time state"]:
        """The linear terms, precision times mean."""
        apply = lambda A, x: jnp.einsum("...ij,...j->...i", A, x)
        own = apply(self.diagonal, self.mean)
        own = own.at[..., 1:, :].add(apply(self.below, self.mean[..., :-1, :]))
        return own.at[..., :-1, :].add(apply(self.below.mT, self.mean[..., 1:, :]))


class Moments(NamedTuple):
    """z_{i+1} = gain_i z_i + const + N(0, spread_{i+1}); `log_det` of the spreads, of which the first is cov_0."""

    mean: Float[Array, "time state"]
    cov: Float[Array, "time state state"]
    gain: Float[Array, "rest state state"]
    spread: Float[Array, "time state state"]
    log_det: Float[Array, " time"]

    @property
    def cross(self) -> Float[Array, "rest state state"]:
        """Covariance of z_{i+1} with z_i."""
        return self.gain @ self.cov[:-1]


def moments(chain: GaussianChain, pull: Float[Array, "time state"]) -> Moments:
    """Of the chain when `pull` is added to its linear terms, which moves its mean by covariance times pull.

    From the last time back to the first each state is summed out, which leaves it as it is given the one before; then
    forward. Sums of positive terms, but for one difference, of the precision that a state has alone.
    """
    # Nothing comes before the first.
    none = jnp.zeros_like(chain.diagonal[:1])
    below = jnp.concatenate([none, chain.below])

    def eliminate(carry, now):
        extra, extra_pull = carry
        diagonal, below, pull = now
        factor = jnp.linalg.cholesky(diagonal + extra)
        identity = jnp.eye(pull.size, dtype=pull.dtype)
        solved = cho_solve((factor, True), jnp.concatenate([identity, -below, (pull + extra_pull)[:, None]], axis=1))
        spread, gain, shift = solved[:, : pull.size], solved[:, pull.size : -1], solved[:, -1]
        log_det = -2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        extra = below.T @ gain
        return (0.5 * (extra + extra.T), -below.T @ shift), (0.5 * (spread + spread.T), gain, shift, log_det)

    start = none[0], jnp.zeros_like(pull[0])
    _, (spread, gain, shift, log_det) = jax.lax.scan(eliminate, start, (chain.diagonal, below, pull), reverse=True)

    def forward(carry, now):
        step, cov = carry
        gain, shift, spread = now
        new = gain @ step + shift, gain @ cov @ gain.T + spread
        return new, new

    _, (steps, covs) = jax.lax.scan(forward, (start[1], none[0]), (gain, shift, spread))
    return Moments(chain.mean + steps, covs, gain[1:], spread, log_det)
