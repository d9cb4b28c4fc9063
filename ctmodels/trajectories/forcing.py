"""Teacher forcing: what a dynamics predicts while it is held to what was observed, and how strongly to hold it."""

from ctmodels.trajectories._forcing import teacher_forced as teacher_forced
from ctmodels.trajectories._forcing_strength import (
    Forced as Forced,
    ForcedData as ForcedData,
    adaptive as adaptive,
    alpha_for as alpha_for,
    annealed as annealed,
    estimate as estimate,
    scheduled as scheduled,
)
