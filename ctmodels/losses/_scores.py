r"""Scores of an ensemble against what was observed, and the distance of two sets of paths by their projections.

??? cite

    Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", J. Am. Stat. Assoc. 102 (2007);
    Ferro, "Fair scores for ensemble forecasts", Q. J. R. Meteorol. Soc. 140 (2014); Bonneel, Rabin, Peyré and Pfister,
    "Sliced and Radon Wasserstein barycenters of measures", J. Math. Imaging Vis. 51 (2015).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.losses._paths import Mask, Paths, check_pairs, check_path, check_same_channels, filled, observed


def _check_ensemble(samples, truth, mask):
    check_path("samples", samples, None, "", "(sample, time, channel)")
    check_path("truth", truth, mask, "mask", "(time, channel)")
    check_same_channels("samples", samples, "truth", truth, rows=True)
    check_pairs("samples", samples)


@before(_check_ensemble)
def crps(samples: Paths, truth: Paths, mask: Mask = None) -> Float[Array, ""]:
    r"""Continuous ranked probability score of an ensemble, entry by entry; lower is better, in the units of the data.

    $$\mathrm{CRPS} = \langle |x_i - y| \rangle_i - \tfrac12 \langle |x_i - x_j| \rangle_{i \ne j}$$

    **Arguments:**

    - `samples`: what the model says may happen, `(sample, time, channel)`, two samples at least.
    - `truth`: what did, `(time, channel)`; a batch is made by `jax.vmap`.
    - `mask`: what was observed of it, `(time, channel)` or `(time,)`; all if None. What lies under it is not looked at.

    **Returns:** the mean over what was observed; 0 where nothing was. It is without bias in the number of samples
    (Ferro's "fair" score), so that ensembles of different size can be compared; a single entry may be below zero. Only
    marginals are judged: a model whose samples jump between paths from time to time has the same score. A channel of
    large units rules it.

    As a loss of `(model, example, key)`: this, times the number observed, and that number for its weight.

    !!! example "Good values"

        Of N(m, s^2) against its own draws: s / sqrt(pi), 0.56 s; of a forecast without spread it is the mean absolute
        error. 10 samples to train, 100 to report.
    """
    samples, truth, seen = _cleaned(samples, truth, mask)
    n = samples.shape[0]
    # Half the mean distance of two: sum over the sorted of (2 i - n - 1) x_i / (n (n - 1)), i from 1.
    weights = (2 * np.arange(n) - n + 1) / (n * (n - 1))
    spread = jnp.tensordot(jnp.asarray(weights, samples.dtype), jnp.sort(samples, axis=0), 1, precision="highest")
    return _mean(jnp.mean(jnp.abs(samples - truth[None]), axis=0) - spread, seen)


@before(_check_ensemble)
def energy_score(samples: Paths, truth: Paths, mask: Mask = None) -> Float[Array, ""]:
    r"""Energy score of an ensemble, at each time of all channels together; lower is better, in the units of the data.

    $$\mathrm{ES} = \langle \|x_i - y\| \rangle_i - \tfrac12 \langle \|x_i - x_j\| \rangle_{i \ne j}$$

    **Arguments:** as of [`crps`][], which this is for one channel. Norms are over the channels that were observed at a
    time; to judge a whole path as one vector, give it as one row, `samples.reshape(n, 1, -1)`.

    **Returns:** the mean over the times at which anything was observed; 0 where there are none. Without bias in the
    number of samples. It sees how channels depend on one another, if less sharply than their scales.

    !!! example "Good values"

        Of N(m, s^2 I) in d channels against its own draws, for large d: about s sqrt(d / 2). Samples as for
        [`crps`][]; its pairs are n^2 for each time.
    """
    samples, truth, seen = _cleaned(samples, truth, mask)
    n = samples.shape[0]
    i, j = np.triu_indices(n, 1)

    @jax.checkpoint
    def at(time):
        x, y, seen = time
        x, y = jnp.where(seen[None], x, 0), jnp.where(seen, y, 0)
        return jnp.mean(_norm(x - y[None])) - 0.5 * jnp.mean(_norm(x[i] - x[j]))

    # One time after another: all pairs at all times would be much.
    each = jax.lax.map(at, (jnp.moveaxis(samples, 1, 0), truth, seen))
    return _mean(each, jnp.any(seen, axis=1))


def _check_sets(x, y, key, mask_x, mask_y, projections, power):
    check_path("x", x, mask_x, "mask_x")
    check_path("y", y, mask_y, "mask_y")
    check_same_channels("x", x, "y", y, rows=True)
    check_key(key, needed=True)
    check_whole("projections", projections, 1)
    if not power >= 1:
        raise ValueError(f"power={power}: a Wasserstein distance is of a power from 1 on; 1 or 2 is usual")


@before(_check_sets)
def sliced_wasserstein(
    x: Paths,
    y: Paths,
    key: PRNGKeyArray,
    *,
    mask_x: Mask = None,
    mask_y: Mask = None,
    projections: int = 64,
    power: float | int = 2,
) -> Float[Array, ""]:
    r"""How far apart two sets of paths are, each path being one vector: Wasserstein distances of their projections.

    $$\mathrm{SW}_p^p = \Big\langle \int_0^1 \big| F^{-1}_{\theta \cdot x}(q) - F^{-1}_{\theta \cdot y}(q) \big|^p dq
      \Big\rangle_\theta, \qquad \|\theta\| = 1$$

    with $F^{-1}$ the quantiles of each set's projections, exact also where the sets are not of one size.

    **Arguments:**

    - `x`, `y`: `(path, time, channel)`, of the same times and channels.
    - `key`: of the directions. In training a new one for each step.
    - `mask_x`, `mask_y`: what was observed, `(path, time, channel)` or `(path, time)`; an entry that was not is taken
        to be the last one that was. Give generated paths the masks of data.
    - `projections`: how many directions.
    - `power`: p.

    **Returns:** the mean over directions, to the power p, so in the units of the data to the power p; no root is taken,
    as its gradient at zero is infinite. 0 between a set and itself, but above it between two sets of one law: quote
    it beside that between two halves of the data. A direction is a unit vector of time x channel numbers, so that a
    shift of all by c has a mean of c^2, whatever their number, for p = 2.

    An objective of your own is as for [`ctmodels.losses.signature_mmd`][]: it compares sets, and is no loss of one
    example.

    !!! example "Good values"

        64 projections to train, 1000 to report; paths z-scored.
    """
    x, y = (_flat(filled(z, mask)) for z, mask in ((x, mask_x), (y, mask_y)))
    directions = jax.random.normal(key, (x.shape[1], projections), x.dtype)
    directions = directions / jnp.linalg.norm(directions, axis=0, keepdims=True)
    x, y = (jnp.sort(jnp.matmul(z, directions, precision="highest"), axis=0) for z in (x, y))
    # Between these shares of both sets neither set's quantiles move.
    n, m = x.shape[0], y.shape[0]
    shares = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    widths, middles = np.diff(shares) / (n * m), (shares[1:] + shares[:-1]) / 2
    gaps = jnp.abs(x[(middles // m).astype(int)] - y[(middles // n).astype(int)])
    return jnp.sum(jnp.asarray(widths, x.dtype)[:, None] * gaps**power) / projections


def _cleaned(samples, truth, mask) -> tuple[Array, Array, Bool[Array, "time channel"]]:
    """The truth with zeros where nothing was observed, so that no NaN there meets any arithmetic."""
    truth = jnp.asarray(truth)
    seen = observed(truth, mask)
    return jnp.where(seen[None], jnp.asarray(samples), 0), jnp.where(seen, truth, 0), seen


def _flat(x: Float[Array, "path time channel"]) -> Float[Array, "path number"]:
    return x.reshape(x.shape[0], -1)


def _mean(x: Array, seen: Array) -> Float[Array, ""]:
    return jnp.sum(jnp.where(seen, x, 0)) / jnp.maximum(jnp.sum(seen), 1).astype(x.dtype)


def _norm(x: Float[Array, "... channel"]) -> Float[Array, "..."]:
    """With a gradient of zero at zero, where samples agree."""
    square = jnp.sum(x**2, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
