r"""How long a forecast stays near the truth.

??? cite

    Pathak et al., Phys. Rev. Lett. 120, 024102 (2018).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from ctmodels.metrics._arrays import Mask, Numbers, not_empty, numbers, root_mean_square
from ctmodels.metrics._forecast import as_observed, standard_deviation, with_channel_axis


class ValidTime(NamedTuple):
    """How long a forecast was valid.

    - `value`: the time, in the units of `ts`; NaN if nothing was observed.
    - `count`: how many times were observed, and so could be judged.
    - `censored`: True if no error was above the threshold, so that it was valid for `value` *at least*.
    """

    value: Float[Array, ""]
    count: Int[Array, ""]
    censored: Bool[Array, ""]


def valid_time(
    ts: Numbers,
    true: Numbers,
    predicted: Numbers,
    *,
    t0: float | int | Float[ArrayLike, ""] | None = None,
    threshold: float | int = 0.4,
    scale: float | int | Float[ArrayLike, ""] | None = None,
    mask: Mask = None,
) -> ValidTime:
    r"""[`valid_prediction_time`][], with what it rests on: the count, and whether it is a lower bound.

    **Arguments:**

    - `t0`: when the forecast was made, before `ts[0]`: the time is counted from there, and a horizon
        of one sample has a time. A forecast whose first observed error is above the threshold was
        never valid: 0. If `None`, it was made at `ts[0]`.
    - all others as in [`valid_prediction_time`][].

    **Returns:** [`ValidTime`][].
    """
    elapsed = _since(ts, t0)
    true, predicted, mask = with_channel_axis(*as_observed(true, predicted, mask))
    if elapsed.shape != true.shape[:1] or true.ndim != 2:
        raise ValueError(
            f"ts has shape {elapsed.shape} and true {true.shape}, that is (time,) and (time, channel): give one time "
            "for each row of true"
        )
    if scale is None:
        # Of the channels seen twice: a single value has no spread.
        spread = root_mean_square(standard_deviation(true, mask), mask.sum(axis=0) > 1)
    else:
        spread = jnp.asarray(scale).astype(true.dtype) / true.shape[1] ** 0.5
    if spread.ndim:
        raise ValueError(f"scale has shape {spread.shape}: it is one number, the root of the mean squared distance")
    # Means over channels, above and below: their number cancels, and missing ones are filled in.
    error = root_mean_square(true - predicted, mask, axis=1)
    seen = mask.any(axis=1)
    # `not <=` rather than `>`, so that NaN counts; no division, so that a truth at rest is no special case.
    exceeded = ~(error <= threshold * spread) & seen
    first, count, wrong = jnp.argmax(exceeded), seen.sum(), exceeded.any()
    last = len(seen) - 1 - jnp.argmax(seen[::-1])
    value = elapsed[jnp.where(wrong, first, last)]
    value = jnp.where(wrong & (first == jnp.argmax(seen)) & (t0 is not None), 0, value)
    defined = (count > 0) if scale is not None else (mask.sum(axis=0) > 1).any()
    return ValidTime(jnp.where(defined, value, jnp.nan), count, defined & ~wrong)


def valid_prediction_time(
    ts: Numbers,
    true: Numbers,
    predicted: Numbers,
    *,
    threshold: float | int = 0.4,
    scale: float | int | Float[ArrayLike, ""] | None = None,
    mask: Mask = None,
) -> Float[Array, ""]:
    r"""How long a forecast stays near the truth, in the units of `ts`; higher is better.

    $$\mathrm{VPT} = \min \Big\{ t - t_0 :
      \frac{\|\hat x(t) - x(t)\|}{\langle \|x - \langle x\rangle\|^2\rangle^{1/2}} > \theta \Big\}$$

    **Arguments:**

    - `ts`: the times, `(time,)`; the forecast starts at `ts[0]`.
    - `true`, `predicted`: the observations and their forecast, `(time, channel)` or `(time,)`.
    - `threshold`: $\theta$. Published values go from 0.3 to 0.5, so quote it.
    - `scale`: the denominator $\langle \|x - \langle x\rangle\|^2\rangle^{1/2}$, best computed once
        from a long reference orbit. If `None`, it is computed from `true`, and then depends on
        which stretch of orbit was forecast.
    - `mask`: which entries of `true` were observed; all of them if `None`. Where some channels are
        missing their squared error is taken to be the mean of those observed; a time with none
        observed is passed over.

    **Returns:** the time of the first error above the threshold; the last observed time if there is
    none, which is a lower bound ([`valid_time`][] says which of the two it is). NaN if nothing was
    observed, or if `scale` is `None` and no channel was observed twice. A forecast that is NaN or
    infinite is above any threshold. Multiply by the largest Lyapunov exponent to have it in Lyapunov
    times. (The other definition in use, a cumulative sMAPE above 30, is not this one.)
    """
    return valid_time(ts, true, predicted, threshold=threshold, scale=scale, mask=mask).value


def _since(ts, t0) -> Array:
    """Times since the first, or since `t0`; of NumPy's on the host: seconds since 1970 are no float32."""
    ts = ts if isinstance(ts, jax.Array) else np.asarray(ts)
    if ts.ndim != 1:
        raise ValueError(f"ts has shape {ts.shape}: the times of one series are (time,)")
    not_empty("ts", ts)
    origin = ts[0] if t0 is None else t0
    if isinstance(ts, jax.Array) or isinstance(origin, jax.Array):
        ts = numbers(ts, "ts")
        return ts - jnp.asarray(origin).astype(ts.dtype)
    return numbers(ts - origin, "ts")
