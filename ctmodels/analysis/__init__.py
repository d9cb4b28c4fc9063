"""What a dynamics does: fixed points, cycles, basins, bifurcations and exponents of models, maps and fields."""

from ctmodels.analysis._basins import Basins as Basins, basins as basins
from ctmodels.analysis._bifurcation import (
    Bifurcation as Bifurcation,
    bifurcation as bifurcation,
    fixed_points_along as fixed_points_along,
)
from ctmodels.analysis._cycles import Cycle as Cycle, limit_cycle as limit_cycle, map_cycles as map_cycles
from ctmodels.analysis._fixed_points import FixedPoint as FixedPoint, fixed_points as fixed_points
from ctmodels.analysis._linearise import Linearised as Linearised, linearise as linearise
from ctmodels.analysis._lyapunov import Lyapunov as Lyapunov, lyapunov as lyapunov
from ctmodels.analysis._motion import Map as Map
from ctmodels.analysis._noise import escape_time as escape_time, noisy_orbit as noisy_orbit
from ctmodels.analysis._regions import (
    ExactCycle as ExactCycle,
    ExactCycles as ExactCycles,
    exact_cycles as exact_cycles,
    exact_equilibria as exact_equilibria,
)
