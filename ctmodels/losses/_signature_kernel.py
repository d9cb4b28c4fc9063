r"""The signature kernel of two paths, $k(x, y) = \langle S(x), S(y) \rangle$ of whole signatures, which solves a
Goursat problem:

$$\frac{\partial^2 u}{\partial s\, \partial t} = \langle \dot x_s, \dot y_t \rangle\, u, \qquad
  u(0, \cdot) = u(\cdot, 0) = 1, \qquad k = u(1, 1)$$

??? cite

    Salvi, Cass, Foster, Lyons and Yang, "The signature kernel is the solution of a Goursat PDE", SIAM J. Math. Data
    Sci. 3 (2021).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._arguments import before, check_whole
from ctmodels.losses._paths import Mask, Paths, check_path, check_same_channels, filled

# Cells of the grids of those pairs that are solved together: on a CPU they stay in its cache, elsewhere they fill it.
# On one core 64 x 64 pairs of 64 points took 54, 58 and 110 ms with 2**14, 2**16 and 2**18, their gradient 334, 404 and
# 460.
CELLS, CELLS_ON_CPU = 2**26, 2**14


def _check_kernel(x, y, mask_x, mask_y, refine):
    check_path("x", x, mask_x, "mask_x")
    check_path("y", y, mask_y, "mask_y")
    check_same_channels("x", x, "y", y, rows=False)
    check_whole("refine", refine, 0, 8)


@before(_check_kernel)
def signature_kernel(
    x: Paths, y: Paths, *, mask_x: Mask = None, mask_y: Mask = None, refine: int = 0
) -> Float[Array, "x y"]:
    r"""The signature kernel of each path of one set with each of another: of piecewise linear paths, by the
    second-order scheme of Salvi et al. (2021),

    $$u_{i+1,j+1} = (u_{i+1,j} + u_{i,j+1}) \Big(1 + \frac a2 + \frac{a^2}{12}\Big) - u_{ij}
      \Big(1 - \frac{a^2}{12}\Big), \qquad a = \langle x_{i+1} - x_i,\, y_{j+1} - y_j \rangle$$

    Where a path starts is not seen, nor how fast it is gone through; what is gone through and back again is not seen
    either. To compare laws, [`ctmodels.losses.signature_mmd`][] and [`ctmodels.losses.signature_score`][] add
    time and a start for you.

    **Arguments:**

    - `x`, `y`: `(path, time, channel)` each, of the same channels; as many paths and as long as each may be.
    - `mask_x`, `mask_y`: what was observed of each, `(path, time, channel)` or `(path, time)`; all if None. An entry
        that was not is taken to be the last one that was, so that a row of none is as if it were not there.
    - `refine`: halvings of each step of both paths. The error falls by four with each, and time and memory grow by
        four.

    **Returns:** `(path of x, path of y)`; 1 for a path that stays where it is. Differentiable, in both modes: it is the
    gradient of the scheme itself. One product of paths is exponentially large in their lengths: scale them.

    !!! example "Good values"

        Paths whose lengths are about 1, and so most |a| below 0.1: with two straight lines of product 0.7, the error is
        4e-4, 1.4e-4 and 4e-5 with 4, 8 and 16 steps a line. Use float64 where the products of lengths are above 10.
    """
    return gram(filled(x, mask_x), filled(y, mask_y), refine)


def gram(x: Array, y: Array, refine: int) -> Float[Array, "x y"]:
    """Of each path of one set with each of the other; paths without missing values."""
    i, j = np.divmod(np.arange(x.shape[0] * y.shape[0]), y.shape[0])
    return _of_pairs(x, y, i, j, refine).reshape(x.shape[0], y.shape[0])


def among(x: Array, refine: int) -> Float[Array, ""]:
    """The mean over pairs of different paths."""
    return jnp.mean(_of_pairs(x, x, *np.triu_indices(x.shape[0], 1), refine))


def _of_pairs(x: Array, y: Array, i: np.ndarray, j: np.ndarray, refine: int) -> Float[Array, " pair"]:
    """k(x[i], y[j]), so many pairs at a time. On the way back each block is computed anew: what the pairs of all blocks
    would keep is the square of the paths' length, for each, several times."""
    dx, dy = (jnp.repeat(jnp.diff(z, axis=1) / 2**refine, 2**refine, axis=1) for z in (x, y))
    cells = CELLS_ON_CPU if jax.default_backend() == "cpu" else CELLS
    most = max(1, cells // max(1, dx.shape[1] * dy.shape[1]))
    blocks = -(-len(i) // most)
    width = -(-len(i) // blocks)
    # The last block is filled up with its last pair.
    at = np.minimum(np.arange(blocks * width), len(i) - 1).reshape(blocks, width)

    @jax.checkpoint
    def block(at):
        left, right = at
        return _solved(jnp.einsum("pmc,pnc->mnp", dx[left], dy[right], precision="highest"))

    return jax.lax.map(block, (jnp.asarray(i[at]), jnp.asarray(j[at]))).reshape(-1)[: len(i)]


def _solved(a: Float[Array, "m n pair"]) -> Float[Array, " pair"]:
    """The last corner of each pair's grid, diagonal by diagonal. Cells outside the grid have a = 0, by which ones stay
    ones before it, and the last value stays after it."""
    m, n, pairs = a.shape
    diagonals = max(n + m - 1, 0)
    # Row i moves i to the right: what is padded to n + m columns is read in rows of one less.
    wide = jnp.pad(a, ((0, 0), (0, m), (0, 0))).reshape(m * (n + m), pairs)
    skewed = wide[: m * diagonals].reshape(m, diagonals, pairs)

    def diagonal(carry, a):
        last, before = carry
        square = a * a / 12
        new = (last[1:] + last[:-1]) * (1 + a / 2 + square) - before[:-1] * (1 - square)
        return (jnp.concatenate([last[:1], new]), last), None

    ones = jnp.ones((m + 1, pairs), a.dtype)
    (last, _), _ = jax.lax.scan(diagonal, (ones, ones), jnp.moveaxis(skewed, 1, 0))
    return last[-1]
