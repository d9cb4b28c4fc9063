"""The states behind a noisy, partly observed series, and the noise to assume."""

from ctmodels.trajectories._noise import tune_noise as tune_noise
from ctmodels.trajectories._smoothing import (
    Noise as Noise,
    Smoothed as Smoothed,
    constant_velocity as constant_velocity,
    smooth as smooth,
)
