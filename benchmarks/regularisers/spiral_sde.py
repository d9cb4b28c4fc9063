"""A spiral SDE by a neural one, regularised by the solver's error (Pal et al. 2021, section 5.2).

dy1 = (-0.1 y1^3 + 2 y2^3) dt + 0.2 y1 dW1, dy2 = (-2 y1^3 - 0.1 y2^3) dt + 0.2 y2 dW2, from (2, 0), at 30 times in
[0, 1]. The model's drift is W2 tanh(W1 y^3), 50 units, its diffusion of each entry a y + b; it is trained so that 100
paths, new ones in each step, have the means and variances of 10 000 of the truth: `ct.SRI()`, one step between two
times, AdaBelief 0.01, falling in the last fifth. The regulariser is the sum of the local errors times their steps,
late and gone at the end, as in `regularisers.spiral`.

"chosen": of the weights 1 to 30 that with the fewest evaluations among those whose validation loss is not above that
without a regulariser, or none; "strong": 30 whatever it costs. `nfe`: evaluations of the drift in an adaptive solve
(Milstein's method by half steps, 3e-3), mean of paths, as steps on a grid are what they are; `test_loss`: squared
differences of means plus those of variances, by four steps between two times, with paths of model and truth that
nothing else saw; `adaptive_loss`: that of the adaptive solve; `train_s`: of the steps, compilation not counted.

The paper, whose solver takes one step for 100 paths: 529 evaluations and a loss of 0.0217 without, 502 and 0.0227
with.
"""

import functools
import time

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import ctmodels as ct
from benchmarks._reproduction import main, ratio
from benchmarks.regularisers.spiral import late

WEIGHTS = {"vanilla": (0.0,), "chosen": (0.0, 1.0, 3.0, 10.0, 30.0), "strong": (30.0,)}
TS = jnp.linspace(0.0, 1.0, 30)
PATHS, STEPS, TOLERANCE = 100, 1500, 3e-3
DATA, VALIDATION, TEST = 1, 2, 3  # of which each has a key of its own


class SpiralSDE(eqx.Module):
    """The truth, or a model of it."""

    drift: eqx.Module
    diffusion: jax.Array
    integrate: ct.Integrate

    def __call__(self, x, ts, *, key=None):
        drift, (slope, least) = self.drift, self.diffusion
        sde = ct.fields.SDE(lambda t, y, args: drift(y**3), lambda t, y, args: slope * y + least)  # pyright: ignore
        return ct.Output(*self.integrate(sde, ts, x, key=key))


class Turn(eqx.Module):
    def __call__(self, x):
        return jnp.array([[-0.1, 2.0], [-2.0, -0.1]], x.dtype) @ x


def on_grid(n: int, measures: tuple = ()) -> ct.Integrate:
    return ct.Integrate(ct.SRI(), ct.Substeps(n), measures=measures)


def adaptive() -> ct.Integrate:
    controller = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
    return ct.Integrate(diffrax.HalfSolver(diffrax.ItoMilstein()), controller, max_steps=2048)


@eqx.filter_jit
def paths(model: SpiralSDE, keys) -> ct.Output:
    return jax.vmap(lambda key: model(jnp.array([2.0, 0.0]), TS, key=key))(keys)


def by(integrate: ct.Integrate, model: SpiralSDE, number: int, which: int) -> ct.Output:
    return paths(eqx.tree_at(lambda m: m.integrate, model, integrate), jax.random.split(jax.random.key(which), number))


def moments(ys) -> tuple:
    return jnp.mean(ys, axis=0), jnp.var(ys, axis=0)


def distance(ys, wanted: tuple):
    return sum(jnp.mean((a - b) ** 2) for a, b in zip(moments(ys), wanted, strict=True))


@functools.cache
def wanted(which: int) -> tuple:
    truth = SpiralSDE(Turn(), jnp.array([[0.2, 0.2], [0.0, 0.0]]), on_grid(4))
    return moments(by(on_grid(4), truth, 10_000, 1000 + which).ys)


def total(model, batch, key, step) -> tuple:
    """Of moments, which are no sample's own: an objective of the batch's paths together."""
    target, weight = batch
    out = paths(model, jax.random.split(key, PATHS))
    loss, error = distance(out.ys, target), jnp.mean(out.stats.measures["local_error"])
    return loss + weight * error, {"loss": loss, "error": error}


@functools.cache
def step_of(steps: int):
    return ct.make_step(total, optax.adabelief(optax.linear_schedule(1e-2, 1e-4, steps // 5, 4 * steps // 5)))


@functools.cache
def trained(weight: float, seed: int, steps: int) -> tuple[SpiralSDE, float]:
    """The model, and how long it took."""
    of_drift, of_diffusion, of_steps = jax.random.split(jax.random.key(seed), 3)
    drift = eqx.nn.MLP(2, 2, 50, 1, jnp.tanh, key=of_drift)
    start = SpiralSDE(drift, 0.5 * jax.random.normal(of_diffusion, (2, 2)), on_grid(1, (ct.measures.local_error,)))
    step, weights = step_of(steps), late(weight, steps)
    state, seconds = step.init(start, key=of_steps), 0.0
    for n in range(steps):
        begun = time.perf_counter()
        state, _ = step(state, (wanted(DATA), jnp.asarray(weights(n), float)))
        jax.block_until_ready(state)
        seconds += (time.perf_counter() - begun) if n else 0.0  # the first compiles
    return state.model, seconds


def judged(model: SpiralSDE, which: int, quick: bool) -> dict:
    number = 50 if quick else 1000
    solved = by(adaptive(), model, number, which)
    fine = by(on_grid(4), model, 2 * number, which)
    return {
        "nfe": 3 * float(jnp.mean(solved.stats.accepted + solved.stats.rejected)),
        "test_loss": float(distance(fine.ys, wanted(which))),
        "adaptive_loss": float(distance(solved.ys, wanted(which))),
    }


def chosen(weights: tuple[float, ...], seed: int, steps: int, quick: bool) -> float:
    """By validation."""
    if len(weights) == 1:
        return weights[0]
    found = {weight: judged(trained(weight, seed, steps)[0], VALIDATION, quick) for weight in weights}
    good = [weight for weight in weights if found[weight]["test_loss"] <= found[weights[0]]["test_loss"]]
    return min(good, key=lambda weight: found[weight]["nfe"])


def one(method: str, seed: int, data, quick: bool) -> dict:
    steps = 200 if quick else STEPS
    weights = WEIGHTS[method]
    weight = chosen(weights[:1] + weights[-1:] if quick and len(weights) > 1 else weights, seed, steps, quick)
    model, seconds = trained(weight, seed, steps)
    return {"weight": weight, **judged(model, TEST, quick), "train_s": seconds}


def compared(methods: dict[str, dict]) -> dict:
    over = lambda what: {m: ratio(methods, m, "vanilla", what) for m in methods if m != "vanilla"}
    return {f"{what}_over_vanilla": over(what) for what in ("nfe", "test_loss", "adaptive_loss")}


if __name__ == "__main__":
    main("regularisers.spiral_sde", one, list(WEIGHTS), compared)
