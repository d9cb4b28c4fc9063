"""Rates of neurons from their spikes: `python -m benchmarks.langevin FILE [--methods ...] [--seeds 0,1,2] [--save]`.

FILE is `lfads_lorenz.h5`: 640 trials of 100 bins of 10 ms, 60 neurons of 2 Hz that a Lorenz system moves, and 160 more
to judge by; `network_...` are methods on as many trials of a chaotic network (`_data.py`). 560 trials are learned from;
of 80, 30 % of the counts are withheld, and what is expected of these chooses which of ten stages of the training is
kept, and chose what a model is made of. The true rates choose nothing. Latent models have eight positions and as many
velocities, or 16 numbers, recurrent networks 64; encoders are alike. Counts that are read with probability 0.7 are not
predicted (coordinated dropout); AdamW with warm-up and a cosine, batches of 64.

Of the 160 trials, the mean of 32 draws of the posterior: `rates_r2`: of the true rates, weighted by their variance,
trials being read as a whole; `bits_per_spike`: of 30 % of their counts, withheld, against each neuron's mean in
training; true rates reach `ceiling` there. `latent_r2`: of the states of the Lorenz system by a linear map of the
latents, which is fitted to the training trials. `curve`: of each stage, (bits of the judges' withheld counts, R2 of
their rates): whether rates get worse while spikes are foretold better. `kernel`: Gaussian smoothing, its width chosen
by the withheld counts. `psth`: smoothed means over training trials of the same start, a label that no other is given.
`seconds`: of training. `step_x_gru_vae`: of a training step, in turns with `gru_vae`'s.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from benchmarks._reproduction import main
from benchmarks.langevin import _train
from benchmarks.langevin._data import Split, Trials, of_file, of_network, series, small
from benchmarks.langevin._models import LEARNERS
from benchmarks.langevin._scores import bits_per_spike, linear_r2, rates_r2
from ctmodels.data import condition_psth, gaussian_smoothing

KERNELS, MIXED = (1.0, 2.0, 4.0, 8.0, 16.0), (0.01, 0.03, 0.1, 0.3, 0.5)
SIMPLE = "kernel", "psth"
METHODS = [*SIMPLE, *LEARNERS]
METHODS = METHODS + [f"network_{name}" for name in METHODS]
STEPS = 6000


def load(path: Path) -> dict[str, Split]:
    return {"lorenz": of_file(path), "network": of_network()}


def toy() -> dict[str, Split]:
    return {"lorenz": small(), "network": small()}


def withheld(trials: Trials) -> np.ndarray:
    return np.random.default_rng(0).random(trials.counts.shape) < 1 - _train.KEEP


def thinned(trials: Trials) -> np.ndarray:
    """What is read of trials of which counts are withheld."""
    return np.where(withheld(trials), 0, trials.counts / _train.KEEP)


def bits_of_withheld(rates: np.ndarray, trials: Trials, data: Split) -> float:
    return bits_per_spike(rates, trials.counts, data.train.counts.mean((0, 1)), withheld(trials))


def scores(data: Split, rates_of: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Of what makes rates of counts."""
    test = data.test
    return {
        "rates_r2": rates_r2(test.rates, rates_of(test.counts)),
        "bits_per_spike": bits_of_withheld(rates_of(thinned(test)), test, data),
        "ceiling": bits_of_withheld(test.rates, test, data),
    }


def likeliest(rates_of: Callable, data: Split) -> Callable[[np.ndarray, Trials], np.ndarray]:
    """Of widths, and of parts of each neuron's mean that are mixed in (no rate is zero), those by which withheld counts
    of the judges are likeliest."""
    mean = data.train.counts.mean((0, 1))
    mixed = lambda counts, trials, width, part: (1 - part) * rates_of(counts, trials, width) + part * mean
    judged = lambda how: bits_of_withheld(mixed(thinned(data.judges), data.judges, *how), data.judges, data)
    width, part = max(itertools.product(KERNELS, MIXED), key=judged)
    return lambda counts, trials: mixed(counts, trials, width, part)


def kernel(data: Split) -> Callable[[np.ndarray, Trials], np.ndarray]:
    """Smoothed counts."""
    return likeliest(lambda counts, trials, width: np.asarray(gaussian_smoothing(counts, width)), data)


def psth(data: Split) -> Callable[[np.ndarray, Trials], np.ndarray]:
    """Means over trials of the same start, smoothed by two bins, whatever the counts."""
    mean = data.train.counts.mean((0, 1))
    smoothed = 0.98 * np.asarray(gaussian_smoothing(data.train.counts, 2.0)) + 0.02 * mean
    return lambda counts, trials: np.asarray(condition_psth(smoothed, data.train.conditions, trials.conditions))


def simple(method: str, data: Split) -> dict:
    rates_of = {"kernel": kernel, "psth": psth}[method](data)
    found = scores(data, lambda counts: rates_of(counts, data.test))
    return found | {"latent_r2": None, "seconds": 0.0, "step_x_gru_vae": None, "curve": []}


def learned(method: str, seed: int, data: Split, quick: bool) -> dict:
    neurons = data.train.counts.shape[-1]
    learner = LEARNERS[method](neurons, jax.random.key(seed))

    def judge(model) -> tuple[float, float]:
        rates = _train.mean_rates(learner, model, thinned(data.judges), 2 if quick else 8)
        return bits_of_withheld(rates, data.judges, data), rates_r2(data.judges.rates, rates)

    steps, batch, every = (4, 8, 2) if quick else (STEPS, 64, STEPS // 10)
    trained = _train.train(learner, data, judge, steps=steps, batch=batch, peak=4e-3, every=every, seed=seed)
    model, samples = trained.model, 2 if quick else _train.SAMPLES
    found = [np.asarray(_train.latents(model, series(part.counts))) for part in (data.train, data.test)]
    turns = None
    if method == "langevin":
        turns = _train.step_ratio(learner, LEARNERS["gru_vae"](neurons, jax.random.key(0)), data, batch, quick)
    return scores(data, lambda counts: _train.mean_rates(learner, model, counts, samples)) | {
        "latent_r2": linear_r2(found[0], data.train.states, found[1], data.test.states),
        "seconds": trained.seconds,
        "step_x_gru_vae": turns,
        "curve": trained.curve,
    }


def one(method: str, seed: int, data: dict[str, Split], quick: bool) -> dict:
    name, of = method.removeprefix("network_"), "network" if method.startswith("network_") else "lorenz"
    return simple(name, data[of]) if name in SIMPLE else learned(name, seed, data[of], quick)


def compared(methods: dict[str, dict]) -> dict:
    summary = {}
    for prefix in ("", "network_"):
        ours = methods.get(f"{prefix}langevin", {})
        for what in ("rates_r2", "bits_per_spike", "latent_r2", "step_x_gru_vae"):
            summary[prefix + what] = ours.get(what)
            if f"deviation_of_{what}" in ours:
                summary[f"{prefix}deviation_of_{what}"] = ours[f"deviation_of_{what}"]
        baselines = ("kernel", "gru_vae", "latent_ode", "latent_sde", "state_space")
        others = {name: methods[prefix + name]["rates_r2"] for name in baselines if prefix + name in methods}
        best = max(others, key=others.__getitem__, default=None)
        summary[f"{prefix}best_baseline"] = best
        summary[f"{prefix}best_baseline_rates_r2"] = others.get(best)
    return summary


if __name__ == "__main__":
    main("langevin", one, METHODS, compared, load=load, toy=toy, quick=["kernel", "psth", "langevin", "gru_vae"])
