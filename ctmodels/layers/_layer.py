"""What a layer promises: features of each row in, features of each row out, and a state that carries the past.

A row's input is held over the gap that leads to it. So a gap of none leaves the state as it is, and what a layer says
of a time after a row is one more step, of which it keeps nothing.
"""

import abc
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before
from ctmodels.ssm._scan import in_parallel, linear_scan, scan_rows
from ctmodels.ssm._transitions import AbstractTransition

Features = Float[Array, " feature"]
Rows = Float[Array, "row feature"]
Gap = Float[Array, ""]


class AbstractLayer(eqx.Module):
    """Rows of features, one gap before each of them, to rows of as many features.

    - `features`: how many come in, and go out.
    - `slow`: names of the parameters that say how fast it moves, which are trained with more care.
    """

    if TYPE_CHECKING:

        @property
        def features(self) -> int: ...

    else:
        features: eqx.AbstractVar[int]

    slow: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def start(self) -> PyTree:
        """The state before any row."""

    @abc.abstractmethod
    def step(self, state: PyTree, u: Features, gap: Gap) -> tuple[PyTree, Features]:
        """The state after one more row, and the output there."""

    @abc.abstractmethod
    def after(self, state: PyTree, u: Features, gap: Gap) -> Features:
        """The output a gap after the last row, whose input `u` is held, and of which nothing is kept."""

    @abc.abstractmethod
    def scan(self, state: PyTree, us: Rows, gaps: Float[Array, " row"], *, every: bool = True) -> tuple[PyTree, Rows]:
        """States after all rows (or, unless `every`, after the last), and outputs: what `step` gives one by one."""

    @abc.abstractmethod
    def convolve(self, us: Rows, gap: Gap) -> Rows:
        """Outputs at rows that are all one gap apart, the first of them a gap after the start."""


def check_rows(self, us, gaps, **_) -> None:
    """Of one sample, and as many gaps as rows."""
    if np.ndim(us) != 2 or np.shape(us) != (*np.shape(gaps), self.features):
        raise ValueError(
            f"us: shape {np.shape(us)}, and gaps: shape {np.shape(gaps)}: a layer of {self.features} features takes a "
            f"row of them for each gap, (row, {self.features}) and (row,), of one sample; for a batch, jax.vmap it"
        )


class AbstractStateSpace(AbstractLayer):
    r"""A layer whose state is linear: $x' = A x + B u$, $y = C x + D u$; from row to row
    $x_k = \bar A(g_k) x_{k-1} + \bar B(g_k) u_k$.

    - `multiplies`: whether the product of two transitions costs no more than they do, so that on accelerators all rows
      are gone through at once.
    """

    multiplies: ClassVar[bool] = True

    @abc.abstractmethod
    def transition(self, u: Features, gap: Gap) -> tuple[AbstractTransition, PyTree]:
        """The map of the state over a gap, and what the held input adds."""

    @abc.abstractmethod
    def read(self, x: PyTree, u: Features) -> Features:
        """The output of a state."""

    @abc.abstractmethod
    def derivative(self, x: PyTree, u: Features) -> PyTree:
        """How fast the state moves: what `transition` follows, in one step."""

    @abc.abstractmethod
    def move(self, state: PyTree, u: Features, gap: Gap) -> PyTree:
        """The state a gap on: `carried` by `transition`, or by less arithmetic."""

    def step(self, state: PyTree, u: Features, gap: Gap) -> tuple[PyTree, Features]:
        x = self.move(state, u, forward(gap))
        return x, self.read(x, u)

    def after(self, state: PyTree, u: Features, gap: Gap) -> Features:
        return self.step(state, u, gap)[1]

    @before(check_rows)
    def scan(self, state: PyTree, us: Rows, gaps: Float[Array, " row"], *, every: bool = True) -> tuple[PyTree, Rows]:
        gaps = forward(gaps)
        if self.multiplies and in_parallel(None):
            return linear_scan(self.transition, self.read, state, us, gaps, every=every, parallel=True)
        return scan_rows(self.step, state, us, gaps, every=every)


def carried(state: PyTree, transition: tuple[AbstractTransition, PyTree]) -> PyTree:
    """A state over a gap."""
    A, b = transition
    return jax.tree.map(jnp.add, A(state), b)


def label(model: PyTree) -> PyTree:
    """Of each parameter "slow", if it says how fast a layer moves (poles and steps), else "other": what
    `optax.multi_transform({"slow": ..., "other": ...}, ctmodels.layers.label)` takes."""

    def of(node):
        if not isinstance(node, AbstractLayer):
            return "other"
        labels = jax.tree.map(lambda _: "other", node)
        chosen = lambda n: [getattr(n, name) for name in node.slow if getattr(node, name) is not None]
        return eqx.tree_at(chosen, labels, replace_fn=lambda part: jax.tree.map(lambda _: "slow", part))

    return jax.tree.map(of, model, is_leaf=lambda node: isinstance(node, AbstractLayer))


def forward(gaps: Float[Array, "..."]) -> Float[Array, "..."]:
    """Gaps that do not go back: refused if they are known to, else NaN, so that no state follows."""
    bad = ~(gaps >= 0) | ~jnp.isfinite(gaps)
    if isinstance(bad, jax.core.Tracer):
        return jnp.where(bad, jnp.nan, gaps)
    if bad.any():
        at = tuple(np.argwhere(np.asarray(bad))[0].tolist())
        where = f"gaps[{at[0]}]" if at else "gap"
        raise ValueError(f"{where} is {float(gaps[at]):g}: a gap is finite and not below zero; sort the times")
    return gaps


def equal_gaps(us: Rows, gap: Gap) -> Float[Array, " row"]:
    return jnp.full(us.shape[0], 1, us.dtype) * gap
