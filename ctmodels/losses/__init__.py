"""Losses: (model, example, key) -> (sum, weight, Output), each for one example.

The objective divides the batch's sum by its weight: a pooled mean over what was observed, not a mean of means.
"""

from ctmodels.losses._bounds import iwae as iwae
from ctmodels.losses._classification import cross_entropy as cross_entropy
from ctmodels.losses._likelihood import likelihood as likelihood, one_step_likelihood as one_step_likelihood
from ctmodels.losses._regression import absolute as absolute, gaussian as gaussian, squared as squared
from ctmodels.losses._shooting import shooting as shooting
