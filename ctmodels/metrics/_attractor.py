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
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels.metrics._arrays import Numbers, one_where_zero, orbits, root_mean_square, unless_diverged


def d_stsp(
    true: Numbers,
    generated: Numbers,
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

    - `true`, `generated`: the two orbits, `(time, channel)`, in the same units. The order of the
        samples does not matter.
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

        The floor, of 30 pairs of independent orbits of Lorenz-63 (lowest, median, highest;
        `benchmarks.reconstruct.floors`): 0.11, 0.15 and 0.41 with 25 000 samples at 0.02; 0.26, 0.40 and 0.74 with
        10 000 at 0.02; 0.27, 0.49 and 1.5 with 10 000 at 0.01; 1.6, 2.5 and 6.6 with 2000 at 0.02; 1.6,
        3.6 and 7.2 with 2000 at 0.01. So a model is no worse than the truth until it is above the
        highest. With 25 000 samples white noise of its mean and variance has 4.8 to 5.6, Lorenz-63 at
        rho = 40 has 10.9 to 11.4, a fixed point 15.
    """
    true, generated = orbits(true=true, generated=generated)
    if bins < 1:
        raise ValueError(f"bins={bins}: an axis has one cell at least")
    if true.shape[1] > 3:
        if key is None:
            raise ValueError("above three channels d_stsp draws samples and needs a key")
        return d_stsp_gmm(true, generated, key=key)
    margin = widen * root_mean_square(true - true.mean(axis=0, keepdims=True), jnp.ones(true.shape, bool), axis=0)
    low, high = true.min(axis=0) - margin, true.max(axis=0) + margin
    p, _ = _histogram(true, low, high, bins, alpha)
    q, hits = _histogram(generated, low, high, bins, alpha)
    divergence = jnp.where(hits > 0, jnp.sum(p * jnp.log(p / q)), jnp.inf)
    return unless_diverged(divergence, true, generated, jnp.inf)


def d_stsp_gmm(
    true: Numbers,
    generated: Numbers,
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

        At variance 1 it is a coarse measure. On Lorenz-63, z-scored, in 30 pairs of independent orbits
        of 10 000 samples at 0.02 (lowest, median, highest): -0.002, 0.001 and 0.04; white noise has
        0.09 to 0.13, rho = 40 has 0.35 to 0.42, a fixed point 0.7 to 5; so `samples=10_000` to tell
        good models apart. With 2000 samples the floor is 0.00, 0.01 and 0.15.
    """
    true, generated = (orbit[:centres] for orbit in orbits(true=true, generated=generated))
    index_key, noise_key = jr.split(key)
    index = jr.randint(index_key, (samples,), 0, len(true))
    z = true[index] + variance**0.5 * jr.normal(noise_key, (samples, true.shape[1]), true.dtype)

    def log_ratio(z):
        return _log_mixture(z, true, variance) - _log_mixture(z, generated, variance)

    # In chunks: all samples by all centres by all channels would be gigabytes.
    log_ratios = jax.lax.map(log_ratio, z, batch_size=16)
    return unless_diverged(log_ratios.mean(), true, generated, jnp.inf)


def _histogram(points, low, high, bins, alpha):
    """Smoothed frequencies on the grid [low, high], flattened, and the number of points on it."""
    inside = jnp.all((points >= low[None]) & (points <= high[None]), axis=1)
    # Points outside are put in the first cell with weight zero: a NaN has no index.
    unit = jnp.where(inside[:, None], (points - low[None]) / one_where_zero(high - low)[None], 0)
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
