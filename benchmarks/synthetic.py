"""Forecasts of series whose best forecast is known: `python -m benchmarks.synthetic [--quick] [--save]`.

Of each kind 24 series of 600 points; 500 are seen, and the next 50 foretold. A number is the root of the mean square
error over that of the best forecast of all, which knows the law and not the noise: 1 is perfect. Trend, season and both
have independent noise; `ar` and `arma` the noise that drives them, of which the best forecast knows the past;
`walk` adds it up; `mackey_glass` is chaotic, with noise on what is seen alone. Settings are chosen on the last fifth of
what is seen, as in `dysts`; `best` takes of each series the method whose squared error was least over the last hundred
rows of it, foretold fifty at a time.
"""

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402
import scipy.signal  # noqa: E402

import ctmodels as ct  # noqa: E402
from benchmarks._harness import main  # noqa: E402
from benchmarks.dysts._forecasters import OURS, SIMPLE  # noqa: E402

SERIES, SEEN, AHEAD, NOISE, SEASON = 24, 500, 50, 0.3, 24
ORIGINS = 2  # within what is seen, from which methods are compared, AHEAD rows apart
AR, MA = (1.5, -0.7), 0.4
METHODS = [*SIMPLE, "nvar", "kernel", "echo_state"]


def trend(rng, n: int):
    return 0.01 * rng.normal() * np.arange(n) + NOISE * rng.normal(size=n), np.full(AHEAD, NOISE)


def season(rng, n: int):
    phase, ts = rng.uniform(0, 2 * np.pi, 2), np.arange(n) * 2 * np.pi / SEASON
    return np.sin(ts + phase[0]) + 0.5 * np.sin(2 * ts + phase[1]) + NOISE * rng.normal(size=n), np.full(AHEAD, NOISE)


def trend_and_season(rng, n: int):
    ys, best = season(rng, n)
    return ys + 0.01 * rng.normal() * np.arange(n), best


def driven(a: list[float], b: list[float]):
    """An ARMA process: its best forecasts err by what has driven it since, as its impulse response has it."""

    def made(rng, n: int):
        ys = scipy.signal.lfilter(b, a, NOISE * rng.normal(size=n + 200))[200:]
        response = scipy.signal.lfilter(b, a, np.eye(1, AHEAD)[0])
        return ys, NOISE * np.sqrt(np.cumsum(response**2))

    return made


def mackey_glass(rng, n: int):
    """Six time units apart, as in its literature; errors grow in truth, and the best one does not know."""
    system = ct.systems.catalogue["MackeyGlass"]
    start = np.array([0.5 + rng.uniform()])
    ys = np.asarray(ct.systems.simulate(system, start, dt=system.period / 20, steps=n, transient=100))[:, 0]
    ys = (ys - ys.mean()) / ys.std()
    return ys + 0.1 * NOISE * rng.normal(size=n), np.full(AHEAD, 0.1 * NOISE)


KINDS = {
    "trend": trend,
    "season": season,
    "trend_and_season": trend_and_season,
    "ar": driven([1.0, *(-x for x in AR)], [1.0]),
    "arma": driven([1.0, -0.8], [1.0, MA]),
    "walk": driven([1.0, -1.0], [1.0]),
    "mackey_glass": mackey_glass,
}


def foretold(ys: np.ndarray, quick: bool) -> dict[str, np.ndarray]:
    """By each method, the rows after series `(series, time)`: `(series, AHEAD)`."""
    methods = METHODS[:6] if quick else METHODS
    return {name: np.nan_to_num((SIMPLE | OURS)[name](ys[..., None], AHEAD, 0)[0][..., 0], nan=1e3) for name in methods}


def squares(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What blew up is far off, and not more."""
    return np.minimum((found - true) ** 2, 1e6)


def ratios(ys: np.ndarray, optimum: np.ndarray, quick: bool) -> dict[str, float]:
    """Of each method, on series `(series, time)`; `best` is chosen by squared error on the end of what is seen."""
    seen, true = ys[:, :SEEN], ys[:, SEEN:]
    origins = [SEEN - AHEAD * (i + 1) for i in range(1 if quick else ORIGINS)]
    tried = [(o, foretold(seen[:, :o], quick)) for o in origins]
    there = {name: sum(squares(seen[:, o : o + AHEAD], f[name]).sum(axis=1) for o, f in tried) for name in tried[0][1]}
    found = foretold(seen, quick)
    chosen = np.stack([there[name] for name in found]).argmin(axis=0)
    found["best"] = np.stack([list(found.values())[c][i] for i, c in enumerate(chosen)])
    return {n: float(np.sqrt(squares(true, f).mean() / np.mean(optimum**2))) for n, f in found.items()}


def run(quick: bool) -> tuple[list[dict], dict]:
    rows = []
    for kind, made in KINDS.items():
        many = [made(np.random.default_rng((i, len(kind))), SEEN + AHEAD) for i in range(2 if quick else SERIES)]
        found = ratios(np.stack([ys for ys, _ in many]), np.stack([best for _, best in many]), quick)
        rows.append({"kind": kind, **found})
        print(rows[-1], flush=True)
    best = {row["kind"]: row["best"] for row in rows}
    return rows, {"ratio_to_the_optimum": best, "median": float(np.median(list(best.values())))}


if __name__ == "__main__":
    main("synthetic", run)
