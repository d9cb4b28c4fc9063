"""What `import ctmodels` adds to importing the libraries it stands on; warm, medians of interleaved fresh processes."""

import statistics
import subprocess
import sys

from benchmarks._harness import main

BASE = "import jax, equinox, diffrax, optax"


def run(quick: bool) -> tuple[list[dict], dict]:
    times: dict[str, list[float]] = {BASE: [], f"{BASE}, ctmodels": []}
    for turn in range(2 if quick else 6):
        for statement, seconds in times.items():
            taken = _seconds(statement)
            if turn:  # the first fills the disk's cache
                seconds.append(taken)
    rows = [{"statement": s, "median_seconds": statistics.median(t), "fastest": min(t)} for s, t in times.items()]
    added = rows[1]["median_seconds"] - rows[0]["median_seconds"]
    return rows, {"added_seconds": added}


def _seconds(statement: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main("import_time", run)
