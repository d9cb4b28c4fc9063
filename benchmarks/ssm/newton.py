"""Nonlinear recurrences all rows at once: how many iterations, how right, how long; beside `jax.lax.scan`.

On one core, which it pins; float32. Gated recurrent units of 16, driven by noise, whose weights on their state are made
larger from row to row of the table: the exponent is the largest of the driven recurrence, as it is estimated. `ParaGRU`
has 256 units and a diagonal Jacobian. All take turns, warm; medians. A CPU has nothing to gain: what is parallel is
work there, and `x_scan` says how much; on an accelerator run it again.

`newton_error`: the largest difference from row by row, of the unit as it is initialised, at 1024 rows;
`newton_iterations`: how many it took.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

import ctmodels as ct
from benchmarks._harness import main
from benchmarks._timing import contest, pinned


class Case(NamedTuple):
    name: str
    rows: int
    gain: float = 1.0
    diagonal: bool = False


CASES = [
    *[Case("GRU", rows) for rows in (64, 256, 1024, 4096)],
    *[Case("GRU", 1024, gain) for gain in (4.0, 8.0, 16.0)],
    *[Case("ParaGRU", rows, diagonal=True) for rows in (256, 1024, 4096)],
]
MOST = 256


def cell_of(case: Case, units: int):
    if case.diagonal:
        return ct.ssm.ParaGRU(4, 16 * units, key=jax.random.key(0))
    cell = ct.layers.GRU(4, units, key=jax.random.key(0))
    return eqx.tree_at(lambda c: c.cell.weight_hh, cell, replace_fn=lambda w: case.gain * w)


def ways(case: Case, units: int) -> tuple[Callable, Callable]:
    cell, xs = cell_of(case, units), jax.random.normal(jax.random.key(1), (case.rows, 4))
    linearisation = ct.ssm.BlockJacobian() if case.diagonal else ct.ssm.FullJacobian()
    solver = ct.ssm.NewtonScan(linearisation, max_iterations=MOST)
    scan = eqx.filter_jit(lambda cell, xs: jax.lax.scan(lambda h, x: (cell(h, x),) * 2, cell.start, xs)[1])
    newton = eqx.filter_jit(lambda cell, xs: ct.ssm.newton_scan(cell, cell.start, xs, solver=solver))
    return lambda: jax.block_until_ready(newton(cell, xs)), lambda: jax.block_until_ready(scan(cell, xs))


def run(quick: bool) -> tuple[list[dict], dict]:
    cases, units = ([Case("GRU", 8), Case("ParaGRU", 8, diagonal=True)], 2) if quick else (CASES, 16)
    rows = []
    for case in cases:
        newton, scan = ways(case, units)
        hs, stats = newton()
        error = float(np.max(np.abs(np.asarray(hs) - np.asarray(scan()))))
        taken = contest({"newton": newton, "scan": scan}, 0.1 if quick else 3.0)
        rows.append(
            {
                "cell": case.name,
                "gain": case.gain,
                "rows": case.rows,
                "exponent": float(stats.exponent),
                "iterations": int(stats.iterations),
                "converged": bool(stats.converged),
                "error": error,
                "newton ms": 1e3 * taken["newton"],
                "scan ms": 1e3 * taken["scan"],
            }
        )
    of = next(row for row in rows if row["cell"] == "GRU" and row["rows"] == (8 if quick else 1024))
    summary = {
        "newton_error": of["error"],
        "newton_iterations": of["iterations"],
        "x_scan": of["newton ms"] / of["scan ms"],
        "backend": jax.default_backend(),
    }
    return rows, summary


if __name__ == "__main__":
    pinned("ssm.newton")
    main("ssm.newton", run)
