"""Constants of two or three digits, where the data do not mind."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._series import Series
from ctmodels._integrate import Integrate
from ctmodels.fields import Law
from ctmodels.paths import LinearPath
from ctmodels.reconstruction import LawFit
from ctmodels.symbolic._written import rounded

NO_HARM = 0.01  # a share of the loss
DIGITS = (2, 3)


def short(fit: LawFit, series: list[Series], controls) -> Law:
    """One constant after the other in as few digits as raise the loss through the solve by less than a hundredth."""
    given = [controls] if isinstance(controls, Series) else controls or [None] * len(series)
    trials = list(zip(series, given, [jnp.asarray(y, float) for y in fit.starts], strict=True))
    loss = lambda law: sum(float(_left(law, one, control, y0)) for one, control, y0 in trials)
    law, allowed = fit.law, (1 + NO_HARM) * loss(fit.law)
    for name in law.names:
        for digits in DIGITS:
            tried = law.with_parameters({name: rounded(float(law.parameters[name]), digits)})
            if loss(tried) <= allowed:
                law = tried
                break
    return law


@eqx.filter_jit
def _left(law: Law, series: Series, control: Series | None, y0) -> jax.Array:
    """What is left of the values, squared and in shares of each channel's variance, summed."""
    path = None if control is None else LinearPath.from_series(control)
    ys, _ = Integrate()(law, series.ts, y0, path)
    count = jnp.maximum(jnp.sum(series.mask, axis=0, dtype=ys.dtype), 1)
    mean = jnp.sum(jnp.where(series.mask, series.ys, 0), axis=0) / count
    spread = jnp.sum(jnp.where(series.mask, series.ys - mean[None], 0) ** 2, axis=0) + np.finfo(ys.dtype).tiny
    return jnp.sum(jnp.where(series.mask, ys - series.ys, 0) ** 2 / spread[None])
