"""Laws of ODEBench's 63 systems: `python -m benchmarks.odebench [--methods ...] [--seeds 0] [--save]`.

Each is learned from one orbit, at 512 times, without noise and with 5 % on each value, of all points and of half of
them, dropped at random (`clean`, `noisy`, `half`, `noisy_half`). `reconstruction`: the share of systems of which R2 of
the orbit from the true first start is above 0.9; `generalisation`: from the second start, which nothing has seen.
Methods: `linear`; `sparse`, a sum of few terms by weak regression, chosen and fitted again as `_laws.py` says;
`neural`, a neural ODE; `hybrid`, a polynomial of degree two with a network beside it; `best`: of a system the one that
meets the points seen best, within a tenth the simplest. Settings were looked at on these systems without the second
start. `seconds`: of all conditions, compilation included.
"""

import functools
import time

import jax

jax.config.update("jax_enable_x64", True)

import equinox as eqx  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import ctmodels as ct  # noqa: E402
from benchmarks._reproduction import main  # noqa: E402
from benchmarks.odebench import _laws, _networks  # noqa: E402
from benchmarks.odebench._data import CONDITIONS, Seen, r2, seen  # noqa: E402

GOOD = 0.9
METHODS = ["linear", "sparse", "neural", "hybrid", "best"]
QUICK = [1, 3, 25, 54]


def ids(quick: bool) -> list[int]:
    return QUICK if quick else list(ct.systems.odebench)


@functools.cache
def data(condition: str, seed: int, quick: bool) -> dict[int, Seen]:
    return {i: seen(i, condition, seed) for i in ids(quick)}


def by_law(fit, many: list[Seen], seed: int) -> list[np.ndarray]:
    return [np.asarray(_solved(fit(one.series), jnp.asarray(one.orbits[:, 0]), jnp.asarray(one.ts))) for one in many]


@eqx.filter_jit
def _solved(model, starts, ts):
    return jax.vmap(lambda y0: model(y0, ts).ys)(starts)


FITS = {
    "linear": functools.partial(by_law, _laws.linear),
    "sparse": functools.partial(by_law, _laws.sparse),
    "neural": _networks.neural,
    "hybrid": _networks.hybrid,
}


@functools.cache
def orbits(method: str, condition: str, seed: int, quick: bool) -> dict[int, np.ndarray]:
    """Of each system, from both starts."""
    if method == "best":
        return best(condition, seed, quick)
    many, found = data(condition, seed, quick), {}
    for dimension in sorted({one.orbits.shape[2] for one in many.values()}):
        group = [one for one in many.values() if one.orbits.shape[2] == dimension]
        found |= dict(zip([one.id for one in group], FITS[method](group, seed), strict=True))
    return found


def best(condition: str, seed: int, quick: bool) -> dict[int, np.ndarray]:
    tried = [orbits(method, condition, seed, quick) for method in FITS]
    chosen = {}
    for id, one in data(condition, seed, quick).items():
        errors = np.array([misses(one, found[id][0]) for found in tried])
        chosen[id] = tried[int(np.argmax(errors <= 1.1 * np.nanmin(errors)))][id]
    return chosen


def misses(one: Seen, orbit: np.ndarray) -> float:
    """Of the points that were seen, by an orbit from the first start: the root mean square in deviations."""
    ys = np.asarray(one.series.ys)
    at = np.searchsorted(one.ts, np.asarray(one.series.ts) - 1e-9)
    error = np.sqrt(np.mean(((orbit[at] - ys) / (ys.std(axis=0) + 1e-12)) ** 2))
    return float(error) if np.isfinite(error) else np.inf


def one(method: str, seed: int, _, quick: bool) -> dict:
    row, begun = {}, time.monotonic()
    for condition in list(CONDITIONS)[:1] if quick else CONDITIONS:
        found, many = orbits(method, condition, seed, quick), data(condition, seed, quick)
        shares = [[r2(one.orbits[start], found[i][start]) > GOOD for i, one in many.items()] for start in (0, 1)]
        row[f"{condition}_reconstruction"], row[f"{condition}_generalisation"] = map(float, map(np.mean, shares))
        row[f"{condition}_failed"] = [[i for i, good in zip(many, share, strict=True) if not good] for share in shares]
    return row | {"seconds": time.monotonic() - begun}


def compared(methods: dict[str, dict]) -> dict:
    return {name: {key: value for key, value in row.items() if key != "seeds"} for name, row in methods.items()}


if __name__ == "__main__":
    main("odebench", one, METHODS, compared, quick=["linear", "sparse"])
