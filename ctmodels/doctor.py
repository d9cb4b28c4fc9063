"""What a bug report needs, and checks for miscompiles that are known to give wrong numbers in silence."""

import platform
import sys
from collections.abc import Callable
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np

PACKAGES = ("ctmodels", "jax", "jaxlib", "equinox", "diffrax", "optax", "jaxtyping", "numpy")


def doctor(say: Callable[[str], None] = print) -> int:
    """Print versions, devices, precision and the canaries. Returns 0 if every canary sings, otherwise 1."""
    say(f"python {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        say(f"{package} {version(package)}")
    say(f"devices: {', '.join(str(d) for d in jax.devices())}")
    say(f"x64: {'on' if jnp.zeros(()).dtype == jnp.float64 else 'off (float32; JAX_ENABLE_X64=1 turns it on)'}")
    failed = [name for name, canary in CANARIES.items() if not _report(name, canary, say)]
    if failed:
        say(
            f"{len(failed)} of {len(CANARIES)} checks failed: this jaxlib computes wrong numbers here. "
            f"Install another: {_remedy()}"
        )
    return 1 if failed else 0


def _remedy() -> str:
    return "pip install 'jax==0.10.1'" if sys.version_info < (3, 12) else "pip install -U 'jax!=0.10.2,!=0.11.0'"


def _report(name: str, canary: Callable[[], float], say) -> bool:
    try:
        wrong = canary()
    except Exception as error:
        say(f"FAILED {name}: {type(error).__name__}: {error}")
        return False
    say(f"{'ok' if wrong == 0 else 'FAILED'} {name}" + (f": {wrong:g} wrong" if wrong else ""))
    return wrong == 0


def _matvec_reduce() -> float:
    """jax 0.10.2 on CPU gives over 7000 wrong rows of 40 000 here (jax issue 39103)."""
    W = np.asarray(np.random.default_rng(0).normal(size=(3, 3)), np.float32)
    r = np.asarray(np.random.default_rng(1).normal(size=(40_000, 3)), np.float32)
    got = np.asarray(jax.jit(jax.vmap(lambda r: jnp.sum((W @ r) ** 2)))(r))
    want = np.sum((r.astype(np.float64) @ W.T.astype(np.float64)) ** 2, axis=1)
    return float(np.sum(np.abs(got - want) > 1e-4 * (1 + want)))


def _threefry() -> float:
    """The generator's known answer (Random123's threefry2x32 of the all-ones key and counter)."""
    from jax.extend.random import threefry_2x32

    ones = jnp.full(2, 0xFFFFFFFF, jnp.uint32)
    got = np.asarray(threefry_2x32(ones, ones))
    return float(np.sum(got != np.array([0x1CB996FC, 0xBB002BE7], np.uint32)))


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
    "scan under vmap": _scan_vmap,
}
