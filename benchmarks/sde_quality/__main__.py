"""What stochastic models learn: `python -m benchmarks.sde_quality [--only PART] [--quick] [--save]`.

Each part is a file of this folder, says there what it does, and runs alone as `python -m benchmarks.sde_quality.PART`,
with a choice of methods and seeds. Here it runs with three seeds; what is kept is that of the part. `--quick` takes the
first method of the two quickest, or of those of `--only`: a part's own `--quick` takes more. `mocap` is given the
folder of its data, and runs alone only.
"""

import argparse
import json

from benchmarks._harness import table
from benchmarks._reproduction import Part, collected, found, with_means
from benchmarks.sde_quality import generators, lorenz, ou

PARTS = {
    "ou": Part("sde_quality.ou", ou.one, ou.METHODS, ou.compared),
    "generators": Part("sde_quality.generators", generators.one, generators.METHODS, generators.compared),
    "lorenz": Part("sde_quality.lorenz", lorenz.one, lorenz.METHODS, lorenz.compared),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sde_quality")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given again")
    parser.add_argument("--quick", action="store_true", help="toy size: shows that it runs, measures nothing")
    parser.add_argument("--save", action="store_true", help="keep each row in results/sde_quality.PART.json")
    parser.add_argument("--resume", action="store_true", help="go on with the rows that are kept, and keep more")
    arguments = parser.parse_args()
    summary = {}
    for name in arguments.only or (["ou", "lorenz"] if arguments.quick else PARTS):
        part, seeds = PARTS[name], [0, 1, 2]
        if arguments.quick:
            part, seeds = part._replace(methods=part.methods[:1]), [0]
        rows = collected(part, seeds, arguments.quick, arguments.save, arguments.resume)
        print(f"\n{name}\n\n{table(with_means(rows))}\n")
        summary[name] = found(part, rows)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
