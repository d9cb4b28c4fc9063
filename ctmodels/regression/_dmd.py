"""Linear dynamics by least squares: dynamic mode decomposition."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._arguments import check_whole
from ctmodels._core._series import Series
from ctmodels.models import LinearDynamics
from ctmodels.regression._fit import Fit, judged
from ctmodels.regression._ridge import relative_ridge
from ctmodels.regression._rows import Grid, Pairs, check_enough, grids, histories, inputs_before, inputs_of, together


def dmd(
    series: Series | Sequence[Series],
    control: Series | Sequence[Series] | None = None,
    *,
    dt: float | None = None,
    delays: int = 1,
    rank: int | None = None,
    penalty: float | Float[Array, ""] = 0.0,
    affine: bool = False,
) -> tuple[LinearDynamics, Fit]:
    """The linear map that comes closest to each next output: dynamic mode decomposition, with delays Hankel's.

    Exact on data of a linear law. Steps with anything missing are not used. Pure where `dt` is given: jit and vmap it.

    **Arguments:**

    - `series`: one, or several trials of one system, in steps of one length; whole rows may be missing.
    - `control`: of each the inputs, on its times.
    - `dt`: the time that a step takes; by default that of the series.
    - `delays`: how many outputs a step looks at.
    - `rank`: of so many directions of the past alone, those that vary most; default: of all.
    - `penalty`: of a ridge, of features of root mean square one, for each row.
    - `affine`: whether it has a constant.

    **Returns:** a [`ctmodels.LinearDynamics`][], and how well it fits.
    """
    delays = check_whole("delays", delays, 1)
    found, dt = grids(series, control, dt)
    rank = None if rank is None else check_whole("rank", rank, 1)
    W, fit = _fitted(found, delays, affine, penalty, rank)
    check_enough(fit.rows, 1, "a step takes all of the outputs before it")
    state, inputs = delays * found[0].ys.shape[1], inputs_of(found)
    model = LinearDynamics(
        W[:state].T,
        dt,
        W[-1] if affine else None,
        W[state : state + inputs].T if inputs else None,
    )
    return model, fit


@eqx.filter_jit
def _fitted(found: list[Grid], delays: int, affine: bool, penalty, rank: int | None) -> tuple[Array, Fit]:
    pairs = together([_pairs(grid, delays, affine) for grid in found])
    W = relative_ridge(pairs.features, pairs.after, penalty, pairs.weights, rank)
    return W, judged(pairs.features @ W, pairs.after, pairs.after - pairs.before, pairs.weights)


def _pairs(grid: Grid, delays: int, affine: bool) -> Pairs:
    z, pairs = histories(grid, delays)
    us = inputs_before(grid, delays)
    columns = [z] + ([] if us is None else [us]) + ([jnp.ones((z.shape[0], 1), z.dtype)] if affine else [])
    return pairs._replace(features=jnp.concatenate(columns, axis=1))
