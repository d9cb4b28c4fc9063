"""A law fitted again and again: to data simulated under the estimate, to its residuals in another order, to other
trials, or from other guesses. All draws are coordinates of the search, `(draw, parameter)`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ctmodels.reconstruction._estimate import MEMBERS, Estimate, Search, bounded, estimate_batch


class Again(NamedTuple):
    """The data of some members: `ys` `(member, trial, time, channel)` and how often each trial counts."""

    ys: np.ndarray | None = None
    weights: np.ndarray | None = None


def simulated(found: Estimate) -> Callable[[np.random.Generator], Again]:
    """Noise of the deviation that was found. As that is only an estimate, it is drawn too: with a law that is linear in
    its parameters, draws are then of Student's distribution, as they should be."""
    expected, mask = _expected(found)
    deviation = bounded(found.laplace.deviation)

    def draw(random):
        noise = random.normal(size=(MEMBERS, *mask.shape)) * deviation * _unsure(found, random)
        return Again(ys=np.where(mask, expected + noise, 0))

    return draw


def in_blocks(found: Estimate) -> Callable[[np.random.Generator], Again]:
    """Residuals, taken anew in blocks of neighbouring rows, so that they remember what they did (Künsch 1989)."""
    expected, mask = _expected(found)
    series = found.trials.series
    residuals = np.where(mask, np.asarray(series.ys, np.float64) - expected, np.nan)
    count = np.maximum(mask.sum((0, 1)), 1)
    residuals -= np.nansum(residuals, (0, 1)) / count
    # Fitted residuals are too small: those of restricted likelihood are as large as the noise.
    residuals *= bounded(found.laplace.deviation) / np.maximum(np.sqrt(np.nansum(residuals**2, (0, 1)) / count), 1e-300)
    length = block_length(found)

    def draw(random):
        drawn = np.stack([_blocks(residuals, found.rows, length, random) for _ in range(MEMBERS)])
        return Again(ys=np.where(mask, expected + drawn * _unsure(found, random), 0))

    return draw


def block_length(found: Estimate) -> int:
    """Of an autoregression of their correlation (Carlstein 1986), a third of the rows at most; one, where they have no
    memory: fitted residuals seem to have a negative one, as they swing about the fit, and blocks would keep that."""
    if not found.laplace.robust:
        return 1
    rho, rows = min(abs(found.laplace.memory), 0.97), int(found.rows.max())
    best = (np.sqrt(6) * rho / (1 - rho**2)) ** (2 / 3) * rows ** (1 / 3)
    return int(np.clip(np.ceil(best), 1, max(1, rows // 3)))


def _blocks(residuals: np.ndarray, rows: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """Of each trial blocks from any trial, each going on at its trial's beginning. Where a residual is missing, one of
    those that are not."""
    trials, most, channels = residuals.shape
    of = random.integers(trials, size=(trials, -(-most // length)))
    first = random.integers(rows[of])
    at = (first[..., None] + np.arange(length)) % rows[of][..., None]
    drawn = residuals[of[..., None], at].reshape(trials, -1, channels)[:, :most]
    for c in range(channels):
        known = residuals[..., c][np.isfinite(residuals[..., c])]
        lost = ~np.isfinite(drawn[..., c])
        drawn[..., c][lost] = random.choice(known, lost.sum()) if known.size else 0
    return drawn


def of_trials(found: Estimate) -> Callable[[np.random.Generator], Again]:
    """As many trials, drawn with replacement."""
    count = len(found.rows)
    return lambda random: Again(weights=random.multinomial(count, np.full(count, 1 / count), size=MEMBERS))


def refitted(found: Estimate, draw: Callable[[np.random.Generator], Again], count: int, seed: int) -> np.ndarray:
    """So many draws, from the estimate on; those without a finite solution are left out."""
    search = Search(found.problem, found.trials, found.rows, found.starts.shape[1], seed)
    search.deviation = bounded(found.laplace.deviation)
    same = lambda a: np.broadcast_to(a, (MEMBERS, *a.shape))
    draws = []
    for _ in range(-(-count // MEMBERS)):
        again = draw(search.random)
        fits = search.search_all(found.window, same(found.q), same(found.starts), **again._asdict())
        draws.append(np.asarray(fits.q, np.float64)[np.isfinite(fits.cost)])
    return np.concatenate(draws)[:count]


def from_other_guesses(found: Estimate, count: int, seed: int) -> np.ndarray:
    """The whole search again on the same data, each from guesses of its own."""
    seeds = np.random.default_rng(seed).integers(2**31, size=count)
    return np.stack([estimate_batch(found.problem, found.trials, found.rows, int(one)).q for one in seeds])


def _expected(found: Estimate) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(found.found.ys, np.float64), np.asarray(found.trials.series.mask)


def _unsure(found: Estimate, random: np.random.Generator) -> np.ndarray:
    dof = found.laplace.dof
    return np.sqrt(dof / random.chisquare(dof, size=(MEMBERS, 1, 1, 1)))
