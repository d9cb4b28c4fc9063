r"""What a dynamics does close to a state: $\dot\delta = J \delta$, or $\delta_{k+1} = J \delta_k$ of a step.

Eigenvalues $\lambda$ of $J$ are rates; those of a step, $\mu$, are multipliers, of rate $\log(\mu) / \Delta t$.
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._scaling import Scaling
from ctmodels.analysis._motion import Map, check_dynamics, check_states, motion


@dataclasses.dataclass(frozen=True)
class Linearised:
    """A dynamics close to a state. NumPy's arrays, the slowest to decay (or fastest to grow) first.

    - `jacobian`: `(state, state)`; of the slope, or of a step (`of_step`).
    - `rates`: `(state,)`, complex: growth per unit of time, and 2 pi times a frequency. Of a step, frequencies are
        known up to whole turns per step.
    - `multipliers`: `(state,)`, complex: of a step; None of a field.
    - `modes`: `(state, state)`, the eigenvectors, columns.
    - `kind`: in words; `index`: how many directions grow; `stable`: whether all decay.
    """

    jacobian: np.ndarray
    of_step: bool
    rates: np.ndarray
    multipliers: np.ndarray | None
    modes: np.ndarray
    kind: str
    index: int
    stable: bool

    @property
    def time_constants(self) -> np.ndarray:
        """In which each mode decays, or grows, by a factor of e."""
        with np.errstate(divide="ignore"):
            return 1 / np.abs(np.real(self.rates))

    @property
    def frequencies(self) -> np.ndarray:
        """Turns per unit of time of each mode."""
        return np.abs(np.imag(self.rates)) / (2 * np.pi)


def _check(dynamics, z, dt, **_) -> None:
    check_dynamics(dynamics)
    check_states("z", z, "(state,)")


@before(_check)
def linearise(
    dynamics: AbstractDynamics | Map | Callable,
    z: Float[Array, " state"],
    *,
    dt: float | None = None,
    control: PyTree = None,
    scaling: Scaling | None = None,
) -> Linearised:
    """The Jacobian of a dynamics at a state, and what its eigenvalues say. On the host.

    **Arguments:**

    - `dynamics`: any [`ctmodels.AbstractDynamics`][], an [`ctmodels.analysis.Map`][], or a field f(t, z, args). Of a
        neural ODE its `field` says more than its flow.
    - `z`: `(state,)`; a fixed point, if what is said is to hold for long.
    - `dt`: the time of a step of a dynamics.
    - `control`: a path; its value at time zero is what drives.
    - `scaling`: the units of time are those outside of it; the Jacobian stays in the model's.

    **Returns:** [`ctmodels.analysis.Linearised`][].
    """
    moving = motion(dynamics, dt, control)
    J = eqx.filter_jit(lambda moving, z: moving.slope(z)[2])(moving, z)
    return describe(np.asarray(J), moving.in_steps, moving.dt, 1.0 if scaling is None else scaling.time_scale)


def describe(J: np.ndarray, of_step: bool, dt: float, unit: float = 1.0) -> Linearised:
    """A Jacobian of a slope or a step, in words and rates per unit of time outside, which is `1 / unit` inside."""
    neutral = np.sqrt(np.finfo(J.dtype).eps)
    values, modes = np.linalg.eig(J.astype(np.float64))
    growth, turning = _of_step(values, dt) if of_step else (np.real(values), np.imag(values))
    order = np.argsort(-growth, kind="stable")
    growth, turning, values, modes = growth[order], turning[order], values[order], modes[:, order]
    # What is rounding: of a multiplier, next to 1; of a rate, next to the fastest.
    still = np.abs(growth) < neutral * (1 / dt if of_step else max(np.abs(values).max(), np.finfo(float).tiny))
    real = np.abs(np.imag(values)) <= neutral * np.abs(values).max()
    flips = int(np.sum(real & (np.real(values) < 0))) if of_step else 0
    index = int(np.sum((growth > 0) & ~still))
    kind = _kind(len(growth), index, int(still.sum()), int(np.sum(~real)), flips)
    rates = growth / unit + 1j * (turning / unit)
    multipliers = values.astype(complex) if of_step else None
    return Linearised(J, of_step, rates, multipliers, modes, kind, index, index == 0 and not still.any())


def _of_step(multipliers: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Growth and turns of multipliers per unit of time: -inf where a direction is contracted to nothing."""
    with np.errstate(divide="ignore"):
        return np.log(np.abs(multipliers)) / dt, np.angle(multipliers) / dt


def _kind(size: int, index: int, still: int, turns: int, flips: int) -> str:
    """In words: of so many directions how many grow, stand still, turn, and change sides."""
    shape = "spiral" if turns else "node"
    if still and still == turns == size:
        word = "centre"
    elif still:
        word = "not hyperbolic: the linear part does not tell"
    elif 0 < index < size:
        word = f"saddle{' with a spiral' if turns else ''}, unstable in {index} of {size} directions"
    else:
        word = f"{'unstable' if index else 'stable'} {shape}"
    return word + (", alternating" if flips else "")
