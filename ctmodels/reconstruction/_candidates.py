"""Candidates: the models that a reconstruction may fit, from names to constructors.

The table of names serves the command line and model files; the library itself takes `Candidate` objects.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._integrate import SRI, Integrate, Substeps
from ctmodels._readouts import FirstChannels
from ctmodels.fields import SDE, MLPField, Positive, Rescaled, SecondOrder, ShallowPLRNN, SumField
from ctmodels.models import PLRNN, NeuralODE, NeuralSDE
from ctmodels.reconstruction._candidate import MAX_STEPS, STEP, Candidate, Problem
from ctmodels.reconstruction._maps import MAPS
from ctmodels.systems import LotkaVolterra

FORCING = 0.15  # of what is forced in training


def _neural(problem: Problem, key, augment: int = 0) -> NeuralODE:
    field = MLPField(problem.channels + augment, inputs=problem.inputs, key=key)
    return NeuralODE(field, problem.channels, augment, problem.integrate())


def _augmented(problem: Problem, key) -> NeuralODE:
    return _neural(problem, key, augment=problem.channels)


def _neural_sde(problem: Problem, key) -> NeuralSDE:
    of_drift, of_diffusion = jax.random.split(key)
    drift = MLPField(problem.channels, inputs=problem.inputs, key=of_drift)
    diffusion = MLPField(problem.channels, inputs=problem.inputs, width=16, depth=1, key=of_diffusion)
    # Its methods are of order two in the drift, with half of the slopes of RK4: half of its steps.
    steps = Substeps(2 * problem.substeps, longest=STEP / 2)
    integrate = Integrate(SRI(), steps, max_steps=MAX_STEPS)
    return NeuralSDE(SDE(drift, Positive(diffusion, floor=1e-3)), problem.channels, 0, integrate)


def _neural_sde_with_noise(model: NeuralSDE, deviation) -> NeuralSDE:
    """The last bias of its diffusion by the inverse of softplus."""
    where = lambda model: model.sde.diffusion.field.mlp.layers[-1].bias
    return eqx.tree_at(where, model, jnp.log(jnp.expm1(deviation)))


def _second_order(problem: Problem, key) -> NeuralODE:
    channels = problem.channels
    field = SecondOrder(MLPField((2 * channels, channels), inputs=problem.inputs, key=key))
    return NeuralODE(field, channels, channels, problem.integrate())


def _lotka_volterra(problem: Problem, key) -> NeuralODE:
    return NeuralODE(_predation(problem, key), 2, 0, problem.integrate())


def _hybrid_lotka_volterra(problem: Problem, key) -> NeuralODE:
    known, unknown = jax.random.split(key)
    field = SumField(_predation(problem, known), MLPField(2, inputs=problem.inputs, width=16, key=unknown))
    return NeuralODE(field, 2, 0, problem.integrate())


def _predation(problem: Problem, key) -> Rescaled:
    """Lotka-Volterra that already turns at the data's period about the data's level; members differ a little."""
    if problem.channels != 2:
        raise DataError(
            f"lotka-volterra: two channels are needed, prey and predators in this order; the data have "
            f"{problem.channels}; choose the columns, or another model"
        )
    rate, (prey, predators) = 2 * np.pi / problem.period, problem.level
    field = LotkaVolterra(rate, rate / predators, rate / prey, rate)
    log_parameters = field.log_parameters + 0.1 * jax.random.normal(key, (4,), field.log_parameters.dtype)
    return Rescaled(_with_parameters(field, log_parameters), problem.scaling)


def _with_parameters(field: LotkaVolterra, log_parameters) -> LotkaVolterra:
    return jax.tree.map(lambda _: jnp.asarray(log_parameters), field)


def _plrnn(problem: Problem, key) -> PLRNN:
    cell = ShallowPLRNN(problem.channels, inputs=problem.inputs, key=key)
    return PLRNN(cell, FirstChannels(problem.channels), problem.step, problem.max_steps if problem.pause > 1 else 1)


CANDIDATES: dict[str, Candidate] = {
    c.name: c
    for c in (
        Candidate("neural", _neural),
        Candidate("augmented", _augmented),
        Candidate("second-order", _second_order),
        Candidate("neural-sde", _neural_sde, draws=32, with_noise=_neural_sde_with_noise),
        Candidate("neural-gtf", _neural, forcing=FORCING),
        Candidate("plrnn", _plrnn, forcing=FORCING, even_times=True),
        *MAPS,
        Candidate("lotka-volterra", _lotka_volterra, whole_series=True),
        Candidate("hybrid-lotka-volterra", _hybrid_lotka_volterra),
    )
}
