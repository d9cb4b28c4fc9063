"""The table of models: a new one is a row here, and `test_laws.py` asks every law of it.

Samples are made with NumPy. What a law compares are lanes of one batch, of equal shapes, so that a model is compiled
once alone, once as a batch, once in a training step and once for export, and all laws share these.
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct

CHANNELS, LATENT = 2, 3
ADAPTIVE = ct.Integrate(diffrax.Heun(), max_steps=256)
EULER = ct.Integrate(diffrax.Euler(), ct.Substeps(2))
HEUN = ct.Integrate(diffrax.Heun(), ct.Substeps(1))
NEWTON = ct.ssm.NewtonScan(ct.ssm.BlockJacobian())
SRI = ct.Integrate(ct.SRI(), ct.Substeps(1))


class Given(NamedTuple):
    """Examples of one kind of `x`; all but `alone` and `short` are of equal shapes, and so are lanes of one batch.

    `alone`: three, as they are; `padded`: the same, longer; `same`: what must be answered as `padded[0]` is;
    `sparse`: of which little or nothing was seen; `future`: `padded[0]` with another end, and how many of its answers
    that must not reach; `bad`: what is refused, by what is wrong with it; `short`: one as short as can be, and
    `short_padded`.
    """

    alone: list
    padded: list
    same: dict
    sparse: dict
    future: tuple | None
    bad: dict
    short: ct.Example
    short_padded: ct.Example

    @property
    def lanes(self) -> dict:
        """Of one batch, by name; those of `padded` by number."""
        lanes = dict(enumerate(self.padded)) | self.same | self.sparse | {"short": self.short_padded}
        return lanes if self.future is None else lanes | {"future": self.future[0]}


class Row(NamedTuple):
    """`make(key)`: a small model; `given()`: what it is given; `channels`: of its outputs.

    - `dynamics`, `latent`: whether it keeps the promise of [`ctmodels.AbstractDynamics`][], `AbstractLatent`.
    - `causal`: whether an output knows only what was observed, or drove it, by then.
    - `online`: whether it reads row by row.
    - `stochastic`: whether a key draws anything.
    - `steps`: whether it moves by whole steps of its own, here of 0.1.
    - `slow`: whether it goes the way of another row; `only`: the precision in which it is asked, float64 if None.
    """

    name: str
    make: Callable
    given: Callable
    channels: int = CHANNELS
    dynamics: bool = False
    latent: bool = False
    causal: bool = True
    online: bool = False
    stochastic: bool = False
    steps: bool = False
    slow: bool = False
    only: str = "float64"


def array(x) -> jax.Array:
    x = np.asarray(x)
    return jnp.asarray(x if x.dtype == bool else x.astype(jax.dtypes.canonicalize_dtype(float)))


def stacked(items: Iterable):
    """A batch of examples; without a program of its own."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *list(items))


def series(ts, ys, mask) -> ct.Series:
    return ct.Series(array(ts), array(ys), array(mask))


def longer(x: np.ndarray, size: int) -> np.ndarray:
    """The last row again and again."""
    return np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)])


def asked(ts, size: int | None = None, channels: int = CHANNELS) -> ct.Series:
    """A target of ones at `ts`, padded to `size`."""
    size = len(ts) if size is None else size
    seen = np.arange(size)[:, None] < len(ts)
    return series(longer(np.asarray(ts), size), np.ones((size, channels)), np.repeat(seen, channels, axis=1))


# What moves on by itself, or under a control: `x` is a start, or a start and a path.

TIMES, LONG = np.array([0.0, 0.2, 0.5, 0.6]), 6
TURNED, UNKNOWN = np.array([0.0, 0.5, 0.2, 0.6]), np.array([0.0, np.nan, 0.5, 0.6])


def given(example: Callable, bad: dict, future: tuple | None) -> Given:
    """Of `example(i, ts, size)`: the i-th sample, asked at `ts`, padded to `size`."""
    bad = {"ts, turned": example(0, TURNED, LONG), "ts, NaN": example(0, UNKNOWN, LONG), **bad}
    alone, padded = ([example(i, TIMES, size) for i in range(3)] for size in (None, LONG))
    short, short_padded = (example(1, TIMES[:2], size) for size in (None, LONG))
    return Given(alone, padded, {}, {}, future, bad, short, short_padded)


def starts() -> Given:
    y0 = np.random.default_rng(0).normal(size=(3, CHANNELS))
    example = lambda i, ts, size=None: ct.Example(array(y0[i]), asked(ts, size))
    return given(example, {"values, NaN": ct.Example(array([np.nan, 0.0]), asked(TIMES, LONG))}, None)


def driven() -> Given:
    """By one input, of a line from time to time."""
    rng = np.random.default_rng(1)
    y0, us = rng.normal(size=(3, CHANNELS)), rng.normal(size=(3, len(TIMES), 1))

    def example(i, ts, size=None, us=us):
        knots = longer(TIMES[: len(ts)], len(ts) if size is None else size)
        path = ct.paths.LinearPath(array(knots), array(longer(us[i, : len(ts)], len(knots))))
        return ct.Example(ct.Driven(array(y0[i]), path), asked(ts, size))

    other = np.where(np.arange(len(TIMES))[:, None] > 2, 3.0, us)
    bad = {"values, NaN": example(0, TIMES, LONG, np.full_like(us, np.nan))}
    return given(example, bad, (example(0, TIMES, LONG, other), 3))


# What is read: `x` is a series of irregular times with missing values.


def rows(rng, length: int) -> tuple:
    """Times, values and mask; the first and the last row are seen, and something of each row."""
    ts = 0.3 + np.cumsum(rng.uniform(0.1, 0.4, length))
    mask = rng.random((length, CHANNELS)) < 0.6
    mask[0, 0] = mask[-1, 0] = True
    mask[~mask.any(axis=1), 1] = True
    return ts, np.where(mask, rng.normal(size=mask.shape), 0), mask


ROWS, ASKED = 6, 5  # of a lane: one more row, and one more time, than there are


def padded(ts, ys, mask) -> tuple:
    more = ((0, ROWS - len(ts)), (0, 0))
    return longer(ts, ROWS), np.pad(ys, more), np.pad(mask, more)


def inserted(at: int, ts, ys, mask, under: float = 0.0) -> tuple:
    """A row of which nothing is seen, before that one; what lies `under` the masks."""
    between = 0.5 * (ts[at] + (ts[at - 1] if at else ts[at] - 1))
    ys, mask = np.insert(ys, at, 0, axis=0), np.insert(mask, at, False, axis=0)
    return np.insert(ts, at, between), np.where(mask, ys, under), mask


def records() -> Given:
    """Five rows, asked before the first, at the second, between two, and after the last."""
    rng = np.random.default_rng(3)
    data = [rows(rng, ROWS - 1) for _ in range(3)]
    when = lambda ts: np.array([ts[0] - 0.1, ts[1], 0.5 * (ts[2] + ts[3]), ts[-1] + 0.5])
    one = data[0]
    lane = lambda record, ts=when(one[0]): ct.Example(series(*record), asked(ts, ASKED))

    ts, ys, mask = padded(*one)
    at, swap, early = np.arange(ROWS), [0, 2, 1, *range(3, ROWS)], when(one[0])
    later = (at > 2)[:, None]
    first, first_asked = tuple(a[:1] for a in data[1]), data[1][0][0] + np.array([-0.5, 0.0, 0.3, 0.7])
    return Given(
        alone=[ct.Example(series(*record), asked(when(record[0]))) for record in data],
        padded=[lane(padded(*record), when(record[0])) for record in data],
        same={
            "an unseen row within": lane(inserted(3, *one)),
            "an unseen row before": lane(inserted(0, *one)),
            "values under the mask": lane(inserted(3, *one, under=7.0)),
            "NaN under the mask": lane(padded(one[0], np.where(one[2], one[1], np.nan), one[2])),
        },
        sparse={
            "nothing": lane((ts, ys, np.zeros_like(mask))),
            "one row": lane((ts, ys, mask & (at == 4)[:, None])),
            "one channel": lane((ts, ys, mask & (np.arange(CHANNELS) == 0))),
        },
        future=(lane((np.where(at > 2, ts + 0.2, ts), np.where(later & mask, 5.0, ys), mask)), 3),
        bad={
            "x.ts, turned": lane((ts[swap], ys, mask)),
            "x.ts, NaN": lane((np.where(at == 3, np.nan, ts), ys, mask)),
            "ts, turned": lane((ts, ys, mask), early[[0, 2, 1, 3]]),
            "ts, NaN": lane((ts, ys, mask), np.where(np.arange(4) == 1, np.nan, early)),
            "values, NaN": lane((ts, np.where(mask, np.nan, ys), mask)),
        },
        short=ct.Example(series(*first), asked(first_asked)),
        short_padded=lane(padded(*first), first_asked),
    )


class LeakyRNN(ct.AbstractDynamics):
    """z <- (1 - a) z + a tanh(W z + b), from sample to sample; y = C z."""

    W: jax.Array
    b: jax.Array
    C: jax.Array
    channels = property(lambda self: self.C.shape[-2])
    size = property(lambda self: self.C.shape[-1])

    def __call__(self, x, ts=None, *, key=None):
        return ct.roll_out(self, x, ts)

    def lift(self, ys, slopes=None):
        return jnp.linalg.pinv(self.C) @ ys

    def flow(self, t0, t1, z, control=None):
        moved = jnp.where(t1 > t0, 0.9 * z + 0.1 * jnp.tanh(self.W @ z + self.b), z)
        return moved, ct.Stats.of_grid(1, jnp.stack([t0, t1]), jnp.stack([z, moved]))

    def observe(self, z):
        return self.C @ z

    def describe(self):
        return "a map from sample to sample"


def leaky(key, channels: int = CHANNELS, size: int = 4, kind: type = LeakyRNN) -> LeakyRNN:
    of_w, of_c = jax.random.split(key)
    W = jax.random.normal(of_w, (size, size)) / np.sqrt(size)
    return kind(W, jnp.zeros(size), jax.random.normal(of_c, (channels, size)))


def linear_dynamics(key, delays: int = 2) -> ct.LinearDynamics:
    of_a, of_b, of_u = jax.random.split(key, 3)
    A = 0.5 * jax.random.normal(of_a, (CHANNELS, delays * CHANNELS))
    return ct.LinearDynamics(A, 0.1, jax.random.normal(of_b, (CHANNELS,)), jax.random.normal(of_u, (CHANNELS, 2)))


def nvar(key, inputs: int = 0, skip: int = 1) -> ct.NVAR:
    library = ct.fields.Library(2 * CHANNELS + 2 * inputs, degree=2)
    return ct.NVAR(0.1 * jax.random.normal(key, (CHANNELS, library.size)), library, 0.1, delays=2, skip=skip)


def echo_state(key, inputs: int = 1, **kwargs) -> ct.EchoState:
    of_reservoir, of_readout = jax.random.split(key)
    model = ct.EchoState(CHANNELS, 6, dt=0.1, inputs=inputs, leak=0.6, washout=2, key=of_reservoir, **kwargs)
    readout = jax.random.normal(of_readout, model.readout.shape) / 3
    return eqx.tree_at(lambda m: m.readout, model, readout)


def sparse_field(key, inputs: int = 0) -> ct.fields.SparseField:
    library = ct.fields.Library(CHANNELS + inputs, degree=2, waves=1)
    coefficients = 0.3 * jax.random.normal(key, (CHANNELS, library.size))
    return ct.fields.SparseField(library, jnp.where(jnp.arange(library.size) % 3 == 0, 0, coefficients))


def mlp(channels, **kwargs):
    return lambda key: ct.fields.MLPField(channels, width=4, depth=1, key=key, **kwargs)


def neural_ode(field, augment=0, integrate=HEUN):
    return lambda key: ct.NeuralODE(field(key), CHANNELS, augment, integrate)


def plrnn(cell, readout=ct.FirstChannels(CHANNELS, LATENT)):
    """A step of 0.1, of which the times of the table are at most three apart."""
    return lambda key: ct.PLRNN(cell(key), readout, dt=0.1, max_steps=3)


def shallow(size, **kwargs):
    return lambda key: ct.fields.ShallowPLRNN(size, 4, key=key, **kwargs)


def neural_sde(augment=0, inputs=0, integrate=EULER, **kwargs):
    def make(key):
        of_drift, of_diffusion = jax.random.split(key)
        size = CHANNELS + augment
        diffusion = ct.fields.Positive(ct.fields.Elementwise(size, width=2, key=of_diffusion))
        sde = ct.fields.SDE(mlp(size, inputs=inputs)(of_drift), diffusion)
        return ct.NeuralSDE(sde, CHANNELS, augment, integrate, **kwargs)

    return make


def hybrid(key):
    return ct.fields.SumField(ct.systems.LotkaVolterra(1.0, 0.5, 0.5, 1.0), mlp(CHANNELS)(key))


def cde(**kwargs):
    return lambda key: ct.NeuralCDE(CHANNELS, LATENT, CHANNELS, width=4, key=key, **kwargs)


def log_ncde(depth, window):
    sizes = dict(window=window, depth=depth, width=4, forecast_solver=HEUN)
    return lambda key: ct.LogNCDE(CHANNELS, LATENT, CHANNELS, key=key, **sizes)


def latent_ode(encoder, **kwargs):
    def make(key):
        a, b, c, d = jax.random.split(key, 4)
        reads = encoder(CHANNELS, 4, key=a, **kwargs)
        posterior = eqx.nn.Linear(reads.size, 2 * LATENT, key=b)
        return ct.LatentODE(reads, posterior, mlp(LATENT)(c), eqx.nn.Linear(LATENT, CHANNELS, key=d), HEUN)

    return make


def latent_rnn(key):
    a, b, c, d = jax.random.split(key, 4)
    reads = ct.ReverseGRUEncoder(CHANNELS, 4, key=a)
    start, decoder = eqx.nn.Linear(reads.size, 2 * LATENT, key=b), eqx.nn.Linear(LATENT, CHANNELS, key=d)
    return ct.LatentRNN(reads, start, eqx.nn.GRUCell(1, LATENT, key=c), decoder)


def latent_sde(matched=False):
    """With a posterior that is a drift, or, `matched`, one that is marginals."""

    def make(key):
        a, b, c, d, e, f = jax.random.split(key, 6)
        reads = ct.WindowEncoder(CHANNELS, 4, width=4, key=a) if matched else ct.ReverseGRUEncoder(CHANNELS, 4, key=a)
        if matched:
            marginals = eqx.nn.MLP(reads.size + 2, 2 * LATENT, 4, 1, jnp.tanh, key=b)
            posterior = ct.MarginalPosterior(reads, marginals, focus=3.0)
        else:
            start = eqx.nn.Linear(reads.size, 2 * LATENT, key=b)
            posterior = ct.DriftPosterior(reads, start, mlp(LATENT, inputs=reads.size)(c))
        sde = ct.fields.SDE(
            mlp(LATENT)(d), ct.fields.Positive(ct.fields.Elementwise(LATENT, width=2, key=e), floor=0.1)
        )
        prior = ct.distributions.Gaussian(jnp.zeros(LATENT), log_deviation=jnp.zeros(LATENT))
        return ct.LatentSDE(posterior, sde, prior, eqx.nn.Linear(LATENT, CHANNELS, key=f), EULER)

    return make


def langevin_flow(encoder=ct.ReverseGRUEncoder, coupled=False, attention=False, **kwargs):
    """Of bins from the first row that was seen on."""

    def make(key):
        a, b, c, d, e, f = jax.random.split(key, 6)
        reads, size = encoder(CHANNELS, 4, key=a), 2 * LATENT
        force = ct.fields.MLPField((size, LATENT), inputs=reads.size, width=4, depth=1, key=c)
        posterior = ct.ControlPosterior(reads, eqx.nn.Linear(reads.size, 2 * size, key=b), force)
        start = ct.distributions.Gaussian(jnp.zeros(size), log_deviation=jnp.zeros(size))
        decoder = eqx.nn.Linear(size, CHANNELS, key=d)
        layer = ct.TransformerLayer(size, width=4, key=e) if attention else None
        mlp = lambda: ct.fields.MLPPotential(LATENT, width=4, depth=1, key=f)
        potential = ct.fields.CoupledOscillators(LATENT, groups=3, key=f) if coupled else mlp()
        dynamics = ct.fields.Langevin(potential, gamma=2.0)
        return ct.LangevinFlow(posterior, dynamics, start, decoder, attention=layer, t0=None, **kwargs)

    return make


def reads(name, make, **flags) -> Row:
    return Row(name, make, records, online=True, **flags)


def layered(name, layer, pooled=False, flags=None, **kwargs) -> Row:
    """Two blocks of these layers; the series of the table has gaps of about 0.3."""
    layer = functools.partial(layer, **kwargs)
    sizes = dict(features=4, depth=2, pooled=pooled, scale=0.3)
    make = lambda key: ct.StateSpace(CHANNELS, CHANNELS, layer=layer, **sizes, key=key)
    return reads(f"state space, {name}", make, **(flags or {}))


def moves(name, make, given=starts, **flags) -> Row:
    return Row(name, make, given, dynamics=True, **flags)


def draws(name, make, **flags) -> Row:
    return Row(name, make, records, latent=True, stochastic=True, causal=False, **flags)


MODELS = [
    moves("neural ODE", neural_ode(mlp(2))),
    moves("neural ODE, adaptive", neural_ode(mlp(2), integrate=ADAPTIVE), only="float32"),
    moves("neural ODE, augmented", neural_ode(mlp(3), augment=1)),
    moves(
        "neural ODE, second order",
        neural_ode(lambda k: ct.fields.SecondOrder(mlp((4, 2))(k)), augment=2),
        only="float32",
    ),
    moves("neural ODE, hybrid", neural_ode(hybrid)),
    moves("neural ODE, driven", neural_ode(mlp(2, inputs=1)), driven, only="float32"),
    moves("neural ODE, RK4", neural_ode(mlp(2), integrate=ct.Integrate(ct.RK4(), ct.Substeps(2))), slow=True),
    moves("neural SDE", neural_sde(augment=1), stochastic=True),
    moves(
        "neural SDE, driven", neural_sde(inputs=1, integrate=SRI), driven, stochastic=True, only="float32", slow=True
    ),
    moves("leaky RNN", leaky, only="float32"),
    moves("PLRNN", plrnn(shallow(LATENT), ct.AffineReadout(CHANNELS, LATENT, bias=True, key=jax.random.key(4)))),
    moves(
        "PLRNN, almost linear, driven",
        plrnn(lambda key: ct.fields.AlmostLinear(LATENT, 1, inputs=1, key=key)),
        driven,
        only="float32",
        slow=True,
    ),
    moves("neural ODE, piecewise linear", neural_ode(shallow(2, clipped=False)), only="float32", slow=True),
    moves("linear dynamics", linear_dynamics, driven, steps=True),
    moves("NVAR", nvar, steps=True),
    moves("NVAR, driven", functools.partial(nvar, inputs=1, skip=2), driven, steps=True, slow=True),
    moves("echo state", echo_state, driven, steps=True, only="float32"),
    moves("echo state, squared", functools.partial(echo_state, inputs=0, squared=True), steps=True, slow=True),
    moves("sparse law", neural_ode(sparse_field), only="float32"),
    moves("sparse law, driven", neural_ode(functools.partial(sparse_field, inputs=1)), driven, slow=True),
    Row("neural CDE", cde(forecast_solver=HEUN), records, online=True),
    Row(
        "neural CDE, adaptive",
        cde(solver=ADAPTIVE, forecast_solver=HEUN),
        records,
        causal=False,
        only="float32",
    ),
    Row("log NCDE, depth 2", log_ncde(2, 2), records),
    Row("log NCDE, depth 3", log_ncde(3, 3), records, slow=True),
    layered("S5", ct.layers.S5, modes=3),
    layered("S4D", ct.layers.S4D, modes=2, flags=dict(slow=True)),
    layered("LinOSS", ct.layers.LinOSS, oscillators=3, flags=dict(slow=True)),
    layered("damped LinOSS", ct.layers.LinOSS, oscillators=3, damped=True, flags=dict(slow=True)),
    layered("LRU", ct.layers.LRU, modes=3, flags=dict(slow=True)),
    layered("LSSL", ct.layers.LSSL, state=4, flags=dict(only="float32", slow=True)),
    layered("trainable LSSL", ct.layers.TrainableLSSL, state=4, channels=2, per_feature=True, flags=dict(slow=True)),
    layered("LMU", ct.layers.LMU, order=2, window=3.0, flags=dict(slow=True)),
    layered("selective", ct.layers.Selective, modes=2, flags=dict(only="float32")),
    layered("LMUFormer", ct.layers.LMUFormer, order=2, window=3.0, flags=dict(slow=True)),
    layered("pooled", ct.layers.S5, pooled=True, modes=3, flags=dict(slow=True)),
    layered("GRU", ct.layers.Recurrent, cell=ct.layers.GRU, flags=dict(slow=True)),
    layered("ParaGRU", ct.layers.Recurrent, solver=NEWTON, flags=dict(only="float32", slow=True)),
    reads("ODE-RNN", lambda key: ct.ODERNN(CHANNELS, 4, 2, width=4, integrate=HEUN, key=key), only="float32"),
    reads("GRU-ODE-Bayes", lambda key: ct.GRUODEBayes(2, 4, prepared=2, noise=0.5, integrate=HEUN, key=key)),
    draws("latent ODE", latent_ode(ct.ReverseGRUEncoder)),
    draws("latent RNN", latent_rnn, only="float32", slow=True),
    draws("latent SDE", latent_sde()),
    draws("latent SDE, matched", latent_sde(matched=True), only="float32"),
    draws("Langevin flow", langevin_flow()),
    draws(
        "Langevin flow, attention",
        langevin_flow(
            ct.BidirectionalGRUEncoder,
            attention=True,
            coupled=True,
            integrate=ct.Integrate(ct.OBABO(), ct.Substeps(1)),
        ),
        only="float32",
        slow=True,
    ),
    draws(
        "latent ODE, ODE-RNN", latent_ode(ct.ReverseODERNNEncoder, width=4, integrate=HEUN), only="float32", slow=True
    ),
]
