"""From a file of spike times to rates: read, count in bins, smooth, and judge by spikes that were held out.

A session of a few conditions is written as NWB keeps it: the spikes of all neurons one after another, an index of
where each neuron's end, and where the trials begin and end. Between trials the neurons fire on, and no trial is quite
like the others of its condition. Rates are then those of no model: a Gaussian kernel over the other spikes of the same
neuron and trial, and the histogram of the condition from other trials. Both are judged by spikes that they have not
seen, in bits per spike against each neuron's mean rate. True rates are the ceiling, and below it is room for a model.
"""

import tempfile
from pathlib import Path

import numpy as np

import ctmodels as ct

WIDTH = 0.02  # of a bin, in seconds
RATE = 20.0  # of a neuron at rest, per second


def rates_of(rng, ts, condition, conditions, weights):
    """Per second, `(time, neuron)`: of neurons that see a rotation from a condition's angle on, fast or slow."""
    z = np.exp(1j * (rng.normal(6.0, 1.0) * ts + 2 * np.pi * condition / conditions))
    return RATE * np.exp(np.stack([z.real, z.imag], axis=1) @ weights)


def spikes_of(rng, begin, rates, dt):
    """The times of one neuron's spikes, from rates on a fine grid."""
    steps = np.repeat(np.arange(len(rates)), rng.poisson(rates * dt))
    return begin + dt * (steps + rng.uniform(size=len(steps)))


def write(path, rng, trials, duration, conditions, neurons, dt=1e-3):
    """Write a session; returns the rates that were true, `(trial, bin, neuron)`, in counts per bin."""
    angles = rng.uniform(0, 2 * np.pi, neurons)
    weights = 1.2 * np.stack([np.cos(angles), np.sin(angles)])
    begins = np.cumsum(duration + rng.uniform(0.3, 0.6, trials))
    labels = rng.permutation(np.arange(trials) % conditions)
    fine = dt * (np.arange(round(duration / dt)) + 0.5)
    true, spikes = [], [[] for _ in range(neurons)]
    for begin, label in zip(begins, labels, strict=True):
        rates = rates_of(rng, fine, label, conditions, weights)
        true.append(WIDTH * rates.reshape(-1, round(WIDTH / dt), neurons).mean(axis=1))
        for neuron in range(neurons):
            spikes[neuron].append(spikes_of(rng, begin, rates[:, neuron], dt))
            spikes[neuron].append(spikes_of(rng, begin + duration, np.full(300, RATE), dt))  # between trials
    trains = [np.sort(np.concatenate(train)) for train in spikes]
    index = np.cumsum([len(train) for train in trains])
    arrays = {"units/spike_times": np.concatenate(trains), "units/spike_times_index": index}
    np.savez(path, **arrays, begins=begins, ends=begins + duration, labels=labels)
    return np.stack(true)


def draw(counts, psth, true, labels, path):
    """A neuron's spikes, trial by trial, and its rate in each condition."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    neuron = int(np.argmax(np.var(true, axis=(0, 1))))
    ts = WIDTH * np.arange(1, counts.shape[1] + 1)
    figure, (above, below) = plt.subplots(2, 1, figsize=(6, 6), sharex=True, layout="constrained")
    order = np.argsort(labels, kind="stable")
    above.pcolormesh(ts, np.arange(len(order)), counts[order, :, neuron], cmap="Greys", rasterized=True)
    above.set(title="counts of one neuron", ylabel="trial, by condition")
    for number, label in enumerate(np.unique(labels)):
        trial = int(np.flatnonzero(labels == label)[0])
        below.plot(ts, true[trial, :, neuron] / WIDTH, "--", color=f"C{number}")
        below.plot(ts, psth[trial, :, neuron] / WIDTH, color=f"C{number}", label=f"condition {label}")
    below.set(
        title="smoothed histograms; dashed: true, of one trial",
        xlabel="time in the trial [s]",
        ylabel="spikes per s",
    )
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(path)
    plt.close(figure)


def main(
    trials=120, duration=1.0, conditions=4, neurons=20, part=0.25, kernel=6.0, psth_kernel=2.0, seed=0, figure=None
):
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.npz"
        true = write(path, rng, trials, duration, conditions, neurons)
        found = ct.data.spike_times(path)
        session = np.load(path)
        spans, labels = np.stack([session["begins"], session["ends"]], axis=1), session["labels"]
        session.close()

    # What is between trials is in no bin, and that is said.
    series = ct.collate(ct.bin_spikes(found.times, WIDTH, trials=spans, outside="drop"))
    counts, known = np.asarray(series.ys), np.arange(trials) < trials // 2
    mean = counts[known].mean(axis=(0, 1))

    # Of the other half, some entries are held out from what is smoothed, and judged.
    test = ct.Series(series.ts[~known], series.ys[~known], series.mask[~known])
    given, judged = ct.transforms.hold_out_samples(ct.Example(test, test), part, seed)
    smoothed = ct.data.gaussian_smoothing(given.x.ys, kernel, given.x.mask)
    psth = ct.data.condition_psth(counts[known], labels[known], labels[~known])
    psth = ct.data.gaussian_smoothing(psth, psth_kernel)
    rates = {"smoothing": np.asarray(smoothed), "psth": np.asarray(psth), "true": true[~known]}
    # Some of the mean rate in each: a rate of 0 where a spike came would be infinitely wrong.
    rates = {name: 0.98 * rate + 0.02 * mean for name, rate in rates.items()}
    target = judged.target
    bits = {k: float(ct.metrics.bits_per_spike(r, target.ys, target.mask, reference=mean)) for k, r in rates.items()}
    r2 = {k: float(ct.metrics.rates_r2(true=true[~known], estimated=r)) for k, r in rates.items()}
    print(f"{int(counts.sum())} spikes of {neurons} neurons in {trials} trials, {counts.mean() / WIDTH:.1f} per second")
    for name, value in bits.items():
        print(f"{name:>10}: {value:.3f} bits per held-out spike, R2 of the rates {r2[name]:.3f}")
    if figure is not None:
        draw(counts[~known], np.asarray(psth), true[~known], labels[~known], figure)
    return bits | {f"{name}_r2": value for name, value in r2.items()}


if __name__ == "__main__":
    main(figure="spikes_to_rates.svg")
