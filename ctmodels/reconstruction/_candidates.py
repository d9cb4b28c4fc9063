"""Candidates: the models that a reconstruction may fit, from names to constructors.

The table of names serves the command line and model files; the library itself takes `Candidate` objects.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._scaling import Scaling
from ctmodels._core._validation import DataError
from ctmodels._integrate import RK4, SRI, Integrate, Substeps
from ctmodels.fields import SDE, MLPField, Positive, Rescaled, SecondOrder, SumField
from ctmodels.models import NeuralODE, NeuralSDE
from ctmodels.reconstruction._law_files import LawSource
from ctmodels.reconstruction._parameters import Parameters
from ctmodels.systems import LotkaVolterra

STEP = 0.25  # the longest solver step, in units of the scaled time, in which the data move at speed one
MAX_STEPS = 2**16  # steps that one solve may take beyond the usual ones, over pauses of the record


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a constructor must know of the data; JSON-able, and saved with the model.

    `channels`: how many; `scaling`: units inside against outside; `input_scaling`: that of the inputs, if there are
    any; `substeps`: solver steps from sample to sample, where the record has no pause; `period`: the dominant one, in
    physical time; `level`: mean of each channel (geometric where logarithms are taken), in physical units.
    """

    channels: int
    scaling: Scaling
    input_scaling: Scaling | None
    substeps: int
    period: float
    level: tuple[float, ...]

    @property
    def inputs(self) -> int:
        """How many inputs drive the system."""
        return 0 if self.input_scaling is None else len(self.input_scaling.mean)

    def integrate(self) -> Integrate:
        """Fixed steps of a length that the field's speed bears, whatever the times: in training, over pauses of the
        record, and in forecasts at other times."""
        return Integrate(RK4(), Substeps(self.substeps, longest=STEP), max_steps=MAX_STEPS)

    def to_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, d: dict) -> "Problem":
        """Back from JSON."""
        units = d["input_scaling"] and Scaling.from_dict(d["input_scaling"])
        back = {"scaling": Scaling.from_dict(d["scaling"]), "input_scaling": units, "level": tuple(d["level"])}
        return cls(**{**d, **back})


class Candidate(NamedTuple):
    """A model to try: `build(problem, key)` makes one member, any [`ctmodels.AbstractDynamics`][]; `whole_series`:
    whether its windows are as long as the series (a law with few parameters is fitted to everything at once);
    `draws`: paths of each member in a forecast, drawn with a key from what the filter knows of the start, for a model
    that has noise of its own: it is then trained on such draws too, after shooting without noise. 1: without a key,
    from the likeliest start. `with_noise(model, deviation)`: a member whose noise is about so large, `(state,)`, per
    root of the unit of time, to begin that training with what the filter found; None: as it was built.
    `fit(problem, trials, members, seed) -> Solved`: how it is fitted, where not by steps of training; `trials`: pairs
    of a scaled series and its control. `source`: the file that a law was read from."""

    name: str
    build: Callable
    whole_series: bool = False
    draws: int = 1
    with_noise: Callable | None = None
    fit: Callable | None = None
    source: LawSource | None = None


class Solved(NamedTuple):
    """What a candidate's own `fit` finds: an ensemble, every array with a leading axis of members; the variance of the
    measurement, scaled, `(channel,)`; and the parameters, where they have names."""

    model: AbstractDynamics
    observation: Float[Array, " channel"]
    parameters: Parameters | None = None


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


CANDIDATES: dict[str, Candidate] = {
    c.name: c
    for c in (
        Candidate("neural", _neural),
        Candidate("augmented", _augmented),
        Candidate("second-order", _second_order),
        Candidate("neural-sde", _neural_sde, draws=32, with_noise=_neural_sde_with_noise),
        Candidate("lotka-volterra", _lotka_volterra, whole_series=True),
        Candidate("hybrid-lotka-volterra", _hybrid_lotka_volterra),
    )
}
