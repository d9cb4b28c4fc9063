"""The integrator: a field and times in, states and an account of the work out."""

from ctmodels._integrate._account import Step as Step, local_error as local_error, stiffness as stiffness
from ctmodels._integrate._fixed import RK4 as RK4, Substeps as Substeps, rk_step as rk_step
from ctmodels._integrate._inspect import accepted_times as accepted_times, loop_widths as loop_widths
from ctmodels._integrate._integrate import Integrate as Integrate, Replay as Replay
