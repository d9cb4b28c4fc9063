"""The readout of an echo-state network by ridge regression."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._series import Series
from ctmodels.models import EchoState
from ctmodels.regression._fit import Fit, judged
from ctmodels.regression._ridge import relative_ridge
from ctmodels.regression._rows import Grid, Pairs, check_enough, ends, grids, together


def echo_state(
    reservoir: EchoState,
    series: Series | Sequence[Series],
    control: Series | Sequence[Series] | None = None,
    *,
    penalty: float | Float[Array, ""] = 1e-6,
) -> tuple[EchoState, Fit]:
    """The same reservoir with a readout that foretells each next output, in one regression.

    It is driven by what was observed, the last value standing in where one is missing; steps to or from a row with
    anything missing are not fitted, nor those before the reservoir has heard its `washout`. Pure: jit and vmap it.

    **Arguments:**

    - `reservoir`: as it was made, `EchoState(channels, units, dt=dt, key=key)`.
    - `series`: one, or several trials of one system, in steps of its `dt`; whole rows may be missing.
    - `control`: of each the inputs, on its times.
    - `penalty`: of the ridge, of features of root mean square one, for each row.

    **Good values:** as of [`ctmodels.regression.nvar`][]. What matters more is the reservoir:
    [`ctmodels.regression.tune_echo_state`][].

    **Returns:** a [`ctmodels.EchoState`][], and how well it fits.
    """
    found, _ = grids(series, control, reservoir.dt)
    W, fit = _fitted(reservoir, found, penalty)
    check_enough(fit.rows, 1, f"washout={reservoir.washout} rows are not fitted to")
    return eqx.tree_at(lambda m: m.readout, reservoir, W.T), fit


@eqx.filter_jit
def _fitted(reservoir: EchoState, found: list[Grid], penalty) -> tuple[Array, Fit]:
    pairs = together([_pairs(grid, reservoir) for grid in found])
    W = relative_ridge(pairs.features, pairs.after, penalty, pairs.weights)
    return W, judged(pairs.features @ W, pairs.after, pairs.after - pairs.before, pairs.weights)


def driven(reservoir: EchoState, grid: Grid) -> tuple[Float[Array, "time unit"], Float[Array, "time heard"]]:
    """A reservoir from rest, before it hears each row, and what it is told there."""
    ys = Series(grid.ts, grid.ys, grid.mask).fill_forward()
    told = jax.vmap(reservoir.heard)(ys) if grid.us is None else jax.vmap(reservoir.heard)(ys, ends(grid.us))

    def hear(r, heard):
        return reservoir.drive(r, heard), r

    _, rs = jax.lax.scan(hear, jnp.zeros(reservoir.W.shape[0], ys.dtype), told)
    return rs, told


def usable(grid: Grid, washout: int) -> Float[Array, " step"]:
    """One for each step from and to a row of which all was observed, after the washout."""
    known = jnp.all(grid.mask[1:] & grid.mask[:-1], axis=1) & (jnp.arange(1, grid.ts.shape[0]) >= washout)
    return known.astype(grid.ys.dtype)


def _pairs(grid: Grid, reservoir: EchoState) -> Pairs:
    rs, told = driven(reservoir, grid)
    features = jax.vmap(reservoir.features)(told[:-1], rs[1:])
    return Pairs(features, grid.ys[:-1], grid.ys[1:], usable(grid, reservoir.washout))
