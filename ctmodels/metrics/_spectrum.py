r"""Whether two long orbits lie on one attractor, in frequency: $D_H$. See `_attractor.py` for what it is from."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.metrics._arrays import Numbers, numbers, one_where_zero, orbits, unless_diverged, with_channels


def d_hellinger(
    true: Numbers,
    generated: Numbers,
    *,
    sigma: float | int = 20.0,
) -> Float[Array, ""]:
    r"""Hellinger distance of two orbits' power spectra, from 0 to 1; lower is better.

    $$D_H = \Big\langle \tfrac{1}{\sqrt2} \big\| \sqrt{p_c} - \sqrt{q_c} \big\|_2 \Big\rangle_c$$

    with $p_c$ and $q_c$ the [`power_spectrum`][] of channel $c$ of each.

    **Arguments:**

    - `true`, `generated`: the two orbits, `(time, channel)`, equally long, both sampled evenly and
        at one spacing. [`as_sampled`][] makes such of a record with gaps or uneven times.
    - `sigma`: smoothing, in frequency bins; so it is wider in frequency on a shorter orbit. The
        value depends on it more than on most models: see below.

    **Returns:** the mean over channels. Each orbit is centred and scaled by itself, so this is
    blind to offset and scale. A channel that is constant in one orbit only is at distance 1, in
    both at 0. NaN for orbits of `8 * sigma` samples or fewer, which the smoothing makes all alike. If
    a generated value is NaN or infinite $D_H$ is 1, its largest; it is NaN if the truth is not
    finite.

    !!! example "Good values"

        The floor, of 30 pairs of independent orbits of Lorenz-63 of 25 000 samples at 0.02 (lowest,
        median, highest; `benchmarks.reconstruct.floors`): 0.44, 0.46 and 0.50 with `sigma=0`, 0.15, 0.18 and 0.21
        with 2, 0.03, 0.05 and 0.08 with 20, where rho = 40 has 0.22 to 0.25 and white noise 0.82. With
        2000 samples and 20 the floor is 0.01, 0.02 and 0.06, and rho = 40 has 0.07 to 0.10.
    """
    true, generated = orbits(true=true, generated=generated)
    if true.shape != generated.shape:
        raise ValueError(
            f"true has shape {true.shape} and generated {generated.shape}, (time, channel): spectra are compared of "
            "orbits that are equally long; cut the longer one"
        )
    if len(true) <= 8 * sigma:
        return jnp.full((), jnp.nan, true.dtype)
    p, q = power_spectrum(true, sigma), power_spectrum(generated, sigma)
    distance = 0.5**0.5 * jnp.linalg.norm(jnp.sqrt(p) - jnp.sqrt(q), axis=0)
    # An orbit at rest has no spectrum: zeros, which would be at 1/sqrt(2) from any other.
    at_rest = (p.sum(axis=0) == 0) != (q.sum(axis=0) == 0)
    return unless_diverged(jnp.where(at_rest, 1, distance).mean(), true, generated, 1)


def power_spectrum(ys: Numbers, sigma: float | int = 20.0) -> Float[Array, "frequency channel"]:
    r"""Each channel's share of power at each frequency.

    $$p(\omega) = \frac{s(\omega)}{\sum_{\omega'} s(\omega')}, \qquad
      s = g_\sigma * |\mathcal F (y - \langle y\rangle)|^2$$

    **Arguments:**

    - `ys`: an evenly sampled orbit, `(time, channel)` or `(time,)`.
    - `sigma`: standard deviation of the Gaussian $g_\sigma$, in bins, cut at four of them and
        reflected at both ends with the end bin repeated (as `scipy.ndimage.gaussian_filter1d` does
        by default); no smoothing if 0.

    **Returns:** non-negative numbers that sum to 1 over the frequencies $k / (T \Delta t)$, $k = 0,
    \dots, \lfloor T/2\rfloor$ (`jnp.fft.rfftfreq`). All zeros for a constant channel, which has no
    power to share.
    """
    ys = with_channels(numbers(ys, "ys"), "ys")
    # The scale cancels in the share. Two divisions by the largest value instead of one by the
    # standard deviation: a run that has almost diverged does not overflow, and "constant" is
    # measured against the rounding of the values themselves.
    ys = ys / one_where_zero(jnp.abs(ys).max(axis=0, keepdims=True))
    ys = ys - ys.mean(axis=0, keepdims=True)
    size = jnp.abs(ys).max(axis=0, keepdims=True)
    constant = size <= 8 * jnp.finfo(ys.dtype).eps
    power = jnp.square(jnp.abs(jnp.fft.rfft(ys / one_where_zero(size), axis=0)))
    power = _gaussian_filter(jnp.where(constant, 0, power), sigma)
    return power / one_where_zero(power.sum(axis=0, keepdims=True))


def _gaussian_filter(x, sigma, truncate=4.0):
    """`scipy.ndimage.gaussian_filter1d(x, sigma, axis=0)`."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return x
    kernel = jnp.exp(-0.5 * jnp.square(jnp.arange(-radius, radius + 1, dtype=x.dtype) / sigma))
    kernel = kernel / kernel.sum()
    padded = jnp.pad(x, ((radius, radius), (0, 0)), mode="symmetric")
    convolve = lambda column: jnp.convolve(column, kernel, "valid", precision="highest")
    return jax.vmap(convolve, in_axes=1, out_axes=1)(padded)
