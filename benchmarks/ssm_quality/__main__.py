"""What state-space models learn: `python -m benchmarks.ssm_quality [--quick] [--save]`.

Each part is a file of this folder, says there what it does, and runs alone as `python -m benchmarks.ssm_quality.PART`,
with a choice of methods and seeds. Here `pendulum` runs, with three seeds; `mnist` and `digits` are given the folder of
their data, and run alone only. Mortality in hospital by a state-space model is a row of `benchmarks.cde.physionet`.
"""

import argparse
import json

from benchmarks._harness import table
from benchmarks._reproduction import Part, collected, found, with_means
from benchmarks.ssm_quality import pendulum

PARTS = {"pendulum": Part("ssm_quality.pendulum", pendulum.one, list(pendulum.METHODS), pendulum.compared)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ssm_quality")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given again")
    parser.add_argument("--quick", action="store_true", help="toy size: shows that it runs, measures nothing")
    parser.add_argument("--save", action="store_true", help="keep each row in results/ssm_quality.PART.json")
    parser.add_argument("--resume", action="store_true", help="go on with the rows that are kept, and keep more")
    arguments = parser.parse_args()
    summary = {}
    for name in arguments.only or PARTS:
        seeds = [0] if arguments.quick else [0, 1, 2]
        rows = collected(PARTS[name], seeds, arguments.quick, arguments.save, arguments.resume)
        print(f"\n{name}\n\n{table(with_means(rows))}\n")
        summary[name] = found(PARTS[name], rows)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
