r"""How well equations follow the data through the solve, by least squares of their constants and of starts.

On the host, all derivatives by differences side by side: one of many equations is followed in less time than it takes
to compile it. A series is cut into windows, each from a start of its own; the classical Runge-Kutta method, a step
from row to row.
"""

import ast
from typing import NamedTuple

import numpy as np

from ctmodels._core._series import Series
from ctmodels.symbolic._written import law, tree

STEPS = 30  # of least squares, at most
TINY = 1e-6  # by which constants and starts are moved, in shares of their size
FLOOR = 1e-6  # of a channel's deviation: a noise below it is rounding


class Windows(NamedTuple):
    """`(row, window)` times, `(row, channel, window)` values and mask, `(row, input, window)` inputs."""

    ts: np.ndarray
    ys: np.ndarray
    mask: np.ndarray
    us: np.ndarray
    spread: np.ndarray


def windows_of(series: list[Series], controls: list[Series | None], rows: int) -> Windows:
    """All trials, cut into windows of so many rows; the last of each may be shorter."""
    parts = []
    for one, control in zip(series, controls, strict=True):
        ts, ys, mask = (np.asarray(x) for x in (one.ts, one.ys, one.mask))
        us = np.zeros((len(ts), 0))
        if control is not None:
            columns = (np.asarray(control.ys).T, np.asarray(control.mask).T)
            us = np.stack([np.interp(ts, np.asarray(control.ts)[m], y[m]) for y, m in zip(*columns, strict=True)], 1)
        for first in range(0, max(1, len(ts) - 1), rows):
            at = np.minimum(np.arange(first, first + rows + 1), len(ts) - 1)
            known = mask[at] & (np.arange(first, first + rows + 1) < len(ts))[:, None]
            parts.append((ts[at], ys[at], known, us[at]))
    ts, ys, mask, us = (np.stack(x, axis=-1) for x in zip(*parts, strict=True))
    values = np.concatenate([np.asarray(one.to_nan(), np.float64) for one in series])
    return Windows(np.asarray(ts, float), np.asarray(ys, float), mask, us, np.nanstd(values, axis=0) + 1e-300)


def criterion(equations: tuple[str, ...], data: Windows) -> float:
    """Schwarz', infinite where the solution is not finite."""
    written = law(equations, inputs=[f"x{len(equations) + i}" for i in range(data.us.shape[1])]).function
    slopes = _compiled(written.equations)  # pyright: ignore
    guess = np.asarray(written.guesses)  # pyright: ignore
    starts = _first(data)
    noise = data.spread.copy()
    for _ in range(3):
        guess, starts, left = _least(slopes, guess, starts, data, noise)
        if left is None:
            return np.inf
        noise = np.sqrt(_mean_squares(left, data) + (FLOOR * data.spread) ** 2)
    rows = data.mask.sum(axis=(0, 2))
    return float(np.sum(rows * np.log(noise**2)) + (len(guess) + starts.size) * np.log(rows.sum()))


def _first(data: Windows) -> np.ndarray:
    """The first value seen of each window and channel, `(channel, window)`."""
    first = np.argmax(data.mask, axis=0)
    return np.take_along_axis(data.ys, first[None], axis=0)[0]


def _mean_squares(left: np.ndarray, data: Windows) -> np.ndarray:
    return np.sum(left**2, axis=(0, 2)) / np.maximum(data.mask.sum(axis=(0, 2)), 1)


def _compiled(equations: tuple[str, ...]):
    """Slopes of `(state, lane, window)` for constants `(constant, lane)`."""
    codes = [compile(ast.fix_missing_locations(ast.Expression(tree(e))), "equation", "eval") for e in equations]
    known = {name: getattr(np, name) for name in ("abs", "cos", "exp", "log", "sin")}
    known |= {"cot": lambda x: 1 / np.tan(x), "__builtins__": {}}

    def of(c, y, u):
        names = {f"x_{i}": x for i, x in enumerate([*y, *u])} | {f"c_{k}": x[:, None] for k, x in enumerate(c)}
        return np.stack([np.broadcast_to(eval(code, known, names), y.shape[1:]) for code in codes])

    return of


def _solved(slopes, c: np.ndarray, starts: np.ndarray, data: Windows) -> np.ndarray:
    """`(row, channel, lane, window)`, of constants `(constant, lane)` and starts `(channel, lane, window)`."""
    ys = [starts]
    for i in range(len(data.ts) - 1):
        h, u0, u1 = data.ts[i + 1] - data.ts[i], data.us[i][:, None], data.us[i + 1][:, None]
        y, middle = ys[-1], (u0 + u1) / 2
        k1 = slopes(c, y, u0)
        k2 = slopes(c, y + h / 2 * k1, middle)
        k3 = slopes(c, y + h / 2 * k2, middle)
        ys.append(y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slopes(c, y + h * k3, u1)))
    return np.stack(ys)


@np.errstate(all="ignore")  # what is not finite is not taken
def _least(slopes, c, starts, data: Windows, noise: np.ndarray):
    """Levenberg (1944) and Marquardt (1963): constants, starts, and what is left of the values, None if not finite."""
    damping, left, J = 1e-2, *_linear(slopes, c, starts, data, noise)
    if not np.all(np.isfinite(J)) or not np.all(np.isfinite(left)):
        return c, starts, None
    for _ in range(STEPS):
        A, g = J.T @ J, J.T @ left
        weights = np.where(np.diag(A) > 0, np.diag(A), 1)
        step = np.linalg.solve(A + damping * np.diag(weights), g)
        tried = c + step[: len(c)], starts + step[len(c) :].reshape(starts.shape)
        left1, J1 = _linear(slopes, *tried, data, noise)
        before, after = left @ left, left1 @ left1
        better = np.all(np.isfinite(J1)) and after < before
        if better:
            (c, starts), left, J = tried, left1, J1
        if damping > 1e8 or (better and before - after < 1e-5 * before):
            break
        damping = damping / 10 if better else damping * 5
    shape = (data.mask.shape[0], data.mask.shape[1], data.mask.shape[2])
    return c, starts, left.reshape(shape) * noise[None, :, None]


def _linear(slopes, c, starts, data: Windows, noise: np.ndarray):
    """Residuals in units of the noise, zero where nothing was seen, and their slopes along constants and starts."""
    states, lanes = len(starts), 1 + len(c) + len(starts)
    moved = TINY * np.concatenate([np.maximum(np.abs(c), 1e-3), data.spread])
    cs, ys = np.repeat(c[:, None], lanes, axis=1), np.repeat(starts[:, None], lanes, axis=1)
    for k in range(len(c)):
        cs[k, 1 + k] += moved[k]
    for s in range(states):
        ys[s, 1 + len(c) + s] += moved[len(c) + s]
    found = _solved(slopes, cs, ys, data)
    scale = data.mask / noise[None, :, None]
    left = (data.ys - found[:, :, 0]) * scale
    along = (found[:, :, 1:] - found[:, :, :1]) / moved[:, None] * scale[:, :, None]
    of_starts = along[:, :, len(c) :]
    own = np.eye(starts.shape[1])
    blocks = np.einsum("rcsw,wv->rcwsv", of_starts, own).reshape(left.size, -1)
    J = np.concatenate([np.moveaxis(along[:, :, : len(c)], 2, -1).reshape(left.size, len(c)), blocks], axis=1)
    return left.ravel(), J
