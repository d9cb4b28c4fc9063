r"""Posteriors of latent paths: what is believed of $z(t)$ once a series was read, under $dz = f\,dt + g\,dW$.

The diffusion is the prior's, as it must be where the divergence of the two is to be finite. Beyond the last
observation there is nothing that the prior does not know: there the posterior moves as the prior does.
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels._core._output import Stats
from ctmodels._core._series import Record, Series
from ctmodels._encoders import States
from ctmodels._integrate import Integrate, solve_piecewise_constant
from ctmodels.distributions import Gaussian
from ctmodels.fields import AbstractSDE
from ctmodels.paths._paths import HeldPath

State = Float[Array, " latent"]


class Inferred(NamedTuple):
    """What is believed of a path. `start`: q(z0); `path`: what holds from knot to knot, whose last channel is 1 while
    anything is to come and then 0; `drift(t, z, held)`: of the posterior, `held` being that path's value;
    `marginal(t)`: q(z(t)), where it is known."""

    start: Gaussian
    path: HeldPath
    drift: Callable[[Array, State, Array], State]
    marginal: Callable[[Array], Gaussian] | None = None


class AbstractPosterior(eqx.Module):
    """`read(x, t0, sde)`: what a series says of the path from `t0` on."""

    @abc.abstractmethod
    def read(self, x: Series | Record, t0: Float[Array, ""], sde: AbstractSDE) -> Inferred:
        """What is believed once `x` was read. `sde`: the prior."""


class DriftPosterior(AbstractPosterior):
    """A drift that knows what is to come, and a start. Li, Wong, Chen, Duvenaud (2020).

    **Arguments:**

    - `encoder`: of `size` numbers, with `states`: [`ctmodels.ReverseGRUEncoder`][].
    - `start`: code -> (2 * latent,), mean and logarithm of the deviation of z0.
    - `drift`: a field `f(t, z, context)`: `context(t)` is `(encoder.size,)`: the encoder's state after reading all that
      was observed after t, how far away the next of it is, and what is known beforehand.
      `MLPField(latent, inputs=encoder.size)` is one.
    """

    encoder: Callable
    start: Callable
    drift: Callable

    def read(self, x: Series | Record, t0: Float[Array, ""], sde: AbstractSDE) -> Inferred:
        """The encoder's states are the context."""
        return read_ahead(self.encoder, self.start, self.drift, x, t0)


def read_ahead(encoder: Callable, start: Callable, drift: Callable | None, x: Series | Record, t0: Array) -> Inferred:
    """A start, and a drift that is told of the next row, if there is any drift."""
    states: States = encoder.states(x)
    mean, log_deviation = jnp.split(start(states.code(t0)), 2)

    def told(t, z, held):
        h, following = held[:-2], held[-2]
        context = lambda t: jnp.concatenate([h, (following - (t - t0).astype(h.dtype))[None], states.static])
        return drift(t, z, context)  # pyright: ignore

    return Inferred(Gaussian(mean, log_deviation=log_deviation), states.context(t0), told)


class ControlPosterior(eqx.Module):
    """Of a [`ctmodels.LangevinFlow`][]: a start, and a force that is added to those of the potential, the friction and
    the noise.

    **Arguments:**

    - `encoder`: of `size` numbers, with `states`: [`ctmodels.ReverseGRUEncoder`][], of which an output knows what came
      later; [`ctmodels.GRUEncoder`][] is causal: its start knows the first row alone, its force the rows up to the end
      of the bin.
    - `start`: code -> (4 * latent,), mean and logarithm of the deviation of position and velocity.
    - `control`: a field `f(t, [z, v], context) -> (latent,)`: `context(t)` is `(encoder.size,)`, as of a
      [`ctmodels.DriftPosterior`][]. None: no force; the series says where the path begins, and all that follows is the
      prior's, whose noise it does not know.
    """

    encoder: Callable
    start: Callable
    control: Callable | None = None

    def read(self, x: Series | Record, t0: Float[Array, ""]) -> Inferred:
        """The start, and in `drift` the force, where there is one."""
        return read_ahead(self.encoder, self.start, self.control, x, t0)


def _check_focus(focus, **_) -> None:
    if not focus > 0:
        raise ValueError(
            f"focus={focus}: must be a positive number, per unit of time: one over a few observations' gaps"
        )


class MarginalPosterior(AbstractPosterior):
    r"""Normal at each time, $q(z(t)) = N(m(t), s(t)^2)$, from which its drift follows:
    $b = m' + (s'/s)(z - m) - \tfrac12 g^2 (z - m)/s^2 + \tfrac12\,\partial_z g^2$.
    It is learned without a solve, by [`ctmodels.losses.matching`][], and solved as any other. Bartosh, Vetrov, Naesseth
    (2025).

    **Arguments:**

    - `encoder`: of `size` numbers, with `states`: [`ctmodels.ReverseGRUEncoder`][].
    - `marginals`: (encoder.size + 2,) -> (2 * latent,), mean and logarithm of the deviation, from the time since `t0`;
      how far away observations are, and the square of that; the encoder's states; and what is known beforehand. All
      are means in which what is near in time weighs most, $\propto \exp(-(\lambda (t_i - t))^2)$: smooth in t if
      `marginals` is.
    - `focus`: $\lambda$ to begin with, per unit of time; it is learned.

    **Good values:** a focus of one over the distance of two or three observations; smooth activations. Its drift pulls
    at a rate of $g^2 / 2 s^2$, so that a solve takes steps shorter than $s^2 / g^2$ where it is sure of the state; what
    `LatentSDE.match` returns takes none.
    """

    encoder: Callable
    marginals: Callable
    log_focus: Float[Array, ""]

    @before(_check_focus)
    def __init__(self, encoder: Callable, marginals: Callable, focus: float | int):
        self.encoder, self.marginals = encoder, marginals
        self.log_focus = jnp.log(jnp.asarray(focus, jnp.zeros(()).dtype))

    def read(self, x: Series | Record, t0: Float[Array, ""], sde: AbstractSDE) -> Inferred:
        """Marginals at all times; knots are the start and the last observation."""
        states: States = self.encoder.states(x)
        marginal = lambda t: self._marginal(states, t0, t)
        any_seen = jnp.any(states.seen).astype(states.hs.dtype)
        knots, there = jnp.stack([t0, states.ts[-1]]), jnp.stack([any_seen, jnp.zeros_like(any_seen)])
        path = HeldPath(jnp.maximum(knots, t0), there[:, None])
        return Inferred(marginal(t0), path, lambda t, z, held: drift_of(marginal, sde, t, z), marginal)

    def _marginal(self, states: States, t0, t) -> Gaussian:
        seen, away = states.seen, (states.ts - t).astype(states.hs.dtype)
        near = jnp.where(seen, -((jnp.exp(self.log_focus).astype(away.dtype) * away) ** 2), -jnp.inf)
        weights = jax.nn.softmax(jnp.where(jnp.any(seen), near, 0))
        since = (t - t0).astype(states.hs.dtype)
        times = jnp.stack([since, weights @ away, weights @ away**2])
        known = jnp.concatenate([times, weights @ states.hs, states.static])
        mean, log_deviation = jnp.split(self.marginals(known), 2)
        return Gaussian(mean, log_deviation=log_deviation)


def drift_of(marginal: Callable[[Array], Gaussian], sde: AbstractSDE, t: Float[Array, ""], z: State) -> State:
    """The drift under which a state of these marginals keeps them, with the diffusion of the SDE."""
    q, moved = jax.jvp(marginal, (t,), (jnp.ones_like(t),))
    error = z - q.mean
    variance = lambda z: sde.diffusion(t, z, None) ** 2
    squares, slopes = jax.jvp(variance, (z,), (jnp.ones_like(z),))  # of each entry by itself
    score = -error * jnp.exp(-2 * q.log_deviation)
    return moved.location + moved.log_deviation * error + 0.5 * (squares * score + slopes)


def follow(
    integrate: Integrate,
    field: Callable | AbstractSDE,
    path: HeldPath,
    y0: State,
    at: Float[Array, " edge"],
    *,
    key: PRNGKeyArray | None,
    at_knots: bool,
) -> tuple[Float[Array, "out state"], State, Stats]:
    """From `y0` at `at[0]` on under what is held, by steps that begin anew at each of `at`, and with `at_knots` at the
    path's too.

    **Returns:** the states at the others of `at`, the last of them, and the statistics.
    """
    if at_knots:
        states, stats = solve_piecewise_constant(integrate, field, at, y0, path, key=key)
    else:
        held = HeldPath(at, jax.vmap(path)(at))
        states, stats = solve_piecewise_constant(integrate, field, None, y0, held, key=key)
    return states[1:], states[-1], stats
