"""An SDE without its noise: the ordinary differential equation of its drift."""

import dataclasses
from collections.abc import Callable

import diffrax

from ctmodels._integrate._integrate import Integrate
from ctmodels.fields import SDE


def without_noise(integrate: Integrate, sde: SDE) -> tuple[Integrate, Callable]:
    """What solves the drift alone, and the drift: by the same method where that is one of fields too, else by
    Heun's."""
    method = integrate.method if isinstance(integrate.method, diffrax.AbstractERK) else diffrax.Heun()
    return dataclasses.replace(integrate, method=method), sde.drift
