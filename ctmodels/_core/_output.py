"""What a model returns: outputs, and the statistics of the solve that made them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree, Shaped

from ctmodels.distributions import AbstractDistribution

SUCCESS, TOO_MANY_STEPS, NON_FINITE, OTHER, STEP_UNDERFLOW, BAD_TIMES, NOT_CONVERGED = range(7)
STATUS = {
    SUCCESS: "success",
    TOO_MANY_STEPS: "too many steps: raise `max_steps`, loosen the tolerances, or look for stiffness",
    NON_FINITE: "non-finite value: the solution blew up or the field returned NaN; look at its inputs",
    OTHER: "the solver gave up, as in a failed implicit solve",
    STEP_UNDERFLOW: "steps too short (t + h == t): the solution blows up or jumps there, or is too stiff; use an "
    "implicit method, such as diffrax.Kvaerno5",
    BAD_TIMES: "times that are not finite or not in order, or a diffrax.StepTo that does not go from the first time to "
    "the last: sort them, and drop or mask those that are not finite",
    NOT_CONVERGED: "Newton's iteration over all rows did not converge: raise `max_iterations`, give a damped "
    "linearisation, or, where the largest exponent is positive, solve row by row with jax.lax.scan",
}


def is_largest(name: str) -> bool:
    """Whether the largest of a measure of this name is kept, and not the sum."""
    return name.startswith("largest_")


def gather(name: str, total: Array, value: Array) -> Array:
    """A measure's total, with one more value."""
    return jnp.maximum(total, value) if is_largest(name) else total + value


def gathered(values: dict[str, Array]) -> dict[str, Array]:
    """Totals of arrays of values."""
    return {name: jnp.max(x, initial=0) if is_largest(name) else jnp.sum(x) for name, x in values.items()}


class Stats(eqx.Module):
    """The statistics of a solve. Counts carry no gradient; `measures` do.

    - `evaluations`: field evaluations, those of rejected steps included.
    - `accepted`, `rejected`: steps.
    - `status`: 0 is success; the meanings are in `ctmodels.STATUS`.
    - `measures`: name -> scalar, what the `measures` of [`ctmodels.Integrate`][] asked for, summed over
      the accepted steps, or the largest of them where the name says `largest_`; NaN for a solve that failed.
    - `shortest`, `longest`: the accepted steps' lengths, in units of time; zero and infinity where diffrax's engine
      does not say.
    - `t`: the time that was reached: the last of `ts`, unless the solve failed.
    """

    evaluations: Int[Array, "..."]
    accepted: Int[Array, "..."]
    rejected: Int[Array, "..."]
    status: Int[Array, "..."]
    measures: dict[str, Float[Array, "..."]]
    shortest: Float[Array, "..."]
    longest: Float[Array, "..."]
    t: Float[Array, "..."]

    @classmethod
    def none(cls, t: Float[Array, ""]) -> "Stats":
        """Of outputs at `t` that took no solve."""
        return cls.of_grid(0, jnp.asarray(t)[None], jnp.asarray(t)[None, None])

    @classmethod
    def of_grid(cls, evaluations: int, ts: Float[Array, " row"], zs: Float[Array, "row state"]) -> "Stats":
        """Of one step from each row to the next, of so many evaluations; it fails where a state is not finite."""
        steps, gaps = zs.shape[0] - 1, jax.lax.stop_gradient(jnp.diff(ts))
        failed = jnp.where(jnp.isfinite(ts[-1]), NON_FINITE, BAD_TIMES)
        return cls(
            evaluations=jnp.asarray(evaluations * steps, jnp.int32),
            accepted=jnp.asarray(steps, jnp.int32),
            rejected=jnp.asarray(0, jnp.int32),
            status=jnp.where(jnp.all(jnp.isfinite(zs)), SUCCESS, failed).astype(jnp.int32),
            measures={},
            shortest=jnp.min(jnp.where(gaps > 0, gaps, jnp.inf), initial=jnp.inf),
            longest=jnp.max(gaps, initial=0),
            t=jax.lax.stop_gradient(ts[-1]),
        )

    @classmethod
    def in_sequence(cls, stacked: "Stats") -> "Stats":
        """Of solves in a row, along a leading axis: of failures the first, and the work up to it."""
        failed = stacked.status != SUCCESS
        first = jnp.where(jnp.any(failed), jnp.argmax(failed), failed.shape[0] - 1)
        took = jnp.arange(failed.shape[0]) <= first
        count = lambda counts: jnp.sum(jnp.where(took, counts, 0), dtype=jnp.int32)
        return cls(
            evaluations=count(stacked.evaluations),
            accepted=count(stacked.accepted),
            rejected=count(stacked.rejected),
            status=stacked.status[first].astype(jnp.int32),
            measures=gathered(stacked.measures),
            shortest=jnp.min(stacked.shortest),
            longest=jnp.max(stacked.longest),
            t=stacked.t[first],
        )

    def __add__(self, other: "Stats") -> "Stats":
        """Two solves in a row: work adds up, of the largest of a measure the larger stays, and the worse status."""
        measures = {**self.measures, **other.measures}
        for name in self.measures.keys() & other.measures.keys():
            measures[name] = gather(name, self.measures[name], other.measures[name])
        return Stats(
            evaluations=self.evaluations + other.evaluations,
            accepted=self.accepted + other.accepted,
            rejected=self.rejected + other.rejected,
            status=jnp.maximum(self.status, other.status),
            measures=measures,
            shortest=jnp.minimum(self.shortest, other.shortest),
            longest=jnp.maximum(self.longest, other.longest),
            t=jnp.where(self.status == SUCCESS, other.t, self.t),
        )

    def check(self) -> None:
        """Raise on the host if any sample failed, naming the sample, the time and the remedy. Not under jit."""
        status, t = (jax.device_get(x).reshape(-1) for x in (self.status, self.t))
        failed = status.nonzero()[0]
        if failed.size:
            first = int(failed[0])
            raise RuntimeError(
                f"{failed.size} of {status.size} solves failed; sample {first} at time {float(t[first]):.6g}: "
                f"{STATUS[int(status[first])]}"
            )


class Output(eqx.Module):
    """What a model turned its sample into.

    - `ys`: outputs at the wanted times, `(time, channel)`.
    - `stats`: the statistics of the solve, [`ctmodels.Stats`][].
    - `latents`: the states behind the outputs, `(time, state)`, if there are any.
    - `kl`: divergence between posterior and prior, a scalar; None of a model that has none.
    - `predictive`: what is expected at the wanted times, one of [`ctmodels.distributions`][]; None of a model that
      gives but a mean.
    """

    ys: Shaped[Array, "..."]
    stats: Stats
    latents: PyTree = None
    kl: Float[Array, "..."] | None = None
    predictive: AbstractDistribution | None = None
