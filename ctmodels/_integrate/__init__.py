"""The integrator: a field and times in, states and an account of the work out."""

from ctmodels._integrate._account import Step as Step, maximum_over_steps as maximum_over_steps
from ctmodels._integrate._fixed import RK4 as RK4, Substeps as Substeps, rk_step as rk_step
from ctmodels._integrate._held import solve_piecewise_constant as solve_piecewise_constant
from ctmodels._integrate._inspect import accepted_times as accepted_times, loop_widths as loop_widths
from ctmodels._integrate._integrate import DiscreteAdjoint as DiscreteAdjoint, Integrate as Integrate
from ctmodels._integrate._local import local as local
from ctmodels._integrate._measures import (
    eigenvalue as eigenvalue,
    jacobian as jacobian,
    kinetic as kinetic,
    largest_eigenvalue as largest_eigenvalue,
    local_error as local_error,
    path_length as path_length,
    scaled_error as scaled_error,
    stiffness as stiffness,
    taylor as taylor,
)
