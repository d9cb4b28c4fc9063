"""Models: one file each, none imports another."""

from ctmodels.models._latent_ode import BackwardGRU as BackwardGRU, LatentODE as LatentODE
from ctmodels.models._neural_ode import NeuralODE as NeuralODE
