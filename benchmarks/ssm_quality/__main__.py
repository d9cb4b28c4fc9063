"""What state-space models learn: `python -m benchmarks.ssm_quality [--quick] [--save]`.

Each part is a file of this folder, says there what it does, and runs alone as `python -m benchmarks.ssm_quality.PART`,
with a choice of methods and seeds. Here `pendulum` runs, with three seeds (`--quick`: its first method); `mnist` and
`digits` are given the folder of their data, and run alone only. Mortality in hospital by a state-space model is a row
of `benchmarks.cde.physionet`.
"""

from benchmarks._reproduction import Part, main_of_parts
from benchmarks.ssm_quality import pendulum

PARTS = {"pendulum": Part("ssm_quality.pendulum", pendulum.one, list(pendulum.METHODS), pendulum.compared)}


if __name__ == "__main__":
    main_of_parts("ssm_quality", PARTS, ["pendulum"])
