"""What is made of observed trajectories: the states behind them, and the windows to be shot from."""

from ctmodels.trajectories import embedding as embedding, forcing as forcing, smoothing as smoothing
from ctmodels.trajectories._shooting import (
    FreeStart as FreeStart,
    Shooting as Shooting,
    Windows as Windows,
    growing_horizon as growing_horizon,
)
