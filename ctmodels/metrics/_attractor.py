r"""Whether two long orbits lie on one attractor: in state space ($D_{stsp}$), in frequency ($D_H$).

Codes in use disagree on both, and on short orbits both are far from zero between two orbits of one
system. So each choice is written down below, and a value is to be quoted with the number of
samples, the bins, the range and the smoothing, beside the value between two orbits of the truth
(the floor).

??? cite

    Koppe et al., PLoS Comput. Biol. 15, e1007263 (2019); Brenner et al., ICML 2022; Mikhaeil,
    Monfared and Durstewitz, NeurIPS 2022; Hess, Monfared, Brenner and Durstewitz, "Generalized
    Teacher Forcing", ICML 2023 (the form used here).
"""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray


def d_stsp(
    true: Float[ArrayLike, "time channel"],
    generated: Float[ArrayLike, "samples channel"],
    *,
    bins: int = 30,
    widen: float | int = 0.1,
    alpha: float | int = 1e-5,
    key: PRNGKeyArray | None = None,
) -> Float[Array, ""]:
    r"""Divergence of a generated orbit from the true one in state space, in nats; lower is better.

    $$D_{stsp} = \sum_k p_k \log \frac{p_k}{q_k}, \qquad
      p_k = \frac{c_k + \alpha}{\sum_l c_l + \alpha\, \text{bins}^N}$$

    with $c_k$ the counts of the true orbit in the cells of a grid, and $q_k$ likewise of the
    generated one. Above three channels the grid is empty almost everywhere, and the value is that
    of [`d_stsp_gmm`][] with its default settings; the two are on different scales.

    **Arguments:**

    - `true`, `generated`: the two orbits, in the same units. The order of the samples does not
        matter.
    - `bins`: cells along each axis.
    - `widen`: the grid spans the range of the true data, wider on each side by this many of their
        standard deviations (that is 0.1 in the Julia code of Hess et al.; 0, or $\pm2\sigma$ about
        zero, elsewhere). All its cells count.
    - `alpha`: the Laplace smoothing.
    - `key`: needed above three channels, and unused below.

    **Returns:** the divergence. Generated points outside the grid are dropped, as in the published
    codes. If a generated point is NaN or infinite, or if all are outside, the value is inf:
    smoothing alone would make it uniform on the grid and score it better than a fixed point. (A run
    with some points inside is judged by these alone.) It is NaN if the truth is not finite.

    !!! example "Good values"

        Lorenz-63 against another stretch of itself: 0.10 to 0.13 with 25 000 samples at 0.02, 0.35
        to 0.52 with 10 000 at 0.01, 1.8 to 3.5 with the first 2000 of these. White noise of its
        mean and variance has 5, Lorenz-63 at rho = 40 has 11, a fixed point 15.
    """
    true, generated = jnp.asarray(true), jnp.asarray(generated)
    if true.shape[1] > 3:
        if key is None:
            raise ValueError("above three channels d_stsp draws samples and needs a key")
        return d_stsp_gmm(true, generated, key=key)
    margin = widen * true.std(axis=0)
    low, high = true.min(axis=0) - margin, true.max(axis=0) + margin
    p, _ = _histogram(true, low, high, bins, alpha)
    q, hits = _histogram(generated, low, high, bins, alpha)
    divergence = jnp.where(hits > 0, jnp.sum(p * jnp.log(p / q)), jnp.inf)
    return _judged(divergence, true, generated, jnp.inf)


def d_stsp_gmm(
    true: Float[ArrayLike, "time channel"],
    generated: Float[ArrayLike, "samples channel"],
    *,
    variance: float | int = 1.0,
    samples: int = 1000,
    centres: int = 10_000,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    r"""[`d_stsp`][] for many channels: by Gaussian mixtures, in nats; lower is better.

    $$D_{stsp} = \frac1S \sum_{s=1}^S \log \frac{p(z_s)}{q(z_s)}, \qquad z_s \sim p, \qquad
      p(z) = \frac1T \sum_{t=1}^T \mathcal N(z;\, x_t, \sigma^2 I)$$

    and $q$ likewise of the generated orbit.

    **Arguments:**

    - `true`, `generated`: the two orbits, in the same units. `variance` is in the square of these,
        so 1 is meant for data of about unit variance; nothing is standardised here.
    - `variance`: $\sigma^2$.
    - `samples`: $S$. The Monte Carlo error is about $\sqrt{2 D_{stsp} / S}$ where the mixtures are
        near.
    - `centres`: at most the first so many points of each orbit are used.
    - `key`: for the samples.

    **Returns:** the one-sided estimate KL(true || generated), as in Hess et al. (Brenner et al. add
    the other side). It may be a little below zero, and is 0 for one orbit against itself. All is
    done in logarithms, so no sample is left out, where the published codes drop those of zero
    likelihood, which are the worst. If a generated point is NaN or infinite the value is inf; it is
    NaN if the truth is not finite.

    !!! example "Good values"

        At variance 1 it is a coarse measure. On Lorenz-63, z-scored: 0.00 for another stretch of
        itself (error 0.003), 0.11 for white noise, 1.8 for a fixed point; so `samples=10_000` to
        tell good models apart.
    """
    true, generated = jnp.asarray(true)[:centres], jnp.asarray(generated)[:centres]
    index_key, noise_key = jr.split(key)
    index = jr.randint(index_key, (samples,), 0, len(true))
    z = true[index] + variance**0.5 * jr.normal(noise_key, (samples, true.shape[1]), true.dtype)

    def log_ratio(z):
        return _log_mixture(z, true, variance) - _log_mixture(z, generated, variance)

    # In chunks: all samples by all centres by all channels would be gigabytes.
    log_ratios = jax.lax.map(log_ratio, z, batch_size=16)
    return _judged(log_ratios.mean(), true, generated, jnp.inf)


def d_hellinger(
    true: Float[ArrayLike, "time channel"],
    generated: Float[ArrayLike, "time channel"],
    *,
    sigma: float | int = 20.0,
) -> Float[Array, ""]:
    r"""Hellinger distance of two orbits' power spectra, from 0 to 1; lower is better.

    $$D_H = \Big\langle \tfrac{1}{\sqrt2} \big\| \sqrt{p_c} - \sqrt{q_c} \big\|_2 \Big\rangle_c$$

    with $p_c$ and $q_c$ the [`power_spectrum`][] of channel $c$ of each.

    **Arguments:**

    - `true`, `generated`: the two orbits, equally long and equally sampled.
    - `sigma`: smoothing, in frequency bins; so it is wider in frequency on a shorter orbit. The
        value depends on it more than on most models: Lorenz-63 against another stretch of itself,
        with 25 000 samples at 0.02, has 0.47 with 0, 0.18 with 2 and 0.04 with 20.

    **Returns:** the mean over channels. Each orbit is centred and scaled by itself, so this is
    blind to offset and scale. A channel that is constant in one orbit only is at distance 1, in
    both at 0. If a generated value is NaN or infinite $D_H$ is 1, its largest; it is NaN if the
    truth is not finite.
    """
    true, generated = jnp.asarray(true), jnp.asarray(generated)
    if true.shape != generated.shape:
        raise ValueError(f"the orbits must have one shape, not {true.shape} and {generated.shape}")
    p, q = power_spectrum(true, sigma), power_spectrum(generated, sigma)
    distance = 0.5**0.5 * jnp.linalg.norm(jnp.sqrt(p) - jnp.sqrt(q), axis=0)
    # An orbit at rest has no spectrum: zeros, which would be at 1/sqrt(2) from any other.
    at_rest = (p.sum(axis=0) == 0) != (q.sum(axis=0) == 0)
    return _judged(jnp.where(at_rest, 1, distance).mean(), true, generated, 1)


def power_spectrum(
    ys: Float[ArrayLike, "time channel"], sigma: float | int = 20.0
) -> Float[Array, "frequency channel"]:
    r"""Each channel's share of power at each frequency.

    $$p(\omega) = \frac{s(\omega)}{\sum_{\omega'} s(\omega')}, \qquad
      s = g_\sigma * |\mathcal F (y - \langle y\rangle)|^2$$

    **Arguments:**

    - `ys`: an evenly sampled orbit.
    - `sigma`: standard deviation of the Gaussian $g_\sigma$, in bins, cut at four of them and
        reflected at both ends with the end bin repeated (as `scipy.ndimage.gaussian_filter1d` does
        by default); no smoothing if 0.

    **Returns:** non-negative numbers that sum to 1 over the frequencies $k / (T \Delta t)$, $k = 0,
    \dots, \lfloor T/2\rfloor$ (`jnp.fft.rfftfreq`). All zeros for a constant channel, which has no
    power to share.
    """
    ys = jnp.asarray(ys)
    # The scale cancels in the share. Two divisions by the largest value instead of one by the
    # standard deviation: a run that has almost diverged does not overflow, and "constant" is
    # measured against the rounding of the values themselves.
    ys = ys / _or_one(jnp.abs(ys).max(axis=0, keepdims=True))
    ys = ys - ys.mean(axis=0, keepdims=True)
    size = jnp.abs(ys).max(axis=0, keepdims=True)
    constant = size <= 8 * jnp.finfo(ys.dtype).eps
    power = jnp.square(jnp.abs(jnp.fft.rfft(ys / _or_one(size), axis=0)))
    power = _gaussian_filter(jnp.where(constant, 0, power), sigma)
    return power / _or_one(power.sum(axis=0, keepdims=True))


def _histogram(points, low, high, bins, alpha):
    """Smoothed frequencies on the grid [low, high], flattened, and the number of points on it."""
    inside = jnp.all((points >= low[None]) & (points <= high[None]), axis=1)
    # Points outside are put in the first cell with weight zero: a NaN has no index.
    unit = jnp.where(inside[:, None], (points - low[None]) / _or_one(high - low)[None], 0)
    cell = jnp.minimum(jnp.floor(unit * bins).astype(jnp.int32), bins - 1)
    shape = (bins,) * points.shape[1]
    counts = jnp.zeros(shape, jnp.int32).at[tuple(cell.T)].add(inside.astype(jnp.int32)).ravel()
    hits = counts.sum()
    total = hits.astype(points.dtype) + alpha * counts.size
    return (counts.astype(points.dtype) + alpha) / total, hits


def _log_mixture(z, centres, variance):
    """log of the mean over centres of N(z; centre, variance), up to a constant of the shape."""
    squares = jnp.sum(jnp.square(z[None] - centres), axis=1)
    return jax.nn.logsumexp(-squares / (2 * variance)) - jnp.log(jnp.asarray(len(centres), z.dtype))


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


def _or_one(x):
    return jnp.where(x == 0, 1, x)


def _judged(value, true, generated, worst):
    """The value; `worst` if the generated orbit is not finite; NaN if the truth is not."""
    value = jnp.where(jnp.isfinite(generated).all(), value, worst)
    return jnp.where(jnp.isfinite(true).all(), value, jnp.nan)
