"""What the attractors' metrics say between two orbits of one system: the floor, by which a model's value is judged.

Lorenz-63 in 30 pairs of independent orbits (other starts, a transient of 50 time units), of several lengths: the
lowest, the median and the highest value of D_stsp (30 bins an axis), of its mixture (variance 1, z-scored by the truth,
1000 samples) and of D_H at three smoothings. What is not the system, for scale: white noise of its mean and variance,
Lorenz-63 at rho = 40, a fixed point.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import main
from ctmodels import metrics, systems

SIZES = ((25_000, 0.02), (10_000, 0.02), (10_000, 0.01), (2000, 0.02), (2000, 0.01))
PAIRS = 30


def run(quick: bool) -> tuple[list[dict], dict]:
    sizes, pairs = (((600, 0.02),), 2) if quick else (SIZES, PAIRS)
    rows = [row for samples, dt in sizes for row in of_size(samples, dt, pairs)]
    floor = {f"{r['metric']}, {r['samples']} x {r['dt']}": r["median"] for r in rows if r["against"] == "itself"}
    return rows, {"median_floor": floor}


def of_size(samples: int, dt: float, pairs: int) -> list[dict]:
    """Of every metric and everything it is held against, the range over the pairs."""
    true, another = orbits(samples, dt, pairs, 28.0, 0), orbits(samples, dt, pairs, 28.0, 1)
    noise = jax.random.normal(jax.random.key(2), true.shape, true.dtype)
    noise = true.mean(axis=1, keepdims=True) + noise * true.std(axis=1, keepdims=True)
    generated = {
        "itself": another,
        "white noise": noise,
        "rho = 40": orbits(samples, dt, pairs, 40.0, 3),
        "a fixed point": jnp.broadcast_to(true[:, :1], true.shape),
    }
    values = {name: jax.lax.map(lambda pair: scores(*pair), (true, orbit)) for name, orbit in generated.items()}
    return [
        {"metric": metric, "samples": samples, "dt": dt, "against": name, **spread(value)}
        for name, table in values.items()
        for metric, value in table.items()
    ]


@eqx.filter_jit
def orbits(samples: int, dt: float, pairs: int, rho: float, seed: int):
    """Independent orbits on the attractor, `(pair, time, channel)`."""
    starts = jax.random.normal(jax.random.key(seed), (pairs, 3)) * 5 + jnp.asarray([0.0, 0.0, 25.0])[None]
    field, transient = systems.Lorenz63(rho=rho), round(50 / dt)
    return jax.vmap(lambda y0: systems.simulate(field, y0, dt=dt, steps=samples, transient=transient))(starts)


def scores(true, generated) -> dict:
    mean, std = true.mean(axis=0, keepdims=True), true.std(axis=0, keepdims=True)
    key = jax.random.key(0)
    return {
        "d_stsp": metrics.d_stsp(true, generated),
        "d_stsp_gmm": metrics.d_stsp_gmm((true - mean) / std, (generated - mean) / std, key=key),
        **{f"d_hellinger, sigma {s}": metrics.d_hellinger(true, generated, sigma=s) for s in (0, 2, 20)},
    }


def spread(values) -> dict[str, float]:
    low, median, high = (float(q) for q in np.quantile(np.asarray(values), (0, 0.5, 1)))
    return {"lowest": low, "median": median, "highest": high}


if __name__ == "__main__":
    main("reconstruct.floors", run)
