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
from benchmarks._ode_ours import Problem, Setting, contest, squared_at, stats_of
from benchmarks._pinned import pinned

R = ct.regularisers
TERMS = {
    "scaled_error": (ct.scaled_error, R.scaled_error),
    "local_error": (ct.local_error, R.local_error),
    "stiffness": (ct.stiffness, R.stiffness),
    "largest_eigenvalue": (ct.largest_eigenvalue, R.largest_eigenvalue),
    "local unbiased": (ct.local("unbiased"), R.local("unbiased")),
    "local biased": (ct.local("biased"), R.local("biased")),
    "kinetic": (ct.kinetic, R.kinetic),
    "path_length": (ct.path_length, R.path_length),
    "jacobian": (ct.jacobian, R.jacobian),
    "taylor 2": (ct.taylor(2), R.taylor(2)),
    "taylor 3": (ct.taylor(3), R.taylor(3)),
}


def run(quick: bool) -> tuple[list[dict], dict]:
    problem = Problem(Setting("", 2, 8, 1e-3, width=8) if quick else Setting("", 16, 256, 1e-6))
    stats = stats_of(problem, model(problem, ()), jnp.asarray(problem.y0))
    steps = {"none": training(problem, (), {})}
    for name, (measure, regulariser) in list(TERMS.items())[: 2 if quick else None]:
        steps[name] = training(problem, (measure,), {"x": (1e-3, regulariser)})
    taken = contest(steps, 0 if quick else 90)
    rows = [{"regulariser": n, "ms": 1e3 * s, "overhead": s / taken["none"] - 1} for n, s in taken.items()]
    summary = {row["regulariser"]: row["overhead"] for row in rows[1:]}
    return rows, {"evaluations": int(stats.evaluations[0]), "overhead": summary}


def model(problem: Problem, account: tuple) -> ct.NeuralODE:
    return problem.model("shared", measures=account, max_steps=128, adjoint=ct.DiscreteAdjoint(128))


def training(problem: Problem, account: tuple, terms: dict):
    step = ct.make_step(ct.objective(squared_at(problem.ts), terms), optax.adam(1e-7))
    state = step.init(model(problem, account), key=jax.random.key(0))
    batch = jnp.asarray(problem.y0), jnp.asarray(problem.targets)

    def once():
        nonlocal state
        state, metrics = step(state, batch)
        return float(metrics["loss"])

    return once


if __name__ == "__main__":
    pinned("regularisers")
    main("regularisers", run)
