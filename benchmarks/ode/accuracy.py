"""What an error costs in evaluations of the field: our integrator, diffrax's, and SciPy's, in float64.

Each problem of `_problems.py` is solved by each method at rtol = atol = 1e-3, 1e-5, 1e-7, 1e-9 and saved at nine times,
most of them within a step, so that interpolants are seen. An error is the root mean square of the difference from the
reference over 1 + |reference|: the norm that the controllers hold down.

Of each library, log(evaluations) is interpolated in log(error), the worst of the nine saves; a ratio is the geometric
mean of our evaluations over the peer's for the same error, over all errors that both came to. Above 1, ours needs more.
`at_end` is the same for the error at the last save. The points are [evaluations, error at the end, worst error] at each
tolerance; None where a solve takes more than 50000 steps (here, none does).

All evaluations are counted, those for the first slope and for the first step's length too. Diffrax 0.7.2 begins with a
step of 0.01 whatever the problem, ours with one by Hairer's rule: from there on their steps differ by chance, and so do
their errors, by a factor of two and more where steps are few. `same_start` is against diffrax begun with the step that
its own, bypassed, code for Hairer's rule finds: what is left is not by chance.

The reference is a closed form where there is one, else SciPy's DOP853 at rtol 1e-13 and atol 1e-14, from save to save.
It agrees with extrapolation in extended precision to 1e-12 (the Arenstorf orbit: to 1e-10).
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._harness import main
from benchmarks.ode._problems import PROBLEMS, Problem

try:
    from scipy.integrate import solve_ivp
except ImportError:
    solve_ivp = None

METHODS = {"Tsit5": diffrax.Tsit5, "Dopri5": diffrax.Dopri5, "Bosh3": diffrax.Bosh3, "Dopri8": diffrax.Dopri8}
SCIPY = {"Dopri5": "RK45", "Bosh3": "RK23", "Dopri8": "DOP853"}  # the last: of order 8 too, with other coefficients
TOLERANCES = (1e-3, 1e-5, 1e-7, 1e-9)
SAVES = 9
MOST_STEPS = 50_000
RESOLVED = (1e-11, 0.1)  # errors below are those of the reference, errors above of no solution at all
# Of XLA's: halves the time to compile, which is nearly all the time that this takes.
FAST_TO_COMPILE = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}


def run(quick: bool) -> tuple[list[dict], dict]:
    problems = [p for p in PROBLEMS if p.name in ("A3", "E1")] if quick else PROBLEMS
    methods, tolerances = (["Dopri5"], (1e-3, 1e-5)) if quick else (list(METHODS), TOLERANCES)
    if solve_ivp is None:
        print("SciPy is not installed: null for it; references by diffrax's Dopri8 (pip install 'ctmodels[bench]')")
    rows = []
    with jax.enable_x64(True):
        for problem in problems:
            begun = time.perf_counter()
            ts = np.linspace(0, problem.t1, SAVES + 1)
            wanted = reference(problem, ts)
            rows += [row(problem, name, ts, wanted, tolerances) for name in methods]
            jax.clear_caches()  # hundreds of compiled programs would not fit into memory
            print(f"{problem.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return rows, summary(rows)


def row(problem: Problem, name: str, ts: np.ndarray, wanted: np.ndarray, tolerances: Sequence[float]) -> dict:
    solvers = {
        "ours": functools.partial(solve_ours, problem, METHODS[name](), ts),
        "diffrax": functools.partial(solve_diffrax, problem, METHODS[name](), ts),
        "same_start": functools.partial(solve_diffrax, problem, METHODS[name](), ts, same_start=True),
        "scipy": functools.partial(solve_scipy, problem, SCIPY.get(name), ts),
    }
    found = {who: points(solve, wanted, tolerances) for who, solve in solvers.items()}
    ours = found["ours"]
    return {
        "problem": problem.name,
        "method": name,
        "ratio_diffrax": ratio(ours, found["diffrax"]),
        "ratio_diffrax_at_end": ratio(ours, found["diffrax"], at=1),
        "ratio_diffrax_same_start": ratio(ours, found["same_start"]),
        "ratio_scipy": ratio(ours, found["scipy"]),
        "ours": ours,
        "diffrax": found["diffrax"],
        "scipy": found["scipy"],
    }


def summary(rows: list[dict]) -> dict:
    worst = max(rows, key=lambda r: r["ratio_diffrax"] or 0)
    to_diffrax = known(rows, "ratio_diffrax")
    out = {
        "worst_ratio_diffrax": worst["ratio_diffrax"],
        "worst_ratio_diffrax_is": f"{worst['problem']}, {worst['method']}",
        "over_2_percent_diffrax": sum(ratio > 1.02 for ratio in to_diffrax),
        "compared_diffrax": len(to_diffrax),
        "worst_ratio_diffrax_same_start": max(known(rows, "ratio_diffrax_same_start"), default=None),
    }
    for key in ("ratio_diffrax", "ratio_diffrax_at_end", "ratio_diffrax_same_start", "ratio_scipy"):
        out[f"median_{key}"] = median(known(rows, key))
    for peer, methods in (("diffrax", METHODS), ("scipy", SCIPY)):
        for name in methods:
            own = [r for r in rows if r["method"] == name]
            out[f"median_ratio_{peer}_{name.lower()}"] = median(known(own, f"ratio_{peer}"))
    return out


def known(rows: list[dict], key: str) -> list[float]:
    return [row[key] for row in rows if row[key] is not None]


def median(ratios: list[float]) -> float | None:
    return statistics.median(ratios) if ratios else None


# -- solvers: states at the save times, and evaluations; or None, of one that took too many steps


def solve_ours(problem: Problem, method, ts: np.ndarray, tol: float):
    integrate = ct.Integrate(method, diffrax.PIDController(rtol=tol, atol=tol), max_steps=2**16)
    ys, stats = _ours(integrate, problem.field, *_arrays(ts, problem.y0, problem.args))
    if int(stats.status) or int(stats.accepted + stats.rejected) > MOST_STEPS:
        return None
    return np.asarray(ys), int(stats.evaluations)


def solve_diffrax(problem: Problem, method, ts: np.ndarray, tol: float, same_start: bool = False):
    arrays = _arrays(ts, problem.y0, problem.args, tol)
    solved, ys, steps = _diffrax(method, same_start, problem.field, *arrays)
    if not solved or steps > MOST_STEPS:
        return None
    before = 2 if same_start else _before_stepping(type(method))  # 2: the first slope, and Hairer's rule
    return np.asarray(ys), before + int(steps) * _per_step(method)


def _arrays(*values):
    return [None if value is None else jnp.asarray(value) for value in values]


@functools.partial(eqx.filter_jit, compiler_options=FAST_TO_COMPILE)
def _ours(integrate, field, ts, y0, args):
    return integrate(field, ts, y0, args)


@functools.partial(eqx.filter_jit, compiler_options=FAST_TO_COMPILE)
def _diffrax(method, same_start, field, ts, y0, args, tol):
    term, controller = diffrax.ODETerm(field), diffrax.PIDController(rtol=tol, atol=tol)
    dt0 = None
    if same_start:
        order = method.error_order(term)
        dt0 = controller.init(term, ts[0], ts[-1], y0, None, args, method.func, order)[0] - ts[0]
    saveat = diffrax.SaveAt(ts=ts)
    sol = diffrax.diffeqsolve(
        term, method, ts[0], ts[-1], dt0, y0, args,
        saveat=saveat, stepsize_controller=controller, max_steps=2**16, throw=False,
    )  # fmt: skip
    return sol.result == diffrax.RESULTS.successful, sol.ys, sol.stats["num_steps"]


def _per_step(method) -> int:
    return method.tableau.num_stages - int(method.tableau.fsal)


@functools.cache
def _before_stepping(method: type) -> int:
    """Evaluations by diffrax before its first step, counted on a small solve: one for the first slope, and more in
    versions that look for the first step's length (0.7.2 has wrapped the term by then, and sees no ODE in it)."""
    count = 0

    def one_more():
        nonlocal count
        count += 1

    def field(t, y, args):
        jax.debug.callback(one_more)
        return -y

    _, _, steps = _diffrax(method(), False, field, *_arrays([0.0, 1.0], [1.0], None, 1e-3))
    steps = int(steps)
    jax.effects_barrier()
    return count - steps * _per_step(method())


def solve_scipy(problem: Problem, method: str | None, ts: np.ndarray, tol: float, atol: float | None = None):
    if method is None or solve_ivp is None:
        return None
    field = lambda t, y: problem.field(t, y, problem.args)
    atol = tol if atol is None else atol
    sol = solve_ivp(field, (ts[0], ts[-1]), problem.y0, method, t_eval=ts, rtol=tol, atol=atol)
    return (sol.y.T, sol.nfev) if sol.success else None


def reference(problem: Problem, ts: np.ndarray) -> np.ndarray:
    if problem.exact is not None:
        return np.stack(problem.exact(ts), axis=1)
    ys = [np.asarray(problem.y0)]
    for leg in zip(ts[:-1], ts[1:], strict=True):  # each ends with a step, since interpolants are less exact
        start = problem._replace(y0=tuple(ys[-1]))
        solved = solve_scipy(start, "DOP853", np.asarray(leg), 1e-13, 1e-14)
        solved = solved or solve_diffrax(start, diffrax.Dopri8(), np.asarray(leg), 1e-13)
        ys.append(solved[0][-1])
    return np.stack(ys)


# -- what an error costs


def points(solve: Callable, wanted: np.ndarray, tolerances: Sequence[float]) -> list | None:
    """[evaluations, error at the end, worst error] at each tolerance."""
    found = []
    for tol in tolerances:
        solved = solve(tol)
        if solved is not None:
            ys, evaluations = solved
            errors = np.sqrt(np.mean(((ys - wanted) / (1 + np.abs(wanted))) ** 2, axis=1))[1:]
            solved = [evaluations, _short(errors[-1]), _short(np.max(errors))]
        found.append(solved)
    return found if any(found) else None


def _short(x) -> float:
    return float(f"{x:.4g}")


def ratio(ours: list | None, peers: list | None, at: int = 2) -> float | None:
    """Our evaluations over a peer's for the same error: the geometric mean over the errors that both came to."""
    curves = [curve(side or [], at) for side in (ours, peers)]
    if any(len(errors) < 2 for errors, _ in curves):
        return None
    low, high = max(errors[0] for errors, _ in curves), min(errors[-1] for errors, _ in curves)
    if low >= high:
        return None
    errors = np.linspace(low, high, 65)
    (x, y), (peer_x, peer_y) = curves
    return float(np.exp(np.mean(np.interp(errors, x, y) - np.interp(errors, peer_x, peer_y))))


def curve(side: list, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a library's points: log(error), rising, and the log of the fewest evaluations that came to that error or less.
    (Where a looser tolerance happened to do better, that counts.)"""
    low, high = RESOLVED
    judged = sorted((p[at], p[0]) for p in side if p is not None and low < p[at] < high)
    errors, evaluations = np.array(judged).reshape(-1, 2).T
    return np.log(errors), np.minimum.accumulate(np.log(evaluations))


if __name__ == "__main__":
    main("ode.accuracy", run)
