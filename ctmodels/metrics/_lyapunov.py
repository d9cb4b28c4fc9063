r"""Lyapunov exponents of a flow or a map that can be evaluated, by QR on the variational equation.

$$Q_k R_k = Df(y_{k-1})\, Q_{k-1}, \qquad y_k = f(y_{k-1}), \qquad
  \lambda_i = \frac{1}{K \Delta t} \sum_{k=1}^K \log |(R_k)_{ii}|$$

They are properties of a system, neither better high nor low: compare those of a model with those of
the truth.

??? cite

    Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980); Geist, Parlitz and Lauterborn,
    Prog. Theor. Phys. 83 (1990) compares the methods. Kaplan and Yorke, Lecture Notes in
    Mathematics 730 (1979): the dimension.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from ctmodels._integrate import RK4, rk_step
from ctmodels.metrics._arrays import Numbers, not_empty, numbers


def lyapunov_spectrum(
    step: Callable[[Array], Array],
    y0: Numbers,
    *,
    steps: int,
    dt: float | int | Float[ArrayLike, ""] = 1.0,
    transient: int = 0,
    every: int = 1,
    count: int | None = None,
) -> Float[Array, " count"]:
    r"""The Lyapunov exponents of the map `step`.

    **Arguments:**

    - `step`: `y -> y`, a discrete map, or the flow of a field over the time `dt`. Differentiated
        forwards.
    - `y0`: where the orbit starts, `(state,)`.
    - `steps`: how many applications of `step` are averaged over; a multiple of `every`, at least one.
    - `dt`: the time that one application takes. It only sets the unit: one over time; per
        application if 1.
    - `transient`: applications before the averaging (rounded up to a multiple of `every`), in which
        the orbit falls on the attractor and the tangent vectors turn into their directions.
    - `every`: applications between two QR decompositions. Larger is cheaper, until the tangent
        vectors become parallel to rounding: keep `every * dt * (largest - smallest exponent)` well
        below the digits of the dtype (16 in float32, 36 in float64, in natural logarithms).
    - `count`: only the largest so many exponents; all if `None`. Each costs one tangent vector.

    **Returns:** the exponents, in descending order. `-inf` where the map contracts a direction to
    nothing; NaN if the orbit diverges. The error of a chaotic orbit falls as one over the root of
    the time, so quote `steps * dt`.
    """
    if every < 1 or steps < 1 or steps % every:
        raise ValueError(f"steps={steps} is not a multiple of every={every}, once at least; give whole blocks")
    y0 = _vector(y0, "y0", "state")
    if not 1 <= (y0.size if count is None else count) <= y0.size:
        raise ValueError(f"count={count}: a state of {y0.size} has 1 to {y0.size} exponents")
    tangents = jnp.eye(y0.size, count, dtype=y0.dtype)
    block = _block(step, every)
    start, _ = jax.lax.scan(block, (y0, tangents), length=-(-transient // every))
    _, logs = jax.lax.scan(block, start, length=steps // every)
    return -jnp.sort(-logs.mean(axis=0)) / (every * jnp.asarray(dt, y0.dtype))


def lyapunov_spectrum_of_field(
    field: Callable[[Array, Array, PyTree], Array],
    y0: Numbers,
    *,
    dt: float | int | Float[ArrayLike, ""],
    steps: int,
    args: PyTree = None,
    transient: int = 0,
    every: int = 1,
    count: int | None = None,
) -> Float[Array, " count"]:
    r"""The Lyapunov exponents of the flow of a field, in classical Runge-Kutta steps.

    **Arguments:**

    - `field`: `(t, y, args) -> dy/dt`, autonomous: it is evaluated at `t = 0` throughout. (A driven
        system has its phase as a further state.)
    - `dt`: the step. The exponents are those of the discretised flow, so it must resolve the
        fastest contraction.
    - `args`: handed to `field`.
    - `y0`, `steps`, `transient`, `every`, `count`: as in [`lyapunov_spectrum`][].

    **Returns:** the exponents, in descending order, per unit of time.

    !!! example "Good values"

        Lorenz-63: `dt=0.01, transient=1000, every=1` and `steps=20_000` for two digits of the first
        exponent.
    """
    return lyapunov_spectrum(
        lambda y: rk_step(RK4.tableau, field, jnp.zeros_like(y[0]), jnp.asarray(dt, y.dtype), y, args).y1,
        y0,
        steps=steps,
        dt=dt,
        transient=transient,
        every=every,
        count=count,
    )


def kaplan_yorke(spectrum: Numbers) -> Float[Array, ""]:
    r"""The Kaplan-Yorke (Lyapunov) dimension of an attractor.

    $$D_{KY} = j + \frac{\lambda_1 + \dots + \lambda_j}{|\lambda_{j+1}|}, \qquad
      j = \max\{\, i : \lambda_1 + \dots + \lambda_i \ge 0 \,\}$$

    **Arguments:**

    - `spectrum`: all Lyapunov exponents, `(exponent,)`, in any order.

    **Returns:** 0 if the first exponent is negative (a fixed point), the number of exponents if no
    partial sum is negative, NaN if an exponent is NaN. The dimension jumps where an exponent is
    zero: a limit cycle has 1, but 0 if its first exponent came out as -1e-6, so look at the
    spectrum too.
    """
    spectrum = -jnp.sort(-_vector(spectrum, "spectrum", "exponent"))
    sums = jnp.cumsum(spectrum)
    j = jnp.sum(sums >= 0)
    # j = 0 and j = n become ordinary cases by a sum of nothing before the first and an exponent of
    # -inf after the last.
    sums = jnp.concatenate([jnp.zeros_like(sums[:1]), sums])
    following = jnp.concatenate([spectrum, jnp.full_like(spectrum[:1], -jnp.inf)])
    dimension = j.astype(spectrum.dtype) + sums[j] / jnp.abs(following[j])
    return jnp.where(jnp.isnan(spectrum).any(), jnp.nan, dimension)


def _vector(x, name: str, axis: str) -> Array:
    x = numbers(x, name)
    if x.ndim != 1:
        raise ValueError(f"{name} has shape {x.shape}: it is ({axis},); jax.vmap takes a batch of them")
    not_empty(name, x)
    return x


def _block(step, every):
    """`every` applications of `step` to an orbit and its tangent vectors (columns), and one QR."""

    def push(carry, _):
        y, tangents = carry
        along = lambda v: jax.jvp(step, (y,), (v,))
        return jax.vmap(along, in_axes=1, out_axes=(None, 1))(tangents), None

    def block(carry, _):
        (y, tangents), _ = jax.lax.scan(push, carry, length=every)
        q, r = jnp.linalg.qr(tangents)
        return (y, q), jnp.log(jnp.abs(jnp.diagonal(r)))

    return block
