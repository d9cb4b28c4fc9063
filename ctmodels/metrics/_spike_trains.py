r"""Distances between two spike trains, given by their times: van Rossum's, Victor and Purpura's, and of intervals.

Trains of unequal length share a shape by padding with `inf` at the end; times may come in any order. A batch of pairs
is made by `jax.vmap`, all pairs of a list by two.

??? cite

    Victor and Purpura, "Nature and precision of temporal coding in visual cortex: a metric-space analysis", J.
    Neurophysiol. 76 (1996). van Rossum, "A novel spike distance", Neural Computation 13 (2001). Kreuz, Haas, Morelli,
    Abarbanel and Politi, "Measuring spike train synchrony", J. Neurosci. Methods 165 (2007): intervals.
"""

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ctmodels.metrics._arrays import Numbers, common_type, numbers

Scale = float | int | Float[Array, ""]


def van_rossum(a: Numbers, b: Numbers, tau: Scale) -> Float[Array, ""]:
    r"""Distance of the two trains when each spike leaves a decaying exponential; 0 for the same train.

    $$D^2 = \frac1\tau \int_{-\infty}^\infty (f_a - f_b)^2 dt, \qquad f_a(t) = \sum_{a_i \le t} e^{-(t - a_i) / \tau}$$

    Exact: between two spikes $f_a - f_b$ decays alone, so that the integral is a sum of positive terms over the spikes
    of both in order, and nothing cancels.

    **Arguments:**

    - `a`, `b`: times of the spikes, `(spike,)`, padded with `inf`.
    - `tau`: in the unit of the times, above 0. Short against the intervals, and the distance counts the spikes that do
        not coincide; long, and it compares how many there are.

    **Returns:** $D$, not $D^2$: it obeys the triangle inequality. In this normalisation, which is van Rossum's, $D^2$
    is 1/2 for one spike against none, and up to 1 for one against another. Some codes leave out the 1/2: their $D$ is
    $\sqrt 2$ times this one.
    """
    if not isinstance(tau, jax.core.Tracer) and not tau > 0:
        raise ValueError(f"tau={tau}: a time of decay is above 0; give such as that of a synapse, in the unit of times")
    a, b, valid = _trains(a, b)
    tau = jnp.asarray(tau, a.dtype)
    times, signs = jnp.concatenate([a, b]), jnp.concatenate([_spikes(a), -_spikes(b)]).astype(a.dtype)
    if times.size == 0:
        return jnp.zeros((), times.dtype)
    order = jnp.argsort(times)
    # What is padded comes last, and adds nothing: it is put where the last spike is.
    last = jnp.max(jnp.where(jnp.isfinite(times), times, -jnp.inf))
    times, signs = jnp.minimum(times, jnp.where(jnp.isfinite(last), last, 0))[order], signs[order]
    gaps = jnp.diff(times) / tau

    def after(height, spike):
        gap, sign = spike
        height = height + sign
        return height * jnp.exp(-gap), height**2 * -jnp.expm1(-2 * gap)

    height, areas = jax.lax.scan(after, jnp.zeros((), times.dtype), (gaps, signs[:-1]))
    square = 0.5 * (jnp.sum(areas) + (height + signs[-1]) ** 2)
    return jnp.where(valid & (tau > 0), jnp.sqrt(square), jnp.nan)


def victor_purpura(a: Numbers, b: Numbers, cost: Scale) -> Float[Array, ""]:
    r"""The least cost of turning one train into the other: 1 to add or to take away a spike, $q |\Delta t|$ to move it.

    $$G_{ij} = \min(G_{i-1,j} + 1,\; G_{i,j-1} + 1,\; G_{i-1,j-1} + q |a_i - b_j|)$$

    Exact, in as many steps as `a` has spikes: along a row the second term is a running minimum of $G_{ij} - j$.

    **Arguments:**

    - `a`, `b`: times of the spikes, `(spike,)`, padded with `inf`.
    - `cost`: $q$, of moving a spike by one unit of time, at least 0. A spike is moved by $2 / q$ at most.

    **Returns:** the distance: `min(q d, 2)` for two single spikes that lie `d` apart; for `q = 0` by how many spikes
    one has more; for large `q` how many do not coincide.
    """
    if not isinstance(cost, jax.core.Tracer) and not 0 <= cost < np.inf:
        raise ValueError(
            f"cost={cost}: the cost of moving a spike by a unit of time is finite and at least 0; give one"
        )
    a, b, valid = _trains(a, b)
    cost = jnp.asarray(cost, a.dtype)
    of_a, of_b = jnp.sum(_spikes(a)), jnp.sum(_spikes(b))
    # Spikes in order, padding last: what is in the table up to the last spikes knows nothing of it.
    a, b = (jnp.where(jnp.isfinite(x), x, 0) for x in (jnp.sort(a), jnp.sort(b)))
    columns = jnp.arange(b.shape[0] + 1, dtype=b.dtype)

    def row(above, spike):
        time, i = spike
        moved = above[:-1] + cost * jnp.abs(b - time)
        reached = jnp.concatenate([above[:1] + 1, jnp.minimum(above[1:] + 1, moved)])
        reached = jax.lax.cummin(reached - columns) + columns
        return jnp.where(i < of_a, reached, above), None

    table, _ = jax.lax.scan(row, columns, (a, jnp.arange(a.shape[0])))
    return jnp.where(valid & (cost >= 0), table[of_b], jnp.nan)


def isi_distance(a: Numbers, b: Numbers, start: float | int, stop: float | int) -> Float[Array, ""]:
    r"""Mean over time of how much the intervals between spikes differ in which the two trains are; from 0 to 1.

    $$D = \frac{1}{t_1 - t_0} \int_{t_0}^{t_1} \frac{|x_a(t) - x_b(t)|}{\max(x_a(t), x_b(t))} dt$$

    with $x_a(t)$ the interval between spikes of `a` that $t$ lies in. Exact: the integrand is constant between spikes.

    **Arguments:**

    - `a`, `b`: times of the spikes, `(spike,)`, within `start` and `stop`, padded with `inf`.
    - `start`, `stop`: the time that was observed.

    **Returns:** the distance. Before the first spike the interval is what lies before it, or the interval after it if
    that is longer; so after the last one; without a spike it is all of the time.
    """
    if not -np.inf < start < stop < np.inf:
        raise ValueError(f"start={start}, stop={stop}: the distance is a mean over time; give a start before the stop")
    a, b, valid = _trains(a, b)
    for name, x in (("a", a), ("b", b)):
        outside = jnp.isfinite(x) & ((x < start) | (x > stop))
        if not isinstance(x, jax.core.Tracer):
            _refuse(name, np.asarray(x), np.asarray(outside), f"from {start:g} to {stop:g}")
        valid = valid & ~jnp.any(outside)
    a, b = jnp.sort(a), jnp.sort(b)
    ends = jnp.asarray([start, stop], a.dtype)
    cuts = jnp.sort(jnp.concatenate([ends, jnp.minimum(a, ends[1]), jnp.minimum(b, ends[1])]))
    middle, width = (cuts[1:] + cuts[:-1]) / 2, jnp.diff(cuts)
    of_a, of_b = (_interval(x, middle, *ends) for x in (a, b))
    ratio = jnp.abs(of_a - of_b) / jnp.maximum(of_a, of_b)
    value = jnp.sum(jnp.where(width > 0, ratio * width, 0)) / (ends[1] - ends[0])
    return jnp.where(valid, value, jnp.nan)


def _interval(times: Array, at: Array, start: Array, stop: Array) -> Array:
    """The interval between spikes in which each time lies."""
    n, k = jnp.sum(_spikes(times)), jnp.searchsorted(times, at).astype(int)
    padded = jnp.concatenate([times, jnp.full((2,), jnp.inf, times.dtype)])
    spike = lambda i: padded[jnp.clip(i, 0, n)]
    within = spike(k) - spike(k - 1)
    second, last_but_one = (jnp.where(n > 1, x, 0) for x in (spike(1) - spike(0), spike(n - 1) - spike(n - 2)))
    before, after = jnp.maximum(spike(0) - start, second), jnp.maximum(stop - spike(n - 1), last_but_one)
    edge = jnp.where(k == 0, before, jnp.where(k == n, after, within))
    return jnp.where(n == 0, stop - start, edge)


def _trains(a: Numbers, b: Numbers) -> tuple[Array, Array, Array]:
    """Both in one type, and whether all of their times are such."""
    found = {"a": numbers(a, "a"), "b": numbers(b, "b")}
    for name, x in found.items():
        if x.ndim != 1:
            raise ValueError(f"{name} has shape {x.shape}: the times of one train are (spike,); jax.vmap takes a batch")
        if not isinstance(x, jax.core.Tracer):
            _refuse(name, np.asarray(x), np.asarray(_no_time(x)), "a number, or inf where padded")
    dtype = common_type(*found.values())
    a, b = (x.astype(dtype) for x in found.values())
    return a, b, ~(jnp.any(_no_time(a)) | jnp.any(_no_time(b)))


def _no_time(x: Array) -> Bool[Array, " spike"]:
    return jnp.isnan(x) | jnp.isneginf(x)


def _spikes(x: Array) -> Int[Array, " spike"]:
    """1 for each spike, 0 where padded."""
    return jnp.isfinite(x).astype(int)


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, limit: str) -> None:
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{name}[{at}] is {values[at]:g}, and so {int(bad.sum())} of {bad.size}: times of spikes are {limit}; "
            "leave it out"
        )
