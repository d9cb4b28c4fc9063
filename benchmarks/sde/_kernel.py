"""`benchmarks.sde`: the signature kernel beside tensordev's (PyPI, Apache-2.0), which is optional.

Both are compiled by `jax.jit` and fed the same two sets of random walks of about unit length: the kernel of each path
of one with each of the other, and the gradient of their mean in the first set. tensordev has two ways through the
grid, cell by cell ("scan") and by diagonals ("wavefront"): the faster counts, in each direction.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._timing import contest

BACKENDS = "scan", "wavefront"


def kernel_x_tensordev(paths: int, points: int, channels: int, seconds: float) -> dict:
    """Our time over its time, forward and gradient, and the largest difference of both, relative to the largest kernel;
    with ours alone where it is not installed. In the precision of the process: float64 is `JAX_ENABLE_X64=1`."""
    x, y = walks(paths, points, channels, 0), walks(paths, points, channels, 1)
    kernels = {"ours": ct.losses.signature_kernel, **_peers()}
    found = {name: (jax.jit(kernel)(x, y), _gradient(kernel)(x, y)) for name, kernel in kernels.items()}
    forward = contest({name: _ready(jax.jit(kernel), x, y) for name, kernel in kernels.items()}, seconds / 2)
    backward = contest({name: _ready(_gradient(kernel), x, y) for name, kernel in kernels.items()}, seconds / 2)
    numbers = {"kernel_ms": 1e3 * forward["ours"], "kernel_gradient_ms": 1e3 * backward["ours"]}
    if len(kernels) == 1:
        return {**numbers, "tensordev": None}
    ours, theirs = found["ours"], [found[name] for name in BACKENDS]
    return {
        **numbers,
        "kernel_x_tensordev": forward["ours"] / min(forward[name] for name in BACKENDS),
        "kernel_gradient_x_tensordev": backward["ours"] / min(backward[name] for name in BACKENDS),
        "kernel_difference": max(_difference(ours[0], peer[0]) for peer in theirs),
        "kernel_gradient_difference": max(_difference(ours[1], peer[1]) for peer in theirs),
        "tensordev": version("tensordev"),
    }


def walks(paths: int, points: int, channels: int, seed: int) -> jax.Array:
    steps = np.random.default_rng(seed).normal(size=(paths, points, channels)) / (points * channels) ** 0.5
    return jnp.asarray(np.cumsum(steps, axis=1), float)


def _peers() -> dict[str, Callable]:
    try:
        version("tensordev")
    except PackageNotFoundError:
        return {}
    from tensordev.kernel import SigKernel  # pyright: ignore

    made = {backend: SigKernel(backend=backend) for backend in BACKENDS}
    return {name: lambda x, y, kernel=kernel: kernel(x, y, pairwise=True) for name, kernel in made.items()}


def _gradient(kernel: Callable) -> Callable:
    return jax.jit(jax.grad(lambda x, y: jnp.mean(kernel(x, y))))


def _ready(function: Callable, *args) -> Callable[[], object]:
    return lambda: jax.block_until_ready(function(*args))


def _difference(one: jax.Array, other: jax.Array) -> float:
    return float(jnp.max(jnp.abs(one - other)) / jnp.max(jnp.abs(other)))
