"""A ratio of times: one core, one thread, and turns."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping

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


def contest(steps: Mapping[str, Callable[[], object]], seconds: float, rounds: int = 3) -> dict[str, float]:
    """Median seconds of each, taking turns for so long and so often at least, after two rounds that do not count."""
    for step in [*steps.values()] * 2:
        step()
    taken = {name: [] for name in steps}
    begun = time.perf_counter()
    while rounds > 0 or time.perf_counter() - begun < seconds:
        rounds -= 1
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}
