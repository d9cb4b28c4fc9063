"""Stochastic differential equations: a drift, a diffusion, and what is said of the noise."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx

from ctmodels._core._arguments import before, check_kept
from ctmodels._core._words import kind_of

NOISE = "scalar", "diagonal", "additive", "general"
INTERPRETATIONS = "ito", "stratonovich"


def _check(drift, diffusion, noise, interpretation, **_) -> None:
    for name, value in (("drift", drift), ("diffusion", diffusion)):
        if isinstance(value, type) or not callable(value):
            raise TypeError(f"{name}: {type(value).__name__}, where a function {name}(t, y, args) is wanted")
    check_kept("noise", noise, NOISE)
    check_kept("interpretation", interpretation, INTERPRETATIONS)


def checked_sde(sde: Any) -> Any:
    """Not a field, which would be solved as it is, without noise."""
    if not isinstance(sde, AbstractSDE):
        raise TypeError(f"sde: {kind_of(sde)}, where an SDE is wanted: ct.fields.SDE(drift, diffusion)")
    return sde


class AbstractSDE(eqx.Module):
    """What [`ctmodels.Integrate`][] solves with a key: `drift(t, y, args)`, `diffusion(t, y, args)`, the kind of
    `noise`, its `interpretation`; and whether noise is `drawn`, or each increment is its mean, which is zero."""

    if TYPE_CHECKING:  # to whom an AbstractVar is one more argument of `__init__`

        @property
        def drift(self) -> Callable: ...

        @property
        def diffusion(self) -> Callable: ...

        @property
        def noise(self) -> str: ...

        @property
        def interpretation(self) -> str: ...

        @property
        def drawn(self) -> bool: ...

    else:
        drift: eqx.AbstractVar[Callable]
        diffusion: eqx.AbstractVar[Callable]
        noise: eqx.AbstractVar[str]
        interpretation: eqx.AbstractVar[str]
        drawn: eqx.AbstractVar[bool]


class SDE(AbstractSDE):
    r"""$dy = f(t, y)\,dt + g(t, y)\,dW$, solved by [`ctmodels.Integrate`][] with a `key`, as a field is.

    **Arguments:**

    - `drift`: `f(t, y, args)`, shaped as y. `diffusion`: `g(t, y, args)`.
    - `noise`: of which kind, which is what `g` returns:
        - `"diagonal"`: shaped as y; each entry has a Brownian motion of its own, and its diffusion depends on that
          entry of the state alone, where a method is to have a strong order of one or more;
        - `"scalar"`: shaped as y; one Brownian motion for all;
        - `"additive"`: `(state, noise)`, which does not depend on y;
        - `"general"`: `(state, noise)`.
    - `interpretation`: `"ito"` or `"stratonovich"`: a method of the other kind is refused. They are one where noise is
      additive, which any method may solve.

    An SDE is not a field: nothing takes its drift for the whole of it.

    **Good values:** diagonal noise; a diffusion that stays positive by `softplus` or a `sigmoid`, plus 1e-3 to 1e-2 of
    the data's deviation.
    """

    drift: Callable
    diffusion: Callable
    noise: str = eqx.field(static=True)
    interpretation: str = eqx.field(static=True)
    drawn: ClassVar[bool] = True

    @before(_check)
    def __init__(self, drift: Callable, diffusion: Callable, *, noise: str = "diagonal", interpretation: str = "ito"):
        self.drift, self.diffusion, self.noise, self.interpretation = drift, diffusion, noise, interpretation
