"""What each of the ways to solve is given, and gives back: `solve(problem) -> solved` in `_adaptive`, `_fixed`, `_sde`
and `_diffrax`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._output import Stats
from ctmodels._integrate._engine._batched_forward import Start
from ctmodels._integrate._engine._draws import Draws
from ctmodels.fields import AbstractSDE
from ctmodels.measures import Measure

if TYPE_CHECKING:
    from ctmodels._integrate._integrate import Integrate


class Noise(NamedTuple):
    """Of a stochastic differential equation: `diffusion(t, y, args)` of the flattened state, the kind of its noise, the
    key and the shape of an increment, and the equation itself, of the state as it was given."""

    diffusion: Callable
    kind: str
    key: PRNGKeyArray
    shape: tuple[int, ...]
    sde: AbstractSDE


class Problem(NamedTuple):
    """One sample's solve, of a flattened state, at times that are in order."""

    integrate: "Integrate"
    measures: tuple[Measure, ...]  # of each accepted step
    sampling: tuple[str, ...]  # rules by which one step is sampled, where the way to solve can
    field: Callable  # (t, y, args) -> slope; the drift, where there is noise
    ts: Float[Array, " time"]
    y0: Float[Array, " state"]
    args: PyTree
    draws: Draws
    noise: Noise | None = None  # None: an ordinary differential equation


class Solved(NamedTuple):
    """States at `ts`, the statistics of the solve, and where the sampled steps began, by rule; None where it samples
    none."""

    ys: Float[Array, "time state"]
    stats: Stats
    starts: dict[str, Start] | None = None
