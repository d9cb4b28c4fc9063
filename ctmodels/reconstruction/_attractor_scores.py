"""Scores of what a field without inputs has beside its forecasts: an attractor, and Lyapunov exponents."""

import jax
import jax.numpy as jnp
import numpy as np

from ctmodels import metrics
from ctmodels.metrics import Score
from ctmodels.reconstruction._scores import Scores
from ctmodels.reconstruction._text import TimeUnit

ATTRACTOR = 500  # samples; with fewer, a histogram of states says nothing
DENSE = 0.25  # of the samples between two long gaps; with fewer, a spectrum is that of the lines that fill the gaps
DIVERGED = "the free run diverged"


def attractor_scores(
    true: np.ndarray, generated: np.ndarray, ts: np.ndarray | None = None, dt: float | None = None
) -> Scores:
    """D_stsp and D_H of each member's free run against the observations, noise included; the members' median.

    **Arguments:** `true` `(time, channel)`, NaN where missing, at `ts` `(time,)`, evenly spaced if None, which values
    do not tell; `generated` `(member, samples, channel)`, at the spacing `dt`, if None the median one of `ts`.
    """
    ts = np.arange(len(true)) if ts is None else np.asarray(ts)
    observed = true[np.isfinite(true).all(axis=1)]
    pairs = [metrics.as_sampled(ts, true, run, dt=dt) for run in generated]
    return {"d_stsp": _state_space(observed, generated), "d_hellinger": _spectral(pairs, generated.dtype)}


def _state_space(observed: np.ndarray, generated: np.ndarray) -> Score:
    head = "D_stsp"
    meaning = (
        "Divergence (nats) of where the free run spends its time from where the observations do. Its floor is not 0: "
        "it depends on the number of samples."
    )
    count, reason = len(observed), _too_few(len(observed))
    if reason:
        return Score(None, head, meaning, "lower", count, reason)
    each = [_stsp(jnp.asarray(observed, generated.dtype), run) for run in jnp.asarray(generated)]
    value = float(np.median(each))
    return Score(value, head, meaning, "lower", count, _unless_finite(value))


def _spectral(pairs: list[metrics.AsSampled], dtype: np.dtype) -> Score:
    head, meaning = "D_H", "Hellinger distance of the power spectra, from 0 to 1."
    count, places = pairs[0].observed, len(pairs[0].true)
    reason = _too_few(count)
    if not reason and count < DENSE * places:
        reason = f"{count / places:.0%} of the samples were observed, and {DENSE:.0%} are needed for a spectrum"
    if reason:
        return Score(None, head, meaning, "lower", count, reason)
    each = [_hellinger(jnp.asarray(pair.true, dtype), jnp.asarray(pair.generated, dtype)) for pair in pairs]
    value = float(np.median(each))
    return Score(value, head, meaning, "lower", count, _unless_finite(value))


def _too_few(count: int) -> str:
    if count >= ATTRACTOR:
        return ""
    return f"{count} rows in which all channels were observed, and {ATTRACTOR} are needed"


def _unless_finite(value: float) -> str:
    return "" if np.isfinite(value) else DIVERGED


@jax.jit
def _stsp(observed, generated):
    return metrics.d_stsp(observed, generated, key=jax.random.key(0))


_hellinger = jax.jit(metrics.d_hellinger)


def exponent_scores(exponents: np.ndarray, steps: int, unit: TimeUnit) -> Scores:
    """Of the members' median spectrum, from `exponents` `(member, state)` that are averages over so many steps."""
    middle = np.median(exponents, axis=0)
    finite = bool(np.isfinite(middle).all())
    values = (float(middle[0]), float(metrics.kaplan_yorke(middle))) if finite else (None, None)
    count, reason = (steps, "") if finite else (0, DIVERGED)
    return {
        "lyapunov_max": Score(
            values[0],
            f"λ_max [{unit.rates}]",
            "Largest Lyapunov exponent of the model: above 0, nearby states part (chaos); about 0, a cycle; below 0, "
            "rest.",
            count=count,
            reason=reason,
        ),
        "kaplan_yorke": Score(
            values[1], "D_KY", "Kaplan–Yorke dimension of the model's attractor.", count=count, reason=reason
        ),
    }


def in_lyapunov_times(valid: Score, exponent: Score, dt: float) -> Scores:
    """The valid prediction time in units of the model's own Lyapunov time; nothing where it is not chaotic. `dt`: of a
    step of the exponent's."""
    if valid.value is None or exponent.value is None or not _chaotic(exponent.value, exponent.count or 1, dt):
        return {}
    head = "Valid time [Lyapunov times]"
    meaning = "The valid time, times the model's own largest Lyapunov exponent; only for models that are chaotic."
    value = valid.value * exponent.value
    return {
        "valid_prediction_time_lyapunov": Score(value, head, meaning, "higher", valid.count, at_least=valid.at_least)
    }


def _chaotic(exponent: float, steps: int, dt: float) -> bool:
    """Whether states parted by more than twice what they do beside a cycle, linearly in time, whose exponent is an
    average over so many steps that is not zero yet."""
    return bool(exponent * steps * dt > 2 * np.log(1 + steps))
