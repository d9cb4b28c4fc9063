"""What a candidate is, and what it is told of the data."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxtyping import Array, Float

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._scaling import Scaling
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels.reconstruction._delays import Delays
from ctmodels.reconstruction._law_files import LawSource
from ctmodels.reconstruction._parameters import Parameters

STEP = 0.25  # the longest solver step, in units of the scaled time, in which the data move at speed one
MAX_STEPS = 2**16  # steps that one solve may take beyond the usual ones, over pauses of the record


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a constructor must know of the data; JSON-able, and saved with the model.

    `channels`: how many; `scaling`: units inside against outside; `input_scaling`: that of the inputs, if there are
    any; `substeps`: solver steps from sample to sample, where the record has no pause; `period`: the dominant one, in
    physical time; `level`: mean of each channel (geometric where logarithms are taken), in physical units.
    `spacing`: the one step, scaled, of which all times from row to row are whole multiples, `pause` of them at most;
    None where there is none. `embedding`: delay and dimension, where states are made of delays
    ([`ctmodels.embedding.embed`][]).
    """

    channels: int
    scaling: Scaling
    input_scaling: Scaling | None
    substeps: int
    period: float
    level: tuple[float, ...]
    spacing: float | None = None
    pause: int = 1
    embedding: tuple[int, int] | None = None

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
        embedding = d.get("embedding") and tuple(d["embedding"])
        return cls(**{**d, **back, "embedding": embedding})

    @property
    def step(self) -> float:
        """The time that a map takes; where there is none, `check_candidates` has spoken before."""
        return 1.0 if self.spacing is None else self.spacing

    @property
    def max_steps(self) -> int:
        """Of a map from row to row: over the longest pause, and somewhat more."""
        return max(16, 2 * self.pause)

    def of_delays(self) -> "Problem":
        """What a candidate is told whose channels are delays: each channel so many times, newest first."""
        if self.embedding is None:
            return self
        many, scaling = self.embedding[1], self.scaling
        scaling = dataclasses.replace(scaling, mean=scaling.mean * many, std=scaling.std * many)
        level = self.level * many
        return dataclasses.replace(self, channels=self.channels * many, scaling=scaling, level=level, embedding=None)


class Candidate(NamedTuple):
    """A model to try: `build(problem, key, **settings)` makes one member, any [`ctmodels.AbstractDynamics`][];
    `whole_series`: whether its windows are as long as the series (a law with few parameters is fitted to everything at
    once);
    `draws`: paths of each member in a forecast, drawn with a key from what the filter knows of the start, for a model
    that has noise of its own: it is then trained on such draws too, after shooting without noise. 1: without a key,
    from the likeliest start. `with_noise(model, deviation)`: a member whose noise is about so large, `(state,)`, per
    root of the unit of time, to begin that training with what the filter found; None: as it was built.
    `fit(problem, trials, members, seed) -> Solved`: how it is fitted, where not by steps of training; `trials`: pairs
    of a scaled series and its control; the `settings` that it finds are those of `build`. `source`: the file that a law
    was read from. `listens`: its state is what it hears of the past ([`ctmodels.AbstractListener`][]), and not what a
    filter finds. `even_times`: it moves by steps of one length. `forcing`: how strongly it is forced in training
    ([`ctmodels.losses.teacher_forcing`][]); None: not at all. `remembers`: its state is made of delays anyway, so that
    it sees to `problem.embedding` itself."""

    name: str
    build: Callable
    whole_series: bool = False
    draws: int = 1
    with_noise: Callable | None = None
    fit: Callable | None = None
    source: LawSource | None = None
    listens: bool = False
    even_times: bool = False
    forcing: float | None = None
    remembers: bool = False


def built(candidate: Candidate, problem: Problem, key, settings: dict | None = None) -> AbstractDynamics:
    """One member, as its candidate makes it."""
    if problem.embedding is None or candidate.remembers:
        return candidate.build(problem, key, **(settings or {}))
    return with_delays(candidate.build(problem.of_delays(), key, **(settings or {})), problem)


def with_delays(model: AbstractDynamics, problem: Problem) -> AbstractDynamics:
    """A model, or an ensemble, of delay vectors, observed as the data are."""
    delay, dimension = problem.embedding or (1, 1)
    return Delays(model, model.channels // dimension, delay, problem.step)


class Solved(NamedTuple):
    """What a candidate's own `fit` finds: an ensemble, every array with a leading axis of members; the variance of the
    measurement, scaled, `(channel,)`; and the parameters, where they have names; JSON-able settings of
    `build`; and the law in words, where there is one."""

    model: AbstractDynamics
    observation: Float[Array, " channel"]
    parameters: Parameters | None = None
    settings: dict | None = None
    formula: Callable[[Sequence[str], Sequence[str]], str] | None = None
