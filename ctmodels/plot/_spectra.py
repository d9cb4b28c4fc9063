"""Share of power by frequency."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._series import Series
from ctmodels._core._words import argument, kind_of
from ctmodels.data import Table
from ctmodels.metrics import power_spectrum
from ctmodels.plot._axes import panels
from ctmodels.plot._style import COLOURS, INK, log_axis
from ctmodels.plot._values import Values, columns, values_of

MISSING = 0.05  # the share of a channel that may be filled in before its spectrum is no longer shown

_power = jax.jit(power_spectrum, static_argnames="sigma")


def spectra(
    orbit: Series | Table | ArrayLike,
    dt: float | int | None = None,
    *,
    generated: Mapping[str, ArrayLike] | None = None,
    sigma: float | int | None = None,
    names: Sequence[str] | None = None,
    ax: Any = None,
) -> np.ndarray:
    """Power spectra, a panel for each channel: of what was observed in ink, of what models generated in colours, all of
    as many samples as the shortest has.

    **Arguments:**

    - `orbit`: evenly spaced: a [`ctmodels.Series`][] or a [`ctmodels.data.Table`][], or `(time, channel)` or `(time,)`
        with `dt`. Missing values are filled in by straight lines, where they are few (one in twenty).
    - `dt`: the time between two rows.
    - `generated`: by name, orbits of the same channels at the same spacing.
    - `sigma`: of the smoothing, in bins, as of [`ctmodels.metrics.power_spectrum`][]; None: 20, or less of few samples.
    - `names`: of the channels.
    - `ax`: axes of matplotlib, a list with one for each channel; None: of a new figure.

    **Returns:** the axes, `(channel,)`.
    """
    seen, dt = _evenly(orbit, dt, names)
    orbits = {"observed": _all_filled(seen)} | {name: _alike(name, g, seen) for name, g in (generated or {}).items()}
    frequency, powers = powers_of(orbits, dt, sigma)
    with panels(ax, len(seen.labels)) as made:
        for c, (axes, label) in enumerate(zip(made, seen.labels, strict=True)):
            lines = {name: p[:, c] for name, p in powers.items()}
            colours = dict(zip(lines, [INK, *(COLOURS[i % len(COLOURS)] for i in range(len(lines)))], strict=False))
            draw_spectrum(axes, frequency, lines, colours, "observed")
            axes.set_title(label, parse_math=False)
        if generated:
            made[0].legend(frameon=False, fontsize="small")
        made[-1].set_xlabel(_frequency_label(orbit), parse_math=False)
        return made


def _frequency_label(orbit: Any) -> str:
    unit = orbit.time_unit if isinstance(orbit, Table) else ""
    return f"frequency [1/{unit.removesuffix('s')}]" if unit else "frequency"


def _evenly(orbit: Any, dt: float | int | None, names: Sequence[str] | None) -> tuple[Values, float]:
    """Values, and the time between two rows."""
    if not isinstance(orbit, Series | Table):
        ys = columns("orbit", orbit)
        if dt is None or not 0 < dt < np.inf:
            raise ValueError(f"{argument('dt', dt)}: the time between two rows is needed, above 0")
        return values_of(dt * np.arange(len(ys)), ys, names), float(dt)
    if dt is not None:
        raise TypeError(f"{argument('dt', dt)}: {kind_of(orbit)} has times of its own; leave it out")
    ts = np.asarray(orbit.time if isinstance(orbit, Table) else orbit.ts, np.float64)
    gaps = np.diff(ts)
    spacing = float(np.median(gaps)) if len(gaps) else 0.0
    uneven = np.flatnonzero(~(np.abs(gaps - spacing) <= 0.01 * spacing))
    if len(uneven) or spacing <= 0:
        i = int(uneven[0]) if len(uneven) else 0
        raise ValueError(
            f"orbit: its times are not evenly spaced (row {i + 1} comes {gaps[i] if len(gaps) else 0:.3g} after the "
            f"last, the typical gap is {spacing:.3g}), and a spectrum needs even ones; see metrics.as_sampled"
        )
    return values_of(orbit, names=names), spacing


def _all_filled(seen: Values) -> np.ndarray:
    missing = np.isnan(seen.ys).mean(axis=0)
    for share, label in zip(missing, seen.labels, strict=True):
        if share > MISSING:
            raise ValueError(
                f"orbit: of {label!r} {share:.0%} is missing, and no more than {MISSING:.0%} is filled in; leave it out"
            )
    return filled(seen.ys)


def filled(ys: np.ndarray) -> np.ndarray:
    """Missing values by straight lines between their neighbours."""
    at = np.arange(len(ys))
    return np.stack([np.interp(at, at[np.isfinite(y)], y[np.isfinite(y)]) for y in ys.T], axis=1)


def _alike(name: str, values: ArrayLike, seen: Values) -> np.ndarray:
    ys = columns(f"generated[{name!r}]", values)
    if ys.shape[1] != seen.ys.shape[1] or not np.isfinite(ys).all():
        bad = np.sum(~np.isfinite(ys).all(axis=1))
        raise ValueError(
            f"generated[{name!r}]: shape {ys.shape}, {bad} rows not finite: finite numbers of {seen.ys.shape[1]} "
            "channels are wanted; cut what diverged"
        )
    return ys


def powers_of(
    orbits: Mapping[str, np.ndarray], dt: float, sigma: float | int | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frequencies above zero, and of each orbit the shares of power, `(frequency, channel)`, in bins that widen."""
    length = min(map(len, orbits.values()))
    # Twenty bins, as in D_H, would leave nothing of a short spectrum.
    sigma = float(min(20.0, length / 250)) if sigma is None else float(sigma)
    share = lambda ys: np.asarray(_power(jnp.asarray(ys[:length]), sigma=sigma), float)[1:]
    powers = {name: _binned(share(ys)) for name, ys in orbits.items()}
    return _binned(np.fft.rfftfreq(length, dt)[1:, None])[:, 0], powers


def _binned(spectrum: np.ndarray) -> np.ndarray:
    """Means over bins that widen with frequency, as a logarithmic axis does."""
    starts = np.unique(np.geomspace(1, len(spectrum), 300).astype(int)) - 1
    return np.add.reduceat(spectrum, starts, axis=0) / np.diff(np.r_[starts, len(spectrum)])[:, None]


def draw_spectrum(
    axes: Any,
    frequency: np.ndarray,
    powers: Mapping[str, np.ndarray],
    colours: Mapping[str, str],
    observed: str,
    thick: Sequence[str] = (),
) -> None:
    """Of one channel: lines by name, `observed` above all, whose limits hold: noise has a floor, a model need not."""
    high = max(1e-30, *(float(p.max()) for p in powers.values()))
    low = float(powers[observed].min())
    for name in [*(n for n in reversed(list(powers)) if n != observed), observed]:
        shown = np.where(powers[name] > 0, powers[name], np.nan)
        width = 1.5 if name in (observed, *thick) else 0.9
        axes.plot(frequency, shown, color=colours[name], linewidth=width, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(frequency[0], frequency[-1])
    axes.set_ylim(max(low / 3, high * 1e-8), high * 3)
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)
    axes.set_ylabel("share of power")
