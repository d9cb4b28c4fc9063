"""One core and one thread, for a ratio of times."""

import os
import sys

import jax

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def pinned(name: str) -> None:
    """Start `python -m benchmarks.NAME` again so, unless it is or there is a GPU: threads that are there already would
    stay where they are."""
    flags = os.environ.get("XLA_FLAGS", "")
    if jax.default_backend() != "cpu" or ONE_THREAD in flags:
        return
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ |= {"XLA_FLAGS": f"{flags} {ONE_THREAD}", "OMP_NUM_THREADS": "1"}
    os.execv(sys.executable, [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]])
