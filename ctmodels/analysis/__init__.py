"""What a dynamics does: fixed points, cycles, basins, bifurcations and exponents of models, maps and fields."""

from ctmodels.analysis._lyapunov import Lyapunov as Lyapunov, lyapunov as lyapunov
from ctmodels.analysis._motion import Map as Map
from ctmodels.analysis._regions import (
    ExactCycle as ExactCycle,
    ExactCycles as ExactCycles,
    exact_cycles as exact_cycles,
    exact_equilibria as exact_equilibria,
)
