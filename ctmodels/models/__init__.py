"""Models: one file each, none imports another."""

from ctmodels.models._neural_ode import NeuralODE as NeuralODE
