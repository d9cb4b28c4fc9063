r"""Fixed points and cycles of right-hand sides that are linear in regions, exactly.

In a region $G(z) = J z + b$. A cycle of k points that goes through given regions solves a linear equation,
$z = (I - J_k \cdots J_1)^{-1} b_{k \cdots 1}$, and is one of the map if its points lie in these regions. If not, the
regions in which they do lie are tried next: few of exponentially many are looked at.

??? cite

    Eisenmann, Monfared, Göring and Durstewitz, "Bifurcations and loss jumps in RNN training", NeurIPS 2023 (SCYFI).
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from ctmodels._core._arguments import before, check_seed, check_whole
from ctmodels._core._words import kind_of

ENUMERATED = 4096  # sequences of regions, up to which all of them are looked at
SAME = 1e-4  # of a state's size: as far apart as two finds of one point may be


class ExactCycle(NamedTuple):
    """- `points`: one after another, `(length, state)`; of a fixed point one.
    - `eigenvalues`: of a map, those of the product of its Jacobians, `(state,)`, sorted by size; of a field, those of
        its Jacobian, sorted by real part; the largest first.
    - `stable`: whether what is near is drawn to it.
    """

    points: Float[np.ndarray, "length state"]
    eigenvalues: Complex[np.ndarray, " state"]
    stable: bool


class ExactCycles(NamedTuple):
    """`found`: the cycles; `complete`: whether all sequences of regions were looked at, so that there are no others."""

    found: list[ExactCycle]
    complete: bool


def _check_search(field, length, starts, iterations, seed, **_) -> None:
    if not all(callable(getattr(field, name, None)) for name in ("region", "affine")):
        raise TypeError(
            f"field: {kind_of(field)} has no `region` and `affine`, where one that is linear in regions is wanted: "
            "ct.fields.ShallowPLRNN, ct.fields.AlmostLinear (of a ct.PLRNN, its cell)"
        )
    check_whole("length", length, 1)
    check_whole("starts", starts, 1)
    check_whole("iterations", iterations, 1)
    check_seed(seed)


@before(_check_search)
def exact_cycles(
    field: Any,
    length: int = 1,
    *,
    orbit: Float[Array, "time state"] | None = None,
    starts: int = 256,
    iterations: int = 64,
    seed: int = 0,
) -> ExactCycles:
    """The cycles of so many points of a map that is linear in regions; of `length` 1, its fixed points. On the host.

    **Arguments:**

    - `field`: [`ctmodels.fields.ShallowPLRNN`][], [`ctmodels.fields.AlmostLinear`][], or another with their `region`,
        `affine` and `kinks`; without a control.
    - `length`: of a cycle. Those that are a shorter one, gone through again, are left out.
    - `orbit`: whose states are in the regions that are tried first.
    - `starts`, `iterations`: from so many random sequences of regions, each led on so many times at most. Where there
        are no more than 4096 sequences, all are looked at instead.
    - `seed`: of the random ones.

    **Returns:** [`ctmodels.analysis.ExactCycles`][]: each cycle once, with its eigenvalues.
    """
    check = _checker(field)
    few = field.kinks * length <= np.log2(ENUMERATED)
    drawn = lambda: itertools.chain(_visited(field, length, orbit), _drawn(field.kinks, length, starts, seed))
    tries = _all_regions(field.kinks, length) if few else drawn()
    found: list[ExactCycle] = []
    for regions in tries:
        for _ in range(1 if few else iterations):
            points, there, product = (np.asarray(x) for x in check(regions))
            if not np.isfinite(points).all():
                break
            if (there == regions).all():
                _keep(found, points, product)
                break
            regions = there
    return ExactCycles(found, few)


@before(lambda **given: _check_search(length=1, **given))
def exact_equilibria(
    field: Any,
    *,
    orbit: Float[Array, "time state"] | None = None,
    starts: int = 256,
    iterations: int = 64,
    seed: int = 0,
) -> ExactCycles:
    """Where a field dz/dt = G(z) that is linear in regions is at rest. As [`ctmodels.analysis.exact_cycles`][] of
    length one, but of G(z) = 0, and stable where the real parts of all eigenvalues are negative."""
    cycles = exact_cycles(_Shifted(field), 1, orbit=orbit, starts=starts, iterations=iterations, seed=seed)
    return ExactCycles([_of_field(cycle) for cycle in cycles.found], cycles.complete)


class _Shifted(NamedTuple):
    """z + G(z), whose fixed points are the zeros of G."""

    field: Any

    @property
    def kinks(self) -> int:
        return self.field.kinks

    def region(self, z):
        return self.field.region(z)

    def affine(self, region):
        J, b = self.field.affine(region)
        return J + jnp.eye(J.shape[0], dtype=J.dtype), b


def _of_field(cycle: ExactCycle) -> ExactCycle:
    eigenvalues = cycle.eigenvalues - 1
    eigenvalues = eigenvalues[np.argsort(-np.real(eigenvalues))]
    return ExactCycle(cycle.points, eigenvalues, bool(np.all(np.real(eigenvalues) < 0)))


def _checker(field) -> Callable:
    """Regions, `(length, kink)` -> the points that solve for them, `(length, state)`, the regions in which these lie,
    and the product of the Jacobians."""

    @eqx.filter_jit
    def check(regions: Bool[Array, "length kink"]):
        Js, bs = jax.vmap(field.affine)(regions)
        eye = jnp.eye(Js.shape[-1], dtype=Js.dtype)
        product, offset = eye, jnp.zeros_like(bs[0])
        for J, b in zip(Js, bs, strict=True):
            product, offset = J @ product, J @ offset + b
        points = [jnp.linalg.solve(eye - product, offset)]
        for J, b in zip(Js[:-1], bs[:-1], strict=True):
            points.append(J @ points[-1] + b)
        points = jnp.stack(points)
        return points, jax.vmap(field.region)(points), product

    return check


def _all_regions(kinks: int, length: int) -> Iterator[np.ndarray]:
    for sides in itertools.product((False, True), repeat=kinks * length):
        yield np.array(sides, bool).reshape(length, kinks)


def _visited(field, length: int, orbit: Array | None) -> Iterator[np.ndarray]:
    """Of neighbouring states of an orbit, each sequence once."""
    if orbit is None:
        return
    regions = np.asarray(jax.vmap(field.region)(orbit))
    windows = np.lib.stride_tricks.sliding_window_view(regions, length, axis=0).transpose(0, 2, 1)
    yield from np.unique(windows, axis=0)


def _drawn(kinks: int, length: int, starts: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for _ in range(starts):
        yield rng.random((length, kinks)) < 0.5


def _keep(found: list[ExactCycle], points: np.ndarray, product: np.ndarray) -> None:
    """If it is a new one, and none that is shorter."""
    close = SAME * (1 + np.abs(points).max())
    repeats = any(np.abs(points[0] - point).max() < close for point in points[1:])
    known = any(np.abs(points[0] - point).max() < close for cycle in found for point in cycle.points)
    if repeats or known:
        return
    eigenvalues = np.linalg.eigvals(product.astype(np.float64)).astype(complex)
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues))]
    found.append(ExactCycle(points, eigenvalues, bool(np.abs(eigenvalues[0]) < 1)))
