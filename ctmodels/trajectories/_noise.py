"""The noise under which a series is likeliest: a search by expectation maximisation and BFGS together."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._core._series import Series
from ctmodels.trajectories._smoothing import Flow, Noise, Observe, Prior, smooth

SETTLED = 2  # rounds in a row that gain next to nothing end the search


def tune_noise(
    flow: Flow,
    series: Series,
    noise: Noise,
    *,
    rounds: int = 30,
    prior: Prior | None = None,
    observe: Observe | None = None,
) -> tuple[Noise, Bool[Array, ""]]:
    """The noise under which the series is likeliest.

    Expectation maximisation finds the observation noise in a few iterations, but creeps elsewhere. So its update is
    also read as a gradient (Fisher's identity: d log p / d log q = n (q' / q - 1) / 2 with q' the update of q) for a
    quasi-Newton search (BFGS) in the logarithms of the variances; and as a first guess may be orders of magnitude off,
    each round tries multiples of it too. A stretch of one or two thousand samples is enough.

    **Arguments:** `flow`, `series`, `prior`, `observe`: as in [`ctmodels.smoothing.smooth`][]; `noise`: where the
    search starts; `rounds`: at most so many. The search ends before them, once two rounds in a row gain less than a
    twentieth of a nat each.

    **Returns:** the likeliest noise found, never one less likely than `noise` itself; a local maximum, where there are
    several. And whether the search came to its end: where `rounds` ran out, start from what it found.
    """

    def assess(assumed: Noise) -> tuple[Float[Array, ""], Noise]:
        out = smooth(flow, series, assumed, prior=prior, observe=observe)
        return out.log_likelihood, out.noise

    return likeliest(assess, series, noise, rounds)


def likeliest(
    assess: Callable[[Noise], tuple[Float[Array, ""], Noise]], series: Series, noise: Noise, rounds: int = 30
) -> tuple[Noise, Bool[Array, ""]]:
    """The noise at which `assess` finds the largest likelihood, by that and the update of expectation maximisation.
    `series`: what was observed, a batch of trials too."""
    size = noise.process.shape[0]
    # The logarithm of a variance that n values speak of is known to sqrt(2 / n): the unit of the search.
    unit = jnp.sqrt(2 / jnp.maximum(counts(series, size), 1))

    def at(x):
        assumed = _unflat(jnp.exp(x * unit), size)
        value, update = assess(assumed)
        ratio = _flat(update) / _flat(assumed)
        return _Point(x, value, (ratio - 1) / unit, x + jnp.log(ratio) / unit)

    groups = _groups(size, noise.observation.shape[0], unit)

    def again(search: _Search) -> _Search:
        now = search.point
        farthest = jnp.log(jnp.asarray(100, unit.dtype)) / unit
        step = jnp.clip(search.inverse @ now.gradient, -farthest, farthest)
        # Uphill by ten times of one kind of noise; where nothing helps, by three thousand times. And from what is
        # observed to what is hidden: a walk of the observed states explains a series without the hidden ones, a maximum
        # of its own.
        jump = jnp.log(jnp.asarray(10, unit.dtype)) * (1 + 2.5 * search.stalled.astype(unit.dtype)) * groups
        uphill = jnp.sign(groups @ now.gradient)[:, None] * jump
        shifts = jnp.concatenate([jnp.stack([step, 3 * step, jump[1] - jump[0]]), uphill])
        return search.moved(jax.vmap(at)(jnp.concatenate([now.update[None], now.x[None] + shifts])))

    search = _Search.start(jnp.log(_flat(noise)) / unit)
    search = jax.lax.while_loop(lambda s: (s.stalled < SETTLED) & (s.round < rounds), again, search)
    return _unflat(jnp.exp(search.point.x * unit), size), search.stalled >= SETTLED


class _Point(NamedTuple):
    """Logarithms of the variances, the log-likelihood and its gradient there, and the update of expectation
    maximisation."""

    x: Float[Array, "*trial n"]
    value: Float[Array, "*trial"]
    gradient: Float[Array, "*trial n"]
    update: Float[Array, "*trial n"]


class _Search(NamedTuple):
    """A maximum is sought: where it has come to, the inverse of minus the Hessian, and how many rounds in a row have
    gained next to nothing."""

    point: _Point
    inverse: Float[Array, "n n"]
    stalled: Int[Array, ""]
    round: Int[Array, ""]

    @classmethod
    def start(cls, x: Float[Array, " n"]) -> "_Search":
        """Known of nothing: the first round's first trial is the start itself, which saves compiling it apart."""
        point = _Point(x, jnp.asarray(-jnp.inf, x.dtype), jnp.zeros_like(x), x)
        return cls(point, jnp.eye(x.size, dtype=x.dtype), jnp.asarray(0), jnp.asarray(0))

    def moved(self, trials: _Point) -> "_Search":
        """To the best of the trials, if it is better."""
        old = self.point
        usable = jnp.isfinite(trials.value) & jnp.all(jnp.isfinite(trials.gradient), axis=1)
        best = jnp.argmax(jnp.where(usable, trials.value, -jnp.inf))
        new = jax.tree.map(lambda a: a[best], trials)
        # A start that cannot be filtered is left for anything that can.
        better = usable[best] & ~(new.value <= old.value)
        gained = better & ~(new.value - old.value < 0.05)
        shift, fall = new.x - old.x, old.gradient - new.gradient
        inverse = jnp.where(shift @ fall > 0, _bfgs(self.inverse, shift, fall), self.inverse)
        # What misled is forgotten.
        inverse = jnp.where(gained, inverse, jnp.eye(shift.size, dtype=shift.dtype))
        point = jax.tree.map(lambda new, old: jnp.where(better, new, old), new, old)
        return _Search(point, inverse, jnp.where(gained, 0, self.stalled + 1), self.round + 1)


def _groups(size: int, channels: int, unit):
    """Shifts by one logarithm of each kind of noise: of the observed states, of the hidden ones, of the measurement."""
    at = jnp.arange(unit.size)
    kinds = [at < channels, (at >= channels) & (at < size), at >= size]
    return jnp.stack([jnp.where(kind, 1 / unit, 0) for kind in kinds])


def _bfgs(inverse, shift, fall):
    """The inverse Hessian that maps this fall of the gradient to this shift, nearest to the one before."""
    rho = 1 / jnp.where(shift @ fall > 0, shift @ fall, 1)
    left = jnp.eye(shift.size, dtype=shift.dtype) - rho * jnp.outer(shift, fall)
    return left @ inverse @ left.T + rho * jnp.outer(shift, shift)


def counts(series: Series, size: int) -> Float[Array, " n"]:
    """How many terms of the likelihood speak of each variance: of the process, then of the observation; in all trials
    of a batch together."""
    dtype = series.ys.dtype
    steps = jnp.sum(jnp.diff(series.ts) != 0, dtype=dtype)
    seen = jnp.sum(series.mask, axis=tuple(range(series.mask.ndim - 1)), dtype=dtype)
    return jnp.concatenate([jnp.full(size, steps), seen])


def _flat(noise: Noise):
    return jnp.concatenate([noise.process, noise.observation])


def _unflat(x, size: int) -> Noise:
    return Noise(x[:size], x[size:])
