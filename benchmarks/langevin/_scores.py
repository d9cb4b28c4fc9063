"""What is said of rates: by spikes, by the true rates; and of states, by latents."""

import numpy as np

import ctmodels as ct


def bits_per_spike(rates, counts, reference, where=None) -> float:
    """Against each neuron's mean rate in training."""
    return float(ct.metrics.bits_per_spike(rates, counts, where, reference))


def rates_r2(true, found) -> float:
    """Weighted by the variance of each neuron's rate."""
    return float(ct.metrics.rates_r2(true=true, estimated=found, weighting="variance"))


def linear_r2(latents, states, test_latents, test_states) -> float:
    """Of the states by a linear map of the latents."""
    wide = lambda x: np.concatenate([x.reshape(-1, x.shape[-1]), np.ones((x.shape[0] * x.shape[1], 1))], axis=1)
    flat = states.reshape(-1, states.shape[-1])
    found = np.linalg.lstsq(wide(latents).astype(np.float64), flat, rcond=None)[0]
    return rates_r2(test_states, (wide(test_latents) @ found).reshape(test_states.shape))
