"""Intervals of a law's parameters, by one function."""

from typing import Any

import numpy as np
import scipy.special
import scipy.stats

from ctmodels._core._arguments import before, check_seed, check_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.reconstruction import LawFit, Parameters
from ctmodels.reconstruction._estimate import Estimate
from ctmodels.reconstruction._fit_law import Drawn, about, check_level, parameters_of
from ctmodels.uncertainty import _resampling as resampling

FEWEST_TRIALS = 5  # of which to draw trials
FEWEST_DRAWS = 20  # that an interval is read off
DRAWS = {"laplace": 0, "bootstrap": 400, "blocks": 400, "trials": 400, "ensemble": 8}


@before(lambda **given: _check(**given))
def intervals(
    fit: LawFit, method: str = "laplace", *, level: float = 0.9, draws: int | None = None, seed: int = 0
) -> Parameters:
    r"""The parameters of a law that was fitted, with intervals of one kind or another.

    | `method` | what is done | it allows for |
    |---|---|---|
    | `"laplace"` | the likelihood is taken for a Gaussian, by its curvature | noise, and a memory that it has |
    | `"bootstrap"` | the law is fitted to data simulated under the estimate | noise, a likelihood that is no Gaussian |
    | `"blocks"` | to its residuals, in blocks of rows (Künsch 1989) | noise of any distribution, with a memory |
    | `"trials"` | to trials drawn with replacement | all this, and trials that differ in their parameters |
    | `"ensemble"` | to the same data, from other first guesses | only a search that ends elsewhere |

    Bootstraps have intervals of quantiles, corrected for how many draws lie above the estimate (Efron 1987). With
    $\hat\theta$ the estimate, $G$ the distribution of draws, $z_0 = \Phi^{-1}(G(\hat\theta))$, the limits are
    $G^{-1}(\Phi(2 z_0 \pm z_{(1+\ell)/2}))$. Those of trials, which are few, are Student's, with as many degrees of
    freedom as there are trials but one.

    The members of an ensemble see the same data, and agree where these mislead: their spread is no interval, however
    often it is shown as one. It is here to be compared with ([Uncertainty](../uncertainty.md) has the numbers).

    **Arguments:**

    - `fit`: of [`ctmodels.reconstruction.fit_law`][].
    - `level`: of the intervals.
    - `draws`: how often the law is fitted again; default: 400, of an ensemble 8.
    - `seed`: of what is drawn.

    **Returns:** [`ctmodels.reconstruction.Parameters`][], with the estimates of `fit` itself.

    **Raises:** `DataError`, of too few trials or draws, or where most fits to drawn data are not finite.

    **Good values:** `"laplace"` first; `"bootstrap"` for few data; `"trials"` from 20 trials on; `draws=400`, 2000 for
    a level above 0.95.
    """
    found = fit.estimate
    draws = DRAWS[method] if draws is None else draws
    if method == "laplace":
        return parameters_of(found, level)
    if method == "ensemble":
        return parameters_of(found, level, _of_ensemble(found, level, draws, seed))
    if method == "trials":
        return parameters_of(found, level, _of_trials(found, level, draws, seed))
    if method == "blocks":
        length = resampling.block_length(found)
        draw, what = resampling.in_blocks(found), f"residuals drawn in blocks of {length} row{'s' * (length > 1)}"
    else:
        memory = ", which has no memory: intervals are too narrow for these data" * found.laplace.robust
        draw, what = resampling.simulated(found), f"simulated noise{memory}"
    return parameters_of(found, level, _of_quantiles(found, level, draws, seed, draw, what))


def _of_quantiles(found: Estimate, level: float, draws: int, seed: int, draw, what: str) -> Drawn:
    q = _refitted(found, draw, draws, seed)
    values = found.problem.coordinates.on_host(q)
    below = np.mean(q < found.q, axis=0) + 0.5 * np.mean(q == found.q, axis=0)
    z0 = scipy.special.ndtri(np.clip(below, 0.5 / len(q), 1 - 0.5 / len(q)))
    shares = scipy.special.ndtr(2 * z0 + scipy.special.ndtri(0.5 + level / 2) * np.array([[-1.0], [1.0]]))
    # Of n draws, one more lies below the k-th smallest with k / (n + 1).
    at = lambda shares: np.array([np.quantile(v, p, method="weibull") for v, p in zip(values.T, shares, strict=True)])
    lower, upper = at(shares[0]), at(shares[1])
    return Drawn(np.std(values, axis=0, ddof=1), lower, upper, f"Intervals by {len(q)} data sets with {what}.")


def _of_trials(found: Estimate, level: float, draws: int, seed: int) -> Drawn:
    trials = len(found.rows)
    q = _refitted(found, resampling.of_trials(found), draws, seed)
    error = np.std(q, axis=0, ddof=1) * np.sqrt(trials / (trials - 1))
    half = scipy.stats.t.ppf(0.5 + level / 2, trials - 1) * error
    return about(found, error, half, f"Intervals by {len(q)} draws of {trials} trials of {trials}.")


def _of_ensemble(found: Estimate, level: float, draws: int, seed: int) -> Drawn:
    error = np.std(resampling.from_other_guesses(found, draws, seed), axis=0, ddof=1)
    half = scipy.special.ndtri(0.5 + level / 2) * error
    note = f"Limits by {draws} searches of the same data: how sure the search is, not the parameters."
    return about(found, error, half, note)


def _refitted(found: Estimate, draw, draws: int, seed: int) -> np.ndarray:
    q = resampling.refitted(found, draw, draws, seed)
    if 2 * len(q) < draws or len(q) < 2:
        raise DataError(
            f"method: of {draws} fits to drawn data only {len(q)} have a finite solution: the law runs away from small "
            f"changes of the data; {argument('method', 'laplace')} needs no other fit"
        )
    return q


def _check(fit: Any, method: Any, level: Any, draws: Any, seed: Any) -> None:
    if not isinstance(fit, LawFit):
        raise TypeError(f"fit: {kind_of(fit)}, where what ct.reconstruction.fit_law returns is wanted")
    if method not in DRAWS:
        raise DataError(f"{argument('method', method)}: one of {', '.join(DRAWS)} is wanted")
    check_level(level)
    check_seed(seed)
    if draws is not None:
        check_whole("draws", draws, 2 if method == "ensemble" else FEWEST_DRAWS)
    trials = len(fit.estimate.rows)
    if method == "trials" and trials < FEWEST_TRIALS:
        raise DataError(
            f"{argument('method', method)}: {trials} trial{'s' * (trials != 1)}, of which nothing can be drawn: "
            f"{FEWEST_TRIALS} at least are needed; {argument('method', 'blocks')} draws rows"
        )
