"""Nonlinear vector autoregression by ridge regression."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._arguments import check_whole
from ctmodels._core._series import Series
from ctmodels.fields import Library
from ctmodels.models import NVAR
from ctmodels.regression._fit import Fit, judged
from ctmodels.regression._ridge import relative_ridge
from ctmodels.regression._rows import Grid, Pairs, check_enough, grids, histories, inputs_before, inputs_of, together


def nvar(
    series: Series | Sequence[Series],
    control: Series | Sequence[Series] | None = None,
    *,
    dt: float | None = None,
    delays: int = 2,
    skip: int = 1,
    degree: int = 2,
    penalty: float | Float[Array, ""] = 1e-6,
) -> tuple[NVAR, Fit]:
    """A map of monomials of the last outputs, in one regression: the baseline that costs nothing.

    Steps with anything missing are not used. Pure where `dt` is given: jit and vmap it.

    **Arguments:**

    - `series`: one, or several trials of one system, in steps of one length; whole rows may be missing.
    - `control`: of each the inputs, on its times.
    - `dt`: the time that a step takes; by default that of the series.
    - `delays`, `skip`: how many outputs a step looks at, so many steps apart.
    - `degree`: of the monomials.
    - `penalty`: of the ridge, of features of root mean square one, for each row.

    **Good values:** on z-scored data without noise 1e-8 to 1e-6, in float32 the latter; with noise 1e-4 to 1e-2.

    **Returns:** a [`ctmodels.NVAR`][], and how well it fits.
    """
    delays, skip, degree = (
        check_whole(name, x, 1) for name, x in (("delays", delays), ("skip", skip), ("degree", degree))
    )
    found, dt = grids(series, control, dt)
    channels = found[0].ys.shape[1]
    library = Library(delays * channels + inputs_of(found), degree)
    model = NVAR(jnp.zeros((channels, library.size), found[0].ys.dtype), library, dt, delays, skip)
    W, fit = _fitted(model, found, penalty)
    check_enough(fit.rows, 1, "a step takes all of the outputs before it")
    return NVAR(W.T, library, dt, delays, skip), fit


@eqx.filter_jit
def _fitted(model: NVAR, found: list[Grid], penalty) -> tuple[Array, Fit]:
    pairs = together([_pairs(grid, model) for grid in found])
    changes = pairs.after - pairs.before
    W = relative_ridge(pairs.features, changes, penalty, pairs.weights)
    return W, judged(pairs.features @ W, changes, changes, pairs.weights)


def _pairs(grid: Grid, model: NVAR) -> Pairs:
    z, pairs = histories(grid, model.memory)
    us = inputs_before(grid, model.memory)
    features = jax.vmap(model.features)(z) if us is None else jax.vmap(model.features)(z, us)
    return pairs._replace(features=features)
