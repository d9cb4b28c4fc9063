"""Losses: (model, example, key) -> (sum, weight, Output), each for one example.

The objective divides the batch's sum by its weight: a pooled mean over what was observed, not a mean of means.

Distances of sets of paths, and scores of an ensemble of them, are functions of arrays: see each for how it is a loss.
"""

from ctmodels.losses._adversarial import adversarial as adversarial
from ctmodels.losses._bounds import iwae as iwae
from ctmodels.losses._classification import cross_entropy as cross_entropy
from ctmodels.losses._forcing import teacher_forcing as teacher_forcing
from ctmodels.losses._likelihood import likelihood as likelihood, one_step_likelihood as one_step_likelihood
from ctmodels.losses._matching import matching as matching
from ctmodels.losses._regression import absolute as absolute, gaussian as gaussian, squared as squared
from ctmodels.losses._scores import (
    crps as crps,
    energy_score as energy_score,
    sliced_wasserstein as sliced_wasserstein,
)
from ctmodels.losses._shooting import shooting as shooting
from ctmodels.losses._signature_distances import (
    signature_mmd as signature_mmd,
    signature_score as signature_score,
    truncated_signature_mmd as truncated_signature_mmd,
)
from ctmodels.losses._signature_kernel import signature_kernel as signature_kernel
from ctmodels.losses._transitions import euler_transition_likelihood as euler_transition_likelihood
