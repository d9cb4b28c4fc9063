"""A law of the user's own as a candidate: fitted by least squares, its parameters with intervals."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels.fields import Law
from ctmodels.fields._law import states_of
from ctmodels.models import NeuralODE
from ctmodels.reconstruction._candidate import MAX_STEPS, STEP, Candidate, Problem, Solved
from ctmodels.reconstruction._candidates import CANDIDATES
from ctmodels.reconstruction._estimate import Estimate, estimate
from ctmodels.reconstruction._fit_law import law_problem, parameters_of
from ctmodels.reconstruction._law_files import LawSource, read_law
from ctmodels.reconstruction._law_units import LawInUnits, with_hidden

LEVEL = 0.9  # of the intervals in a report


def law_candidate(law: Law | Callable | str, *, states: int | None = None) -> Candidate:
    """A law as a candidate of [`ctmodels.reconstruction.reconstruct`][], named after its function: estimated as by
    [`ctmodels.reconstruction.fit_law`][]. Its members are the estimate and others as likely as the data leave them, so
    that forecasts are as uncertain as the parameters are.

    **Arguments:**

    - `law`: a [`ctmodels.fields.Law`][], or what one is made of; or a place, `"file.py:function"`: the file is run,
      and copied to the folder of the reconstruction, so that its models can be loaded again.
    - `states`: of the law, where it has more than the data have channels; default: as many as it takes to call it.
    """
    law, source = read_law(law) if isinstance(law, str) else (law if isinstance(law, Law) else Law(law), None)
    return _candidate(law, source, states)


def _candidate(law: Law, source: LawSource | None, states: int | None) -> Candidate:
    if law.name in CANDIDATES:
        raise DataError(f"law {law.name}: a candidate of the library is called so; give the function another name")

    def build(problem: Problem, key: Array | None = None) -> NeuralODE:
        return _dynamics(law, problem, states)

    def fit(problem: Problem, trials: Sequence[tuple[Series, Series | None]], members: int, seed: int) -> Solved:
        found = estimate(law_problem(law, problem.scaling, problem.input_scaling, states), trials, seed)
        values = _members(found, members, np.random.default_rng(seed))
        model = eqx.filter_vmap(lambda values: _dynamics(law.with_parameters(values), problem, states))(values)
        observation = jnp.asarray(found.laplace.deviation**2, found.trials.series.ys.dtype)
        return Solved(model, observation, parameters_of(found, LEVEL))

    source = source and source._replace(states=states)
    return Candidate(law.name, build, whole_series=True, fit=fit, source=source)


def _dynamics(law: Law, problem: Problem, states: int | None) -> NeuralODE:
    channels = problem.channels
    size = states_of(law, channels, problem.inputs, states)
    field = LawInUnits.of(law, with_hidden(problem.scaling, size), problem.input_scaling)
    steps = Substeps(2 * problem.substeps, longest=STEP / 2)
    return NeuralODE(field, channels, size - channels, Integrate(RK4(), steps, max_steps=MAX_STEPS))


def _members(found: Estimate, count: int, random: np.random.Generator) -> dict[str, Array]:
    """The estimate first, then pairs on either side of it; an odd number, whose median is the estimate."""
    half = count // 2
    cov = found.laplace.cov
    root = np.linalg.cholesky(cov + 1e-12 * np.eye(len(cov)) * max(1e-12, float(np.trace(cov))))
    away = random.normal(size=(half, len(cov))) @ root.T
    q = found.q + np.stack([np.zeros(len(cov)), *(side for one in away for side in (one, -one))])
    values = jnp.asarray(found.problem.coordinates.on_host(q), float)
    return dict(zip(found.problem.field.law.names, values.T, strict=True))
