"""Known systems as pure fields f(t, y, args), each with its parameters, and their simulation."""

from ctmodels.systems._simulate import simulate as simulate
from ctmodels.systems._systems import (
    Lorenz63 as Lorenz63,
    LotkaVolterra as LotkaVolterra,
    Roessler as Roessler,
    VanDerPol as VanDerPol,
)
