"""Signatures and log-signatures of piecewise linear paths, in windows too; and the field of the log-ODE method.

An element 1 + x of the tensor algebra, truncated at `depth`, is the list of its levels from the first on, of shapes
`(channel,), (channel, channel), ...`; its constant 1 is implied. A Lie element (a log-signature) is written the same
way, with the constant 0 implied.

Chen, "Integration of paths, geometric invariants and a generalized Baker-Hausdorff formula" (1957); Reutenauer,
"Free Lie algebras" (1993); Kidger and Lyons, "Signatory" (2021); Morrill, Salvi, Kidger and Foster, "Neural rough
differential equations for long time series" (2021); Walker, McLeod, Qin, Cheng, Li and Lyons, "Log neural controlled
differential equations" (2024).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Levels = list[Float[Array, "..."]]

DEEPEST = 6


def signature(increments: Float[Array, "step channel"], depth: int) -> Levels:
    """The signature of the piecewise linear path with these increments: its iterated integrals.

    S = exp(increments[0]) ... exp(increments[-1]), by Chen's identity, one fused multiply-exponentiate a step (Kidger
    and Lyons 2021). The entry at the word (i, j) is the integral of dX^i(s) dX^j(t) over s < t. A zero increment
    changes nothing. The gradient in reverse keeps the levels of every step: cut long paths into windows.

    **Arguments:** `increments`: `(step, channel)`, of one path; `depth`: 1 to 6.

    **Returns:** the levels, `[(channel,), (channel, channel), ...]`, `depth` of them.
    """
    _check_depth(depth)
    channels = increments.shape[1]
    constant = [jnp.zeros((channels,) * k, increments.dtype) for k in range(1, depth + 1)]
    # The products within a step are made again in reverse, as fast as kept: half the memory at depth 2, 3/4 at depth 4.
    step = jax.checkpoint(lambda levels, x: (_times_exp(levels, x), None))
    return jax.lax.scan(step, constant, increments)[0]


def logsignature(increments: Float[Array, "step channel"], depth: int) -> Levels:
    """log of the [`ctmodels.signatures.signature`][], a Lie element: increment, area, ...

    Levels as they are, for [`ctmodels.signatures.lie_field`][]; [`ctmodels.signatures.lyndon_coordinates`][] has the
    numbers that are free. In float32 the logarithm of a long path loses digits from level 3 on to cancellation;
    windows do not.

    **Arguments:** as of [`ctmodels.signatures.signature`][].

    **Returns:** the levels, `[(channel,), (channel, channel), ...]`; the second is antisymmetric.
    """
    return log_tensor(signature(increments, depth))


def logsignature_windows(values: Float[Array, "time channel"], window: int, depth: int) -> Levels:
    """The log-signature over each of consecutive windows of a path, as the log-ODE method wants it.

    Window w goes from knot `w * window` to knot `min((w + 1) * window, time - 1)`: it starts where the one before
    ended, so that nothing lags, no increment is lost between two of them, and none leads from zero to the first
    value. The last one may be shorter. It is not divided by the window's duration.

    **Arguments:**

    - `values`: `(time, channel)`, the knots of one path without missing values ([`ctmodels.Series.fill_forward`][]),
      time itself as one of the channels if it matters. Steps that repeat the last value, as padding does, add zero.
    - `window`: steps in each, from 1, which is two points.
    - `depth`: 1 to 6.

    **Returns:** the levels, `[(windows, channel), (windows, channel, channel), ...]`, where
    `windows = ceil((time - 1) / window)`.
    """
    _check_depth(depth)
    steps = values.shape[0] - 1
    if steps < 1:
        raise ValueError(f"values: {steps + 1} times: a path needs at least 2 points; give more rows")
    if window < 1:
        raise ValueError(f"window={window}: a window needs at least two points, which is 1 step; give a larger one")
    window = min(window, steps)
    increments = jnp.pad(jnp.diff(values, axis=0), ((0, -steps % window), (0, 0)))
    increments = increments.reshape(-1, window, values.shape[1])
    return jax.vmap(lambda x: logsignature(x, depth))(increments)


def chen(left: Levels, right: Levels) -> Levels:
    """The signature of one path followed by another, from theirs: (1 + a)(1 + b) = 1 + a + b + ab (Chen 1957)."""
    return jax.tree.map(lambda a, b, ab: a + b + ab, left, right, _product(left, right))


def log_tensor(levels: Levels) -> Levels:
    """log(1 + x) = x - x^2/2 + x^3/3 - ..., truncated at the depth of `levels`, which are those of x."""
    depth = len(levels)
    out = _scaled(levels, 1 / depth)
    for power in range(depth - 1, 0, -1):
        out = jax.tree.map(jnp.subtract, _scaled(levels, 1 / power), _product(levels, out))
    return out


def exp_tensor(levels: Levels) -> Levels:
    """exp(x) - 1 = x + x^2/2 + x^3/6 + ..., truncated at the depth of `levels`: the inverse of log_tensor."""
    out = levels
    for power in range(len(levels), 1, -1):
        out = jax.tree.map(jnp.add, levels, _scaled(_product(levels, out), 1 / power))
    return out


def lyndon_words(channels: int, depth: int) -> list[tuple[int, ...]]:
    """The words up to length `depth` that come before all their rotations, by length and then alphabetically.

    As many as the free Lie algebra has dimensions: sum over k of (1/k) sum over d | k of mu(d) channels^(k/d) (Witt).
    Duval's algorithm (1983).
    """
    words, word = [], [-1]
    while word:
        word[-1] += 1
        words.append(tuple(word))
        word = [word[i % len(word)] for i in range(depth)]
        while word and word[-1] == channels - 1:
            word.pop()
    return sorted(words, key=lambda w: (len(w), w))


def lyndon_coordinates(levels: Levels) -> Float[Array, " word"]:
    """The entries of a Lie element at the Lyndon words, in their order: they determine it (Reutenauer 1993).

    These are signatory's and signax's "words". They are coordinates in a basis of brackets only up to a triangular
    map, and from depth 3 differ from a Hall basis' coordinates.
    """
    words = lyndon_words(levels[0].shape[0], len(levels))
    at = [np.array([w for w in words if len(w) == k], int).reshape(-1, k) for k in range(1, len(levels) + 1)]
    return jnp.concatenate([level[tuple(index.T)] for level, index in zip(levels, at, strict=True)])


def lie_field(field: Callable, levels: Levels) -> Callable:
    """The vector field of the log-ODE method, V, of which the flow over unit time follows a controlled one.

    With the columns f_i of `field` as operators, f_i g = (Dg) f_i:

        V = sum over words w of L[w] f_w1 f_w2 ... f_wk id
          = sum_i L[i] f_i + sum_ij L[i, j] (Df_j) f_i + ...

    For a Lie element that is its expansion in brackets [f_i, f_j] = (Df_j) f_i - (Df_i) f_j, as derivatives of higher
    order than V's one cancel. dz = field(z) dX over a window is then z' = V(z) over unit time, up to levels left out
    (Morrill et al. 2021; Walker et al. 2024): give `levels` divided by the window's duration to go in its own time.

    Horner's scheme: a pass of the field forward and `channel^(depth - 1)` of its directional derivatives, batched.

    **Arguments:** `field`: `z -> (hidden, channel)`; `levels`: [`ctmodels.signatures.logsignature`][] of one window.

    **Returns:** `V`, `(hidden,) -> (hidden,)`.
    """
    first, *rest = levels

    def value(z: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        columns = field(z)
        if not rest:
            return columns @ first
        # What follows the letter i in words that begin with it is a field; f_i differentiates it.
        along = lambda column, following: jax.jvp(lie_field(field, following), (z,), (column,))[1]
        return columns @ first + jnp.sum(jax.vmap(along)(columns.T, rest), axis=0)

    return value


def _check_depth(depth: int) -> None:
    if not 1 <= depth <= DEEPEST:
        raise ValueError(f"depth={depth}: signatures are computed to depth 1 to {DEEPEST}; give one of these")


def _times_exp(levels: Levels, x: Float[Array, " channel"]) -> Levels:
    """levels * exp(x): level k is (((x/k + S_1) x/(k-1) + S_2) x/(k-2) + ...) x + S_k, so that no power is made."""

    def level(k: int):
        out = levels[0] + x / k
        for i in range(2, k + 1):
            out = levels[i - 1] + _outer(out, x / (k - i + 1))
        return out

    return [level(k) for k in range(1, len(levels) + 1)]


def _product(left: Levels, right: Levels) -> Levels:
    """The product of two elements whose constant is 0."""
    out = [jnp.zeros_like(level) for level in left]
    for i, a in enumerate(left):
        for j, b in enumerate(right[: len(left) - i - 1]):
            out[i + j + 1] += _outer(a, b)
    return out


def _outer(a: Array, b: Array) -> Array:
    # Not jnp.tensordot: a GPU may make that a matrix product in TF32.
    return a.reshape(a.shape + (1,) * b.ndim) * b.reshape((1,) * a.ndim + b.shape)


def _scaled(levels: Levels, factor: float) -> Levels:
    return [factor * level for level in levels]
