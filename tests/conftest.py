"""Strict JAX for every test, and the one place of the tolerances.

Nothing here imports ctmodels at the top: the jaxtyping hook that checks its shapes comes first.
"""

import gc
import os

import hypothesis
import jax
import matplotlib
import numpy as np
import pytest

# Tests compile thousands of small programs, each to run once: these flags halve the time (XLA reads them when the first
# array is made, here and in each child). What the optimised kernels compute is proven with CTMODELS_TEST_FLAGS=users.
QUICK_COMPILATION = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if jax.__version_info__ < (0, 11):  # later ones end the process at a flag that they no longer know
    QUICK_COMPILATION += " --xla_cpu_use_fusion_emitters=false"
if os.environ.get("CTMODELS_TEST_FLAGS") != "users":
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILATION}".strip()

# float64 or not is JAX's own JAX_ENABLE_X64, which `make test` sets to 0 and to 1 in two processes.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
matplotlib.use("Agg")

# A first call compiles, so time says nothing; in CI the same examples every time.
hypothesis.settings.register_profile("ctmodels", deadline=None, max_examples=25, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("ctmodels")

# Two ways to the same number, well conditioned. What is harder says so at the test, by a factor.
TOLERANCES = {
    np.dtype("float32"): {"rtol": 2e-5, "atol": 2e-6},
    np.dtype("float64"): {"rtol": 1e-10, "atol": 1e-12},
}


def tolerance_of(factor: float = 1.0, dtype=None) -> dict[str, float]:
    """`rtol` and `atol` for two computations of one number, `factor` times as loose as usual.

    `dtype` is the precision computed in; None means JAX's default float.
    """
    dtype = jax.dtypes.canonicalize_dtype(float) if dtype is None else np.dtype(dtype)
    return {name: factor * value for name, value in TOLERANCES[dtype].items()}


@pytest.fixture(scope="module", autouse=True)
def executables_are_let_go():
    """Each compiled program takes some tens of memory mappings, of which a process has 65 530: thousands of programs in
    one process end in a segmentation fault within the compiler."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def tolerance():
    """`np.testing.assert_allclose(a, b, **tolerance())`; `**tolerance(10)` where it is harder."""
    return tolerance_of


def precision() -> str:
    return "float64" if jax.config.jax_enable_x64 else "float32"


def pytest_report_header() -> str:
    return f"jax {jax.__version__} on {jax.default_backend()}, {precision()}"


def pytest_collection_modifyitems(config, items) -> None:
    """What is marked for the other precision is left to that process: the two share the long tests."""
    only = {item: item.get_closest_marker("only") for item in items}
    ours = lambda item: only[item] is None or only[item].args == (precision(),)
    config.hook.pytest_deselected(items=[item for item in items if not ours(item)])
    items[:] = [item for item in items if ours(item)]
