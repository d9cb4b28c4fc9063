"""Which forecast is to be trusted, and how far ahead: backtesting from rolling origins.

Lorenz' system is seen with noise. From many origins it is forecast by what followed the moments most like the present
one (Lorenz, J. Atmos. Sci. 26, 1969: analogues), as draws, beside a linear map of delays and the usual baselines. Each
is given only what came before, and is scored by lead time against what came.
"""

import jax.numpy as jnp
import numpy as np

import ctmodels as ct


def analogues(history, n, delays=3, draws=20):
    """Of the moments most like the last one, how the series went on from there: `(draw, n, channel)`."""
    past = np.concatenate([history.ys[delays - 1 - i : len(history.ys) - i] for i in range(delays)], axis=1)
    apart = np.linalg.norm((past - past[-1])[:-n] / past.std(axis=0), axis=1)
    rows = np.argsort(apart)[:draws] + delays - 1
    changes = np.stack([history.ys[row + 1 : row + 1 + n] - history.ys[row] for row in rows])
    return history.ys[-1] + changes


def draw(result, path):
    """Score and coverage by lead time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    result.plot("crps", left).get_legend().remove()
    result.plot("coverage", right)
    left.set_title("CRPS: lower is better")
    right.set_title(f"coverage of {result.level:.0%} intervals")
    figure.savefig(path)
    plt.close(figure)


def main(samples=1000, dt=0.1, noise=0.05, horizon=15, origins=30, models=("linear",), seed=0, figure=None):
    rng = np.random.default_rng(seed)
    start = jnp.array([1.0, 2.0, 20.0])
    orbit = np.asarray(ct.systems.simulate(ct.systems.Lorenz63(), start, dt=dt, steps=samples, transient=500))
    series = ct.Series.from_nan(
        dt * np.arange(len(orbit)), orbit + noise * orbit.std(axis=0) * rng.normal(size=orbit.shape)
    )

    result = ct.backtest(
        series,
        models={"analogues": analogues, **{name: name for name in models}},
        baselines=("persistence", "drift", "autoregression"),
        horizon=horizon,
        origins=origins,
    )
    print(result)

    scores = {name: float(x["crps"]) for name, x in result.scores().items()}
    saved = result.differences(against="autoregression")["analogues"]
    print(
        f"\nanalogues against the autoregression: {saved.mean:.3f} in CRPS, {result.level:.0%} interval "
        f"{saved.lower:.3f} to {saved.upper:.3f}, over {saved.origins} origins"
    )
    if figure is not None:
        draw(result, figure)
    return {"analogues": scores["analogues"], "autoregression": scores["autoregression"], "difference": saved.mean}


if __name__ == "__main__":
    main(figure="backtest_forecasts.svg")
