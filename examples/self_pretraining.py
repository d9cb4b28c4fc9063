"""Learn from a thousand records without labels first, then from a few dozen with.

The same layers are trained twice ("Never train from scratch", Amos, Berant, Gupta 2024): first to say the values of
rows that are hidden from them, of records nobody has labelled; then, with a new readout, to classify. Beside it the
same model from scratch. Records are oscillations at irregular times, and the class is how their two tones are related.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

RATIOS = (1.5, 2.0, 2.5)


def records(seed, number, samples, noise):
    """Two tones of unknown pitch and phase, seen at irregular times; and which of RATIOS they are in."""
    rng = np.random.default_rng(seed)
    ts = 10 * np.cumsum(rng.uniform(0.2, 1.8, (number, samples)), axis=1) / samples
    kind = rng.integers(len(RATIOS), size=number)
    pitch, phase = rng.uniform(2, 4, (number, 1)), 2 * np.pi * rng.uniform(size=(2, number, 1))
    tones = np.sin(pitch * ts + phase[0]), np.sin(np.take(RATIOS, kind)[:, None] * pitch * ts + phase[1])
    ys = sum(tones) + noise * rng.normal(size=ts.shape)
    ts, ys = jnp.asarray(ts, jnp.float32), jnp.asarray(ys[..., None], jnp.float32)
    return ct.Example(ct.Series(ts, ys, jnp.ones(ys.shape, bool)), jnp.asarray(kind))


def hidden_rows(model, x, key=None):
    """Squared error at rows that are hidden, a third of them and others each time; all are asked for."""
    hide = jax.random.bernoulli(jax.random.key(0) if key is None else key, 0.3, x.mask.shape)
    out = model(ct.Series(x.ts, x.ys, x.mask & ~hide), x.ts)
    wanted = x.mask & hide
    return jnp.sum(jnp.where(wanted, out.ys - x.ys, 0) ** 2), jnp.sum(wanted, dtype=out.ys.dtype), out


def trained(model, loss, data, steps, batch_size, learning_rate, seed):
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 10 + 1, steps)
    step = ct.make_step(ct.objective(loss), optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)))
    state = step.init(model, key=jax.random.key(seed))
    data = ct.ArrayDataset(data)
    return ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, len(data)), progress=False).model


@eqx.filter_jit
def right(model, data):
    score = lambda example: jnp.argmax(model(example.x, example.x.end).ys[0]) == example.target
    return jnp.mean(jax.vmap(score)(data))


def draw(test, rates, path):
    """A record of each class, and how many are told apart."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=(2, 1))
    for kind, ratio in enumerate(RATIOS):
        i = int(np.argmax(np.asarray(test.target) == kind))
        left.plot(test.x.ts[i], test.x.ys[i, :, 0] + 5 * kind, ".-", linewidth=0.8, label=f"tones in {ratio:g} : 1")
    left.set(title="a record of each class", xlabel="time", yticks=[], ylim=(-3, 17))
    left.legend(frameon=False, ncols=3, fontsize="small", loc="upper center")
    bars = right.bar([name.replace("_", " ") for name in rates], [100 * rate for rate in rates.values()], color="0.6")
    right.bar_label(bars, fmt="%.1f")
    right.axhline(100 / len(RATIOS), color="0.4", linestyle="--", label="by chance")
    right.set(ylabel="new records right [%]", ylim=(0, 105))
    right.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(
    number=1024,
    labelled=48,
    samples=60,
    noise=0.2,
    features=32,
    depth=3,
    pretraining=800,
    steps=300,
    batch_size=32,
    learning_rate=3e-3,
    seed=0,
    figure=None,
):
    unlabelled, train = records(seed, number, samples, noise).x, records(seed + 1, labelled, samples, noise)
    test = records(seed + 2, number // 2, samples, noise)
    of_hidden, of_classes = jax.random.split(jax.random.key(seed))
    sizes = (features, depth, 10 / samples)
    reader = state_space(1, *sizes, False, of_hidden)
    reader = trained(reader, hidden_rows, unlabelled, pretraining, batch_size, learning_rate, seed)
    scratch = state_space(len(RATIOS), *sizes, True, of_classes)
    rates = {}
    for name, model in {"from_scratch": scratch, "pretrained": with_stack(scratch, reader)}.items():
        model = trained(model, ct.losses.cross_entropy, train, steps, batch_size, learning_rate, seed + 1)
        rates[name] = float(right(model, test))
        print(f"{name:>13}: {100 * rates[name]:.1f} % of new records right, of {labelled} with labels")
    if figure is not None:
        draw(test, rates, figure)
    return rates


def state_space(outputs, features, depth, scale, pooled, key):
    return ct.StateSpace(1, outputs, features=features, depth=depth, scale=scale, pooled=pooled, key=key)


def with_stack(model, other):
    """A model with the layers of another, and its own readout."""
    return eqx.tree_at(lambda m: m.stack, model, other.stack)


if __name__ == "__main__":
    main(figure="self_pretraining.svg")
