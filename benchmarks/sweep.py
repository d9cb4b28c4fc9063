"""What training 32 seeds side by side in one compiled step saves, against 32 trainings one after another.

The others are what `ct.fit` calls for one model: a step that is compiled once and shared by all of them, each with its
own state and batches. Both draw their batches from data that lie on the device, and take turns on one core, in one
thread; medians of the turns, each a step of all 32. `ratio_to_runs`: the time side by side, eight at once as
`ct.sweep` has it on a CPU, over that of the 32; `all_at_once_ms`: the 32 in one loop.
`first_s`: the first step, which compiles.
"""

import functools
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._harness import main
from benchmarks._timing import contest, pinned
from ctmodels.sweeps._groups import grouped
from ctmodels.sweeps._lanes import Program, Together
from ctmodels.sweeps._points import points_of
from ctmodels.sweeps._sweep import default_at_once
from ctmodels.train._batches import Source

SEEDS = 32
FIXED = ct.Integrate(ct.RK4(), ct.Substeps(1))


def run(quick: bool) -> tuple[list[dict], dict]:
    members, seconds = (2, 0.0) if quick else (SEEDS, 10.0)
    rows = [compared(name, *problem, members, seconds) for name, problem in problems(quick).items()]
    return rows, {
        "seeds": members,
        "ratio_to_runs": {row["model"]: row["ratio"] for row in rows},
        "worst_ratio_of_small": max(row["ratio"] for row in rows if "wide" not in row["model"]),
    }


def problems(quick: bool) -> dict[str, tuple[Callable, object, int]]:
    """name -> how a model is made of a key, its data, the batch size."""
    ode = lambda width, solver: functools.partial(neural_ode, width, solver)
    s5, gru = (functools.partial(stack, layer) for layer in (functools.partial(ct.layers.S5, modes=8), recurrent))
    if quick:
        return {"neural ODE, RK4": (ode(4, FIXED), orbit(), 4)}
    return {
        "neural ODE, RK4": (ode(32, FIXED), orbit(), 16),
        "neural ODE, adaptive": (ode(32, ct.Integrate()), orbit(), 16),
        "GRU": (gru, series(), 16),
        "S5": (s5, series(), 16),
        "neural ODE, RK4, wide": (ode(128, FIXED), orbit(), 128),
    }


def neural_ode(width: int, solver: ct.Integrate, key):
    return ct.NeuralODE(ct.fields.MLPField(2, width=width, key=key), 2, integrate=solver)


def stack(layer: Callable, key):
    return ct.StateSpace(2, 2, layer=layer, features=16, depth=1, scale=0.1, key=key)


def recurrent(features: int, *, key):
    return ct.layers.Recurrent(features, cell=ct.layers.GRU, key=key)


def orbit() -> ct.Windows:
    """Two hundred states of a circle, cut into windows of ten."""
    ts = 0.1 * np.arange(200)
    whole = ct.Series.from_nan(ts, np.stack([np.cos(ts), -np.sin(ts)], axis=1))
    return ct.Windows(whole, 10, starts=whole.ys)


def series(count: int = 64, length: int = 50) -> ct.ArrayDataset:
    """Noisy sinusoids at irregular times, and what they are without noise."""
    rng = np.random.default_rng(0)
    ts = np.cumsum(rng.uniform(0.05, 0.15, (count, length)), axis=1)
    clean = np.stack([np.cos(ts), -np.sin(ts)], axis=2) * rng.uniform(0.5, 1.5, (count, 1, 1))
    pairs = [ct.collate([ct.Series.from_nan(t, y) for t, y in zip(ts, ys, strict=True)])
             for ys in (clean + 0.1 * rng.normal(size=clean.shape), clean)]  # fmt: skip
    return ct.ArrayDataset(ct.Example(*pairs))


def compared(name: str, build: Callable, data, size: int, members: int, seconds: float) -> dict:
    """Milliseconds of a step of all members, side by side and one after another."""
    optimiser, objective, take = optax.adam(1e-3), ct.objective(ct.losses.squared), Source(data)
    draw = lambda seed: np.random.default_rng(seed).permutation(len(data))[:size]
    rows = np.stack([draw(seed) for seed in range(members)])

    jax.block_until_ready((take(rows), take(rows[0])))  # what both compile is not told to either

    (group,) = grouped(build, points_of([{}], build, optimiser), range(members))
    make = lambda optimiser: ct.make_step(objective, optimiser)

    def together(at_once: int) -> Callable[[], object]:
        program = Program(group, make, optimiser, lambda model, _: jnp.zeros(()), Together(at_once, None))
        states, on = [program.start()[0]], np.ones(members, bool)

        def step():
            states[0], losses = program.advance(take(rows), on, states[0])
            jax.block_until_ready(losses)

        return step

    step = make(optimiser)
    models = [eqx.combine(jax.tree.map(lambda x, i=i: x[i], group.arrays), group.static) for i in range(members)]
    runs = [step.init(model, key=group.keys[i]) for i, model in enumerate(models)]

    def one_after_another():
        for i, state in enumerate(runs):
            runs[i], metrics = step(state, take(rows[i]))
        jax.block_until_ready(metrics["loss"])

    steps = {"together": together(default_at_once()), "all_at_once": together(members), "in_turn": one_after_another}
    first = {f"first_{how}_s": taken(step) for how, step in steps.items()}
    times = contest(steps, seconds)
    ratio = times["together"] / times["in_turn"]
    return {"model": name, **{f"{how}_ms": 1e3 * t for how, t in times.items()}, "ratio": ratio, **first}


def taken(step: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


if __name__ == "__main__":
    pinned("sweep")
    main("sweep", run)
