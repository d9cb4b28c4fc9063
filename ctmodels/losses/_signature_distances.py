r"""Whether two sets of paths have one law, by signatures: no critic is trained.

??? cite

    Issa, Horvath, Lemercier and Salvi, "Non-adversarial training of neural SDEs with signature kernel scores", NeurIPS
    2023; Gretton, Borgwardt, Rasch, Schölkopf and Smola, "A kernel two-sample test", JMLR 13 (2012); Chevyrev and
    Oberhauser, "Signature moments to characterize laws of stochastic processes", JMLR 23 (2022).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from ctmodels._core._arguments import before, check_whole
from ctmodels.losses._paths import Mask, Paths, check_lift, check_pairs, check_path, check_same_channels, lifted
from ctmodels.losses._signature_kernel import among, gram
from ctmodels.signatures import DEEPEST, signature


def _check_mmd(x, y, mask_x, mask_y, ts, scale, **_):
    check_path("x", x, mask_x, "mask_x")
    check_path("y", y, mask_y, "mask_y")
    check_same_channels("x", x, "y", y, rows=ts is not None)
    check_pairs("x", x)
    check_pairs("y", y)
    check_lift("x", x, ts, scale)


def _check_refined_mmd(refine, **arguments):
    _check_mmd(**arguments)
    check_whole("refine", refine, 0, 8)


@before(_check_refined_mmd)
def signature_mmd(
    x: Paths,
    y: Paths,
    *,
    mask_x: Mask = None,
    mask_y: Mask = None,
    ts: Float[ArrayLike, "..."] | None = None,
    scale: float | int | Float[ArrayLike, "..."] = 1.0,
    basepoint: bool = True,
    refine: int = 0,
) -> Float[Array, ""]:
    r"""How far apart the laws of two sets of paths are: the squared maximum mean discrepancy of the signature kernel,
    without bias, over pairs of different paths.

    $$\mathrm{MMD}^2 = \langle k(x_i, x_j) \rangle_{i \ne j} + \langle k(y_i, y_j) \rangle_{i \ne j}
      - 2 \langle k(x_i, y_j) \rangle$$

    **Arguments:**

    - `x`, `y`: `(path, time, channel)`, two paths each at least: such as what a model generates, and data.
    - `mask_x`, `mask_y`: as in [`ctmodels.losses.signature_kernel`][]. Give generated paths the masks of
        data (in any order of paths), or the law of what was seen of the data is held against that of all.
    - `ts`: the times, `(time,)`, common to both sets: time, from 0 to 1 over the whole, becomes a channel. Without it,
        laws that differ in the speed of paths only are the same.
    - `scale`: of the values, one number or one for each channel. The weight of what is of degree n in the paths grows
        with its nth power.
    - `basepoint`: whether a path begins with a step from zero to its first value; without it, where paths start is
        not compared.
    - `refine`: as in [`ctmodels.losses.signature_kernel`][].

    **Returns:** one number, without a unit; about 0 between two sets of one law, and then as often below. Quote it
    with the scale, and beside that between two halves of the data.

    As an objective of your own, in whatever batch of keys: `signature_mmd(jax.vmap(generate)(keys), ys, ts=ts)`, by
    `jax.value_and_grad`. It compares sets, so it is no loss of `(model, example, key)`; [`signature_score`][] may be.

    !!! example "Good values"

        `ts` and `basepoint` given, and a scale by which the values are within 1 or so; 64 paths of each or more.
    """
    x, y = (lifted(z, mask, ts, scale, basepoint) for z, mask in ((x, mask_x), (y, mask_y)))
    return among(x, refine) + among(y, refine) - 2 * jnp.mean(gram(x, y, refine))


def _check_score(samples, truth, mask, ts, scale, refine, **_):
    check_path("samples", samples, None, "")
    check_path("truth", truth, mask, "mask", "(time, channel)")
    check_same_channels("samples", samples, "truth", truth, rows=True)
    check_pairs("samples", samples)
    check_lift("samples", samples, ts, scale)
    check_whole("refine", refine, 0, 8)


@before(_check_score)
def signature_score(
    samples: Paths,
    truth: Paths,
    *,
    mask: Mask = None,
    ts: Float[ArrayLike, "..."] | None = None,
    scale: float | int | Float[ArrayLike, "..."] = 1.0,
    basepoint: bool = True,
    refine: int = 0,
) -> Float[Array, ""]:
    r"""The signature kernel score of an ensemble of paths against the one that was observed; lower is better, and the
    law that the observed path has is expected to be best (Issa et al. 2023).

    $$\phi(P, y) = \langle k(x_i, x_j) \rangle_{i \ne j} - 2 \langle k(x_i, y) \rangle$$

    **Arguments:**

    - `samples`: what the model says may happen, `(path, time, channel)`, two paths at least.
    - `truth`: what did, `(time, channel)`. A batch of these is made by `jax.vmap`: where one ensemble is for all, and
        without masks, the pairs of samples are computed once.
    - `mask`: what was observed of it, `(time, channel)` or `(time,)`; the samples are looked at through it too.
    - `ts`, `scale`, `basepoint`, `refine`: as in [`signature_mmd`][].

    **Returns:** one number, without a unit. It has no zero: the mean over observed paths of one law is the
    [`signature_mmd`][] less what does not depend on the samples.

    As a loss: `lambda model, example, key: (signature_score(draw(model, example, key), example.target.ys), 1.0, out)`.

    !!! example "Good values"

        As of [`signature_mmd`][]; 8 samples for each observed path or more.
    """
    samples, truth = jnp.asarray(samples), jnp.asarray(truth)[None]
    masks = None if mask is None else jnp.asarray(mask)[None]
    of_samples = None if masks is None else jnp.broadcast_to(masks, (samples.shape[0], *masks.shape[1:]))
    x, y = lifted(samples, of_samples, ts, scale, basepoint), lifted(truth, masks, ts, scale, basepoint)
    return among(x, refine) - 2 * jnp.mean(gram(x, y, refine))


def _check_truncated(depth, **arguments):
    _check_mmd(**arguments)
    check_whole("depth", depth, 1, DEEPEST)


@before(_check_truncated)
def truncated_signature_mmd(
    x: Paths,
    y: Paths,
    depth: int,
    *,
    mask_x: Mask = None,
    mask_y: Mask = None,
    ts: Float[ArrayLike, "..."] | None = None,
    scale: float | int | Float[ArrayLike, "..."] = 1.0,
    basepoint: bool = True,
) -> Float[Array, ""]:
    r"""[`signature_mmd`][] of signatures up to a depth, whose cost grows with the number of paths and not with its
    square: as it is

    $$\mathrm{MMD}^2 = \langle \langle S_i, S_j \rangle \rangle_{i \ne j} + \langle \langle T_i, T_j \rangle
      \rangle_{i \ne j} - 2 \langle \bar S, \bar T \rangle$$

    with $S_i$ and $T_j$ the [`ctmodels.signatures.signature`][] of each path of `x` and of `y`.

    **Arguments:** `depth`: 1 to 6; a signature has channel^depth numbers in its last level, time counted as a channel.
    All others as in [`signature_mmd`][].

    **Returns:** one number, which tends to that of [`signature_mmd`][] as the depth grows, once `scale` makes the paths
    short. Published scores are of depth 5 or so with time as a channel, and depend on the scale: quote both.

    !!! example "Good values"

        Depth 4 to 4 channels, 3 to 8.
    """
    x, y = (lifted(z, mask, ts, scale, basepoint) for z, mask in ((x, mask_x), (y, mask_y)))
    (sx, mean_x), (sy, mean_y) = (_features(z, depth) for z in (x, y))
    return sx + sy - 2 * jnp.sum(mean_x * mean_y)


def _features(x: Float[Array, "path time channel"], depth: int) -> tuple[Array, Array]:
    """The mean product of the signatures of two different paths, and the mean signature."""
    each = jax.vmap(lambda z: jnp.concatenate([jnp.ravel(level) for level in signature(jnp.diff(z, axis=0), depth)]))
    features, n = each(x), x.shape[0]
    total = jnp.sum(features, axis=0)
    return (jnp.sum(total**2) - jnp.sum(features**2)) / (n * (n - 1)), total / n
