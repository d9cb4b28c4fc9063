"""What is solved, for lanes with the axes of the vmaps around it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._lanes import Lanes, Size
from ctmodels._integrate._engine._plan import Plan
from ctmodels._integrate._engine._record import Record
from ctmodels._integrate._engine._state import State


class Inputs(NamedTuple):
    """What a solve is given, with the axes of lanes in front: times have all of them or none, states and draws all, and
    arrays, which the field closes over, those that `Lanes.owned` says."""

    ts: jax.Array
    y0: jax.Array
    arrays: list[jax.Array]
    draws: Draws


class Setting(NamedTuple):
    """What is solved, for lanes with the given axes."""

    plan: Plan
    field: Callable  # (arrays, t, State) -> slope, of one lane
    lanes: Lanes
    clocked: bool  # whether each lane has times of its own

    @classmethod
    def of_one(cls, plan: Plan, field: Callable, arrays) -> "Setting":
        """Of one sample."""
        return cls(plan=plan, field=field, lanes=Lanes(shape=(), owned=((),) * len(arrays)), clocked=False)

    def vmapped(self, size: Size, ts: bool, arrays) -> "Setting":
        """With one more axis, which the times have or not, and each of the arrays."""
        owned = tuple((bool(b), *own) for b, own in zip(arrays, self.lanes.owned, strict=True))
        lanes = Lanes(shape=(size, *self.lanes.shape), owned=owned)
        return self._replace(lanes=lanes, clocked=self.clocked or ts)

    def inputs_vmapped(self, size: Size, inputs: Inputs, batched: Inputs) -> Inputs:
        """With one more axis: all that each lane has of its own."""
        return Inputs(
            ts=self.times_vmapped(size, inputs.ts, batched.ts),  # pyright: ignore
            y0=self.axes_added(size, inputs.y0, batched.y0),
            arrays=inputs.arrays,
            draws=self.axes_added(size, inputs.draws, batched.draws),
        )

    def axes_added(self, size: Size, tree, batched):
        """What has all lane axes, with one more."""
        return jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)), tree, batched)

    def times_vmapped(self, size: Size, ts, batched: bool):
        if self.clocked:
            return self.axes_added(size, ts, batched)
        return self.common_vmapped(size, ts, True) if batched else ts

    def common_vmapped(self, size: Size, x, batched: bool):
        """What has no lane axes, with all of them and one more."""
        middle = (1,) * len(self.lanes.shape)
        x = x.reshape(size, *middle, *x.shape[1:]) if batched else x
        return jnp.broadcast_to(x, (size, *self.lanes.shape, *x.shape[len(middle) + 1 if batched else 0 :]))

    def of_record(self, f: Callable, record: Record | None) -> Record | None:
        """f(array, whether it has lane axes), for what is kept: a clock that lanes share has none."""
        if record is None:
            return None
        return Record(
            y=f(record.y, True),
            f=f(record.f, True),
            saved=f(record.saved, True),
            clock=jax.tree.map(lambda x: f(x, not self.plan.shared), record.clock),
        )

    def state(self, x) -> State:
        """As states are laid out inside of loops."""
        return State.of(x, self.plan.by_components)

    def flat_times(self, ts):
        return ts.reshape(-1, ts.shape[-1])

    def flat(self, tree):
        n = len(self.lanes.shape)
        return jax.tree.map(lambda x: x.reshape(self.lanes.number, *x.shape[n:]), tree)

    def unflat(self, tree):
        return jax.tree.map(lambda x: x.reshape(*self.lanes.shape, *x.shape[1:]), tree)
