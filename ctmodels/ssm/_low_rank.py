r"""Systems that are normal plus low rank, $A = \Lambda - P P^\top$: a step over any gap for O(N) operations, and the
kernel of regular times by its generating function (S4).

Gu, Goel, Ré (2022).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels.ssm._hippo import NormalPlusLowRank
from ctmodels.ssm._pairs import Pair, cosine_and_sine, pair

State = Float[Array, " N"]
Scalar = Float[Array, ""]


class DiagonalPlusLowRank(eqx.Module):
    r"""$x' = (\Lambda - P P^\top) x + B u$ in real coordinates: halves of a state are real and imaginary parts of modes
    that $\Lambda$ multiplies. Where no pole grows, no state does without an input, in a step of any length with an
    `alpha` of at least 1/2.

    `poles`: `(N / 2,)`; `B`: `(N,)`; `P`: `(N, rank)`.
    """

    poles: Pair
    B: State
    P: Float[Array, "N rank"]

    @classmethod
    def of(cls, form: NormalPlusLowRank) -> "DiagonalPlusLowRank":
        """Of a system's form, in JAX's default float type; [`ctmodels.ssm.rotation`][] leads into these coordinates."""
        dtype = jnp.zeros(()).dtype
        real = lambda z: jnp.asarray(np.sqrt(2) * np.concatenate([np.real(z), np.imag(z)]), dtype)
        return cls(pair(form.poles), real(form.B), real(form.P))

    def derivative(self, x: State, u: Scalar) -> State:
        """$A x + B u$."""
        return _times(self.poles, x) - _combined(self.P, _inner(self.P, x)) + self.B * u

    def step(self, x: State, u: Scalar, gap: Scalar, alpha: float = 0.5) -> State:
        r"""By the generalised bilinear transform, $x + g (I - \alpha g A)^{-1} (A x + B u)$: a gap of none changes
        nothing. The inverse is Woodbury's:
        $D - D P (I / (\alpha g) + P^\top D P)^{-1} P^\top D$, $D = (I - \alpha g \Lambda)^{-1}$."""
        short = alpha * gap
        D = _inverse(Pair(1 - short * self.poles.re, -short * self.poles.im))
        moved = _times(D, self.derivative(x, u))
        DP = jax.vmap(_times, in_axes=(None, 1), out_axes=1)(D, self.P)
        inner = jnp.eye(self.P.shape[1], dtype=x.dtype) + short * jax.vmap(_inner, (None, 1), 1)(self.P, DP)
        return x + gap * (moved - short * _combined(DP, _solve_small(inner, _inner(self.P, moved))))

    def matrices(self, gap: Scalar, alpha: float = 0.5) -> tuple[Float[Array, "N N"], State]:
        r"""$\bar A$ and $\bar B$ of that step."""
        nothing = jnp.zeros_like(self.B)
        eye = jnp.eye(nothing.size, dtype=nothing.dtype)
        columns = jax.vmap(lambda x: self.step(x, jnp.zeros_like(gap), gap, alpha))(eye)
        return columns.T, self.step(nothing, jnp.ones_like(gap), gap, alpha)

    def kernel(
        self, C: Float[Array, "channel N"], gap: Scalar, length: int, alpha: float = 0.5
    ) -> Float[Array, "channel length"]:
        r"""$K_l = C \bar A^l \bar B$ from its values $\hat K(z) = C (I - \bar A^L)(I - \bar A z)^{-1} \bar B$ at the
        roots of unity $z^L = 1$. With $c_0 = 1 - z$ and $c_1 = g (\alpha + (1 - \alpha) z)$ that inverse is
        $(c_0 - c_1 A)^{-1} g B$, which is as good at $z = -1$ as elsewhere; the one of the paper divides by $1 + z$.

        What is not to be had are poles that do not fade and turn by a root of unity in one step, as a pole of zero does
        for $z = 1$: [`ctmodels.ssm.kernel`][] asks nothing of poles. Nor is that slower here: C is that of the
        recurrence, and $\bar A^L$ costs as much as the powers of A that the other takes.
        """
        left = jnp.concatenate([C - C @ _power(self.matrices(gap, alpha)[0], length), self.P.T])
        right = jnp.concatenate([self.B[:, None], self.P], axis=1)
        same, turned = self._products(left, right)
        M, r = C.shape[0], self.P.shape[1]

        def value(c0: Pair, c1: Pair):
            q = self._both(c0, c1)
            k = (c0 * _weighed(same, q) + c1 * _weighed(turned, q)).complex()
            c = c1.complex()
            held = _solve_small(jnp.eye(r, dtype=k.dtype) + c * k[M:, 1:], k[M:, 0])
            return k[:M, 0] - c * (k[:M, 1:] @ held)

        return gap * jnp.fft.irfft(jax.vmap(value)(*_at_roots(gap, length, alpha)).T, length)

    def _both(self, c0: Pair, c1: Pair) -> Pair:
        r"""Of both of a pair of poles, $1 / ((c_0 - c_1 \lambda)(c_0 - c_1 \bar\lambda))$."""
        a, omega = self.poles.re, self.poles.im
        return _inverse(c0 * c0 + (c0 * c1).times(-2 * a) + (c1 * c1).times(a**2 + omega**2))

    def _products(self, left: Float[Array, "row N"], right: Float[Array, "N column"]) -> tuple[Array, Array]:
        r"""Of each row, column and mode, the weights of $c_0$ and $c_1$ in
        $\mathrm{left}\,(c_0 - c_1 \Lambda)^{-1}\,\mathrm{right}$."""
        (v, w), (x, y) = jnp.split(left, 2, axis=1), jnp.split(right.T, 2, axis=1)
        of = lambda v, x: v[:, None, :] * x[None]
        same, across = of(v, x) + of(w, y), of(w, x) - of(v, y)
        return same, self.poles.im[None, None] * across - self.poles.re[None, None] * same


def rotation(form: NormalPlusLowRank) -> Float[np.ndarray, "N N"]:
    """From states of the system to those of its [`ctmodels.ssm.DiagonalPlusLowRank`][]: an orthogonal matrix."""
    return np.sqrt(2) * np.concatenate([np.real(form.V), -np.imag(form.V)], axis=1).T


def _weighed(weights: Float[Array, "row column mode"], q: Pair) -> Pair:
    return jax.tree.map(lambda q: jnp.matmul(weights, q, precision="highest"), q)


def _times(z: Pair, x: State) -> State:
    re, im = jnp.split(x, 2)
    return jnp.concatenate([z.re * re - z.im * im, z.re * im + z.im * re])


def _inverse(z: Pair) -> Pair:
    size = z.re**2 + z.im**2
    return Pair(z.re / size, -z.im / size)


def _inner(P: Float[Array, "N rank"], x: State) -> Float[Array, " rank"]:
    return jnp.sum(P * x[:, None], axis=0)


def _combined(P: Float[Array, "N rank"], weights: Float[Array, " rank"]) -> State:
    return jnp.sum(P * weights[None], axis=1)


def _at_roots(gap: Scalar, length: int, alpha: float) -> tuple[Pair, Pair]:
    r"""$1 - z$ and $g (\alpha + (1 - \alpha) z)$ at $z = e^{-2 \pi i j / L}$, $j = 0, \ldots, L / 2$."""
    angle = jnp.asarray(np.pi * np.arange(length // 2 + 1) / length, gap.dtype)  # of the half
    cosine, sine = cosine_and_sine(angle)
    less, turn = 2 * sine**2, 2 * sine * cosine
    return Pair(less, turn), Pair(gap * (1 - (1 - alpha) * less), -gap * (1 - alpha) * turn)


def _power(A: Float[Array, "N N"], exponent: int) -> Float[Array, "N N"]:
    power = None
    for bit in reversed(bin(exponent)[2:]):
        if bit == "1":
            power = A if power is None else jnp.matmul(power, A, precision="highest")
        A = jnp.matmul(A, A, precision="highest")
    return power  # pyright: ignore


def _solve_small(S: Array, b: Array) -> Array:
    """Of a few equations, without exchanges of rows: the symmetric part of `S` is positive. LAPACK takes longer."""
    if b.shape[0] < 2:
        return b / S.reshape(b.shape)
    factor = S[1:, 0] / S[0, 0]
    rest = _solve_small(S[1:, 1:] - jnp.outer(factor, S[0, 1:]), b[1:] - factor * b[0])
    return jnp.concatenate([(b[:1] - S[0, 1:] @ rest) / S[0, 0], rest])
