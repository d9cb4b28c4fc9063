"""The recordings of the board, in parts: to learn from, to choose by, to be judged by."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ctmodels import systems


class System(NamedTuple):
    """Rows a step apart, `(time, channel)`. `train`: to learn from; `chosen_by`: chooses the stage of a training, and
    comes from what is learned from, or just after it; `test`: by which the board judges; `noise`: of the first two that
    the test has not, its deviation."""

    name: str
    train: np.ndarray
    chosen_by: np.ndarray
    test: np.ndarray
    noise: float = 0.0


def of_lorenz63(rows: np.ndarray, test: int = 100_000) -> System:
    """The file is noisy, and a model is not: it is judged by an orbit of the true law, scaled by its own mean and
    deviation: then the file's values are such an orbit's, with noise of 0.05 added."""
    start = jnp.asarray([-4.0, 3.0, 22.0], jnp.float32)
    orbit = systems.simulate(systems.Lorenz63(), start, dt=0.01, steps=5 * test, transient=5000)
    orbit = np.asarray(orbit)
    orbit = (orbit - orbit.mean(axis=0)) / orbit.std(axis=0)
    return System("lorenz63", rows[:-10_000], rows[-10_000:], orbit[:test], 0.05)


def with_tail(name: str, rows: np.ndarray) -> System:
    """Half of a recording is its test; before it, a tenth chooses."""
    n = len(rows)
    return System(name, rows[: 4 * n // 10], rows[4 * n // 10 : n // 2], rows[n // 2 :])


def as_published(name: str, rows: np.ndarray) -> System:
    """A recording too short and too unlike itself to be cut: judged by what was learned from, as in the paper, whose
    test file is its training file."""
    return System(name, rows, rows, rows)


FILES: dict[str, tuple[str, Callable[[np.ndarray], System]]] = {
    "lorenz63": ("lorenz63/lorenz63_on0.05_train.npy", of_lorenz63),
    "ecg": ("ecg/ECG_pecuzal_5d_train.npy", lambda rows: with_tail("ecg", rows)),
    "eeg": ("eeg/EEG_train.npy", lambda rows: as_published("eeg", rows)),
    "lorenz96": ("lorenz96/lorenz96_train.npy", lambda rows: with_tail("lorenz96", rows)),
    "bursting_neuron": ("bursting_neuron/burstingneuron_train.npy", lambda rows: with_tail("bursting_neuron", rows)),
}


def load(folder: Path, name: str) -> System:
    path, of = FILES[name]
    return of(np.load(folder / path).astype(np.float32))


def toy(name: str) -> System:
    """In the place of a recording: a short orbit of Lorenz-63, of as many channels."""
    channels = {"ecg": 5, "eeg": 8, "lorenz96": 10}.get(name, 3)
    orbit = np.asarray(systems.simulate(systems.Lorenz63(), jnp.ones(3, jnp.float32), dt=0.01, steps=4000))
    mixed = orbit @ np.random.default_rng(0).normal(size=(3, channels)) if channels > 3 else orbit
    rows = ((mixed - mixed.mean(axis=0)) / mixed.std(axis=0)).astype(np.float32)
    return with_tail(name, rows)
