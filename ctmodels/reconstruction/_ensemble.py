"""Ensembles: dynamics of one structure whose arrays have a leading axis of members."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._model import AbstractDynamics, roll_out
from ctmodels._core._output import Output, Stats


def over_members(function: Callable) -> Callable:
    """`function(member, *others)` for each member of an ensemble."""

    def mapped(model, *others):
        return eqx.filter_vmap(function, in_axes=(eqx.if_array(0),) + (None,) * len(others))(model, *others)

    return mapped


class MeanDynamics(AbstractDynamics):
    """One dynamics of an ensemble's: from each time to the next it moves as the members do in the mean."""

    members: AbstractDynamics

    @property
    def channels(self) -> int:
        """How many are observed."""
        return self.members.channels

    @property
    def size(self) -> int:
        """Of the state."""
        return self.members.size

    def __call__(self, x, ts=None, *, key=None) -> Output:
        if ts is None:
            raise ValueError("ts=None: give the times at which outputs are wanted")
        return roll_out(self, x, ts)

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """The members' mean."""
        return jnp.mean(over_members(lambda member: member.lift(ys, slopes))(self.members), axis=0)

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """The members' mean, and the work of all of them."""
        zs, stats = over_members(lambda member: member.flow(t0, t1, z, control))(self.members)
        return jnp.mean(zs, axis=0), Stats.in_sequence(stats)

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The members' mean."""
        return jnp.mean(over_members(lambda member: member.observe(z))(self.members), axis=0)

    def describe(self) -> str:
        """As each member does."""
        return f"the mean of members: {self.members.describe()}"
