"""Chaotic systems from recordings: `python -m benchmarks.chaos FOLDER [--systems ...] [--methods ...] [--seeds 0,1,2]`.

FOLDER holds recordings of github.com/DurstewitzLab (`_data.py`; benchmarks/README.md). Each method learns the system
and runs on freely, a quarter more than the test is long, of which the first fifth is forgotten (Hess et al. 2023):
`d_stsp`, the divergence of its states from the test's (a grid of 30 bins below six channels, else mixtures of variance
one), `d_h`, the Hellinger distance of the spectra (smoothed by 20 bins), `prediction_error`, mean square, 20 steps on.
`floor_...`: the same of what was learned from.

Lorenz-63 is judged by 100 000 rows of the true law; the electrocardiogram, Lorenz-96 (10 channels) and the bursting
neuron by their second half, of which nothing was learned, and not by the paper's own tests; the electroencephalogram by
what was learned from, as in the paper. What is kept of 40 stages of a training is the nearest to rows before
the test.

`gtf`: a shallow clipped PLRNN, generalised teacher forcing, RAdam; `adaptive`: forced as Jacobians ask for; `unforced`:
not forced. `alpha_star`, `gradient_...`: of the trained model on 2000 rows, the forcing that Jacobians ask for, and the
gradient's norm without and with it; `largest_gradient`: of 40 steps of its training. `nvar`, `reservoir`: regression
on at most 20 000 rows, with the settings whose free run is nearest to the rows before the test. `seconds`: of training.
"""

import argparse
import functools
import json
from pathlib import Path

from benchmarks._harness import FOLDER, table
from benchmarks._reproduction import Part, collected, found, with_means
from benchmarks.chaos import _data
from benchmarks.chaos._gtf import gtf
from benchmarks.chaos._regressed import nvar, reservoir
from benchmarks.chaos._scores import floors, scores

# name: (system, seed, quick) -> Learned
METHODS = {
    "gtf": gtf,
    "adaptive": functools.partial(gtf, forcing="adaptive"),
    "unforced": functools.partial(gtf, forcing="none"),
    "nvar": nvar,
    "reservoir": reservoir,
}
TOLD = "d_", "floor", "gradient", "deviation_of_d_"
TARGETS = {"lorenz63": (0.2, 0.1), "ecg": (4.3, 0.34), "eeg": (2.1, 0.11)}


def one(row: str, seed: int, load, quick: bool) -> dict:
    """Of a row as "lorenz63.gtf"."""
    name, method = row.split(".")
    system = load(name)
    learned = METHODS[method](system, seed, quick)
    return {**scores(learned, system), **floors(system), **learned.facts}


def compared(methods: dict[str, dict]) -> dict:
    """Of each system and method; and whether targets are met, by the mean of seeds."""
    told = lambda mean: {key: value for key, value in mean.items() if key.startswith(TOLD)}
    numbers = {row: told(mean) for row, mean in methods.items()}
    for name, (most_stsp, most_h) in TARGETS.items():
        if f"{name}.gtf" in methods:
            mean = methods[f"{name}.gtf"]
            numbers[f"{name}.gtf"]["meets_target"] = mean["d_stsp"] <= most_stsp and mean["d_h"] <= most_h
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos")
    parser.add_argument("data", nargs="?", type=Path, help="the folder of the data (benchmarks/README.md)")
    parser.add_argument("--quick", action="store_true", help="toy size: shows that it runs, measures nothing")
    parser.add_argument("--systems", help=f"some of {','.join(_data.FILES)}; all unless --quick takes the first")
    parser.add_argument("--methods", help=f"some of {','.join(METHODS)}; all unless --quick takes the first")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--save", action="store_true", help=f"keep each row in {FOLDER.name}/chaos.json")
    parser.add_argument("--resume", action="store_true", help="go on with the rows that are kept, and keep more")
    a = parser.parse_args()
    if a.data is None and not a.quick:
        parser.error("the folder of the data is needed (benchmarks/README.md says where to get them), or --quick")
    load = functools.cache(_data.toy if a.quick else functools.partial(_data.load, a.data))
    chosen = lambda given, all_of: given.split(",") if given else list(all_of)[: 1 if a.quick else None]
    systems, methods = chosen(a.systems, _data.FILES), chosen(a.methods, METHODS)
    rows = [f"{system}.{method}" for system in systems for method in methods]
    part = Part("chaos", one, rows, compared, lambda quick: load)
    seeds = [int(seed) for seed in a.seeds.split(",")]
    done = collected(part, seeds, a.quick, a.save, a.resume)
    print(table(with_means(done)))
    print(json.dumps(found(part, done)))


if __name__ == "__main__":
    main()
