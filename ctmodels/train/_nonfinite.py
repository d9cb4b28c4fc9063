"""What goes wrong in training, watched inside the compiled step and told on the host."""

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from ctmodels._core._output import STATUS, SUCCESS

IN_A_ROW = 5  # steps that are not finite, after which training stops


class Faults(eqx.Module):
    """- `skipped`: steps that were not finite, and so changed nothing; `streak`: how many of them up to now without a
      finite one between; `longest_streak`; `place`: where the first bad value of the last streak was.
    - `solve`: of the step in which that streak began: its number, the first sample whose solve failed, and its status.
    - `reached`: for each trained array, whether any gradient in it was ever other than zero.
    """

    skipped: Int[Array, "*ensemble"]
    streak: Int[Array, "*ensemble"]
    longest_streak: Int[Array, "*ensemble"]
    place: Int[Array, "*ensemble"]
    solve: Int[Array, "*ensemble 3"]
    reached: Bool[Array, "*ensemble leaf"]

    @classmethod
    def none(cls, trained: PyTree) -> "Faults":
        zero = lambda: jnp.zeros((), jnp.int32)  # a buffer of its own for each, to be donated
        return cls(
            skipped=zero(),
            streak=zero(),
            longest_streak=zero(),
            place=zero(),
            solve=jnp.zeros(3, jnp.int32),
            reached=jnp.zeros(len(jax.tree.leaves(trained)), bool),
        )

    def look(
        self, batch, loss, gradient, update, solve: Int[Array, "3"] | None = None
    ) -> tuple[tuple[str, ...], "Faults"]:
        """Names of all that was looked at, in the order in which a fault passes on, and the count after this step."""
        inputs, slopes = _named("batch", batch), _named("gradient", gradient)
        sizes = [square(leaf) for _, leaf in slopes]
        wrong = [jnp.any(~jnp.isfinite(leaf)) for _, leaf in inputs]  # harmless, where it is under a mask
        moved = jnp.stack([jnp.isfinite(square(leaf)) for _, leaf in _named("update", update)])
        fatal = [*(~jnp.isfinite(x) for x in (loss, *sizes)), ~jnp.all(moved)]
        streak = jnp.where(jnp.any(jnp.stack(fatal)), self.streak + 1, 0)
        names = (*(name for name, _ in inputs), "loss", *(name for name, _ in slopes), "update")
        return names, Faults(
            skipped=self.skipped + jnp.minimum(streak, 1),
            streak=streak,
            longest_streak=jnp.maximum(self.longest_streak, streak),
            place=jnp.where(streak == 1, jnp.argmax(jnp.stack(wrong + fatal)).astype(jnp.int32), self.place),
            solve=self.solve if solve is None else jnp.where(streak == 1, solve, self.solve),
            reached=self.reached | jnp.stack([size != 0 for size in sizes]),
        )


def failed_solve(metrics: Mapping[str, Array], step: Int[Array, ""]) -> Int[Array, "3"]:
    """This step's number, counted from one, and what its metrics say of a failed solve."""
    said = step + 1, metrics.get("failed_sample", -1), metrics.get("failed_status", SUCCESS)
    return jnp.stack([jnp.asarray(x).astype(jnp.int32) for x in said])


def square(x: Array) -> Array:
    """Sum of squares, not finite if any entry is not. A product of vectors, since a reduction takes XLA four times as
    long to compile, and twice as long to run; at least in float32, since float16 would overflow."""
    wider = jnp.float32 if x.dtype.itemsize < 4 else None
    return jnp.real(jnp.vdot(x, x, preferred_element_type=wider))


def _named(name: str, tree: PyTree) -> list[tuple[str, Array]]:
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_inexact_array))
    return [(name + jax.tree_util.keystr(at), leaf) for at, leaf in leaves]


def skipped(faults: Faults, places: Sequence[str], steps: int) -> str | None:
    """That steps were passed over, if any were."""
    count = int(np.max(faults.skipped))
    if count == 0:
        return None
    place = places[int(np.ravel(faults.place)[np.argmax(np.ravel(faults.skipped))])]
    return f"{count} of {steps} steps were not finite, the last of them from `{place}` on, and changed nothing"


def should_stop(faults: Faults) -> bool:
    """Whether every member has had too many bad steps in a row."""
    return bool(np.all(np.asarray(faults.longest_streak) >= IN_A_ROW))


def describe_failure(
    faults: Faults, places: Sequence[str], model: PyTree, rows: Callable[[int], np.ndarray] | None = None
) -> str:
    """Where it began, and what to do. `rows`: step -> the indices into the data that were its batch."""
    broken = [name for name, leaf in _named("model", model) if not np.all(np.isfinite(leaf))]
    place = broken[0] if broken else places[int(np.ravel(faults.place)[0])]
    kind = place.partition(".")[0].partition("[")[0]
    # Of bad data or parameters a failed solve is the consequence.
    lost = _lost(faults, rows) if kind in ("loss", "gradient") else None
    return (
        f"{IN_A_ROW} steps in a row were not finite, from `{place}` on: none of them changed the model, and training "
        f"stopped; {lost or _REMEDIES[kind]}"
    )


def _lost(faults: Faults, rows: Callable[[int], np.ndarray] | None) -> str | None:
    """The failed solve that it began with, if it did."""
    step, sample, status = (int(x) for x in np.reshape(faults.solve, (-1, 3))[0])
    if status == SUCCESS:
        return None
    streak = "" if rows is None else f" (data[{np.reshape(rows(step), -1)[sample]}])"
    return (
        f"in step {step} the solve of sample {sample} of the batch{streak} failed: "
        f'{STATUS.get(status, f"status {status}")}; or train on without such samples: objective(..., failed="drop")'
    )


_REMEDIES = {
    "batch": "look for NaN or infinity in the data (`Series.from_nan` masks NaN)",
    "model": "a parameter was not finite before the step: look at how the model is made",
    "loss": "lower the learning rate, shorten the windows, or bound the field; look for labels that are no class",
    "gradient": "the loss is finite and its gradient is not: guard square roots, logarithms and divisions at zero",
    "update": "the optimiser overflowed: lower the learning rate, clip the gradient",
}


def unreached(faults: Faults, places: Sequence[str]) -> list[str]:
    """The trained arrays that no gradient has reached yet."""
    names = [p.removeprefix("gradient") for p in places if p.startswith("gradient")]
    reached = np.any(np.reshape(faults.reached, (-1, len(names))), axis=0, keepdims=True)[0]
    return [name for name, known in zip(names, reached, strict=True) if not known]
