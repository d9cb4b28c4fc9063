"""Strict JAX for every test, and the one place of the tolerances.

Nothing here imports ctmodels at the top: the jaxtyping hook that checks its shapes comes first.
"""

import collections
import functools
import gc
import hashlib
import os
import platform
import shutil
from pathlib import Path

import hypothesis
import jax
import jaxlib
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
# Half of the rest is tracing: without where each operation was written, and all frames in the trace of an error.
jax.config.update("jax_include_full_tracebacks_in_locations", False)
jax.config.update("jax_traceback_in_locations_limit", 0)
jax.config.update("jax_traceback_filtering", "off")
matplotlib.use("Agg")

# A first call compiles, so time says nothing; in CI the same examples every time.
hypothesis.settings.register_profile("ctmodels", deadline=None, max_examples=25, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("ctmodels")

# Two ways to the same number, well conditioned. What is harder says so at the test, by a factor.
TOLERANCES = {
    np.dtype("float32"): {"rtol": 2e-5, "atol": 2e-6},
    np.dtype("float64"): {"rtol": 1e-10, "atol": 1e-12},
}


# NaN equals nothing, unless a test says so (`equal_nan=True`): two solves that failed alike would agree.
np.testing.assert_allclose = functools.partial(np.testing.assert_allclose, equal_nan=False)


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


def processor() -> str:
    """Its model and the instructions that it knows, as a word of twelve letters."""
    table, known = Path("/proc/cpuinfo"), {platform.machine(), platform.processor()}
    if table.exists():
        lines = table.read_text(encoding="utf-8").splitlines()
        known |= {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return hashlib.sha256("\n".join(sorted(known)).encode()).hexdigest()[:12]


def keep_programs(folder: Path, limit: int = 2 * 2**30) -> None:
    """Compiled programs are found again by this run of the tests and the next: in a folder for this processor and this
    jaxlib, as another may lack an instruction. The processes that tests start know nothing of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if sum(file.stat().st_size for file in folder.iterdir()) > limit:  # what is no longer asked for is never told
            shutil.rmtree(folder)
            folder.mkdir()
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def pytest_configure(config) -> None:
    if os.environ.get("CTMODELS_TEST_CACHE") != "0" and jax.default_backend() == "cpu":
        keep_programs(config.rootpath / ".jax_cache" / f"{jaxlib.__version__}-{processor()}" / precision())


@pytest.fixture(scope="session")
def tolerance():
    """Of rounding: `np.testing.assert_allclose(a, b, **tolerance())`; `**tolerance(10)` where it is harder."""
    return tolerance_of


@pytest.fixture(scope="session")
def within():
    """Of what a method errs by (its truncation, a difference quotient, chance, a solver's own tolerance), which is part
    of what is tested: `np.testing.assert_allclose(a, b, **within(1e-3))`; `**within(absolute=1e-4)`, or of both."""
    return lambda relative=0.0, absolute=0.0: {"rtol": relative, "atol": absolute}


def precision() -> str:
    return "float64" if jax.config.jax_enable_x64 else "float32"


def pytest_report_header() -> str:
    return f"jax {jax.__version__} on {jax.default_backend()}, {precision()}"


def is_first(item) -> bool:
    """Whether a test is the first row of its table."""
    return hasattr(item, "callspec") and not any(item.callspec.indices.values())


def is_ours(item) -> bool:
    """Whether this process takes a test, and not the one of the other precision; a test's own mark goes before its
    module's."""
    mark = next((mark for mark in item.iter_markers() if mark.name in ("only", "mostly")), None)
    return mark is None or mark.args == (precision(),) or (mark.name == "mostly" and is_first(item))


def pytest_collection_modifyitems(config, items) -> None:
    """What is marked for the other precision is left to that process: the two share the long tests."""
    config.hook.pytest_deselected(items=[item for item in items if not is_ours(item)])
    items[:] = [item for item in items if is_ours(item)]


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: the collector need not walk through it again. Traces are made of many
    small objects, which are let go with their module."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


SECONDS = collections.Counter()  # of the processor, by module


def seconds_of_processor() -> float:
    """So far, in this process and in the children that it waited for."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    start = seconds_of_processor()
    try:
        return (yield)
    finally:
        SECONDS[item.path.name] += seconds_of_processor() - start


def pytest_terminal_summary(terminalreporter) -> None:
    """The budget of CONTRIBUTING.md, as it was spent: a wall clock would tell what else the machine did."""
    terminalreporter.section(f"{SECONDS.total():.0f} seconds of processor, {precision()}")
    for module, seconds in SECONDS.most_common(12):
        terminalreporter.line(f"{seconds:6.1f} {module}")
