"""Shallow piecewise linear maps by generalised teacher forcing (Hess et al. 2023)."""

import time
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks.chaos._data import System
from benchmarks.chaos._scores import Learned, d_h, d_stsp

LONG = 2000  # rows of a window on which gradients are shown


class Settings(NamedTuple):
    """`size`: of a state that is seen through weights; None: the channels themselves. `latent`, `observation`: the
    weights of the regularisers."""

    width: int
    alpha: float
    size: int | None = None
    window: int = 100
    batch: int = 32
    steps: int = 30_000
    rate: float = 3e-3
    last_rate: float = 1e-5
    latent: float = 0.0
    observation: float = 0.0


SETTINGS = {
    "lorenz63": Settings(width=100, alpha=0.1, steps=60_000),
    "ecg": Settings(width=250, alpha=0.3, size=5, steps=100_000, observation=1e-7),
    "eeg": Settings(width=512, alpha=0.1, size=16, window=50, batch=16, latent=1e-4, observation=1e-6),
    "lorenz96": Settings(width=200, alpha=0.1),
    "bursting_neuron": Settings(width=100, alpha=0.1),
}


def gtf(system: System, seed: int, quick: bool, forcing: str = "fixed") -> Learned:
    """`forcing`: "fixed"; "adaptive", by Jacobians; "none"."""
    s = SETTINGS[system.name]
    if quick:
        s = s._replace(width=8, steps=40, window=20, batch=4)
    series = ct.Series.from_nan(np.arange(len(system.train)), system.train)
    windows = ct.Windows(series, s.window, starts=series.to_nan())
    alpha = {"fixed": s.alpha, "adaptive": None, "none": 0.0}[forcing]
    rate = optax.exponential_decay(s.rate, s.steps, s.last_rate / s.rate)
    regularisers = {"latent": (s.latent, near_identity), "observation": (s.observation, conditioned)}
    regularisers = {name: pair for name, pair in regularisers.items() if pair[0]}
    step = ct.make_step(ct.objective(ct.losses.teacher_forcing(alpha), regularisers), optax.radam(rate))
    state = step.init(made(system, s, seed), key=jax.random.key(seed))
    judged = system.chosen_by[: 400 if quick else len(system.chosen_by)]
    kwargs, data = {}, windows
    if forcing == "adaptive":
        kwargs, data = dict(refresh=ct.forcing.adaptive(), refresh_every=5), ct.forcing.ForcedData(windows)
    start = time.perf_counter()
    fitted = ct.fit(
        step, state, data, steps=s.steps, batch_size=s.batch, seed=seed, every=s.steps // 40, progress=False,
        validate=lambda model, data: near(model, judged, system.noise), **kwargs,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    best = min(fitted.history, key=lambda line: line["validation"])
    norms = [line["grad_norm"] for line in fitted.history]
    facts = {"stage": best["step"], "chosen_at": best["validation"], "largest_gradient": float(np.max(norms))}
    return Learned(
        lambda rows, steps: run(fitted.model, rows[-1], steps),
        facts=facts | gradients(fitted.model, series) | {"seconds": seconds},
    )


def made(system: System, s: Settings, seed: int) -> ct.PLRNN:
    channels = system.train.shape[1]
    of_cell, of_readout = jax.random.split(jax.random.key(seed))
    readout = ct.FirstChannels(channels) if s.size is None else ct.AffineReadout(channels, s.size, key=of_readout)
    return ct.PLRNN(ct.fields.ShallowPLRNN(readout.size, s.width, key=of_cell), readout)


def run(model: ct.PLRNN, row, steps: int):
    """Of a map: without the bookkeeping of a flow."""

    def move(z, _):
        z = model.cell(jnp.zeros(()), z, None)
        return z, model.observe(z)

    return jax.lax.scan(move, model.lift(row), length=steps)[1]


compiled_run = eqx.filter_jit(run)


def near(model: ct.PLRNN, rows: np.ndarray, noise: float) -> float:
    """What a stage is chosen by: a free run, as noisy as the rows, against these."""
    generated = np.asarray(compiled_run(model, jnp.asarray(rows[0]), len(rows) + len(rows) // 4))[-len(rows) :]
    generated = generated + noise * np.random.default_rng(0).normal(size=rows.shape).astype(np.float32)
    return d_stsp(rows, generated) + d_h(rows, generated)


@eqx.filter_jit
def _gradient(model, example, alpha):
    loss = lambda model: (lambda found: found[0] / found[1])(ct.losses.teacher_forcing(alpha)(model, example))
    return optax.global_norm(eqx.filter_grad(loss)(model))


def gradients(model: ct.PLRNN, series: ct.Series) -> dict[str, float]:
    """Of the trained model on one long window: its gradient without forcing, and with as much as Jacobians ask for."""
    rows = min(LONG, series.ts.shape[0])
    batch = ct.Windows(series, rows, starts=series.to_nan())[jnp.zeros(1, int)]
    wanted = eqx.filter_jit(ct.forcing.estimate)(model, batch)
    one = jax.tree.map(lambda a: a[0], batch)
    free, forced = (_gradient(model, one, jnp.asarray(alpha, wanted.dtype)) for alpha in (0.0, wanted))
    return {"alpha_star": float(wanted), "gradient_unforced": float(free), "gradient_forced": float(forced)}


def near_identity(model: ct.PLRNN, output) -> jax.Array:
    """Of the latent map: how far it is from staying where it is."""
    c = model.cell
    square = lambda a: jnp.sum(a**2)
    return square(1 - c.A) + square(c.W1) + square(c.W2) + square(c.h1) + square(c.h2)


def conditioned(model: ct.PLRNN, output) -> jax.Array:
    """Of the readout: how far its singular values are apart."""
    s = jnp.linalg.svdvals(model.readout.B)
    return (1 - s[0] / s[-1]) ** 2
