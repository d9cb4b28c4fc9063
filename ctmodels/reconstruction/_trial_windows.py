"""Windows of trials: of which one each row is, and where each begins."""

from collections.abc import Sequence

import jax
import numpy as np

from ctmodels._core._series import Series, collate
from ctmodels.reconstruction._least_squares import Trials

FEWEST = 8  # rows of a window


def batched(trials: Sequence[tuple[Series, Series | None]]) -> Trials:
    controls = [control for _, control in trials if control is not None]
    return Trials(collate([series for series, _ in trials]), collate(controls) if controls else None)


def shortest_window(batch: Trials, rows: np.ndarray) -> int:
    """Rows of the shortest windows: of one unit of the scaled time, in which the data move by their own size."""
    ts = np.asarray(batch.series.ts, np.float64)
    spacing = float(np.median(np.concatenate([np.diff(t[:n]) for t, n in zip(ts, rows, strict=True)])))
    return int(min(max(FEWEST, np.ceil(1 / spacing)), rows.max()))


def windows_of(rows: np.ndarray, length: int) -> np.ndarray:
    """Of which window each row is, `(trial, time)`; what is left at the end, and padding, are of the last one."""
    last = np.maximum(1, np.round(rows / length).astype(int)) - 1
    return np.minimum(np.arange(rows.max())[None] // length, last[:, None])


def every_other(starts: np.ndarray) -> np.ndarray:
    """Of windows twice as long."""
    half = starts[:, ::2]
    return np.concatenate([half, starts[:, half.shape[1] :]], axis=1)


def first_starts(batch: Trials, window: np.ndarray, count: int, states: int) -> np.ndarray:
    """By straight lines through each window's first rows: hidden states begin as the slopes of observed ones."""
    ts = np.asarray(batch.series.ts, np.float64)
    ys = np.asarray(jax.vmap(Series.fill_forward)(batch.series), np.float64)
    starts = np.zeros((len(ts), count, states))
    for i, k in np.ndindex(len(ts), count):
        at = np.flatnonzero(window[i] == k)[:5]
        if len(at) == 0:
            continue
        t = ts[i, at] - ts[i, at[0]]
        line = np.polynomial.polynomial.polyfit(t, ys[i, at], min(1, int(np.sum(np.diff(t) > 0))))
        starts[i, k] = np.resize(np.concatenate(line) if len(line) > 1 else line[0], states)
    return starts
