"""What a model keeps of a record that is coming in: enough to go on, and to say what it would say of the whole."""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from ctmodels._core._arguments import argument
from ctmodels._core._output import BAD_TIMES, SUCCESS, Output, Stats
from ctmodels._core._static import static_code
from ctmodels._core._times import increasing
from ctmodels._online import StatesAtRows, predict_at

Static: TypeAlias = Float[Array, " feature"] | None
Known: TypeAlias = Bool[Array, " feature"] | None
Time: TypeAlias = Float[Array, ""]
Values: TypeAlias = Float[Array, " channel"]
Mask: TypeAlias = Bool[Array, " channel"] | None


class Memory(eqx.Module):
    """Of the rows so far.

    `state`: the model's own. `t`: the time of the last row that was seen. `ys`, `counts`: of each channel the last
    value, zero before the first, and how often it was observed. `static`: the code of static features. `number`: of
    rows seen. `status`: of the solves so far, the worst.
    """

    state: PyTree
    t: Float[Array, ""]
    ys: Float[Array, " channel"]
    counts: Float[Array, " channel"]
    static: Float[Array, " code"]
    number: Int[Array, ""]
    status: Int[Array, ""]

    @classmethod
    def of_nothing(cls, channels: int, features: int, static, known, start: Callable) -> "Memory":
        """Before any row. `start`: of the code of static features, the model's state."""
        given = 0 if static is None else np.shape(static)[-1]
        if given != features:
            raise ValueError(f"static: {given} features; the model was made with static={features}")
        nothing, none = jnp.zeros(channels), jnp.zeros((), jnp.int32)
        code = static_code(static, known, nothing.dtype)
        return cls(start(code), jnp.zeros(()), nothing, nothing, code, none, none + SUCCESS)

    def row(self, t, y, mask) -> tuple["Memory", Bool[Array, " channel"]]:
        """With the values of one more row, but the state of before; and what was observed of it, nothing of a row whose
        time is before the last one's: it is refused, or its time NaN."""
        y, mask = _checked(y, mask, self.ys.shape[0])
        t = _in_order(self, jnp.asarray(t, self.t.dtype))
        ys = jnp.where(mask, jnp.where(mask, y, 0).astype(self.ys.dtype), self.ys)
        counts = self.counts + mask.astype(self.counts.dtype)
        status = jnp.where(jnp.isfinite(t), self.status, BAD_TIMES).astype(jnp.int32)
        return Memory(self.state, t, ys, counts, self.static, self.number + 1, status), mask

    def moved(self, state: PyTree, status=SUCCESS) -> "Memory":
        worse = jnp.maximum(self.status, jnp.asarray(status, jnp.int32))
        return Memory(state, self.t, self.ys, self.counts, self.static, self.number, worse)


def observe(memory: Memory, t, y, mask, move: Callable) -> Memory:
    """One more row; `move(memory before, row, mask) -> memory`. A row at which nothing was observed changes nothing."""
    row, mask = memory.row(t, y, mask)
    moved, seen = move(memory, row, mask), jnp.any(mask)
    return jax.tree.map(lambda new, old: jnp.where(seen, new, old), moved, memory)


def observe_by_flow(memory: Memory, t, y, mask, flow: Callable, jump: Callable) -> Memory:
    """Of a state that flows from row to row, and jumps at each, as of `scan_rows`."""

    def move(before, row, mask):
        moved, stats = flow(before.state, jnp.where(before.number > 0, before.t, row.t), row.t)
        return row.moved(jump(moved, row.ys, mask)[0], stats.status)

    return observe(memory, t, y, mask, move)


def predict_by_flow(memory: Memory, flow: Callable, ts: Float[Array, " out"]) -> tuple[PyTree, Stats]:
    """States at times from the last row on, of a state that flows; before any row it stands still."""
    ts = from_now_on(memory, ts)
    later = ts[-1] + 1  # than any that is asked
    last = jnp.where(memory.number > 0, memory.t.astype(ts.dtype), later)
    return predict_at(flow, StatesAtRows(memory.state[None], last[None], memory.state), ts)


def from_now_on(memory: Memory, ts: Float[Array, " out"]) -> Float[Array, " out"]:
    """Times that are not before the last row; a memory no longer knows what it knew before."""
    ts, early = increasing(ts, "ts"), (memory.number > 0) & (ts[0] < memory.t)
    if not isinstance(early, jax.core.Tracer) and early:
        raise ValueError(
            f"ts[0] is {float(ts[0]):g}, before the last row, at {float(memory.t):g}: a memory answers from there on; "
            "for earlier times, call the model with the series"
        )
    return jnp.where(early, jnp.nan, ts)


def answer(memory: Memory, ys, stats: Stats, latents, predictive=None) -> Output:
    """With the status of what went before."""
    worse = jnp.maximum(stats.status, memory.status)
    return Output(ys, eqx.tree_at(lambda s: s.status, stats, worse), latents, predictive=predictive)


def _in_order(memory: Memory, t: Float[Array, ""]) -> Float[Array, ""]:
    late = jnp.isfinite(t) & ((memory.number == 0) | (t >= memory.t))
    if not isinstance(late, jax.core.Tracer) and not late:
        raise ValueError(
            f"t={float(t):g} after {float(memory.t):g}: rows come in order of their times, which are finite"
        )
    return jnp.where(late, t, jnp.nan)


def _checked(y, mask, channels: int):
    mask = np.ones(channels, bool) if mask is None else mask
    for name, given in (("y", y), ("mask", mask)):
        if np.shape(given) != (channels,):
            raise ValueError(f"{name}: shape {np.shape(given)}: a row has a value for each of {channels} channels")
    if jnp.asarray(mask).dtype != bool:
        raise TypeError(f"{argument('mask', mask)}: True where a value was observed, such as ~jnp.isnan(y)")
    return jnp.asarray(y), jnp.asarray(mask)
