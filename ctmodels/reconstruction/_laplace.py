r"""What least squares leave open of parameters (Laplace): on the host, in float64.

With $A$ the slopes of the residuals along the parameters, less what starts of the windows make up for (Schur), and
residuals in units of their deviation, $\mathrm{cov} = (A^\top A)^{-1}$. Where residuals go on from row to row, the
sandwich $\mathrm{cov}\,(\sum_l w_l \Gamma_l)\,\mathrm{cov}$ with Bartlett's weights (Newey and West 1987), over as many
lags as Andrews (1991) finds best for residuals that remember so much.
"""

from typing import NamedTuple

import numpy as np

UNKNOWN = 10.0  # first guesses; a direction that is known no better is not known
INVOLVED = 0.1  # share of a flat direction, from which on a parameter is said to be part of it


class Rows(NamedTuple):
    """What least squares end with, all arrays on the host in float64: `residuals`, `mask` `(trial, time, channel)`,
    `slopes` `(trial, time, channel, unknown)` along parameters and then the start, `window` `(trial, time)`, `ts` too;
    `unit` `(parameter,)`: the parameters' sizes, in the coordinates that slopes are along; `eps`: of the precision in
    which they were found."""

    residuals: np.ndarray
    mask: np.ndarray
    slopes: np.ndarray
    window: np.ndarray
    unit: np.ndarray
    eps: float


class Laplace(NamedTuple):
    """`deviation` `(channel,)`: of the noise; `cov` `(parameter, parameter)`: along what is determined; `flat`
    `(direction, parameter)`: what is not, in shares of the parameters' sizes; `dof`: degrees of freedom of the
    residuals; `memory`: their autocorrelation from row to row; `robust`: whether the sandwich was needed, and `wider`
    `(parameter,)`: by how much it made each variance larger."""

    deviation: np.ndarray
    cov: np.ndarray
    flat: np.ndarray
    dof: int
    memory: float
    robust: bool
    wider: np.ndarray


def laplace(rows: Rows, rounds: int = 3) -> Laplace:
    """The noise by restricted maximum likelihood, channel by channel, and the covariance under it."""
    count = np.maximum(rows.mask.sum((0, 1)), 1)
    deviation = np.sqrt(np.sum(np.where(rows.mask, rows.residuals, 0) ** 2, (0, 1)) / count)
    for _ in range(rounds):
        deviation = np.maximum(deviation, np.finfo(np.float64).tiny ** 0.25)
        r = np.where(rows.mask, rows.residuals / deviation, 0)
        own, A, rank = _without_starts(rows, deviation)
        cov, flat = _covariance(A.reshape(-1, len(rows.unit)), rows)
        taken = np.where(rows.mask, own + np.einsum("ntci,ij,ntcj->ntc", A, cov, A), 0).sum((0, 1))
        square = np.sum(r**2, (0, 1)) / np.maximum(count - taken, 1e-3 * count)
        deviation = deviation * np.sqrt(square)
    # The last round's residuals are in units of the deviation before it.
    plain = np.asarray(cov * np.average(square, weights=count))
    wider = np.ones(len(plain))
    dof = max(1, int(rows.mask.sum()) - rank - (len(rows.unit) - len(flat)))
    memory, significant = _memory(r, rows)
    if significant:
        before = np.diagonal(plain)
        plain = _wider(plain, _sandwich(cov, A, r, memory) * int(rows.mask.sum()) / dof)
        wider = np.where(before > 0, np.diagonal(plain) / np.where(before > 0, before, 1), 1)
    return Laplace(deviation, plain, flat, dof, memory, significant, wider)


def _without_starts(rows: Rows, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Of each value the leverage of its window's start, its slopes along the parameters when starts follow, and how
    many numbers of the starts are determined in all."""
    p = len(rows.unit)
    J = np.where(rows.mask[..., None], rows.slopes / deviation[:, None], 0)
    J_q, J_z = J[..., :p], J[..., p:]
    trials, states, count = len(J), J_z.shape[-1], int(rows.window.max()) + 1
    at = rows.window + count * np.arange(trials)[:, None]
    zz, zq = np.zeros((trials * count, states, states)), np.zeros((trials * count, states, p))
    np.add.at(zz, at, np.einsum("ntci,ntcj->ntij", J_z, J_z))
    np.add.at(zq, at, np.einsum("ntci,ntcj->ntij", J_z, J_q))
    inverse, rank = _pseudo_inverse(zz, rows.eps)
    own = np.einsum("ntci,ntij,ntcj->ntc", J_z, inverse[at], J_z)
    return own, J_q - np.einsum("ntci,ntij->ntcj", J_z, (inverse @ zq)[at]), rank


def _pseudo_inverse(H: np.ndarray, eps: float) -> tuple[np.ndarray, int]:
    values, vectors = np.linalg.eigh(H)
    kept = values > np.maximum(10 * eps * values.max(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
    return np.einsum("nik,nk,njk->nij", vectors, inverse, vectors), int(kept.sum())


def _covariance(A: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """By singular values, which tell directions apart down to rounding and not only to its root."""
    if not np.isfinite(A).all():
        return np.zeros((A.shape[1],) * 2), np.eye(A.shape[1])
    _, sizes, directions = np.linalg.svd(A * rows.unit, full_matrices=False)
    known = (sizes > 0.3 * np.sqrt(rows.eps) * sizes.max()) & (sizes > 1 / UNKNOWN)
    kept = directions[known] * rows.unit
    return kept.T @ (kept / sizes[known, None] ** 2), directions[~known]


def _memory(r: np.ndarray, rows: Rows) -> tuple[float, bool]:
    """Correlation of neighbouring residuals, and whether chance makes so much but once in a hundred times."""
    pair = rows.mask[:, 1:] & rows.mask[:, :-1] & (rows.window[:, 1:] == rows.window[:, :-1])[..., None]
    pairs, square = int(pair.sum()), np.sum(r**2)
    if pairs < 3 or square == 0:
        return 0.0, False
    memory = float(np.sum(np.where(pair, r[:, 1:] * r[:, :-1], 0)) / pairs / (square / rows.mask.sum()))
    return memory, bool(memory > 2.33 / np.sqrt(pairs))


def _sandwich(cov: np.ndarray, A: np.ndarray, r: np.ndarray, memory: float) -> np.ndarray:
    scores = np.einsum("ntci,ntc->nti", A, r)
    rho, length = min(memory, 0.97), scores.shape[1]
    lags = int(np.ceil(1.1447 * (4 * rho**2 / ((1 - rho) ** 2 * (1 + rho) ** 2) * length) ** (1 / 3)))
    meat = np.einsum("nti,ntj->ij", scores, scores)
    for lag in range(1, min(lags, length - 1) + 1):
        gamma = np.einsum("nti,ntj->ij", scores[:, lag:], scores[:, :-lag])
        meat += (1 - lag / (lags + 1)) * (gamma + gamma.T)
    return cov @ meat @ cov


def _wider(cov: np.ndarray, robust: np.ndarray) -> np.ndarray:
    """The sandwich, no parameter of which is better known than without it."""
    a, b = np.sqrt(np.diagonal(cov)), np.sqrt(np.maximum(np.diagonal(robust), 0))
    factor = np.where(b > 0, np.maximum(a, b) / np.where(b > 0, b, 1), 1)
    return factor[:, None] * robust * factor


def flat_directions(flat: np.ndarray, names: tuple[str, ...]) -> tuple[tuple[str, ...], set[str]]:
    """A sentence for each, and the parameters that no interval can be given of."""
    sentences, involved = [], set()
    for direction in _simplest(flat):
        part = np.flatnonzero(np.abs(direction) > INVOLVED * np.abs(direction).max())
        shares, own = direction[part] / direction[part[0]], [names[i] for i in part]
        involved |= set(own)
        sentences.append(f"The data do not determine {_listed(own)}: {_what(own, shares)}.")
    return tuple(sentences), involved


def _what(names: list[str], shares: np.ndarray) -> str:
    if len(names) == 1:
        return "it changes nothing that was observed, by more than the noise"
    moves = " with ".join(
        f"{name} {'−' if share < 0 else '+'}{abs(share):.2g} %" for name, share in zip(names, shares, strict=True)
    )
    if len(names) == 2 and abs(abs(shares[1]) - 1) < 0.02:
        only = f"{names[0]} {'*' if shares[1] < 0 else '/'} {names[1]}"
        return f"{moves} changes nothing that was observed, as where only {only} matters"
    return f"{moves} changes nothing that was observed, by more than the noise"


def _simplest(flat: np.ndarray) -> np.ndarray:
    """Directions that span the same, each with as many zeros as can be: by elimination with full pivots."""
    rows = flat.copy()
    for i in range(len(rows)):
        j = np.unravel_index(np.argmax(np.abs(rows[i:])), rows[i:].shape)
        rows[[i, i + j[0]]] = rows[[i + j[0], i]]
        rows[i] /= rows[i, j[1]]
        others = np.arange(len(rows)) != i
        rows[others] -= rows[others][:, [j[1]]] * rows[i]
    return rows


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
