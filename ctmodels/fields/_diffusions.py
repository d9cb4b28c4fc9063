"""What a diffusion is made of: positive values, a function of each entry alone, a constant."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_called, check_key

EVERYWHERE = np.linspace(-20.0, 20.0, 401)  # where a function is looked at that is to be positive


def _check_positive(by, floor, **_) -> None:
    check_called("by", by, "of numbers, such as jax.nn.softplus,", "give one whose values are not negative")
    if not floor > 0:
        raise ValueError(f"floor={floor}: must be a positive number, in units of the state: it keeps 1 / g finite")
    with jax.ensure_compile_time_eval():  # a model may be made while something is traced
        values = np.asarray(by(jnp.asarray(EVERYWHERE)))
    bad = np.flatnonzero(~(values >= 0))
    if bad.size:
        name, at = getattr(by, "__name__", type(by).__name__), bad[0]
        raise ValueError(
            f"by: {name}({EVERYWHERE[at]:g}) is {values[at]:.3g}, where positive values are promised: take "
            "jax.nn.softplus, jax.nn.sigmoid or jnp.exp"
        )


class Positive(eqx.Module):
    r"""$g(t, y) = \mathrm{floor} + \mathrm{by}(f(t, y))$, entry by entry: a diffusion that stays positive.

    **Arguments:**

    - `field`: `f(t, y, args)`, any: [`ctmodels.fields.MLPField`][], [`ctmodels.fields.Elementwise`][],
      [`ctmodels.fields.Constant`][].
    - `by`: a function of numbers whose values are not negative, which is looked at from -20 to 20: `jax.nn.softplus`
      grows with its argument, `jax.nn.sigmoid` is bounded (`lambda x: 2 * jax.nn.sigmoid(x)` by 2), `jnp.exp` spans
      scales.
    - `floor`: what it never falls below.

    **Good values:** softplus; a floor of 1e-3 to 1e-2 of the state's deviation. A latent SDE divides by the diffusion,
    so that its divergence is finite by the floor alone.
    """

    field: Callable
    by: Callable = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    @before(_check_positive)
    def __init__(self, field: Callable, by: Callable = jax.nn.softplus, floor: float | int = 1e-2):
        self.field, self.by, self.floor = field, by, float(floor)

    def __call__(self, t, y: Float[Array, " state"], args: PyTree) -> Float[Array, " state"]:
        return self.floor + self.by(self.field(t, y, args))


class Elementwise(eqx.Module):
    """f_i = MLP_i(y_i): of each entry of the state a function of that entry alone, each by a network of its own. What
    diagonal noise must be for a strong order of one and more.

    **Arguments:** `channels`: of the state; `width`, `depth`: of each network's hidden layers; `activation`.
    """

    mlps: eqx.nn.MLP

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        *,
        width: int = 16,
        depth: int = 1,
        activation: Callable = jax.nn.softplus,
        key: PRNGKeyArray,
    ):
        make = lambda key: eqx.nn.MLP(1, 1, width, depth, activation, key=key)
        self.mlps = eqx.filter_vmap(make)(jax.random.split(key, channels))

    def __call__(self, t, y: Float[Array, " state"], args: PyTree) -> Float[Array, " state"]:
        return eqx.filter_vmap(lambda mlp, y: mlp(y[None])[0])(self.mlps, y)


class Constant(eqx.Module):
    """The same value at every time and state, which is learned: `value`, shaped as what is returned."""

    value: Float[Array, "..."]

    def __init__(self, value: ArrayLike):
        self.value = jnp.asarray(value)

    def __call__(self, t, y: PyTree, args: PyTree) -> Float[Array, "..."]:
        return self.value
