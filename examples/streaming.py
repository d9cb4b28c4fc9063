"""Answer row by row, while a record comes in: the state of a model is all that is kept of the past.

Three models are trained on whole records of a damped oscillator, seen at irregular times, one coordinate or the other
missing. Then a new record comes in: each row updates a memory of fixed size, and at any moment the model says where the
oscillator is, and will be. What it says is what it would say of the whole record so far.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

AHEAD = 0.5


def oscillators(seed, number, samples, missing, noise):
    """Records until about time 6, and where each is AHEAD after each row."""
    rng = np.random.default_rng(seed)
    seen, later = [], []
    for _ in range(number):
        rate, start = -0.1 + 1j * rng.uniform(1.5, 2.5), rng.uniform(0.7, 1.5) * np.exp(2j * np.pi * rng.uniform())

        def at(ts, rate=rate, start=start):
            z = start * np.exp(rate * ts)
            return np.stack([z.real, z.imag], axis=1)

        ts = 6 * np.cumsum(rng.uniform(0.2, 1.8, samples)) / samples
        ys = at(ts) + noise * rng.normal(size=(samples, 2))
        ys[rng.uniform(size=ys.shape) < missing] = np.nan
        seen.append(ct.Series.from_nan(ts, ys, one_of_many=True))
        later.append(ct.Series.from_nan(ts + AHEAD, at(ts + AHEAD)))
    return ct.Example(ct.collate(seen), ct.collate(later))


@eqx.filter_jit
def read(model, memory, row):
    """One more row, and what is said of AHEAD from there."""
    memory = model.observe(memory, *row)
    return memory, model.predict(memory, (row[0] + AHEAD)[None]).ys[0]


def stream(model, series):
    """What was said after each row, as it came in."""
    memory, said = model.init(), []
    for row in zip(series.ts, series.ys, series.mask, strict=True):
        memory, ys = read(model, memory, row)
        said.append(ys)
    return jnp.stack(said)


def after_each_row(model, x, target):
    """The same of whole records: of each prefix the last answer. One call for each row."""
    rows = jnp.arange(x.ts.shape[0])
    prefix = lambda i: ct.Series(x.ts, x.ys, x.mask & (rows <= i)[:, None])
    return jax.vmap(lambda i: model(prefix(i), target.ts[i][None]).ys[0])(rows)


def so_far(model, example, key=None):
    """The squared error of what is said of AHEAD, after each row of one record."""
    ys = after_each_row(model, example.x, example.target)
    out = model(example.x, example.x.end)
    return jnp.sum((ys - example.target.ys) ** 2), jnp.asarray(ys.size, ys.dtype), out


def draw(series, target, found, figure):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure_, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    seen = np.asarray(series.mask[:, 0])
    axes.plot(series.ts[seen], series.ys[seen, 0], "k.", label="came in")
    axes.plot(target.ts, target.ys[:, 0], "k:", label=f"true, {AHEAD:g} later")
    for name, ys in found.items():
        axes.plot(target.ts, ys[:, 0], label=name.replace("_", " "), alpha=0.8)
    axes.set(xlabel="time", ylabel="first coordinate")
    figure_.legend(loc="outside upper center", ncols=3)
    figure_.savefig(figure)
    plt.close(figure_)


def main(number=128, samples=24, missing=0.4, noise=0.03, hidden=24, steps=300, batch_size=16, seed=0, figure=None):
    train, test = (oscillators(seed + i, number, samples, missing, noise) for i in range(2))
    key = jax.random.key(seed)
    models = {
        "state_space": ct.StateSpace(2, 2, features=hidden, depth=2, scale=6 / samples, key=key),
        "neural_cde": ct.NeuralCDE(2, hidden, 2, key=key),
        "ode_rnn": ct.ODERNN(2, hidden, 2, key=key),
    }
    series, target = jax.tree.map(lambda a: a[0], (test.x, test.target))
    numbers, found = {}, {}
    for name, model in models.items():
        optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(5e-3, steps)))
        step = ct.make_step(ct.objective(so_far), optimiser)
        state = step.init(model, key=jax.random.key(seed + 1))
        model = ct.fit(step, state, ct.ArrayDataset(train), steps=steps, batch_size=min(batch_size, number)).model
        whole = eqx.filter_jit(jax.vmap(lambda x, t, model=model: after_each_row(model, x, t)))(test.x, test.target)
        numbers[name] = float(jnp.sqrt(jnp.mean((whole - test.target.ys) ** 2)))
        found[name] = stream(model, series)
        numbers[f"{name}_apart"] = float(jnp.max(jnp.abs(found[name] - whole[0])))
        print(f"{name:>12}: rmse {numbers[name]:.3f}; row by row and whole are {numbers[f'{name}_apart']:.1e} apart")
    if figure is not None:
        draw(series, target, found, figure)
    return numbers


if __name__ == "__main__":
    main(figure="streaming.svg")
