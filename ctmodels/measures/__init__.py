"""What is measured of a solve, and punished: one object is both.

A measure is a function of one accepted [`ctmodels.measures.Step`][]; what it returns is summed over the accepted steps,
or, of [`ctmodels.measures.maximum_over_steps`][] ones, the largest is kept. What `Integrate(measures=...)` was asked
for comes back in `Stats.measures`, under the measure's name; in the objective the same measure is the regulariser that
reads it there, with a weight or an optax schedule of it:

    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(measures=(ct.measures.scaled_error,), batching="shared"))
    objective = ct.objective(ct.losses.squared, {"error": (weight, ct.measures.scaled_error)})
"""

from ctmodels.measures._heuristics import (
    eigenvalue as eigenvalue,
    largest_eigenvalue as largest_eigenvalue,
    local_error as local_error,
    scaled_error as scaled_error,
    stiffness as stiffness,
)
from ctmodels.measures._integrals import (
    jacobian as jacobian,
    kinetic as kinetic,
    path_length as path_length,
    taylor as taylor,
)
from ctmodels.measures._local import local_measure as local_measure
from ctmodels.measures._measure import (
    Measure as Measure,
    maximum_over_steps as maximum_over_steps,
    measure as measure,
)
from ctmodels.measures._step import Step as Step
