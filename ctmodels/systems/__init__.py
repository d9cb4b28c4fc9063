"""Known systems as pure fields f(t, y, args), each with its parameters, catalogues of them, and their simulation."""

from ctmodels.systems._catalogue import Catalogue as Catalogue, System as System, catalogue as catalogue
from ctmodels.systems._formula import Formula as Formula
from ctmodels.systems._law import KnownLaw as KnownLaw, law as law
from ctmodels.systems._odebench import OdebenchSystem as OdebenchSystem, odebench as odebench
from ctmodels.systems._simulate import simulate as simulate
from ctmodels.systems._systems import (
    Lorenz63 as Lorenz63,
    LotkaVolterra as LotkaVolterra,
    Roessler as Roessler,
    VanDerPol as VanDerPol,
)
