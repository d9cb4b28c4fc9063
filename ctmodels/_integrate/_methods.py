"""The methods that take steps of an SDE on a fixed grid."""

import diffrax

from ctmodels._integrate._langevin import BAOAB, OBABO, Released, baoab, begin_langevin, obabo, released
from ctmodels._integrate._stochastic import (
    SRI,
    Method,
    begin_reversible_heun,
    euler,
    euler_heun,
    heun,
    ito_milstein,
    reversible_heun,
    sra1,
    sri,
    stratonovich_milstein,
)
from ctmodels.fields import Langevin

COMMUTING = "scalar", "diagonal", "additive"
METHODS: dict[type, Method] = {
    diffrax.Euler: Method(euler),
    diffrax.ItoMilstein: Method(ito_milstein, COMMUTING),
    SRI: Method(sri, ("scalar", "diagonal"), area=True, drifts=2),
    diffrax.EulerHeun: Method(euler_heun),
    diffrax.Heun: Method(heun, drifts=2),
    diffrax.StratonovichMilstein: Method(stratonovich_milstein, COMMUTING),
    diffrax.ReversibleHeun: Method(reversible_heun, begin=begin_reversible_heun),
    diffrax.SRA1: Method(sra1, ("additive",), area=True, drifts=2),
    BAOAB: Method(baoab, ("additive", "general"), begin=begin_langevin, of=Langevin),
    OBABO: Method(obabo, ("additive", "general"), area=True, begin=begin_langevin, of=Langevin),
    Released: Method(released, ("additive",), of=Langevin),
}
