r"""HiPPO: the linear systems $x' = A x + B u$ whose state is what best remembers `u`, as coefficients of orthogonal
functions under a measure of the past.

Gu, Dao, Ermon, Rudra, Ré (2020); normal plus low rank: Gu, Goel, Ré (2022). All of these are made on the host, in
double precision.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from ctmodels._core._arguments import check_whole

Matrix = Float[np.ndarray, "N N"]
Vector = Float[np.ndarray, " N"]


class Hippo(NamedTuple):
    r"""A system $x' = A x + B u$, and $P$ such that $A + P P^\top$ is normal.

    `A`: `(N, N)`; `B`: `(N,)`; `P`: `(N, rank)`; None where none is known.
    """

    A: Matrix
    B: Vector
    P: Float[np.ndarray, "N rank"] | None


class NormalPlusLowRank(NamedTuple):
    r"""$A = V (\mathrm{diag}(\Lambda) - P P^*) V^*$ with a unitary $V$, of which each pair of conjugates is kept once:
    $A = 2 \mathrm{Re}(V \Lambda V^*) - \ldots$

    `poles`: `(N / 2,)`, imaginary parts below zero, the smallest first; `B`: `(N / 2,)`; `P`: `(N / 2, rank)`; `V`:
    `(N, N / 2)`.
    """

    poles: Complex[np.ndarray, " half"]
    B: Complex[np.ndarray, " half"]
    P: Complex[np.ndarray, "half rank"]
    V: Complex[np.ndarray, "N half"]


def legs(N: int) -> Hippo:
    r"""Legendre polynomials over all of the past, each moment as much as any other (scaled Legendre):
    $A_{nk} = -\sqrt{(2n+1)(2k+1)}$ below the diagonal, $-(n+1)$ on it, $B_n = \sqrt{2n+1}$; used as it stands it
    forgets exponentially."""
    n, root = _orders(N)
    A = -np.tril(np.outer(root, root), -1) - np.diag(n + 1)
    return Hippo(A, root, np.sqrt(n + 0.5)[:, None])


def legt(N: int) -> Hippo:
    r"""Legendre polynomials over a window of length 2 (translated Legendre):
    $A_{nk} = -\tfrac12 \sqrt{(2n+1)(2k+1)}$ times 1 for $n \ge k$, else $(-1)^{n-k}$, $B_n = \tfrac12 \sqrt{2n+1}$.

    The recurrent layer of the first LSSL has twice this: a window of length 1."""
    n, root = _orders(N)
    sign = np.where(n[:, None] >= n, 1.0, (-1.0) ** (n[:, None] - n))
    even = np.where(n % 2 == 0, root, 0) / np.sqrt(2)
    odd = np.where(n % 2 == 1, root, 0) / np.sqrt(2)
    return Hippo(-0.5 * np.outer(root, root) * sign, root / 2, np.stack([even, odd], axis=1))


def lagt(N: int) -> Hippo:
    r"""Laguerre polynomials, an exponential window: $A = \tfrac12 I - \mathrm{tril}(1)$, $B = 1$."""
    _orders(N)
    return Hippo(0.5 * np.eye(N) - np.tril(np.ones((N, N))), np.ones(N), np.full((N, 1), np.sqrt(0.5)))


def lmu(N: int, theta: float = 1.0) -> Hippo:
    r"""Legendre polynomials over a window of length theta, unnormalised (Voelker, Kajić, Eliasmith 2019):
    $A_{nk} = (2n+1)/\theta$ times -1 for $n < k$, else $(-1)^{n-k+1}$, $B_n = (2n+1)(-1)^n/\theta$."""
    n, _ = _orders(N)
    sign = np.where(n[:, None] < n, -1.0, (-1.0) ** (n[:, None] - n + 1))
    scale = (2 * n + 1) / theta
    return Hippo(scale[:, None] * sign, scale * (-1.0) ** n, None)


def fout(N: int) -> Hippo:
    r"""Fourier series over a window of length 2 (truncated Fourier): rotations of $\pi k$ less $B B^\top$,
    $B = (1, 0, \sqrt2, 0, \sqrt2, \ldots)$. N is even."""
    _orders(N)
    if N % 2:
        raise ValueError(f"N={N}: an even number is needed, as sines and cosines come in pairs; give {N + 1}")
    turns = np.stack([np.zeros(N // 2), np.arange(N // 2)]).T.reshape(-1)[1:]
    B = np.zeros(N)
    B[0::2] = np.sqrt(2)
    B[0] = 1
    rotations = np.pi * (np.diag(turns, -1) - np.diag(turns, 1))
    return Hippo(rotations - np.outer(B, B), B, B[:, None])


def normal_plus_low_rank(system: Hippo) -> NormalPlusLowRank:
    """The form in which a system has fast kernels and steps. N is even, and `P` is known."""
    A, B, P = system
    if P is None or A.shape[0] % 2:
        what = "no P is known of it" if P is None else f"N={A.shape[0]} is odd, and conjugates come in pairs"
        raise ValueError(f"system: {what}; legs, legt, lagt and fout of an even N have this form")
    normal = A + P @ P.T
    decay = np.mean(np.diag(normal))  # the same real part throughout: what is left is skew
    skew = normal - decay * np.eye(A.shape[0])
    if not np.allclose(skew, -skew.T, rtol=0, atol=1e-9 * np.abs(normal).max()):
        raise ValueError("system: A + P P^T is no multiple of the identity and a skew matrix: P is not that of this A")
    poles, V = _eigenvectors_of_skew(skew)
    return NormalPlusLowRank(decay + 1j * poles, V.conj().T @ B, V.conj().T @ P, V)


def _eigenvectors_of_skew(S: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Imaginary parts of the eigenvalues of a real skew matrix that are not above zero, one of each pair, and their
    eigenvectors. Two real vectors that nothing turns are made a pair."""
    turned, V = np.linalg.eigh(-1j * S)
    still = np.abs(turned) <= 1e-9 * np.max(np.abs(turned))
    below = (turned < 0) & ~still
    null = np.linalg.svd(S)[2][S.shape[0] - still.sum() :]
    paired = (null[0::2] + 1j * null[1::2]).T / np.sqrt(2)
    return np.concatenate([turned[below], np.zeros(paired.shape[1])]), np.concatenate([V[:, below], paired], axis=1)


def _orders(N: int) -> tuple[np.ndarray, np.ndarray]:
    check_whole("N", N, 1)
    n = np.arange(N, dtype=np.float64)
    return n, np.sqrt(2 * n + 1)
