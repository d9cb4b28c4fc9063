"""Bounds of a latent model's likelihood. That of the evidence is `gaussian` with `regularisers.kl`."""

import math

import jax
import jax.numpy as jnp

from ctmodels._core._arguments import before
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example
from ctmodels.losses._targets import series_target, squared_error


def iwae(deviation: float, samples: int):
    """The importance-weighted bound of a [`ctmodels.AbstractLatent`][], negative:
    -log mean_k p(y | z_k) p(z_k) / q(z_k | x) over samples z_k of q, observed entries being normal about the outputs
    with this deviation, the constant of that left out. With one sample its mean is the ELBO's, and it falls with more
    to the likelihood itself. The divergence is within: no `regularisers.kl` is added. The output is the samples' mean,
    with the work of all of them. Burda, Grosse, Salakhutdinov (2016).

    **Good values:** 5 samples, and a model that was trained by the ELBO with its divergence annealed: from the start,
    with the whole divergence, `examples/latent_ode.py` learnt nothing.
    """
    if not deviation > 0:
        raise ValueError(f"iwae: deviation={deviation} must be a positive number, in units of the data")
    if samples < 1:
        raise ValueError(f"iwae: samples={samples} must be at least 1")

    @before(check_example)
    def loss(model, example: Example, key) -> tuple:
        target = series_target(example, "iwae")
        q, p, t0 = model.infer(example.x)

        def one(key) -> tuple:
            of_start, of_solve = jax.random.split(key)
            z0 = q.sample(of_start)
            out = model.decode(z0, t0, target.ts, key=of_solve)
            error, _, _ = squared_error(out, target, "iwae")
            return jnp.sum(p.log_prob(z0) - q.log_prob(z0)) - error / (2 * deviation**2), out

        log_weights, outs = jax.vmap(one)(jax.random.split(key, samples))
        ys, latents = jax.tree.map(lambda x: jnp.mean(x, axis=0), (outs.ys, outs.latents))
        out = Output(ys, Stats.in_sequence(outs.stats), latents, jnp.sum(q.kl(p)))
        bound = jax.nn.logsumexp(log_weights) - math.log(samples)
        return -bound, jnp.sum(target.mask, dtype=bound.dtype), out

    return loss
