"""An SDE without its noise: the ordinary differential equation of its drift."""

import dataclasses
from collections.abc import Callable

import diffrax

from ctmodels._integrate._integrate import Integrate
from ctmodels._integrate._methods import METHODS
from ctmodels.fields import AbstractSDE, Langevin


def without_noise(integrate: Integrate, sde: AbstractSDE) -> tuple[Integrate, Callable | AbstractSDE]:
    """What solves the drift alone, and the drift: by the same method where that is one of fields too, else by Heun's;
    methods of a Langevin keep it, and draw nothing."""
    method = METHODS.get(type(integrate.method))
    if isinstance(sde, Langevin) and method is not None and method.of is Langevin:
        return integrate, dataclasses.replace(sde, drawn=False)
    method = integrate.method if isinstance(integrate.method, diffrax.AbstractERK) else diffrax.Heun()
    return dataclasses.replace(integrate, method=method), sde.drift
