"""Forecasts of the chaotic systems of dysts: `python -m benchmarks.dysts FILE [--methods ...] [--seeds 0] [--save]`.

FILE is the published `train_univariate__pts_per_period_100__periods_12.json.gz`: the first components of 133 systems,
1200 points, 100 to a period (`univariate_...`); of all components our own orbits of the catalogue's 129 ordinary
systems (other methods). What is fitted sees the first 1000 points, or the last 300 or 100 of these (`..._of_300`), and
foretells the 200 that follow, once. Settings are chosen on the last fifth of what is seen, and `best` takes of each
system the method of ours that foretold it best there (all but the baselines).

`smape`: the median over systems of the mean over points and channels, from 0 to 200; published medians are 42.2
(N-BEATS) and 68.8 (NVAR) of all components, 67.7 (N-BEATS) and 118.0 (linear) of the first, of test series from other
starts. `valid`: for how many Lyapunov times the error stays under 0.4 standard deviations, the median.
`by_exponent`, `by_dimension`: Spearman's correlation of sMAPE with the largest exponent and the Kaplan-Yorke dimension,
as dysts has them. `seconds`: of all three lengths, compilation included. Systems of one number of channels share a
program.
"""

import functools
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402

from benchmarks._reproduction import main  # noqa: E402
from benchmarks.dysts._data import PAST, POINTS, Board, multivariate, univariate  # noqa: E402
from benchmarks.dysts._forecasters import OURS, SIMPLE  # noqa: E402
from benchmarks.dysts._scores import rank_correlation, scores  # noqa: E402

LENGTHS = 1000, 300, 100
FORECASTERS = SIMPLE | OURS
ALONE = "sparse_law"  # of one component there is no law
NAMES = [*FORECASTERS, "best"]
METHODS = NAMES + [f"univariate_{name}" for name in NAMES if name != ALONE]
BOARDS: dict[str, Board] = {}


def load(file: Path) -> dict[str, Board]:
    BOARDS.update(multivariate=multivariate(), univariate=univariate(file))
    return BOARDS


def toy() -> dict[str, Board]:
    few = multivariate(["Lorenz", "Rossler", "Chen"])
    first = {name: orbit[:, :1] for name, orbit in few.orbits.items()}
    BOARDS.update(multivariate=few, univariate=few._replace(orbits=first))
    return BOARDS


@functools.cache
def forecasts(name: str, which: str, length: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Of each system of a board, and the error by which they were chosen."""
    board, found = BOARDS[which], {}
    if name == "best":
        return best(which, length, seed)
    for systems in board.groups().values():
        past = np.stack([list(board.orbits.values())[i][PAST - length : PAST] for i in systems])
        ys, errors = FORECASTERS[name](past, POINTS - PAST, seed)
        found |= {i: (y, e) for i, y, e in zip(systems, ys, errors, strict=True)}
    return [found[i][0] for i in range(len(found))], np.array([found[i][1] for i in range(len(found))])


def best(which: str, length: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    names = [name for name in OURS if not (which == "univariate" and name == ALONE)]
    tried = [forecasts(name, which, length, seed) for name in names]
    errors = np.stack([np.nan_to_num(errors, nan=200.0) for _, errors in tried])
    chosen = errors.argmin(axis=0)
    return [tried[c][0][i] for i, c in enumerate(chosen)], errors.min(axis=0)


def one(method: str, seed: int, boards: dict[str, Board], quick: bool) -> dict:
    name = method.removeprefix("univariate_")
    which = "univariate" if method.startswith("univariate_") else "multivariate"
    row, begun = {}, time.monotonic()
    for length in LENGTHS[:1] if quick else LENGTHS:
        row |= judged(boards[which], length, forecasts(name, which, length, seed)[0])
    return row | {"seconds": time.monotonic() - begun}


def judged(board: Board, length: int, found: list[np.ndarray]) -> dict:
    pairs = zip(board.orbits.values(), found, strict=True)
    each = [scores(orbit[PAST:], ys, orbit[PAST - length : PAST]) for orbit, ys in pairs]
    of = lambda name: np.array([one[name] for one in each])
    times = of("valid") * board.periods / 100 * board.exponents
    after = "" if length == LENGTHS[0] else f"_of_{length}"
    numbers = {name + after: float(np.nanmedian(of(name))) for name in ("smape", "nrmse", "mase", "pearson")}
    numbers |= {f"valid{after}": float(np.nanmedian(times))}
    by = {"exponent": board.exponents, "dimension": board.dimensions}
    numbers |= {f"by_{name}{after}": rank_correlation(of("smape"), values) for name, values in by.items()}
    if after:
        return {name: value for name, value in numbers.items() if "mase" not in name and "pearson" not in name}
    rest = {name: float(np.nanmedian(of(name))) for name in ("mae", "rmse", "r2", "spearman", "valid_by_smape")}
    return numbers | rest | {"systems": of("smape").round(3).tolist()}


def compared(methods: dict[str, dict]) -> dict:
    summary = {}
    for prefix, published in (("", 42.2), ("univariate_", 67.7)):
        ours = methods.get(f"{prefix}best", {})
        summary |= {f"{prefix}smape_of_best": ours.get("smape"), f"{prefix}smape_of_n_beats": published}
        each = {name: methods[prefix + name] for name in OURS if prefix + name in methods}
        summary[f"{prefix}smape"] = {name: row["smape"] for name, row in each.items()}
        summary[f"{prefix}by_exponent"] = {name: row["by_exponent"] for name, row in each.items()}
        simple = {name: methods[prefix + name]["smape"] for name in SIMPLE if prefix + name in methods}
        summary[f"{prefix}best_baseline"] = min(simple, key=simple.__getitem__, default=None)
        summary[f"{prefix}smape_of_best_baseline"] = min(simple.values(), default=None)
    timed = [row["seconds"] for name, row in methods.items() if not name.endswith("best")]
    return summary | {"slowest_seconds": max(timed, default=None)}


if __name__ == "__main__":
    main("dysts", one, METHODS, compared, load=load, toy=toy, quick=["mean", "linear", "nvar"])
