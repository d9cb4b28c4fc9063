"""What learned dynamics do: fixed points and cycles, and their stability."""

from ctmodels.analysis._regions import (
    ExactCycle as ExactCycle,
    ExactCycles as ExactCycles,
    exact_cycles as exact_cycles,
    exact_equilibria as exact_equilibria,
)
