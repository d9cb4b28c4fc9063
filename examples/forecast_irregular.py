"""Forecast beyond the last observation of irregular, partly observed series, and answer online.

Damped oscillators of unknown phase and frequency, seen at times of their own for a while, one coordinate or the other
missing. Each model reads what was seen and answers at later times; nothing but the class changes from one to the next.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def oscillators(rng, number, samples, ahead, missing, noise):
    """What was seen until time 4, and what came from then to 6."""
    seen, later = [], []
    for _ in range(number):
        rate = -0.1 + 1j * rng.uniform(1.5, 2.5)
        start = rng.uniform(0.7, 1.5) * np.exp(1j * rng.uniform(0, 2 * np.pi))

        def at(ts, rate=rate, start=start):
            z = start * np.exp(rate * ts)
            return np.stack([z.real, z.imag], axis=1) + noise * rng.normal(size=(len(ts), 2))

        ts = 4 * np.cumsum(rng.uniform(0.2, 1.8, samples)) / samples
        new = ts[-1] + 2 * np.cumsum(rng.uniform(0.2, 1.8, ahead)) / ahead
        ys = at(ts)
        ys[rng.uniform(size=ys.shape) < missing] = np.nan
        seen.append(ct.Series.from_nan(ts, ys, one_of_many=True))
        later.append(ct.Series.from_nan(new, at(new)))
    return ct.Example(ct.collate(seen), ct.collate(later))


def draw(test, said, errors, path):
    """One record with its forecasts, and the error of each model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(2, 1))
    seen = np.asarray(test.x.mask[0, :, 0])
    left.plot(test.x.ts[0, seen], test.x.ys[0, seen, 0], "k.", label="seen")
    left.plot(test.target.ts[0], test.target.ys[0, :, 0], "k+", label="came later")
    for name, ys in said.items():
        left.plot(test.target.ts[0], ys[0, :, 0], label=name.replace("_", " "))
    left.set(xlabel="time", ylabel="first coordinate")
    left.legend(frameon=False, fontsize="small", loc="upper left", ncols=2)
    right.barh([name.replace("_", " ") for name in errors], list(errors.values()), color="0.6")
    right.invert_yaxis()
    right.set_xlabel("error of the forecast")
    figure.savefig(path)
    plt.close(figure)


def main(
    number=256, samples=40, ahead=8, missing=0.4, noise=0.03, hidden=32, steps=600, batch_size=32, seed=0, figure=None
):
    rng = np.random.default_rng(seed)
    train, test = (oscillators(rng, number, samples, ahead, missing, noise) for _ in range(2))
    key = jax.random.key(seed)
    models = {
        "neural_cde": ct.NeuralCDE(2, hidden, 2, key=key),
        "log_ncde": ct.LogNCDE(2, hidden, 2, window=4, key=key),
        "ode_rnn": ct.ODERNN(2, hidden, 2, key=key),
        "gru_ode_bayes": ct.GRUODEBayes(2, hidden, key=key),
    }
    judged = eqx.filter_jit(lambda model, x, ts: jax.vmap(model)(x, ts).ys)
    errors, said = {"persistence": persistence(test)}, {}
    for name, model in models.items():
        schedule = optax.cosine_decay_schedule(5e-3, steps)
        optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
        step = ct.make_step(ct.objective(ct.losses.squared), optimiser)
        state = step.init(model, key=jax.random.key(seed + 1))
        model = ct.fit(step, state, ct.ArrayDataset(train), steps=steps, batch_size=min(batch_size, number)).model
        said[name] = judged(model, test.x, test.target.ts)
        errors[name] = float(ct.metrics.rmse(test.target.ys, said[name], test.target.mask))
    for name, error in errors.items():
        print(f"{name:>14}: root mean square error of the forecast {error:.3f}")
    if figure is not None:
        draw(test, said, errors, figure)
    return errors


def persistence(test: ct.Example) -> float:
    """The last value of each channel, held."""
    last = jax.vmap(lambda x: x.fill_forward()[-1])(test.x)
    held = jnp.broadcast_to(last[:, None], test.target.ys.shape)
    return float(ct.metrics.rmse(test.target.ys, held, test.target.mask))


if __name__ == "__main__":
    main(figure="forecast_irregular.svg")
