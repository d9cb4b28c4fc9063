"""Forecasts that know no dynamics: `(past (time, channel), steps) -> (steps, channel)`."""

from collections.abc import Callable

import numpy as np


def mean(past: np.ndarray, steps: int) -> np.ndarray:
    return np.tile(past.mean(axis=0), (steps, 1))


def last(past: np.ndarray, steps: int) -> np.ndarray:
    return np.tile(past[-1], (steps, 1))


def drift(past: np.ndarray, steps: int) -> np.ndarray:
    slope = (past[-1] - past[0]) / (len(past) - 1)
    return past[-1] + np.arange(1, steps + 1)[:, None] * slope


def seasonal(past: np.ndarray, steps: int) -> np.ndarray:
    """The last season again and again; the highest peak of the spectrum says how long it is."""
    power = np.sum(np.abs(np.fft.rfft(past - past.mean(axis=0), axis=0)) ** 2, axis=1)
    season = min(len(past), round(len(past) / max(1, int(np.argmax(power[1:])) + 1)))
    return past[len(past) - season + np.arange(steps) % season]


def fourier(past: np.ndarray, steps: int, waves: int = 10) -> np.ndarray:
    """Its strongest waves and its line, which go on."""
    ts, ahead = np.arange(len(past)), np.arange(len(past), len(past) + steps)
    line = np.polyfit(ts, past, 1)
    spectrum = np.fft.rfft(past - ts[:, None] * line[0] - line[1], axis=0)
    found = ahead[:, None] * line[0] + line[1]
    for channel, one in enumerate(spectrum.T):
        for k in np.argsort(-np.abs(one))[:waves]:
            weight = (1 if k in (0, len(past) / 2) else 2) / len(past)
            turned = np.exp(2j * np.pi * k * ahead / len(past))
            found[:, channel] += weight * np.real(one[k] * turned)
    return found


BASELINES: dict[str, Callable] = {"mean": mean, "last": last, "drift": drift, "seasonal": seasonal, "fourier": fourier}
