"""Bounds of a latent model's likelihood. That of the evidence is `gaussian` with `regularisers.kl`."""

import math

import jax
import jax.numpy as jnp

from ctmodels._core._arguments import before
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example
from ctmodels.losses._likelihood import likelihood_of, predictive_of
from ctmodels.losses._targets import series_target, squared_error


def iwae(deviation: float | None, samples: int):
    """The importance-weighted bound of a [`ctmodels.AbstractLatent`][], negative:
    -log mean_k p(y | z_k) p(z_k) / q(z_k | x) over samples z_k of q, a start or a path. With one sample its mean is the
    ELBO's, and it falls with more to the likelihood itself. The divergence is within: no `regularisers.kl` is added.
    The output is the samples' mean, with the work of all of them. Burda, Grosse, Salakhutdinov (2016).

    **Arguments:** `deviation`: observed entries are normal about the outputs with this one, in units of the data, the
    constant of that left out; None: they are as the model's `predictive` says. `samples`: how many.

    **Good values:** 5 samples, and a model that was trained by the ELBO with its divergence annealed: from the start,
    with the whole divergence, `examples/latent_ode.py` learnt nothing.
    """
    if deviation is not None and not deviation > 0:
        raise ValueError(f"iwae: deviation={deviation} must be a positive number, in units of the data, or None")
    if samples < 1:
        raise ValueError(f"iwae: samples={samples} must be at least 1")

    @before(check_example)
    def loss(model, example: Example, key) -> tuple:
        target = series_target(example, "iwae")

        def one(key) -> tuple:
            out, log_weight = model.draw(example.x, target.ts, key=key)
            if deviation is None:
                error = likelihood_of(predictive_of(out, model, "iwae"), target)[0]
            else:
                error = squared_error(out, target, "iwae")[0] / (2 * deviation**2)
            return log_weight - error, out

        log_weights, outs = jax.vmap(one)(jax.random.split(key, samples))
        mean = lambda tree: jax.tree.map(lambda x: jnp.mean(x, axis=0), tree)
        out = Output(mean(outs.ys), Stats.in_sequence(outs.stats), mean(outs.latents), mean(outs.kl))
        bound = jax.nn.logsumexp(log_weights) - math.log(samples)
        return -bound, jnp.sum(target.mask, dtype=bound.dtype), out

    return loss
