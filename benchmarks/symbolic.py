"""Equations of ten systems at 1 % of noise: `python -m benchmarks.symbolic [--seeds 0,1,2] [--save]`.

The ten are ODEBench's 24 to 33, the first in two dimensions; nine are sums of monomials, sines and cosines; of 33 one
term, cos(y)/x, is in no library. Systems 24 and 25 with seed 0 were looked at when the default `accuracy` of
`ct.symbolic` was set; nothing was set after the first run of all ten. Each is seen on the orbit from its first start at
512 times, every value times one plus 1 % of noise; a seed draws the noise. `right`: of how many exactly the true terms
are found; `wrong`: which not; `coefficients`: the median relative error of true coefficients, one where a term is
missing; `forecasts`: of how many R2 of the orbit from the second start, which nothing has seen, is above 0.9.

Methods: `differences`, thresholded least squares on difference quotients, as SINDy began; `sparse_law`,
`ct.regression.sparse_law`; `field`, on the field of a neural ODE: `ct.symbolic.eliminate` with two libraries, at once;
`chosen`, these with `ct.symbolic.search` (in need of the extra `symbolic`), chosen by `ct.symbolic.choose` through the
solve. All have one setting for all systems: the library of degree three with waves where there is one, and what
`docs/symbolic.md` says. SymPy compares terms.
"""

import functools
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import equinox as eqx  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import scipy.integrate  # noqa: E402
import sympy  # noqa: E402

import ctmodels as ct  # noqa: E402
from benchmarks._neural import ManyWindows, Recipe, networks, trained  # noqa: E402
from benchmarks._reproduction import main  # noqa: E402
from benchmarks.odebench._data import r2  # noqa: E402
from benchmarks.odebench._networks import scaling_of, smoothed, stack  # noqa: E402

SYSTEMS, QUICK = tuple(range(24, 34)), (26, 28)
NOISE, GOOD = 0.01, 0.9
METHODS = ["differences", "sparse_law", "field", "chosen"]
RECIPE, QUICK_RECIPE = Recipe(steps=800, window=10, batch=16), Recipe(steps=40, window=10, batch=8)
LIBRARIES = (ct.fields.Library(2, 2), ct.fields.Library(2, 3, 1))
EVERY = 2  # rows for each point at which the field is asked


@functools.cache
def orbits(id: int) -> np.ndarray:
    """From both starts, `(start, time, state)`, to ten digits or so."""
    known = ct.systems.odebench[id]
    equations = [text.replace("x_", "x") for text in known.field.equations]
    for k, value in enumerate(known.field.constants):
        equations = [text.replace(f"c_{k}", repr(float(value))) for text in equations]
    return np.stack([solved(equations, y0, known.ts) for y0 in known.starts])


def solved(equations: list[str], y0: np.ndarray, ts: np.ndarray) -> np.ndarray:
    slopes = sympy.lambdify([sympy.symbols("x0 x1")], [as_expression(text) for text in equations], "numpy")
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        away = lambda t, y: float(np.abs(y).max()) - 1e6
        away.terminal = True
        found = scipy.integrate.solve_ivp(
            lambda t, y: slopes(y), ts[[0, -1]], y0, "DOP853", ts, rtol=1e-10, atol=1e-12, events=away
        )
    return found.y.T if found.y.shape[1] == len(ts) else np.full((len(ts), 2), np.nan)


def as_expression(equation: str):
    return sympy.sympify(equation.replace("^", "**"))


@functools.cache
def seen(id: int, seed: int) -> ct.Series:
    whole = orbits(id)[0]
    ys = whole * (1 + NOISE * np.random.default_rng((id, seed)).normal(size=whole.shape))
    return ct.Series.from_nan(ct.systems.odebench[id].ts, ys)


def differences(id: int, seed: int, quick: bool) -> list[str]:
    series, library = seen(id, seed), LIBRARIES[1]
    slopes = jnp.asarray(np.gradient(np.asarray(series.ys), np.asarray(series.ts), axis=0))
    found = ct.regression.stlsq(jax.vmap(library)(series.ys), slopes)
    return texts(ct.fields.SparseField(library, found.coefficients.T, found.active.T))


def sparse_law(id: int, seed: int, quick: bool) -> list[str]:
    return texts(ct.regression.sparse_law(seen(id, seed), degree=3, waves=1)[0].field)


def texts(field: ct.fields.SparseField) -> list[str]:
    """With a number before each term, as `x0' = 0.5 x0^2 x1`."""
    terms = [name.replace(" ", " * ") for name in field.library.names()]
    rows = np.where(field.active, field.coefficients, 0)
    sums = [" + ".join(f"{c!r} * {term}" for c, term in zip(row.tolist(), terms, strict=True) if c) for row in rows]
    return [text or "0" for text in sums]


@functools.cache
def learned(seed: int, quick: bool) -> dict:
    """Of each system the field of a neural ODE, in the units of the data, and points of its orbit."""
    ids, recipe = QUICK if quick else SYSTEMS, QUICK_RECIPE if quick else RECIPE
    scalings = [scaling_of(seen(id, seed)) for id in ids]
    pairs = list(zip(ids, scalings, strict=True))
    series = stack(s.series(np.asarray(seen(id, seed).ts), np.asarray(seen(id, seed).ys)) for id, s in pairs)
    means = smoothed(series)
    data = ManyWindows(series.ts, series.ys, series.mask, means, recipe.window)
    models = trained(networks(len(ids), 2, recipe, seed), data, recipe, seed)
    found = {}
    for i, (id, scaling) in enumerate(pairs):
        model = jax.tree.map(lambda x, i=i: x[i] if eqx.is_array(x) else x, models)
        points = jnp.asarray(scaling.unscale(np.asarray(means[i][::EVERY], np.float64)))
        found[id] = (physical(model.field, scaling), points)
    return found


def physical(field, scaling: ct.Scaling):
    mean, std = (jnp.asarray(x, float) for x in (scaling.mean, scaling.std))
    return lambda t, y, args: std * field(t, (y - mean) / std, args) / scaling.time_scale


def eliminated(id: int, seed: int, quick: bool) -> ct.symbolic.Front:
    field, points = learned(seed, quick)[id]
    fronts = [ct.symbolic.eliminate(field, points, library=library) for library in LIBRARIES]
    return functools.reduce(lambda a, b: a.joined(b), fronts)


def of_field(id: int, seed: int, quick: bool) -> list[str]:
    return [one.equation for one in eliminated(id, seed, quick).best()]


def chosen(id: int, seed: int, quick: bool) -> list[str]:
    field, points = learned(seed, quick)[id]
    searched = ct.symbolic.search(field, points, seed=seed, **(dict(generations=5) if quick else {}))
    found = ct.symbolic.choose(eliminated(id, seed, quick).joined(searched), seen(id, seed))
    return ct.symbolic.equations(found.law)


FITS = {"differences": differences, "sparse_law": sparse_law, "field": of_field, "chosen": chosen}


def terms(equation: str) -> dict:
    """Term -> coefficient, of the sum that an equation is."""
    whole = sympy.expand(as_expression(equation))
    whole = whole.xreplace({x: sympy.Integer(int(x)) for x in whole.atoms(sympy.Float) if x == int(x)})
    parts = (part.as_coeff_Mul() for part in sympy.Add.make_args(sympy.expand(whole)))
    return {term: float(c) for c, term in parts if c != 0}


def truth(id: int) -> list[dict]:
    field = ct.systems.odebench[id].field
    found = []
    for text in field.equations:
        for k, value in enumerate(field.constants):
            text = text.replace(f"c_{k}", repr(float(value)))
        found.append(terms(text.replace("x_", "x")))
    return found


def judged(id: int, found: list[str]) -> tuple[bool, list[float], bool]:
    """Whether the terms are right, the errors of the coefficients, and whether it forecasts."""
    right, errors = True, []
    for true, text in zip(truth(id), found, strict=True):
        here = terms(text)
        right &= set(here) == set(true)
        errors += [min(1.0, abs(here.get(term, 0.0) / value - 1)) for term, value in true.items()]
    orbit = solved(found, orbits(id)[1, 0], ct.systems.odebench[id].ts)
    return right, errors, r2(orbits(id)[1], orbit) > GOOD


def one(method: str, seed: int, _, quick: bool) -> dict:
    begun, ids = time.monotonic(), QUICK if quick else SYSTEMS
    found = {id: FITS[method](id, seed, quick) for id in ids}
    results = {id: judged(id, equations) for id, equations in found.items()}
    return {
        "right": sum(right for right, _, _ in results.values()),
        "wrong": [id for id, (right, _, _) in results.items() if not right],
        "coefficients": float(np.median([e for _, errors, _ in results.values() for e in errors])),
        "forecasts": sum(good for _, _, good in results.values()),
        "found": [f"{id}: " + "; ".join(equations) for id, equations in found.items()],
        "seconds": time.monotonic() - begun,
    }


def compared(methods: dict[str, dict]) -> dict:
    kept = ("right", "coefficients", "forecasts")
    return {name: {key: row[key] for key in kept} for name, row in methods.items()}


if __name__ == "__main__":
    main("symbolic", one, METHODS, compared, quick=["differences", "sparse_law", "field"])
