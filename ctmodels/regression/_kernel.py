r"""Kernel ridge regression of a step: $y_{k+1} = y_k + \sum_i \alpha_i\, k(v_k, v_i)$, v the last outputs.

The mean of a Gaussian process whose kernel is a Gaussian of the distance of delay vectors: it forecasts by what
followed where the past was alike (Farmer and Sidorowich, Phys. Rev. Lett. 59 (1987), by local fits; Saunders, Gammerman
and Vovk (1998), kernel ridge regression).
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels.fields import RadialBasis
from ctmodels.models import NVAR
from ctmodels.regression._fit import Fit, judged
from ctmodels.regression._ridge import root_mean_squares
from ctmodels.regression._rows import Grid, Pairs, check_enough, grids, histories, inputs_before, together


def _check(delays, skip, **_) -> None:
    check_whole("delays", delays, 1)
    check_whole("skip", skip, 1)


@before(_check)
def kernel(
    series: Series | Sequence[Series],
    control: Series | Sequence[Series] | None = None,
    *,
    dt: float | None = None,
    delays: int = 6,
    skip: int = 2,
    width: float | Float[ArrayLike, ""] = 1.0,
    penalty: float | Float[ArrayLike, ""] = 1e-6,
) -> tuple[NVAR, Fit]:
    """A map by radial functions about all that was seen: for systems of which one channel is measured, or whose law is
    no polynomial.

    Steps with anything missing are not used. Its cost grows with the cube of the rows and each step's with their
    number: up to some thousands. Pure where `dt` is given: jit and vmap it. In float32 the penalty is at least 1e-5.

    **Arguments:**

    - `series`, `control`, `dt`, `delays`, `skip`: as of [`ctmodels.regression.nvar`][].
    - `width`: of the kernel, in standard deviations of z-scored data.
    - `penalty`: on the diagonal of the kernel's matrix: the variance of noise over that of a step.

    **Good values:** without noise `delays=10, skip=2, width=0.5, penalty=1e-8`: of 34 systems of which one channel was
    seen, the most often chosen by validation; widths to 4 and penalties to 1e-2 otherwise.

    **Returns:** a [`ctmodels.NVAR`][] of a [`ctmodels.fields.RadialBasis`][], and how well it fits.
    """
    found, dt = grids(series, control, dt)
    alpha, library, fit = _fitted(found, delays, skip, width, penalty)
    check_enough(fit.rows, 1, "a step takes all of the outputs before it")
    return NVAR(alpha.T, library, dt, delays, skip), fit


@eqx.filter_jit
def _fitted(found: list[Grid], delays: int, skip: int, width, penalty) -> tuple[Array, RadialBasis, Fit]:
    rows = together([_pairs(grid, (delays - 1) * skip + 1, skip) for grid in found])
    used = rows.weights[:, None] > 0
    changes, centres = jnp.where(used, rows.after - rows.before, 0), jnp.where(used, rows.features, 0)
    library = RadialBasis(centres, jnp.asarray(width, centres.dtype))
    gram = jax.vmap(library)(centres) * (rows.weights[:, None] * rows.weights[None])
    scale = root_mean_squares(changes, rows.weights)
    ridged = gram + jnp.asarray(penalty, gram.dtype) * jnp.eye(len(gram), dtype=gram.dtype)
    factor = jax.scipy.linalg.cho_factor(ridged, lower=True)
    alpha = scale[None] * jax.scipy.linalg.cho_solve(factor, changes / scale[None])
    return alpha, library, judged(gram @ alpha, changes, changes, rows.weights)


def _pairs(grid: Grid, memory: int, skip: int) -> Pairs:
    z, pairs = histories(grid, memory)
    channels, us = grid.ys.shape[1], inputs_before(grid, memory)
    seen = z.reshape(-1, memory, channels)[:, ::skip].reshape(z.shape[0], -1)
    return pairs._replace(features=seen if us is None else jnp.concatenate([seen, us], axis=1))
