r"""Damped oscillators $y'' = -a y - c y' + v$, $z = y'$, over a gap, v held: the map of $(z, y)$ and what v adds.

LinOSS: Rusch, Rus (2025); with damping: Boyer, Rusch, Rus (2025). Exact is ours: only it is the same in one gap and in
its two halves (the semigroup law).
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.ssm._pairs import cosine_and_sine
from ctmodels.ssm._transitions import Blocks

Modes = Float[Array, " mode"]
Drive = tuple[Modes, Modes]


def exact_step(a: Modes, c: Modes | None, gap: Modes) -> tuple[Blocks, Drive]:
    r"""$e^{Mg}$, $M = \begin{pmatrix} -c & -a \\ 1 & 0 \end{pmatrix}$, and $\int_0^g e^{Ms} ds\,(1, 0)^\top$, for
    $a \ge 0$, $c \ge 0$, whether it swings or creeps; None is no damping."""
    h, slope, area = _undamped(a, gap) if c is None else _damped(a, c, gap)
    # The response to a unit velocity, (slope, h), and to a unit position, (-a h, slope + c h).
    return Blocks(slope, -a * h, h, slope if c is None else slope + c * h), (h, area)


def implicit_step(a: Modes, c: Modes | None, gap: Modes) -> tuple[Blocks, Drive]:
    """LinOSS-IM: one step of the backward Euler method. It damps what it turns."""
    s = 1 / (1 + gap**2 * a + (0 if c is None else gap * c))
    return Blocks(s, -gap * a * s, gap * s, 1 - gap**2 * a * s), (gap * s, gap**2 * s)


def implicit_explicit_step(a: Modes, c: Modes | None, gap: Modes) -> tuple[Blocks, Drive]:
    """LinOSS-IMEX: one step of the symplectic Euler method, with implicit damping; it keeps volume, and is stable for
    `gap^2 a` below four."""
    s = jnp.ones_like(gap * a) if c is None else 1 / (1 + gap * c)
    return Blocks(s, -gap * a * s, gap * s, 1 - gap**2 * a * s), (gap * s, gap**2 * s)


def _undamped(a: Modes, t: Modes) -> tuple[Modes, Modes, Modes]:
    r"""Position and velocity after a unit kick, and the integral of the position:
    $\sin(\omega t)/\omega$, $\cos(\omega t)$, $(1 - \cos \omega t)/\omega^2$."""
    omega = jnp.sqrt(jnp.where(a > 0, a, 1))
    sine, cosine = cosine_and_sine(omega * t / 2)[::-1]
    still = a <= 0
    h = jnp.where(still, t, 2 * sine * cosine / omega)
    return h, jnp.where(still, 1, 1 - 2 * sine**2), jnp.where(still, t**2 / 2, 2 * (sine / omega) ** 2)


def _damped(a: Modes, c: Modes, t: Modes) -> tuple[Modes, Modes, Modes]:
    r"""With $s = -c/2$, $\omega^2 = a - c^2/4$: $h = e^{st} \sin(\omega t)/\omega$; two decays for $\omega^2 < 0$."""
    s, square = -c / 2, a - c**2 / 4
    swings = square > 0
    swung = _swinging(jnp.where(swings, a, 1), jnp.where(swings, s, 0), jnp.where(swings, square, 1), t)
    crept = _creeping(jnp.where(swings, 0, a), jnp.where(swings, -1, s), jnp.where(swings, 1, -square), t)
    return tuple(jnp.where(swings, x, y) for x, y in zip(swung, crept, strict=True))  # pyright: ignore


def _swinging(a: Modes, s: Modes, square: Modes, t: Modes) -> list[Modes]:
    omega, fade = jnp.sqrt(square), jnp.exp(s * t)
    cosine, sine = cosine_and_sine(omega * t / 2)
    h = fade * 2 * sine * cosine / omega
    less = 2 * sine**2  # than one by this is cos(omega t)
    return [h, fade * (1 - less) + s * h, (fade * less - jnp.expm1(s * t) + s * h) / a]


def _creeping(a: Modes, s: Modes, square: Modes, t: Modes) -> list[Modes]:
    """The slow decay is a / fast, without a difference. Where they hardly differ, as one: up to (rt)^2 / 6."""
    near = (square * t**2 < (6 * jnp.finfo(a.dtype).eps) ** (2 / 3)) | (s == 0)
    r = jnp.sqrt(jnp.where(near, 1, square))
    fast = jnp.where(near, -2, s - r)
    slow = a / fast
    lasting, gone = jnp.exp(slow * t), jnp.exp(fast * t)
    area_of = lambda rate: jnp.where(rate == 0, t, jnp.expm1(rate * t) / jnp.where(rate == 0, 1, rate))
    apart = [lasting - gone, slow * lasting - fast * gone, area_of(slow) - area_of(fast)]
    fade = jnp.exp(s * t)
    critical = [t * fade, (1 + s * t) * fade, t**2 * _ramp(s * t)]
    return [jnp.where(near, one, two / (2 * r)) for one, two in zip(critical, apart, strict=True)]


def _ramp(x: Modes) -> Modes:
    r"""$(1 - (1 - x) e^x)/x^2 = \sum_k x^k/(k!\,(k + 2))$."""
    short = jnp.abs(x) < 0.1
    far = jnp.where(short, -1, x)
    series = sum(jnp.where(short, x, 0) ** k / (math.factorial(k) * (k + 2)) for k in range(8))
    return jnp.where(short, series, (1 - (1 - far) * jnp.exp(far)) / far**2)
