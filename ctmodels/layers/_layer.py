"""What a layer promises: features of each row in, features of each row out, and a state that carries the past.

A row's input is held over the gap that leads to it. So a gap of none leaves the state as it is, and what a layer says
of a time after a row is one more step, of which it keeps nothing.
"""

import abc
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels.ssm._scan import linear_scan
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


class AbstractStateSpace(AbstractLayer):
    r"""A layer whose state is linear: $x' = A x + B u$, $y = C x + D u$; from row to row
    $x_k = \bar A(g_k) x_{k-1} + \bar B(g_k) u_k$."""

    @abc.abstractmethod
    def transition(self, u: Features, gap: Gap) -> tuple[AbstractTransition, PyTree]:
        """The map of the state over a gap, and what the held input adds."""

    @abc.abstractmethod
    def read(self, x: PyTree, u: Features) -> Features:
        """The output of a state."""

    @abc.abstractmethod
    def derivative(self, x: PyTree, u: Features) -> PyTree:
        """How fast the state moves: what `transition` follows, in one step."""

    def step(self, state: PyTree, u: Features, gap: Gap) -> tuple[PyTree, Features]:
        A, b = self.transition(u, gap)
        x = jax.tree.map(jnp.add, A(state), b)
        return x, self.read(x, u)

    def after(self, state: PyTree, u: Features, gap: Gap) -> Features:
        return self.step(state, u, gap)[1]

    def scan(self, state: PyTree, us: Rows, gaps: Float[Array, " row"], *, every: bool = True) -> tuple[PyTree, Rows]:
        return linear_scan(self.transition, self.read, state, us, gaps, every=every)


def label(model: PyTree) -> PyTree:
    """ "slow" for each parameter that says how fast a layer moves (poles and steps), "other" for all others, as
    `optax.multi_transform` takes it: `optax.multi_transform({"slow": ..., "other": ...}, ctmodels.layers.label)`."""

    def of(node):
        if not isinstance(node, AbstractLayer):
            return "other"
        labels = jax.tree.map(lambda _: "other", node)
        chosen = lambda n: [getattr(n, name) for name in node.slow if getattr(node, name) is not None]
        return eqx.tree_at(chosen, labels, replace_fn=lambda part: jax.tree.map(lambda _: "slow", part))

    return jax.tree.map(of, model, is_leaf=lambda node: isinstance(node, AbstractLayer))


def equal_gaps(us: Rows, gap: Gap) -> Float[Array, " row"]:
    return jnp.full(us.shape[0], 1, us.dtype) * gap
