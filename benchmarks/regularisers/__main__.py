"""What a regulariser adds to a training step: forward, backward and Adam, on one core, which it pins.

The problem is that of `benchmarks.ode` with 16 channels and 256 samples, at a tolerance at which a solve takes over
100 evaluations; one step for the batch; each regulariser with a weight of 1e-3. All take turns in one process, warm;
medians. Compilation is not counted. `overhead`: the time over that without a regulariser, minus one.
"""

import jax
import jax.numpy as jnp
import optax

import ctmodels as ct
from benchmarks._harness import main
from benchmarks._timing import contest, pinned
from benchmarks.ode._ours import Problem, Setting, squared_at, stats_of

M = ct.measures
MEASURES = {
    "scaled_error": M.scaled_error,
    "local_error": M.local_error,
    "stiffness": M.stiffness,
    "largest_eigenvalue": M.largest_eigenvalue,
    "local unbiased": M.local_measure("unbiased"),
    "local biased": M.local_measure("biased"),
    "kinetic": M.kinetic,
    "path_length": M.path_length,
    "jacobian": M.jacobian,
    "taylor 2": M.taylor(2),
    "taylor 3": M.taylor(3),
}


def run(quick: bool) -> tuple[list[dict], dict]:
    problem = Problem(Setting("", 2, 8, 1e-3, width=8) if quick else Setting("", 16, 256, 1e-6))
    stats = stats_of(problem, model(problem, ()), jnp.asarray(problem.y0))
    steps = {"none": training(problem, (), {})}
    for name, measure in list(MEASURES.items())[: 2 if quick else None]:
        steps[name] = training(problem, (measure,), {"x": (1e-3, measure)})
    taken = contest(steps, 0 if quick else 90)
    rows = [{"regulariser": n, "ms": 1e3 * s, "overhead": s / taken["none"] - 1} for n, s in taken.items()]
    summary = {row["regulariser"]: row["overhead"] for row in rows[1:]}
    return rows, {"evaluations": int(stats.evaluations[0]), "overhead": summary}


def model(problem: Problem, measures: tuple) -> ct.NeuralODE:
    return problem.model("shared", measures=measures, max_steps=128, adjoint=ct.DiscreteAdjoint(128))


def training(problem: Problem, measures: tuple, terms: dict):
    step = ct.make_step(ct.objective(squared_at(problem.ts), terms), optax.adam(1e-7))
    state = step.init(model(problem, measures), key=jax.random.key(0))
    batch = jnp.asarray(problem.y0), jnp.asarray(problem.targets)

    def once():
        nonlocal state
        state, metrics = step(state, batch)
        return float(metrics["loss"])

    return once


if __name__ == "__main__":
    pinned("regularisers")
    main("regularisers", run)
