r"""Nonlinear recurrences as layers: $h_k = \mathrm{cell}(h_{k-1}, (u_k, g_k))$, row by row or by Newton's method.

They know no time between rows: the gap is one more input, and after a row the state stands still.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels.layers._layer import AbstractLayer, Features, Gap, Rows, check_rows, equal_gaps, forward
from ctmodels.layers._steps import check_sizes
from ctmodels.ssm._cells import ParaGRU
from ctmodels.ssm._newton import NewtonScan
from ctmodels.ssm._scan import scan_rows


class GRU(eqx.Module):
    """The gated recurrent unit of equinox, as a cell of [`ctmodels.layers.Recurrent`][]; its units mix."""

    cell: eqx.nn.GRUCell

    def __init__(self, inputs: int, size: int, *, key: PRNGKeyArray):
        self.cell = eqx.nn.GRUCell(inputs, size, key=key)

    def __call__(self, h: Float[Array, " unit"], x: Float[Array, " input"]) -> Float[Array, " unit"]:
        return self.cell(x, h)

    @property
    def start(self) -> Float[Array, " unit"]:
        """A state of zeros."""
        return jnp.zeros_like(self.cell.bias_n)  # pyright: ignore


class Recurrent(AbstractLayer):
    """A cell with a state as wide as the features, which the gap is given to besides.

    **Arguments:** `features`: of a row; `cell`: `(inputs, size, key=key) -> cell`, one of
    [`ctmodels.ssm.ParaGRU`][], [`ctmodels.ssm.ParaLSTM`][], [`ctmodels.ssm.TimeConstantRNN`][],
    [`ctmodels.layers.GRU`][]; of a state of two parts the first goes out; `solver`: how all rows are solved at once on
    an accelerator, as `ct.ssm.NewtonScan(ct.ssm.BlockJacobian())`, whose Jacobian the cell is to have; None goes row by
    row, which is faster on the CPU.

    A gap of none leaves the state as it is; between rows, and after the last, the output is that of the last row.
    """

    cell: Callable
    solver: NewtonScan | None
    features: int = eqx.field(static=True)

    @before(check_sizes)
    def __init__(self, features: int, cell: Callable = ParaGRU, *, solver: NewtonScan | None = None, key: PRNGKeyArray):
        self.features, self.solver = features, solver
        self.cell = cell(features + 1, features, key=key)

    def start(self) -> Float[Array, "*part feature"]:
        return self.cell.start  # pyright: ignore

    def step(self, state, u: Features, gap: Gap):
        h = self._move(state, (u, forward(gap)))
        return h, self._read(h)

    def after(self, state, u: Features, gap: Gap) -> Features:
        return self._read(state) + 0 * gap  # a gap that is not finite has no answer

    @before(check_rows)
    def scan(self, state, us: Rows, gaps: Float[Array, " row"], *, every: bool = True):
        gaps = forward(gaps)
        if self.solver is None:
            return scan_rows(self.step, state, us, gaps, every=every)
        hs, stats = self.solver(self._move, state, (us, gaps))
        # A layer returns no status, and what an objective lets a solver hold is finite: NaN says that there are none.
        hs = jnp.where(stats.converged, hs, jnp.nan)
        return (hs if every else hs[-1]), jax.vmap(self._read)(hs)

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        return self.scan(self.start(), us, equal_gaps(us, gap), every=False)[1]

    def _move(self, h, row):
        u, gap = row
        moved = self.cell(h, jnp.concatenate([u, gap[None]]))
        return jnp.where(jnp.isnan(gap), jnp.nan, jnp.where(gap > 0, moved, h))

    def _read(self, h) -> Features:
        return h if h.ndim == 1 else h[0]
