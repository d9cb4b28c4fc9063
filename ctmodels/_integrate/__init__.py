"""The integrator: a field and times in, states and statistics of the solve out."""

from ctmodels._integrate._adjoint import DiscreteAdjoint as DiscreteAdjoint, ReversibleAdjoint as ReversibleAdjoint
from ctmodels._integrate._fixed import RK4 as RK4, Substeps as Substeps, rk_step as rk_step
from ctmodels._integrate._held import (
    solve_driven as solve_driven,
    solve_piecewise_constant as solve_piecewise_constant,
)
from ctmodels._integrate._inspect import accepted_times as accepted_times, loop_widths as loop_widths
from ctmodels._integrate._integrate import Integrate as Integrate
from ctmodels._integrate._langevin import BAOAB as BAOAB, OBABO as OBABO, Released as Released
from ctmodels._integrate._noiseless import without_noise as without_noise
from ctmodels._integrate._stochastic import SRI as SRI
