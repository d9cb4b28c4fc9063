"""What is said of a stochastic model of a series that does not fit together."""

import jax
import jax.numpy as jnp

from ctmodels._core._arguments import check_called, check_whole
from ctmodels._core._series import Series
from ctmodels._core._words import argument, kind_of


def check_model(drift, diffusion, likelihood, series, *, prior, nodes, chain=None, **_) -> None:
    """Drift, diffusion and likelihood by what they return; the others by their shapes."""
    check_called("drift", drift, "(t, z) -> (state,)", "of a field, lambda t, z: field(t, z, None)")
    check_called("diffusion", diffusion, "(t) -> (state,)", "of a constant, lambda t: constant")
    check_called("likelihood", likelihood, "(z, y, mask) -> scalar", "such as smoothing.GaussianLikelihood(variance)")
    check_series(series)
    t, y, mask = (jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for a in (series.ts, series.ys, series.mask))
    noise = jax.eval_shape(diffusion, t)
    _returns("diffusion", noise, None, "(state,), for each entry of the state, as noises are independent")
    z = jax.ShapeDtypeStruct(noise.shape, y.dtype)
    _returns("drift", jax.eval_shape(drift, t, z), noise.shape, "that of the diffusion")
    _returns("likelihood", jax.eval_shape(likelihood, z, y, mask), (), "a sum over what was observed of the row")
    _check_prior(prior, noise.shape[0])
    if nodes is not None and (nodes.points.shape[1:] != noise.shape or nodes.weights.shape != nodes.points.shape[:1]):
        raise ValueError(
            f"nodes: points of shape {nodes.points.shape} and weights {nodes.weights.shape} for states of shape "
            f"{noise.shape}: they are (node, state) and (node,); smoothing.gauss_hermite({noise.shape[0]}) makes some"
        )
    _check_chain("chain", chain, (*series.ts.shape, *noise.shape))


def check_search(drift, diffusion, likelihood, series, *, start, rate, steps, tolerance, **kwargs) -> None:
    """And where the search starts, and by what steps it goes."""
    check_model(drift, diffusion, likelihood, series, **kwargs)
    _check_chain("start", start, (*series.ts.shape, *jax.eval_shape(diffusion, series.ts[0]).shape))
    check_whole("steps", steps, 1)
    if not 0 < rate <= 1:
        raise ValueError(f"{argument('rate', rate)}: above 0 and at most 1 is needed")
    if not tolerance >= 0:
        raise ValueError(f"{argument('tolerance', tolerance)}: nats, 0 or more, are needed")


def check_series(series) -> None:
    """One series."""
    if not isinstance(series, Series):
        raise TypeError(f"series: {kind_of(series)}, where a ctmodels.Series is wanted; Series.from_nan makes one")
    if series.ts.ndim != 1:
        raise ValueError(f"series: times of shape {series.ts.shape}: it is one series, (time,); jax.vmap for a batch")


def check_refinement(series, substeps) -> None:
    """One series, and into how many steps each of its own is cut."""
    check_series(series)
    check_whole("substeps", substeps, 1)


def _returns(name: str, found, shape: tuple[int, ...] | None, what: str) -> None:
    found_shape = getattr(found, "shape", None)
    if found_shape is None or (len(found_shape) != 1 if shape is None else found_shape != shape):
        wanted = "(state,)" if shape is None else shape
        raise ValueError(f"{name}: returns {kind_of(found)}, where shape {wanted} is wanted, {what}")


def _check_prior(prior, size: int) -> None:
    if prior is None:
        return
    shapes = tuple(jnp.shape(part) for part in prior)
    if shapes != ((size,), (size, size)):
        raise ValueError(
            f"prior: shapes {shapes} for {size} states: it is a mean ({size},) and a covariance ({size}, {size})"
        )


def _check_chain(name: str, chain, shape: tuple[int, int]) -> None:
    if chain is not None and chain.mean.shape != shape:
        raise ValueError(
            f"{name}: a chain of shape {chain.mean.shape}, where {shape} is wanted, (time, state) of the series; "
            "take that of the same grid"
        )
