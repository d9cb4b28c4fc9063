"""The states behind a noisy, partly observed series, and the noise to assume."""

from ctmodels.trajectories._chain import GaussianChain as GaussianChain
from ctmodels.trajectories._expectations import (
    Nodes as Nodes,
    cubature as cubature,
    gauss_hermite as gauss_hermite,
    monte_carlo as monte_carlo,
)
from ctmodels.trajectories._noise import tune_noise as tune_noise
from ctmodels.trajectories._smoothing import (
    Noise as Noise,
    Smoothed as Smoothed,
    constant_velocity as constant_velocity,
    smooth as smooth,
)
from ctmodels.trajectories._smoothing_sde import (
    GaussianLikelihood as GaussianLikelihood,
    SmoothedSDE as SmoothedSDE,
    evidence_bound as evidence_bound,
    refine as refine,
    smooth_sde as smooth_sde,
)
