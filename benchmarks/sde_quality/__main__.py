"""What stochastic models learn: `python -m benchmarks.sde_quality [--only PART] [--quick] [--save]`.

Each part is a file of this folder, says there what it does, and runs alone as `python -m benchmarks.sde_quality.PART`,
with a choice of methods and seeds. Here it runs with three seeds; what is kept is that of the part. `--quick` takes the
first method of the two quickest, or of those of `--only`: a part's own `--quick` takes more. `mocap` is given the
folder of its data, and runs alone only.
"""

from benchmarks._reproduction import Part, main_of_parts
from benchmarks.sde_quality import generators, lorenz, ou

PARTS = {
    "ou": Part("sde_quality.ou", ou.one, ou.METHODS, ou.compared),
    "generators": Part("sde_quality.generators", generators.one, generators.METHODS, generators.compared),
    "lorenz": Part("sde_quality.lorenz", lorenz.one, lorenz.METHODS, lorenz.compared),
}


if __name__ == "__main__":
    main_of_parts("sde_quality", PARTS, ["ou", "lorenz"])
