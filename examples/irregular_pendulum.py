"""Filter images of a pendulum that come at times of their own, most of them spoilt.

A pendulum swings under a random force; of a hundred instants fifty are kept, each an image of a blob that is buried in
noise for a while and comes out again. Wanted are sine and cosine of the angle at each. Whoever knows how long ago the
last good image was can carry the swing on; the same layers with gaps that are all alike cannot.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

PIXELS = 24


def swing(rng, number, times, dt):
    """Angles at `times` instants: theta'' = -9.8 sin theta + noise, by Euler's method in ten steps between two."""
    angle, speed = rng.uniform(-np.pi, np.pi, number), rng.normal(0, 1, number)
    angles, h = [], dt / 10
    for _ in range(times):
        angles.append(angle)
        for _ in range(10):
            speed = speed - h * 9.8 * np.sin(angle) + np.sqrt(h) * 0.2 * rng.normal(size=number)
            angle = angle + h * speed
    return np.stack(angles, axis=1)


def render(rng, angles, clear):
    """A blob at the end of the pendulum; what part of it shows wanders from none to all, the rest is noise."""
    number, times = angles.shape
    where = (np.arange(PIXELS) - (PIXELS - 1) / 2) / (PIXELS / 2)
    x, y = 0.7 * np.sin(angles), -0.7 * np.cos(angles)
    blob = (
        np.exp(-((where - x[..., None]) ** 2) / 0.02)[..., None, :]
        * np.exp(-((where - y[..., None]) ** 2) / 0.02)[..., None]
    )
    hidden = np.zeros((number, times))
    state = rng.normal(size=number)
    for i in range(times):
        hidden[:, i] = state
        state = 0.9 * state + np.sqrt(1 - 0.9**2) * rng.normal(size=number)
    shown = np.clip(clear + 0.7 * hidden, 0, 1)[..., None, None]
    return shown * blob + (1 - shown) * rng.uniform(size=blob.shape)


def pendulums(seed, number, times=100, kept=50, dt=0.1, clear=0.7):
    """Images at the kept times, and sine and cosine of the angle there."""
    rng = np.random.default_rng(seed)
    angles = swing(rng, number, times, dt)
    images = render(rng, angles, clear)
    at = np.sort(np.argsort(rng.uniform(size=(number, times)), axis=1)[:, :kept], axis=1)
    pick = lambda a: jnp.asarray(np.take_along_axis(a, at.reshape(*at.shape, *[1] * (a.ndim - 2)), axis=1), jnp.float32)
    ts = jnp.asarray(at * dt, jnp.float32)
    pixels = pick(images).reshape(number, kept, -1)
    wanted = pick(np.stack([np.sin(angles), np.cos(angles)], axis=-1))
    seen = lambda a: ct.Series(ts, a, jnp.ones(a.shape, bool))
    return ct.Example(seen(pixels), seen(wanted))


def forget_gaps(data):
    """The same rows, all one apart in time."""
    ts = 0.2 * np.arange(data.x.ts.shape[1], dtype=np.float32)
    even = lambda s: ct.Series(jnp.broadcast_to(jnp.asarray(ts), s.ts.shape), s.ys, s.mask)
    return ct.Example(even(data.x), even(data.target))


def encoder(inputs, features, *, key):
    """Of an image's pixels; the mask beside them says nothing here."""
    return eqx.nn.MLP(inputs, features, 64, 1, key=key)


def model_of(layer, features, depth, key):
    return ct.StateSpace(PIXELS**2, 2, layer=layer, features=features, depth=depth, scale=0.2, encoder=encoder, key=key)


def train(model, data, check, steps, batch_size, learning_rate, seed):
    """The model that was best on `check`."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 20 + 1, steps)
    slow = optax.warmup_cosine_decay_schedule(0.0, learning_rate / 3, steps // 20 + 1, steps)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.multi_transform({"slow": optax.adam(slow), "other": optax.adamw(schedule)}, ct.layers.label),
    )
    step = ct.make_step(ct.objective(ct.losses.squared), optimiser)
    state = step.init(model, key=jax.random.key(seed))
    batch_size, every = min(batch_size, data.x.ts.shape[0]), max(steps // 10, 1)
    watch = lambda model, data: error(model, check)
    return ct.fit(
        step, state, ct.ArrayDataset(data), steps=steps, batch_size=batch_size, validate=watch, every=every
    ).model


@eqx.filter_jit
def answers(model, x):
    return jax.lax.map(lambda x: model(x).ys, x, batch_size=64)


def error(model, data):
    """Mean squared error of sine and cosine."""
    return float(jnp.mean((answers(model, data.x) - data.target.ys) ** 2))


def draw(data, found, figure):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ts, images = data.x.ts[0], data.x.ys[0].reshape(-1, PIXELS, PIXELS)
    figure_, axes = plt.subplots(2, 1, figsize=(6, 4), layout="constrained", height_ratios=[1, 3])
    shown = np.arange(0, len(ts), max(len(ts) // 8, 1))[:8]
    axes[0].imshow(np.concatenate([images[i] for i in shown], axis=1), cmap="gray")
    axes[0].set(xticks=[], yticks=[], title="eight of the images, in order")
    axes[1].plot(ts, data.target.ys[0, :, 0], "k.-", label="true")
    for name, ys in found.items():
        axes[1].plot(ts, ys[0, :, 0], ".-", label=name, alpha=0.8)
    axes[1].set(xlabel="time", ylabel="sine of the angle")
    axes[1].set_ylim(-1.15, 1.6)
    axes[1].legend(loc="upper center", ncols=3)
    figure_.savefig(figure)
    plt.close(figure_)


def main(
    number=1000,
    features=32,
    depth=3,
    modes=16,
    steps=3000,
    batch_size=32,
    learning_rate=3e-3,
    kept=50,
    seed=0,
    figure=None,
):
    data, check, test = (pendulums(seed + i, n, kept=kept) for i, n in enumerate((number, number // 4, number // 4)))
    layer = functools.partial(ct.layers.S5, modes=modes, steps=(1e-2, 1e0))
    errors, found = {}, {}
    for name, seen in {"gaps": lambda d: d, "no gaps": forget_gaps}.items():
        model = model_of(layer, features, depth, jax.random.key(seed))
        model = train(model, seen(data), seen(check), steps, batch_size, learning_rate, seed + 1)
        errors[name] = error(model, seen(test))
        found[name] = jax.device_get(answers(model, jax.tree.map(lambda a: a[:1], seen(test).x)))
    errors["mean"] = float(jnp.mean((test.target.ys - jnp.mean(data.target.ys, axis=(0, 1), keepdims=True)) ** 2))
    for name, value in errors.items():
        print(f"{name:>8}: mean squared error {value:.5f}")
    if figure is not None:
        draw(test, found, figure)
    return {name.replace(" ", "_"): value for name, value in errors.items()}


if __name__ == "__main__":
    main(figure="irregular_pendulum.svg")
