"""A neural SDE learns the law of paths from a critic, a neural CDE that tells them from observed ones: an SDE-GAN.

Kidger, Foster, Li, Oberhauser, Lyons (2021). The truth is an Ornstein-Uhlenbeck process whose level and noise grow with
time; of its paths 30 % of the values are missing. No step is compared with a step: the critic reads whole paths, and
generated ones through the gaps of the data. Both players' steps are one step of one optimiser.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


class Field(eqx.Module):
    """tanh(MLP(t, y)), in whatever shape."""

    mlp: eqx.nn.MLP
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape, width, key):
        self.mlp = eqx.nn.MLP(1 + shape[0], int(np.prod(shape)), width, 1, ct.fields.lipswish, jnp.tanh, key=key)
        self.shape = shape

    def __call__(self, t, y, args):
        return self.mlp(jnp.append(y, t)).reshape(self.shape)


def generator(state, noise, width, key):
    of_drift, of_diffusion, of_start, of_readout = jax.random.split(key, 4)
    drift, diffusion = Field((state,), width, of_drift), Field((state, noise), width, of_diffusion)
    return ct.NeuralSDE(
        ct.fields.SDE(drift, diffusion, noise="general", interpretation="stratonovich"),
        channels=1,
        augment=state - 1,
        integrate=ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(1)),
        readout=eqx.nn.Linear(state, 1, key=of_readout),
        initial=eqx.nn.MLP(5, state, width, 1, ct.fields.lipswish, key=of_start),
    )


def critic(hidden, width, key):
    """A neural CDE, all of whose activations have a slope of one at most, without a bias at the end, of which nothing
    would be left in a difference. It takes Euler's steps along the data: with one channel a solution in Stratonovich's
    sense is a continuous function of the path, and sees less of how rough it is.
    """
    of_start, of_field, of_readout, key = jax.random.split(key, 4)
    model = ct.NeuralCDE(1, hidden, 1, intensity=False, width=width, key=key)
    smooth = (
        eqx.nn.MLP(2, hidden, width, 1, ct.fields.lipswish, key=of_start),
        ct.fields.MatrixField(hidden, 2, width=width, activation=ct.fields.lipswish, key=of_field),
        eqx.nn.Linear(hidden, 1, use_bias=False, key=of_readout),
    )
    return eqx.tree_at(lambda model: (model.initial, model.field, model.readout), model, smooth)


def observed(ts, number, missing, key):
    """dY = (0.02 t - 0.1 Y) dt + 0.4 (2 t / 64) dW, in deviations from the mean at each time; a unit of time is ten."""
    truth = ct.fields.SDE(lambda t, y, args: 0.02 * t - 0.1 * y, lambda t, y, args: 0.4 * (2 * t / 64) + 0 * y)
    of_starts, of_noise, of_gaps = jax.random.split(key, 3)
    starts = jax.random.uniform(of_starts, (number, 1), minval=-1.0, maxval=1.0)
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(10))
    ys, stats = jax.vmap(lambda y0, key: solver(truth, 10 * ts, y0, key=key))(
        starts, jax.random.split(of_noise, number)
    )
    stats.check()
    seen = jax.random.uniform(of_gaps, ys.shape) > missing
    values = np.where(seen, ys, np.nan)
    mean, deviation = (jnp.asarray(f(values, axis=0, keepdims=True)) for f in (np.nanmean, np.nanstd))
    return ct.Series(jnp.tile(ts, (number, 1)), jnp.where(seen, (ys - mean) / deviation, 0), seen)


@eqx.filter_jit
def paths(model, ts, keys):
    return jax.vmap(lambda key: model(None, ts, key=key).ys)(keys)


def draw(ts, series, drawn, path):
    """Observed paths and generated ones; mean and deviation over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(6, 6), layout="constrained", sharex=True, sharey=True)
    for ys, colour, label in ((series.to_nan(), "0.5", "observed"), (np.asarray(drawn), "C0", "generated")):
        axes[0].plot(ts, ys[:12, :, 0].T, color=colour, linewidth=0.7)
        axes[0].plot([], color=colour, label=label)
        mean, deviation = np.nanmean(ys[..., 0], axis=0), np.nanstd(ys[..., 0], axis=0)
        axes[1].plot(ts, mean, color=colour, label=label)
        axes[1].fill_between(ts, mean - deviation, mean + deviation, color=colour, alpha=0.3, linewidth=0)
    for axis, title in zip(axes, ("paths", "mean and deviation"), strict=True):
        axis.set(title=title, xlabel="t")
        axis.legend(framealpha=0.8)
    figure.savefig(path)
    plt.close(figure)


def main(
    number=2048,
    samples=64,
    state=16,
    noise=3,
    width=16,
    steps=1500,
    batch_size=128,
    rates=(1e-3, 5e-3),
    seed=0,
    figure=None,
):
    of_data, of_generator, of_critic, of_fit, of_new = jax.random.split(jax.random.key(seed), 5)
    ts = jnp.arange(samples, dtype=jnp.zeros(()).dtype) / 10
    series = observed(ts, number, 0.3, of_data)

    # Both descend the same number, whose gradient is turned on its way to the generator.
    adam = lambda rate: optax.adam(rate, b1=0.0, b2=0.99)
    players = optax.partition(
        {"generator": adam(rates[0]), "critic": optax.chain(adam(rates[1]), ct.clip_weights())},
        ("generator", "critic"),
    )
    optimiser = optax.chain(players, ct.average_weights(begin=steps // 2))
    step = ct.make_step(ct.objective(ct.losses.adversarial), optimiser)
    state = step.init((generator(state, noise, width, of_generator), critic(state, width, of_critic)), key=of_fit)
    data = ct.ArrayDataset(ct.Example(None, series))
    fitted = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, number))
    learned, _ = ct.averaged(fitted.state)

    drawn = paths(learned, ts, jax.random.split(of_new, number))
    ratio = float(ct.metrics.quadratic_variation_ratio(series.ys, drawn, series.mask, series.mask)[0])
    distance = ct.losses.truncated_signature_mmd(
        series.ys, drawn, 4, mask_x=series.mask, mask_y=series.mask, ts=ts, scale=0.5
    )
    print(f"quadratic variation of observed paths over generated ones: {ratio:.3f}")
    print(f"signature distance: {float(distance):.4f}")
    if figure is not None:
        draw(ts, series, drawn, figure)
    return {"variation": ratio, "distance": float(distance), "traces": step.traces}


if __name__ == "__main__":
    main(figure="sde_gan.svg")
