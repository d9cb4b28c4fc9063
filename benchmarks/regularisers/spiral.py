"""A spiral by a neural ODE, regularised by error and stiffness together (Pal et al. 2021, figure 1).

dy/dt = y^3 A from (2, 0), sampled at equal times; the model is dy/dt = W2 tanh(W1 y^3), 50 units. Tsit5, float32,
rtol = atol = 1e-5, AdaBelief 0.01. The weights come late and leave early: nothing in the first fifth of training, in
which the fit finds its shape, then from 3 (error) and 3e-4 (stiffness) down to a thousandth of that at four fifths.
The spiral itself takes 200 evaluations at this tolerance; what is above are ripples of the fit.

`nfe`: evaluations of the trained model over the whole span; `test_loss`: mean squared error at four times as many
times; `train_s`: of the steps, compilation not counted. The paper: 1083 evaluations without, 676 with both (float64,
1.4e-8).
"""

import statistics
import time

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import ctmodels as ct
from benchmarks._reproduction import main, ratio

TERMS = {
    "error": (ct.measures.scaled_error, 3.0),
    "stiffness": (ct.measures.largest_eigenvalue, 3e-4),
}
METHODS = {"vanilla": (), "error": ("error",), "stiffness": ("stiffness",), "both": ("error", "stiffness")}
END, TIMES, STEPS, TOLERANCE = 1.5, 30, 3000, 1e-5


def late(weight: float, steps: int):
    """Zero in the first fifth of the steps, then falling to a thousandth of `weight` at four fifths, and on."""
    fall = optax.exponential_decay(weight, int(0.6 * steps), 1e-3)
    return optax.join_schedules([optax.constant_schedule(0.0), fall], [steps // 5])


class Cubed(eqx.Module):
    mlp: eqx.nn.MLP

    def __call__(self, t, y, args):
        return self.mlp(y**3)


def truth(t, y, args):
    return jnp.array([[-0.1, -2.0], [2.0, -0.1]], y.dtype) @ y**3


def solver(measures: tuple = (), tolerance: float = TOLERANCE) -> ct.Integrate:
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    return ct.Integrate(diffrax.Tsit5(), controller, measures=measures, max_steps=1024, adjoint=ct.DiscreteAdjoint(256))


def one(method: str, seed: int, data, quick: bool) -> dict:
    steps, end = (100, 0.5) if quick else (STEPS, END)
    y0, ts = jnp.array([2.0, 0.0]), jnp.linspace(0.0, end, TIMES)
    fine = jnp.linspace(0.0, end, 4 * TIMES)
    exact = solver(tolerance=1e-6)
    ys, fine_ys = exact(truth, ts, y0)[0], exact(truth, fine, y0)[0]
    terms = {name: TERMS[name] for name in METHODS[method]}
    field = Cubed(eqx.nn.MLP(2, 2, 50, 1, jnp.tanh, key=jax.random.key(seed)))
    start = ct.NeuralODE(field, 2, integrate=solver(tuple(measure for measure, _ in terms.values())))
    objective = ct.objective(ct.losses.squared, {name: (late(w, steps), m) for name, (m, w) in terms.items()})
    step = ct.make_step(objective, optax.adabelief(1e-2))
    state = step.init(start, key=jax.random.key(seed))
    batch = ct.Example(y0[None], ct.Series(ts[None], ys[None], jnp.ones((1, *ys.shape), bool)))
    train_s = 0.0
    for n in range(steps):
        begun = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(state)
        train_s += (time.perf_counter() - begun) if n else 0.0  # the first compiles
    model = eqx.tree_at(lambda m: m.integrate, state.model, solver())
    predict = eqx.filter_jit(lambda model: model(y0, fine))
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        out = jax.block_until_ready(predict(model))
        seconds.append(time.perf_counter() - begun)
    return {
        "nfe": int(out.stats.evaluations),
        "predict_s": statistics.median(seconds),
        "train_s": train_s,
        "test_loss": float(jnp.mean((out.ys - fine_ys) ** 2)),
    }


def compared(methods: dict[str, dict]) -> dict:
    over = lambda what: {m: ratio(methods, m, "vanilla", what) for m in methods if m != "vanilla"}
    return {"nfe_over_vanilla": over("nfe"), "test_loss_over_vanilla": over("test_loss")}


if __name__ == "__main__":
    main("regularisers.spiral", one, list(METHODS), compared)
