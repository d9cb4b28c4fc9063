"""What a bug report needs, and checks for miscompiles that are known to give wrong numbers in silence."""

import math
import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._versions import known_bad, remedy

SEED_0 = (0xF29A4FA7, 0xFA843692)
PACKAGES = ("ctmodels", "jax", "jaxlib", "equinox", "diffrax", "optax", "jaxtyping", "numpy")


def doctor(say: Callable[[str], None] = print) -> int:
    """Print versions, devices, precision and the canaries. Returns 0 if every canary sings, otherwise 1."""
    say(f"python {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        say(f"{package} {version(package)}")
    try:
        say(f"devices: {', '.join(str(d) for d in jax.devices())}")
    except RuntimeError as error:
        asked = os.environ.get("JAX_PLATFORMS")
        say(f"FAILED devices: {error} (JAX_PLATFORMS={asked!r}); unset it, or name one of yours")
        return 1
    say(f"x64: {'on' if jnp.zeros(()).dtype == jnp.float64 else 'off (float32; JAX_ENABLE_X64=1 turns it on)'}")
    failed = [name for name, canary in CANARIES.items() if not _report(name, canary, say)]
    if known_bad(jax.__version__):
        say(f"FAILED jax {jax.__version__}: {known_bad(jax.__version__)}")
        failed.append("version")
    if failed:
        say(f"{len(failed)} checks failed: this jaxlib is not to be trusted here. Install another: {remedy()}")
    return 1 if failed else 0


def _report(name: str, canary: Callable[[], float], say) -> bool:
    try:
        wrong = canary()
    except Exception as error:
        say(f"FAILED {name}: {type(error).__name__}: {error}")
        return False
    say(f"{'ok' if wrong == 0 else 'FAILED'} {name}" + (f": {wrong:g} wrong" if wrong else ""))
    return wrong == 0


def _matvec_reduce() -> float:
    """jax 0.10.2 on CPU gives over 7000 wrong rows of 40 000 in the first of these shapes (jax issue 39103)."""
    return sum(_wrong_rows(n, width) for n, width in ((40_000, 3), (5_000, 2), (5_000, 4), (2_000, 8), (500, 17)))


def _wrong_rows(n: int, width: int) -> float:
    W = np.asarray(np.random.default_rng(0).normal(size=(width, width)), np.float32)
    r = np.asarray(np.random.default_rng(1).normal(size=(n, width)), np.float32)
    got = np.asarray(jax.jit(jax.vmap(lambda r: jnp.sum((W @ r) ** 2)))(r))
    want = np.sum((r.astype(np.float64) @ W.T.astype(np.float64)) ** 2, axis=1)
    return float(np.sum(np.abs(got - want) > 1e-4 * (1 + want)))


def _threefry() -> float:
    """The generator's known answers: Random123's threefry2x32 of the all-ones key and counter, and what JAX makes of
    seed 0."""
    from jax.extend.random import threefry_2x32

    ones = jnp.full(2, 0xFFFFFFFF, jnp.uint32)
    got = [*np.asarray(threefry_2x32(ones, ones)), *np.asarray(jax.random.bits(jax.random.key(0), (2,), jnp.uint32))]
    return float(np.sum(np.array(got) != np.array([0x1CB996FC, 0xBB002BE7, *SEED_0], np.uint32)))


def _special() -> float:
    """erf, log1p, expm1 and tanh in float32, against the standard library's in float64."""
    x = np.linspace(-0.9, 3, 40).astype(np.float32)
    pairs = ((jax.lax.erf, math.erf), (jnp.log1p, math.log1p), (jnp.expm1, math.expm1), (jnp.tanh, math.tanh))
    wrong = 0
    for ours, theirs in pairs:
        want = np.array([theirs(v) for v in x.tolist()])
        wrong += np.sum(np.abs(np.asarray(jax.jit(ours)(x)) - want) > 4e-6 * (0.1 + np.abs(want)))
    return float(wrong)


def _epsilon() -> float:
    """float32 is rounded as it should be: half a unit in the last place is lost, a whole one is kept."""
    x = np.array([2.0**-24, 2.0**-23], np.float32)
    got = np.asarray(jax.jit(lambda x: np.float32(1) + x)(x))
    return float(np.sum(got != np.array([1, 1 + 2.0**-23], np.float32)))


def _cholesky() -> float:
    A = np.random.default_rng(0).normal(size=(20, 20))
    A = A @ A.T + 20 * np.eye(20)
    got = np.asarray(jax.jit(jnp.linalg.cholesky)(jnp.asarray(A, jnp.float32)))
    return float(np.sum(np.abs(got - np.linalg.cholesky(A)) > 1e-4))


def _round_trip() -> float:
    """What is saved comes back, every leaf of it."""
    from ctmodels.train import load, save

    key = jax.random.key(7)
    tree = {"weights": jnp.arange(6.0), "key": key, "raw": jax.random.PRNGKey(7), "rate": 0.1}
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "tree.safetensors", tree)
        back = load(Path(folder) / "tree.safetensors", tree)
    keyless = [{**t, "key": jax.random.key_data(t["key"])} for t in (tree, back)]
    return float(sum(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, keyless), strict=True)))


def _scatter() -> float:
    """Duplicates must add up."""
    index = np.random.default_rng(0).integers(0, 50, 4000)
    got = np.asarray(jax.jit(lambda i: jnp.zeros(50).at[i].add(1.0))(index))
    return float(np.sum(got != np.bincount(index, minlength=50)))


def _solve() -> float:
    A = np.random.default_rng(0).normal(size=(20, 20)) + 10 * np.eye(20)
    b = np.arange(20.0)
    got = np.asarray(jax.jit(jnp.linalg.solve)(jnp.asarray(A, jnp.float32), jnp.asarray(b, jnp.float32)))
    return float(np.sum(np.abs(got - np.linalg.solve(A, b)) > 1e-4))


def _scan_vmap() -> float:
    """A scan under vmap against the same loop in NumPy."""
    x = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32)

    def run(x):
        return jax.lax.scan(lambda c, u: (0.9 * c + u, c), jnp.zeros((), jnp.float32), x)[0]

    want = np.zeros(64)
    for u in x.T:
        want = 0.9 * want + u
    return float(np.sum(np.abs(np.asarray(jax.jit(jax.vmap(run))(x)) - want) > 1e-4))


CANARIES: dict[str, Callable[[], float]] = {
    "vmapped matrix-vector product and reduction": _matvec_reduce,
    "random bits": _threefry,
    "scatter with duplicates": _scatter,
    "linear solve": _solve,
    "Cholesky factor": _cholesky,
    "special functions": _special,
    "rounding": _epsilon,
    "scan under vmap": _scan_vmap,
    "saved, loaded, equal": _round_trip,
}
