"""Regularisers that punish something other than a measure of the solve, which `ctmodels.measures` are themselves:
(model, Output) -> scalar, each for one example."""

from collections.abc import Callable

from jaxtyping import Array, Float

from ctmodels._core._output import Output


def kl(model: Callable, output: Output) -> Float[Array, ""]:
    """Divergence of the posterior from the prior, a latent model's. Losses are means over observed entries: where an
    example has n of these, a weight of 1 / n makes the evidence bound. Raises `ValueError` for a model that has none.
    """
    if output.kl is None:
        raise ValueError(f"kl: {type(model).__name__} returns no divergence: a regulariser of latent models")
    return output.kl
