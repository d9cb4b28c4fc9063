"""What is compared: `(neurons, key) -> Learner`, each of about as many features."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

import ctmodels as ct

LATENT, HIDDEN, WIDTH = 8, 64, 64


class Learner(NamedTuple):
    """`rates(out)`: what is expected of each bin; `loss`: of an example; `bound`: whether a divergence is added."""

    model: eqx.Module
    rates: Callable = lambda out: out.ys
    loss: Callable = ct.losses.likelihood()
    bound: bool = True


LOG_RATES = dict(rates=lambda out: jnp.exp(out.ys), loss=ct.losses.likelihood(ct.distributions.Poisson))
QUIET = -4.0  # the logarithm of a mean rate, to begin with: spikes are few


def readout(size: int, neurons: int, key, least: float = QUIET) -> eqx.nn.Linear:
    made = eqx.nn.Linear(size, neurons, key=key)
    return eqx.tree_at(lambda m: m.bias, made, jnp.full(neurons, least))


def field(size: int, key, out: int | None = None, inputs: int = 0):
    sizes = size if out is None else (size, out)
    return ct.fields.MLPField(sizes, inputs=inputs, width=WIDTH, depth=1, key=key)


def prior(size: int) -> ct.distributions.Gaussian:
    return ct.distributions.Gaussian(jnp.zeros(size), log_deviation=jnp.zeros(size))


def potential_of(name: str, key):
    made = {
        "mlp": functools.partial(ct.fields.MLPPotential, LATENT, width=WIDTH, depth=1, key=key),
        "oscillators": functools.partial(ct.fields.CoupledOscillators, LATENT, groups=4, key=key),
        "none": lambda: ct.fields.Quadratic(0.0),
        "well": lambda: ct.fields.Quadratic(1.0),
    }
    return made[name]()


def langevin(
    neurons: int,
    key,
    *,
    potential: str = "mlp",
    gamma: float = 1.0,
    control: bool = True,
    attention: bool = False,
    encoder: Callable = ct.BidirectionalGRUEncoder,
) -> Learner:
    a, b, c, d, e, f = jax.random.split(key, 6)
    reads = encoder(neurons, HIDDEN, key=a)
    force = field(2 * LATENT, c, LATENT, reads.size) if control else None
    posterior = ct.ControlPosterior(reads, eqx.nn.Linear(reads.size, 4 * LATENT, key=b), force)
    model = ct.LangevinFlow(
        posterior,
        ct.fields.Langevin(potential_of(potential, d), gamma=gamma),
        prior(2 * LATENT),
        readout(2 * LATENT, neurons, e, QUIET + 2.3),  # rates are per unit of ten bins
        attention=ct.TransformerLayer(2 * LATENT, key=f) if attention else None,
        at_observations=False,
    )
    return Learner(model)


def gru_vae(neurons: int, key) -> Learner:
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.BidirectionalGRUEncoder(neurons, HIDDEN, key=a)
    start = eqx.nn.Linear(encoder.size, 2 * HIDDEN, key=b)
    model = ct.LatentRNN(encoder, start, eqx.nn.GRUCell(1, HIDDEN, key=c), readout(HIDDEN, neurons, d), t0=0.0)
    return Learner(model, **LOG_RATES)


def latent_ode(neurons: int, key) -> Learner:
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.BidirectionalGRUEncoder(neurons, HIDDEN, key=a)
    start = eqx.nn.Linear(encoder.size, 4 * LATENT, key=b)
    solver = ct.Integrate(ct.RK4(), ct.Substeps(1))
    model = ct.LatentODE(encoder, start, field(2 * LATENT, c), readout(2 * LATENT, neurons, d), solver, t0=0.0)
    return Learner(model, **LOG_RATES)


def latent_sde(neurons: int, key) -> Learner:
    a, b, c, d, e = jax.random.split(key, 5)
    size = 2 * LATENT
    encoder = ct.BidirectionalGRUEncoder(neurons, HIDDEN, key=a)
    start = eqx.nn.Linear(encoder.size, 2 * size, key=b)
    posterior = ct.DriftPosterior(encoder, start, field(size, c, inputs=encoder.size))
    sde = ct.fields.SDE(field(size, d), ct.fields.Positive(ct.fields.Constant(jnp.zeros(size)), floor=0.1))
    kwargs = dict(t0=0.0, at_observations=False)
    model = ct.LatentSDE(posterior, sde, prior(size), readout(size, neurons, e), **kwargs)
    return Learner(model, **LOG_RATES)


def state_space(neurons: int, key) -> Learner:
    """Causal: what is expected of a bin knows that bin's dropped spectators and the past alone."""
    model = ct.StateSpace(neurons, neurons, features=HIDDEN, depth=2, scale=0.1, dropout=0.1, key=key)
    model = eqx.tree_at(lambda m: m.readout.bias, model, jnp.full(neurons, QUIET))
    return Learner(model, **LOG_RATES, bound=False)


LEARNERS: dict[str, Callable] = {
    "langevin": langevin,
    "oscillators": functools.partial(langevin, potential="oscillators"),
    "attention": functools.partial(langevin, attention=True),
    "no_potential": functools.partial(langevin, potential="none"),
    "no_control": functools.partial(langevin, control=False),
    "little_friction": functools.partial(langevin, gamma=0.01),
    "causal": functools.partial(langevin, encoder=ct.GRUEncoder),
    "gru_vae": gru_vae,
    "latent_ode": latent_ode,
    "latent_sde": latent_sde,
    "state_space": state_space,
}
