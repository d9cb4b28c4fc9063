"""What a forecast of one system is judged by, and what goes with what over the systems."""

import numpy as np
import scipy.stats

VALID = 0.4  # of a standard deviation: as far as a forecast may be off and be valid


def smape(true: np.ndarray, found: np.ndarray) -> float:
    """From 0 to 200; what is no number counts as 200."""
    whole = np.abs(true) + np.abs(found)
    with np.errstate(invalid="ignore", over="ignore"):
        part = np.abs(true - found) / np.where(whole == 0, 1, whole)
    return float(200 * np.mean(np.where(np.isfinite(part), part, 1)))


def scores(true: np.ndarray, found: np.ndarray, past: np.ndarray) -> dict[str, float]:
    """Of `(time, channel)`; `past`: what was seen before. Means over the channels; steps of a valid forecast."""
    bounded = np.clip(np.nan_to_num(found, nan=1e6, posinf=1e6, neginf=-1e6), -1e6, 1e6)
    off, deviation = bounded - true, past.std(axis=0) + 1e-300
    naive = np.abs(np.diff(past, axis=0)).mean(axis=0) + 1e-300
    far = np.sqrt(np.mean((off / deviation) ** 2, axis=1)) > VALID
    rise = np.concatenate([[0.0], np.cumsum([smape(true[: i + 1], found[: i + 1]) > 30 for i in range(len(true))])])
    return {
        "smape": smape(true, found),
        "mae": float(np.mean(np.abs(off))),
        "rmse": float(np.sqrt(np.mean(off**2))),
        "mase": float(np.mean(np.abs(off).mean(axis=0) / naive)),
        "nrmse": float(np.mean(np.sqrt(np.mean(off**2, axis=0)) / deviation)),
        "r2": float(np.mean(1 - np.mean(off**2, axis=0) / (true.var(axis=0) + 1e-300))),
        "pearson": _correlation(scipy.stats.pearsonr, true, bounded),
        "spearman": _correlation(scipy.stats.spearmanr, true, bounded),
        "valid": float(np.argmax(far) if far.any() else len(far)),
        "valid_by_smape": float(np.argmax(rise[1:] > 0) if rise[-1] else len(true)),
    }


def _correlation(of, true: np.ndarray, found: np.ndarray) -> float:
    """The mean over channels; of a forecast that rests, none."""
    moving = [(a, b) for a, b in zip(true.T, found.T, strict=True) if min(map(np.ptp, (a, b))) > 1e-9]
    return float(np.mean([of(a, b).statistic for a, b in moving])) if moving else 0.0


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's, over the systems that have both numbers."""
    known = np.isfinite(a) & np.isfinite(b)
    return float(scipy.stats.spearmanr(a[known], b[known]).statistic) if known.sum() > 2 else None
