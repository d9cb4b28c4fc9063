"""A neural SDE learns an Ornstein-Uhlenbeck process from its paths, by the likelihood of Euler's steps.

dY = (0.5 - Y) dt + 0.5 dW from its stationary law; 1024 paths of 200 samples at dt 0.02, by exact transitions, and as
many to be judged by. Drift and diffusion are MLPs of one hidden layer of 32, the diffusion positive by a
softplus; Adam 3e-3 with a cosine, 1500 steps of 32 paths.

`drift_error`, `diffusion_error`: root mean square of what is learned less what is true, over that of what is true, both
at all values of the held-out paths. `linear_drift_error`: of the drift by linear regression of the increments, which
knows the form: what these data allow. The likelihood of Euler's steps is off by half a step, 1 % here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._reproduction import main
from examples.neural_sde import transitions

MEAN, NOISE = 0.5, 0.5
METHODS = ["neural_sde"]


def observed(rng: np.random.Generator, number: int, samples: int, dt: float) -> np.ndarray:
    """Stationary paths, `(path, time, 1)`."""
    decay, deviation = np.exp(-dt), NOISE / 2**0.5
    ys = [MEAN + deviation * rng.normal(size=(number, 1))]
    for _ in range(samples - 1):
        noise = deviation * (1 - decay**2) ** 0.5 * rng.normal(size=(number, 1))
        ys.append(MEAN + decay * (ys[-1] - MEAN) + noise)
    return np.stack(ys, axis=1)


def learned(ts, ys, steps: int, width: int, seed: int) -> ct.fields.SDE:
    of_drift, of_diffusion, of_fit = jax.random.split(jax.random.key(seed), 3)
    net = lambda key: ct.fields.MLPField(1, width=width, depth=1, key=key)
    sde = ct.fields.SDE(net(of_drift), ct.fields.Positive(net(of_diffusion)))
    step = ct.make_step(ct.objective(transitions), optax.adam(optax.cosine_decay_schedule(3e-3, steps)))
    target = ct.collate([ct.Series.from_nan(ts, y) for y in ys])
    data = ct.ArrayDataset(ct.Example(target.ys[:, 0], target))
    state = step.init(sde, key=of_fit)
    return ct.fit(step, state, data, steps=steps, batch_size=min(32, len(ys)), seed=seed, progress=False).model


def one(method: str, seed: int, data, quick: bool) -> dict:
    number, samples, steps, width, dt = (16, 20, 20, 8, 0.02) if quick else (1024, 200, 1500, 32, 0.02)
    rng = np.random.default_rng(seed)
    train, test = (observed(rng, number, samples, dt) for _ in range(2))
    sde = learned(dt * np.arange(samples), train, steps, width, seed)
    at = test.reshape(-1, 1)
    values = lambda f: np.asarray(jax.vmap(lambda y: f(jnp.zeros(()), y, None))(jnp.asarray(at, jnp.zeros(()).dtype)))
    error = lambda found, true: float(np.sqrt(np.mean((found - true) ** 2) / np.mean(true**2)))
    slope, offset = np.polyfit(train[:, :-1].ravel(), np.diff(train, axis=1).ravel() / dt, 1)
    return {
        "drift_error": error(values(sde.drift), MEAN - at),
        "diffusion_error": error(values(sde.diffusion), np.full_like(at, NOISE)),
        "linear_drift_error": error(slope * at + offset, MEAN - at),
    }


def compared(methods: dict[str, dict]) -> dict:
    """Means over the seeds; the worst is in the rows."""
    return {key: methods["neural_sde"][key] for key in ("drift_error", "diffusion_error")}


if __name__ == "__main__":
    main("sde_quality.ou", one, METHODS, compared)
