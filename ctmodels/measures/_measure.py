"""A measure: what `Integrate(measures=...)` finds of a solve, and the regulariser that punishes it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import overload

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._output import Output, is_largest
from ctmodels._core._words import kind_of
from ctmodels.measures._step import Step

Function = Callable[[Step], Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A function of one accepted step, whose sum over a solve comes back in `Stats.measures`; itself the regulariser
    `(model, output) -> scalar` that reads it there. Made by [`ctmodels.measures.measure`][].

    - `of`: (step) -> scalar; [`ctmodels.measures.Step`][].
    - `name`: in `Stats.measures`.
    - `maximum`: the largest of all accepted steps is kept, not the sum; the name then begins with `largest_`.
    - `needs_noise`: it asks for `Step.noise`, which is drawn once for a solve, from `key`.
    - `per_step`: its regulariser is the mean over the accepted steps, not the sum.
    - `sampling`: None, or the rule by which the one step is chosen that it measures in the place of all accepted ones:
      see [`ctmodels.measures.local_measure`][].
    """

    of: Function
    name: str
    maximum: bool = False
    needs_noise: bool = False
    per_step: bool = False
    sampling: str | None = None
    written: str = dataclasses.field(default="", compare=False, repr=False)  # the expression that makes it

    def __post_init__(self):
        # A solve's statistics know by the name alone how two of them add up.
        if is_largest(self.name) != self.maximum:
            raise ValueError(
                f"measure `{self.name}`: names that begin with `largest_` are those of maximum_over_steps(...); "
                "give it another"
            )

    def __call__(self, model: PyTree, output: Output) -> Float[Array, ""]:
        """What was measured of the solve behind `output`. Raises `ValueError` where the solve did not measure it."""
        stats = output.stats
        if self.name not in stats.measures:
            asked = ", ".join(stats.measures) or "nothing"
            raise ValueError(
                f"regulariser `{self.name}`: the solve did not measure it (it measured {asked}); ask for it by "
                f"Integrate(measures=({self.written or self.name},))"
            )
        value = stats.measures[self.name]
        return value / jnp.maximum(stats.accepted, 1).astype(value.dtype) if self.per_step else value


@overload
def measure(of: Function, *, needs_noise: bool = False, per_step: bool = False) -> Measure: ...


@overload
def measure(*, needs_noise: bool = False, per_step: bool = False) -> Callable[[Function], Measure]: ...


@before(lambda of, **_: _check_function(of))
def measure(
    of: Function | None = None, *, needs_noise: bool = False, per_step: bool = False
) -> Measure | Callable[[Function], Measure]:
    """A function of one step as a [`ctmodels.measures.Measure`][] of its name:

        @ct.measures.measure
        def displacement(step: ct.measures.Step):
            return step.norm(step.y1 - step.y0)

    **Arguments:** `of`: (step) -> scalar, summed over the accepted steps; a function of a module, since its identity
    tells one compiled solve from another. `needs_noise`: whether it takes `step.noise`. `per_step`: whether its
    regulariser divides by the number of accepted steps.

    **Returns:** the measure; without `of`, the decorator that makes it.
    """

    def made(of: Function) -> Measure:
        name = of.__name__  # pyright: ignore
        home = "ctmodels.measures." if of.__module__.startswith("ctmodels.measures.") else ""
        return Measure(of=of, name=name, needs_noise=needs_noise, per_step=per_step, written=f"{home}{name}")

    return made if of is None else made(of)


def _check_function(of) -> None:
    if of is not None and (not callable(of) or isinstance(of, Measure)):
        raise TypeError(f"measure: {kind_of(of)}, where a function of one ctmodels.measures.Step is wanted")


def _check_each_step(measure) -> None:
    if not isinstance(measure, Measure):
        raise TypeError(
            f"maximum_over_steps: {kind_of(measure)}, where a measure is wanted: ctmodels.measures.measure(function)"
        )
    if measure.sampling is not None:
        raise ValueError(f"maximum_over_steps: `{measure.name}` is of one step: there is no largest of several")


@before(_check_each_step)
def maximum_over_steps(measure: Measure) -> Measure:
    """A measure of which the largest value of all accepted steps is kept, not the sum; its name has `largest_` in
    front. The gradient is that of the step where it was. Values must not be negative.

    **Arguments:** `measure`: of each accepted step.

    **Returns:** the measure of their largest.
    """
    name, written = f"largest_{measure.name}", f"ctmodels.measures.maximum_over_steps({measure.written})"
    return dataclasses.replace(measure, name=name, maximum=True, per_step=False, written=written)


def measured(measures: Sequence[Measure], step: Step) -> dict[str, Array]:
    """name -> what each finds of a step."""
    return {m.name: m.of(step) for m in measures}
