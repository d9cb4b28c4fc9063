r"""Recurrent cells for [`ctmodels.ssm.newton_scan`][]: `cell(h, x) -> h`, of one row.

Those of Danieli et al. ("ParaRNN", 2026) do not mix the units of their state, which the input does: so their Jacobian
is diagonal or of 2 x 2 blocks, and wide layers are solved in parallel. That of Khajehabdollahi et al. ("Emergent
mechanisms for long timescales depend on training curriculum and affect performance in memory tasks", 2024) does.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.ssm._linearise import AbstractLinearisation, BlockJacobian, FullJacobian


def _check_sizes(inputs, size, key, **_) -> None:
    check_whole("inputs", inputs, 1)
    check_whole("size", size, 1)
    check_key(key, needed=True)


class ParaGRU(eqx.Module):
    r"""A gated recurrent unit whose units do not mix; of state `(size,)`.

    $z = \sigma(a_z h + B_z x + b_z)$, $r = \sigma(a_r h + B_r x + b_r)$, $c = \tanh(a_c r h + B_c x + b_c)$,
    $h' = (1 - z) h + z c$, all products of states entry by entry.

    **Arguments:** `inputs`: channels of x; `size`: units.
    """

    weights: Float[Array, "3 unit"]
    inputs: Float[Array, "3 unit input"]
    bias: Float[Array, "3 unit"]

    @before(_check_sizes)
    def __init__(self, inputs: int, size: int, *, key: PRNGKeyArray):
        of_weights, of_inputs = jax.random.split(key)
        self.weights = _weights(of_weights, 3, size)
        self.inputs = _inputs(of_inputs, 3, size, inputs)
        # Of the update gate: slow units and fast ones.
        self.bias = jnp.zeros((3, size)).at[0].set(-jnp.linspace(0.0, 1.0, size))

    def __call__(self, h: Float[Array, " unit"], x: Float[Array, " input"]) -> Float[Array, " unit"]:
        of_z, of_r, of_c = self.inputs @ x + self.bias
        z = jax.nn.sigmoid(self.weights[0] * h + of_z)
        r = jax.nn.sigmoid(self.weights[1] * h + of_r)
        c = jnp.tanh(self.weights[2] * r * h + of_c)
        return (1 - z) * h + z * c

    @property
    def start(self) -> Float[Array, " unit"]:
        """A state of zeros."""
        return jnp.zeros_like(self.bias[0])

    @property
    def linearisation(self) -> AbstractLinearisation:
        """Exact, and the cheapest."""
        return BlockJacobian()


class ParaLSTM(eqx.Module):
    r"""A long short-term memory with peepholes and one gate for input and forgetting, whose units do not mix; of state
    `(2, size)`: h, and c.

    $f = \sigma(a_f h + B_f x + p_f c + b_f)$, $c' = f c + (1 - f) \tanh(a_c h + B_c x + b_c)$,
    $o = \sigma(a_o h + B_o x + p_o c' + b_o)$, $h' = o \tanh c'$, all products of states entry by entry.

    **Arguments:** `inputs`: channels of x; `size`: units.
    """

    weights: Float[Array, "3 unit"]
    peepholes: Float[Array, "2 unit"]
    inputs: Float[Array, "3 unit input"]
    bias: Float[Array, "3 unit"]

    @before(_check_sizes)
    def __init__(self, inputs: int, size: int, *, key: PRNGKeyArray):
        of_weights, of_peepholes, of_inputs = jax.random.split(key, 3)
        self.weights = _weights(of_weights, 3, size)
        self.peepholes = _weights(of_peepholes, 2, size)
        self.inputs = _inputs(of_inputs, 3, size, inputs)
        # Of the forget gate: slow units and fast ones.
        self.bias = jnp.zeros((3, size)).at[0].set(jnp.linspace(0.0, 1.0, size))

    def __call__(self, h: Float[Array, "2 unit"], x: Float[Array, " input"]) -> Float[Array, "2 unit"]:
        of_f, of_c, of_o = self.inputs @ x + self.bias
        (h, c), (a_f, a_c, a_o), (p_f, p_o) = h, self.weights, self.peepholes
        f = jax.nn.sigmoid(a_f * h + p_f * c + of_f)
        c = f * c + (1 - f) * jnp.tanh(a_c * h + of_c)
        o = jax.nn.sigmoid(a_o * h + p_o * c + of_o)
        return jnp.stack([o * jnp.tanh(c), c])

    @property
    def start(self) -> Float[Array, "2 unit"]:
        """A state of zeros."""
        return jnp.zeros_like(self.bias[:2])

    @property
    def linearisation(self) -> AbstractLinearisation:
        """Exact, and the cheapest."""
        return BlockJacobian()


class TimeConstantRNN(eqx.Module):
    r"""A recurrent network with a time constant of its own for each unit, which is learned; of state `(size,)`.

    $h' = \phi\left((1 - 1/\tau) h + (W h + W_x x + b) / \tau\right)$, with $\tau$ held at one at least, and no
    connection of a unit with itself.

    **Arguments:** `inputs`: channels of x; `size`: units; `activation`: $\phi$.
    """

    weights: Float[Array, "unit unit"]
    inputs: Float[Array, "unit input"]
    bias: Float[Array, " unit"]
    tau: Float[Array, " unit"]
    activation: Callable = eqx.field(static=True)

    @before(_check_sizes)
    def __init__(self, inputs: int, size: int, *, activation: Callable = jax.nn.leaky_relu, key: PRNGKeyArray):
        of_weights, of_inputs, of_tau = jax.random.split(key, 3)
        self.weights = _inputs(of_weights, 1, size, size)[0]
        self.inputs = _inputs(of_inputs, 1, size, inputs)[0]
        self.bias = jnp.zeros(size)
        self.tau = jax.random.uniform(of_tau, (size,), minval=1.0, maxval=2.0)
        self.activation = activation

    def __call__(self, h: Float[Array, " unit"], x: Float[Array, " input"]) -> Float[Array, " unit"]:
        tau = jnp.maximum(self.tau, 1)
        others = self.weights - jnp.diag(jnp.diag(self.weights))
        return self.activation((1 - 1 / tau) * h + (others @ h + self.inputs @ x + self.bias) / tau)

    @property
    def start(self) -> Float[Array, " unit"]:
        """A state of zeros."""
        return jnp.zeros_like(self.bias)

    @property
    def linearisation(self) -> AbstractLinearisation:
        """Exact: its units mix. Of many units, [`ctmodels.ssm.DiagonalJacobian`][] takes less memory."""
        return FullJacobian()


def _weights(key: PRNGKeyArray, count: int, size: int) -> Float[Array, "gate unit"]:
    """Of a state on itself, small: so begins a cell that forgets, of which few iterations are enough."""
    return jax.random.normal(key, (count, size)) * (2 / math.sqrt(5 * size))


def _inputs(key: PRNGKeyArray, count: int, size: int, inputs: int) -> Float[Array, "gate unit input"]:
    limit = 1 / math.sqrt(inputs)
    return jax.random.uniform(key, (count, size, inputs), minval=-limit, maxval=limit)
