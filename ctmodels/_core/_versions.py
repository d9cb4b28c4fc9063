"""Releases of JAX that give wrong numbers or hang, which nobody would notice."""

import sys
import warnings

KNOWN_BAD = {
    "0.10.2": "it miscompiles vmapped products and reductions on CPU (jax issue 39103)",
    "0.11.0": "its fused kernels crash or hang on CPU (jax issue 39257)",
}


def known_bad(version: str) -> str | None:
    """What is wrong with a release, or None."""
    return KNOWN_BAD.get(version)


def remedy() -> str:
    return "pip install 'jax==0.10.1'" if sys.version_info < (3, 12) else "pip install -U 'jax!=0.10.2,!=0.11.0'"


def warn_if_bad(version: str) -> None:
    """Say it once, at import: pip can be told to install what our requirements exclude."""
    if known_bad(version):
        warnings.warn(f"jax {version}: {known_bad(version)}; {remedy()}", RuntimeWarning, stacklevel=3)
