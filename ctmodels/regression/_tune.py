"""The settings of a reservoir by a sweep: many configurations side by side, each with its readout in closed form."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels.models import EchoState
from ctmodels.regression._echo_state import driven, echo_state, usable
from ctmodels.regression._ridge import compressed, root_mean_squares, solve_ridge
from ctmodels.regression._rows import Grid, ends, grids

RADIUS, LEAK, SCALE = (0.1, 1.4), (0.1, 1.0), (0.05, 2.0)  # where configurations are drawn
PENALTIES = (1e-8, 1e-6, 1e-4, 1e-2)


class Tuned(NamedTuple):
    """What a sweep found: a row for each reservoir, a column for each penalty.

    - `spectral_radius`, `leak`, `input_scale`: `(reservoir,)`; `penalty`: `(penalty,)`.
    - `error`: of the forecasts, the mean over starts and steps of the smaller of 1 and the error in standard
        deviations, `(reservoir, penalty)`: 0 is perfect, 1 of no use.
    - `best`: the smallest of them.
    """

    spectral_radius: Float[Array, " reservoir"]
    leak: Float[Array, " reservoir"]
    input_scale: Float[Array, " reservoir"]
    penalty: Float[Array, " penalty"]
    error: Float[Array, "reservoir penalty"]
    best: Float[Array, ""]


@before(lambda key, **_: check_key(key, needed=True))
def tune_echo_state(
    reservoir: EchoState,
    series: Series,
    control: Series | None = None,
    *,
    key: PRNGKeyArray,
    configurations: int = 250,
    penalties: tuple[float, ...] = PENALTIES,
    held_out: float = 0.2,
    starts: int = 8,
    horizon: int = 50,
    batch: int = 50,
) -> tuple[EchoState, Tuned]:
    """Spectral radius, leak, input scale and penalty by their forecasts of the end of a series, and the readout of the
    best fitted to all of it.

    Of each reservoir the readout is fitted to the first part, once for all penalties, and runs free from several
    starts in the rest. All have the same connections, so that a step of all of them is one product of matrices.
    Pure but for its checks: jit and vmap it.

    **Arguments:**

    - `reservoir`: as it was made; its settings are replaced.
    - `series`: one, in steps of its `dt`; `control`: the inputs, on its times.
    - `key`: draws the configurations, logarithms evenly: radius 0.1 to 1.4, leak 0.1 to 1, scale 0.05 to 2.
    - `configurations`: reservoirs, each with all `penalties`: 250 of them with four are 1000.
    - `held_out`: the share at the end that is forecast; `starts`: from so many rows; `horizon`: for so many steps.
    - `batch`: how many reservoirs side by side, which bounds the memory.

    **Returns:** the reservoir tuned and fitted, and a [`ctmodels.regression.Tuned`][].
    """
    (grid,), _ = grids(series, control, reservoir.dt)
    counts = dict(configurations=configurations, starts=starts, horizon=horizon, batch=batch)
    for name, value in counts.items():
        check_whole(name, value, 1)
    cut, at = _split(grid, held_out, starts, horizon)
    settings, errors = _swept(reservoir, grid, key, configurations, cut, at, horizon, penalties, batch)
    i, j = jnp.unravel_index(jnp.argmin(jnp.where(jnp.isfinite(errors), errors, jnp.inf)), errors.shape)
    penalty = jnp.asarray(penalties, grid.ys.dtype)
    model, _ = echo_state(_set(reservoir, jax.tree.map(lambda x: x[i], settings)), series, control, penalty=penalty[j])
    return model, Tuned(*settings, penalty, errors, errors[i, j])


@eqx.filter_jit
def _swept(reservoir, grid: Grid, key, configurations: int, cut: int, at, horizon: int, penalties, batch: int):
    """Settings, and the error of each, `(reservoir, penalty)`."""
    settings = _drawn(key, configurations, grid.ys.dtype)
    tried = lambda settings: _tried(_set(reservoir, settings), grid, cut, at, horizon, penalties)
    return settings, jax.lax.map(tried, settings, batch_size=min(batch, configurations))


def _split(grid: Grid, held_out: float, starts: int, horizon: int) -> tuple[int, Array]:
    """How many rows are fitted to, and from which of the rest forecasts start."""
    rows = grid.ts.shape[0]
    cut = round(rows * (1 - held_out))
    last = rows - 1 - horizon
    if not 2 <= cut <= last:
        raise DataError(
            f"held_out={held_out}, horizon={horizon}: of {rows} rows the last {rows - cut} are held out, too few to "
            f"forecast {horizon} steps from: give a larger held_out, or a shorter horizon"
        )
    return cut, jnp.asarray([cut + round(i * (last - cut) / max(starts - 1, 1)) for i in range(starts)])


def _drawn(key: PRNGKeyArray, number: int, dtype) -> tuple[Array, Array, Array]:
    """Spectral radius, leak and input scale of so many reservoirs."""

    def draw(key, limits):
        low, high = (jnp.log(jnp.asarray(x, dtype)) for x in limits)
        return jnp.exp(jax.random.uniform(key, (number,), dtype, low, high))

    radius, leak, scale = (draw(k, x) for k, x in zip(jax.random.split(key, 3), (RADIUS, LEAK, SCALE), strict=True))
    return radius, leak, scale


def _set(reservoir: EchoState, settings: tuple) -> EchoState:
    return eqx.tree_at(lambda m: (m.spectral_radius, m.leak, m.input_scale), reservoir, settings)


def _tried(reservoir: EchoState, grid: Grid, cut: int, at: Array, horizon: int, penalties) -> Float[Array, " penalty"]:
    """The error of a reservoir's forecasts, for each penalty."""
    rs, told = driven(reservoir, grid)
    features = jax.vmap(reservoir.features)(told[: cut - 1], rs[1:cut])
    weights = usable(grid, reservoir.washout)[: cut - 1]
    unit = root_mean_squares(features, weights)
    few = compressed(features / unit[None], grid.ys[1:cut], weights)
    readouts = solve_ridge(*few, jnp.asarray(penalties, unit.dtype) * jnp.sum(weights)) / unit[None, :, None]
    spread = jnp.maximum(_spread(grid), jnp.finfo(unit.dtype).tiny)

    def error(readout, start):
        model = eqx.tree_at(lambda m: m.readout, reservoir, readout.T)
        z = jnp.concatenate([told[start, 1 : 1 + model.channels], rs[start]])
        us = None if grid.us is None else jax.lax.dynamic_slice_in_dim(ends(grid.us), start, horizon)

        def step(z, u):
            z = model.advance(z, u)
            return z, z[: model.channels]

        _, ys = jax.lax.scan(step, z, us, length=horizon)
        wanted, seen = (jax.lax.dynamic_slice_in_dim(x, start + 1, horizon) for x in (grid.ys, grid.mask))
        return _bounded_error(ys / spread[None], wanted / spread[None], seen)

    over_starts = jax.vmap(error, in_axes=(None, 0))
    return jnp.mean(jax.vmap(over_starts, in_axes=(0, None))(readouts, at), axis=1)


def _spread(grid: Grid) -> Float[Array, " channel"]:
    """The standard deviation of each channel."""
    count = jnp.maximum(jnp.sum(grid.mask, axis=0, dtype=grid.ys.dtype), 1)
    mean = jnp.sum(jnp.where(grid.mask, grid.ys, 0), axis=0) / count
    return jnp.sqrt(jnp.sum(jnp.where(grid.mask, grid.ys - mean[None], 0) ** 2, axis=0) / count)


def _bounded_error(ys, wanted, seen) -> Float[Array, ""]:
    """The mean over steps of the smaller of one and the root mean square over channels that were observed."""
    square = jnp.sum(jnp.where(seen, ys - wanted, 0) ** 2, axis=1)
    error = jnp.sqrt(square / jnp.maximum(jnp.sum(seen, axis=1, dtype=square.dtype), 1))
    known = jnp.any(seen, axis=1)
    error = jnp.where(known, jnp.where(error < 1, error, 1), 0)  # 1 too where it is NaN
    return jnp.sum(error) / jnp.maximum(jnp.sum(known, dtype=error.dtype), 1)
