"""A sparse law in continuous time from a series: a sum of few terms."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_kept, check_key, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._integrate import Integrate
from ctmodels.fields import Library, SparseField
from ctmodels.models import NeuralODE
from ctmodels.paths import LinearPath
from ctmodels.regression._fit import Fit, judged
from ctmodels.regression._rows import as_lists, check_enough
from ctmodels.regression._slopes import smoothed_slopes, weak_rows
from ctmodels.regression._sparse import Sparse, bagged
from ctmodels.regression._stepwise import stepwise
from ctmodels.regression._stlsq import stlsq
from ctmodels.trajectories._starts import filled_control

METHODS = ("smooth", "weak")


def _check(method, bags, key, width, stride, **_) -> None:
    check_kept("method", method, METHODS)
    check_whole("bags", bags, 0)
    check_whole("width", width, 5)
    check_whole("stride", stride, 1)
    check_key(key, needed=bags > 0)


@before(_check)
def sparse_law(
    series: Series | Sequence[Series],
    control: Series | Sequence[Series] | None = None,
    *,
    degree: int = 2,
    waves: int = 0,
    threshold: float | Float[Array, ""] | None = None,
    penalty: float | Float[Array, ""] = 0.05,
    normalise: bool = False,
    method: str = "weak",
    slopes: Float[Array, "time channel"] | Sequence[Float[Array, "time channel"]] | None = None,
    width: int = 20,
    stride: int = 2,
    bags: int = 0,
    inclusion: float = 0.5,
    key: PRNGKeyArray | None = None,
    integrate: Integrate | None = None,
) -> tuple[NeuralODE, Fit]:
    """A law that is a sum of few terms (SINDy), at any times: a neural ODE whose field is a
    [`ctmodels.fields.SparseField`][], which says itself in words, `model.field.formula()`, and may be trained further.

    **Arguments:**

    - `series`: one, or several trials of one system, at any times; rows with anything missing are not used.
    - `control`: of each the inputs, on its times.
    - `degree`, `waves`: of the [`ctmodels.fields.Library`][].
    - `threshold`: None: terms go one after the other until one is missed ([`ctmodels.regression.stepwise`][]); a
        number: those of smaller coefficients go ([`ctmodels.regression.stlsq`][]), with `penalty` and `normalise`.
    - `method`: "weak": integrals over windows of `width` rows, `stride` apart, so that no derivative is taken;
        "smooth": values and slopes by a smoother that knows no law.
    - `slopes`: known ones, `(time, channel)`, of each series, in place of a method.
    - `bags`, `inclusion`, `key`: of [`ctmodels.regression.bagged`][], where `bags` is not 0.
    - `integrate`: the solver of the model; by default `Integrate()`.

    **Good values:** "weak", with windows as long as a quarter to a half of the fastest swing: on Lorenz data without
    noise its coefficients were right to four digits where "smooth" was wrong by a tenth and found other terms. No
    threshold: on Lorenz data with 2 % of noise all terms were right where no threshold found them.

    **Returns:** a [`ctmodels.NeuralODE`][], and how well slopes fit.
    """
    many, controls = as_lists(series, control)
    us = [_inputs(c, one) for c, one in zip(controls, many, strict=True)]
    library = Library(many[0].ys.shape[1] + (0 if us[0] is None else us[0].shape[1]), degree, waves)
    rows = _regression(library, many, us, method, slopes, width, stride)
    if threshold is None:
        overlapping = slopes is None and method == "weak"
        select = eqx.Partial(stepwise, independent=min(1.0, 2 * stride / width) if overlapping else 1.0)
    else:
        select = eqx.Partial(stlsq, threshold=threshold, penalty=penalty, normalise=normalise)
    found, fit = _fitted(rows, select, key, bags, inclusion)
    check_enough(fit.rows, library.size, f"a library of {library.size} terms takes as many")
    field = SparseField(library, found.coefficients.T, found.active.T)
    return NeuralODE(field, many[0].ys.shape[1], integrate=Integrate() if integrate is None else integrate), fit


@eqx.filter_jit
def _fitted(rows, select: Callable, key, bags: int, inclusion) -> tuple[Sparse, Fit]:
    features, targets, weights = rows
    if bags:
        found = bagged(select, features, targets, key=key, bags=bags, inclusion=inclusion, weights=weights)
    else:
        found = select(features, targets, weights=weights)
    stayed = None if found.inclusion is None else found.inclusion.T
    return found, judged(features @ found.coefficients, targets, targets, weights, stayed)


def _inputs(control: Series | None, series: Series) -> Array | None:
    return None if control is None else jax.vmap(LinearPath.from_series(filled_control(control, series)))(series.ts)


def _regression(library: Library, many: list[Series], us: list, method: str, slopes, width: int, stride: int):
    """Features, targets and weights of the rows of all series."""
    if slopes is None and method == "weak":
        parts = [_weak(library, one, u, width, stride) for one, u in zip(many, us, strict=True)]
    elif slopes is None:
        values = smoothed_slopes(many)
        parts = [_rows(library, one, *value, u) for one, value, u in zip(many, values, us, strict=True)]
    else:
        known = [slopes] if isinstance(slopes, jax.Array) else list(slopes)
        for i, (one, slope) in enumerate(zip(many, known, strict=True)):
            if slope.shape != one.ys.shape:
                raise ValueError(f"slopes[{i}]: shape {slope.shape}: of a series of {one.ys.shape} they have its shape")
        parts = [_rows(library, one, one.ys, slope, u) for one, slope, u in zip(many, known, us, strict=True)]
    features, targets, weights = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    return features, targets, weights


@eqx.filter_jit
def _terms(library: Library, ys: Array, us: Array | None) -> Float[Array, "time term"]:
    return jax.vmap(library)(ys if us is None else jnp.concatenate([ys, us], axis=1))


def _rows(library: Library, series: Series, ys: Array, slopes: Array, us: Array | None):
    weights = jnp.all(series.mask, axis=1).astype(ys.dtype)
    return _terms(library, ys, us), slopes, weights


def _weak(library: Library, series: Series, us: Array | None, width: int, stride: int):
    if series.ts.shape[0] < width:
        raise DataError(
            f"width={width}: the series has {series.ts.shape[0]} rows: give shorter windows, or a longer series"
        )
    return _weak_rows(library, series, us, width, stride)


@eqx.filter_jit
def _weak_rows(library: Library, series: Series, us: Array | None, width: int, stride: int):
    return weak_rows(series, _terms(library, series.ys, us), width=width, stride=stride)
