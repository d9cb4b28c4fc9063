"""A record with gaps or uneven times, and a generated orbit seen through the same gaps, for metrics of even orbits.

Rows that are left when those with a gap are dropped are not evenly spaced, and the spectrum of them is another's. So
what is missing is put on the line between its neighbours where the gap is short, and cut out where it is long; and the
generated orbit is sampled at the times of the record and treated alike, so that what filling and cutting do to a
spectrum they do to both.
"""

from typing import NamedTuple

import numpy as np

from ctmodels.metrics._arrays import Numbers


class AsSampled(NamedTuple):
    """Both orbits on one even grid, `(time, channel)`; `observed`: how many rows of the record they rest on."""

    true: np.ndarray
    generated: np.ndarray
    observed: int


def as_sampled(
    ts: Numbers, true: Numbers, generated: Numbers, *, dt: float | int | None = None, longest_gap: float | int = 8
) -> AsSampled:
    r"""A record on an even grid, and a generated orbit as if it had been recorded at the same times. On the host.

    **Arguments:**

    - `ts`: the times of the record, `(time,)`, increasing.
    - `true`: the record, `(time, channel)`; a row that is not all finite was not observed.
    - `generated`: `(samples, channel)`, evenly spaced and without a gap.
    - `dt`: the spacing of `generated`, and of the grid; the median spacing of `ts` if `None`.
    - `longest_gap`: in units of `dt`. Shorter gaps are filled by a straight line; at longer ones the record is cut,
        and the stretches are put together, but for those shorter than twice this, which have no spectrum.

    **Returns:** [`AsSampled`][]. A complete record at an even spacing comes back as it is, cut like `generated` to the
    length of the shorter. Empty if no stretch
    is long enough.
    """
    ts, true, generated = (np.asarray(x, np.float64) for x in (ts, true, generated))
    _check(ts, true, generated)
    dt = float(np.median(np.diff(ts))) if dt is None else float(dt)
    at = _positions(ts, dt)
    seen = np.isfinite(true).all(axis=1)
    at, true = at[seen], true[seen]
    stretches = np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > longest_gap) + 1) if len(at) else []
    pieces = [_resample(at[i], true[i], generated) for i in stretches]
    whole = len(pieces) == 1
    pieces = [piece for piece in pieces if whole or len(piece[0]) >= 2 * longest_gap]
    empty = np.zeros((0, true.shape[1]))
    records, runs, counts = zip(*pieces, strict=True) if pieces else ((empty,), (empty,), (0,))
    return AsSampled(np.concatenate(records), np.concatenate(runs), sum(counts))


def _resample(at, true, generated):
    """One stretch on its grid, and the generated orbit seen at the same places; how many rows they rest on."""
    inside = at - at[0] <= len(generated) - 1
    at, true = at[inside], true[inside]
    span = at[-1] - at[0]
    # Where the generated orbit goes on at the same time; from its beginning again where that is past its end.
    start = np.floor(at[0]) % max(len(generated) - np.ceil(span), 1)
    grid = np.arange(int(np.floor(span + 1e-6)) + 1)
    place = at - at[0]
    run = _interpolate(start + place, np.arange(len(generated)), generated)
    return _interpolate(grid, place, true), _interpolate(grid, place, run), len(at)


def _positions(ts, dt):
    """Times in units of `dt`; whole numbers if the spacings are near them, so that rounding does not add up."""
    steps = np.diff(ts) / dt
    whole = np.round(steps)
    steps = whole if np.all(np.abs(steps - whole) < 0.05) else steps
    return np.concatenate([[0.0], np.cumsum(steps)])


def _interpolate(at, places, ys):
    return np.stack([np.interp(at, places, channel) for channel in ys.T], axis=1)


def _check(ts, true, generated) -> None:
    if ts.ndim != 1 or true.ndim != 2 or len(ts) != len(true) or len(ts) < 2:
        raise ValueError(
            f"ts has shape {ts.shape} and true {true.shape}: times are (time,), two at least, and a record is "
            "(time, channel); give one time for each row"
        )
    if generated.ndim != 2 or generated.shape[1] != true.shape[1] or len(generated) == 0:
        raise ValueError(
            f"generated has shape {generated.shape} and true {true.shape}, (time, channel): they are compared channel "
            "by channel; give both the same channels"
        )
    bad = np.flatnonzero(~(np.diff(ts) > 0))
    if bad.size:
        i = int(bad[0])
        raise ValueError(f"ts[{i + 1}] is {ts[i + 1]:g} after ts[{i}] = {ts[i]:g}: times increase; sort them")
