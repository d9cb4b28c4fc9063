"""A law in its own units, as a field of scaled values; its parameters, as coordinates that are searched."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from ctmodels._core._scaling import Scaling
from ctmodels._integrate._fixed import RK4, rk_step
from ctmodels.fields import Law


class Units(eqx.Module):
    """A scaling as arrays, so that what one data set compiled, the next one uses. *Performance.*"""

    origin: Float[Array, "*member"]
    time_scale: Float[Array, "*member"]
    mean: Float[Array, "*member channel"]
    std: Float[Array, "*member channel"]
    log: bool = eqx.field(static=True)

    @classmethod
    def of(cls, scaling: Scaling) -> "Units":
        """The same."""
        number = lambda x: jnp.asarray(x, float)
        times = number(scaling.origin), number(scaling.time_scale)
        return cls(*times, number(scaling.mean), number(scaling.std), scaling.log)

    def physical(self, z: Float[Array, " channel"]) -> Float[Array, " channel"]:
        """In the user's units."""
        y = z * self.std + self.mean
        return jnp.exp(y) if self.log else y


class LawInUnits(eqx.Module):
    """dz/dtau of scaled states, under a control of scaled inputs, by a law that knows nothing of scaling."""

    law: Law
    units: Units
    input_units: Units | None

    @classmethod
    def of(cls, law: Law, scaling: Scaling, inputs: Scaling | None) -> "LawInUnits":
        """`scaling`: of all states."""
        return cls(law, Units.of(scaling), None if inputs is None else Units.of(inputs))

    def __call__(self, t, y, args: PyTree):
        units = self.units
        u = None if self.input_units is None or args is None else self.input_units.physical(args(t))
        state = units.physical(y)
        slope = self.law.slopes(units.origin + units.time_scale * t, state, u)
        return units.time_scale * (slope / state if units.log else slope) / units.std


def with_hidden(scaling: Scaling, states: int) -> Scaling:
    """Of states that are not observed too: about zero, as large as the observed ones' slopes, as a velocity is; one, of
    logarithms."""
    channels = len(scaling.std)
    hidden = range(channels, states)
    std = [1.0 if scaling.log else scaling.std[i % channels] / scaling.time_scale for i in hidden]
    mean = [0.0 for _ in hidden]
    return dataclasses.replace(scaling, mean=(*scaling.mean, *mean), std=(*scaling.std, *std))


class Coordinates(eqx.Module):
    """Parameters in units of their first guess: zero is the guess, and one is one guess more, or e times it where they
    are positive."""

    guess: Float[Array, " parameter"]
    unit: Float[Array, " parameter"]
    positive: Bool[Array, " parameter"]

    @classmethod
    def of(cls, law: Law) -> "Coordinates":
        """About a law's first guesses."""
        guess = jnp.stack([law.parameters[name] for name in law.names])
        unit = jnp.where(guess == 0, 1, jnp.abs(guess))
        return cls(guess, unit, jnp.asarray(np.isin(law.names, law.positive)))

    def values(self, q: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        """In the user's units."""
        return jnp.where(self.positive, self.guess * jnp.exp(q), self.guess + self.unit * q)

    def on_host(self, q: np.ndarray) -> np.ndarray:
        """The same of `(..., parameter)`, in float64."""
        guess, unit = np.asarray(self.guess, np.float64), np.asarray(self.unit, np.float64)
        factor = np.exp(np.where(self.positive, q, 0))
        return np.where(self.positive, guess * factor, guess + unit * q)


class LawProblem(eqx.Module):
    """What is solved for: a law in its units, where it is searched, and in how many steps it is solved.

    `longest`: a step, in the scaled time; `substeps`: as many for each of these; `channels`: how many of the states,
    the first, are observed.
    """

    field: LawInUnits
    coordinates: Coordinates
    channels: int = eqx.field(static=True)
    longest: Float[Array, ""]
    substeps: Array

    @classmethod
    def of(cls, field: LawInUnits, channels: int, longest: float) -> "LawProblem":
        """To be searched about the law's first guesses."""
        coordinates = Coordinates.of(field.law)
        return cls(field, coordinates, channels, jnp.asarray(longest, coordinates.guess.dtype), jnp.asarray(1))

    def law(self, q: Float[Array, " parameter"]) -> Law:
        """With these parameters."""
        law = self.field.law
        return law.with_parameters(dict(zip(law.names, self.coordinates.values(q), strict=True)))

    def flow(self, q, t0, t1, z: Float[Array, " state"], control: PyTree) -> Float[Array, " state"]:
        """By the classical Runge-Kutta method; the number of steps is found as it runs, and nothing compiled anew."""
        field = eqx.tree_at(lambda field: field.law, self.field, self.law(q))
        count = self.substeps * jnp.maximum(1, jnp.ceil((t1 - t0) / self.longest - 0.01).astype(int))
        h = (t1 - t0) / count.astype(t0.dtype)
        step = lambda i, z: rk_step(RK4.tableau, field, t0 + i.astype(t0.dtype) * h, h, z, control).y1
        return jax.lax.fori_loop(0, count, step, z)
