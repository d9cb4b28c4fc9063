"""Training: objective -> step -> fit. Knows nothing of any model."""

from ctmodels.train._adversarial import (
    average_weights as average_weights,
    averaged as averaged,
    clip_weights as clip_weights,
)
from ctmodels.train._batches import ArrayDataset as ArrayDataset
from ctmodels.train._checkpoint import load as load, manifest as manifest, save as save
from ctmodels.train._fit import FitResult as FitResult, fit as fit
from ctmodels.train._objective import objective as objective, pooled as pooled
from ctmodels.train._step import State as State, make_step as make_step
