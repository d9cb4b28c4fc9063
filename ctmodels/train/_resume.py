"""What a run carries from step to step, and how it goes on from what its folder holds."""

import json
import platform
from collections.abc import Collection, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, knows
from ctmodels.train._checkpoint import restore
from ctmodels.train._step import State
from ctmodels.train._structure import fingerprint, version


class LoopState(eqx.Module):
    """What a checkpoint holds: all that the loop carries. `data`: as `refresh` left it, None without one."""

    state: State
    best: "Best"
    data: Any


class Best(eqx.Module):
    """The best model so far, or the last good one, kept on the device; each member of an ensemble for itself."""

    model: PyTree
    score: Float[Array, "*ensemble"]
    stale: Array

    @classmethod
    def start(cls, state: State) -> "Best":
        # Copied, since the next step reuses the buffers.
        model = jax.tree.map(lambda x: jnp.array(x) if eqx.is_array(x) else x, state.model)
        return cls(model, jnp.full(state.step.shape, jnp.inf), jnp.zeros((), jnp.int32))

    def update(self, model, score, keep: str) -> "Best":
        score = jnp.asarray(score, self.score.dtype)
        score = jnp.where(jnp.isnan(score), jnp.inf, score)
        better = score < self.score
        chosen = better if keep == "best" else jnp.isfinite(score)
        stale = jnp.where(jnp.any(better), 0, self.stale + 1)
        return Best(_choose(chosen, model, self.model), jnp.where(better, score, self.score), stale)

    def or_last(self, model) -> PyTree:
        """The best; the last, where no validation was a number."""
        return _choose(jnp.isinf(self.score), model, self.model)


@eqx.filter_jit
def _choose(chosen, new, old):
    def leaf(a, b):
        if not eqx.is_array(a):
            return b
        return jnp.where(chosen.reshape(chosen.shape + (1,) * (a.ndim - chosen.ndim)), a, b)

    return jax.tree.map(leaf, new, old)


def run_identity(data, batch_size: int, seed: int, about) -> dict:
    """What must agree for a run to go on: dotted names -> values, as JSON gives them back."""
    packages = {name: version(name) for name in ("ctmodels", "jax", "equinox", "optax")}
    devices = f"{len(jax.devices())} x {jax.devices()[0].device_kind}"
    said = {
        "data": fingerprint(data),
        "batch_size": batch_size,
        "seed": seed,
        "precision": str(jnp.zeros(()).dtype),
        "environment": {**packages, "python": platform.python_version(), "devices": devices},
        "about": dict(about or {}),
    }
    return dict(_flat(json.loads(json.dumps(said))))


def _named(name: str) -> str:
    """What differs, in Python by its whole name; on the command line as the option, where it is one."""
    last = name.rpartition(".")[2]
    return name if knows("accept") or not knows(last) else argument(last)


def _flat(said: dict, at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in said.items():
        yield from _flat(value, f"{at}{name}.") if isinstance(value, dict) else [(at + name, value)]


def refuse_another(path, was: dict, identity: dict, accept: Collection[str] | None = None) -> None:
    """Refuse a run of which anything differs that is not accepted; with None, nothing can be."""
    differ = [name for name in {**identity, **was} if was.get(name) != identity.get(name)]
    differ = [name for name in differ if name.partition(".")[0] not in (accept or ())]
    if differ:
        shown = "".join(f"\n  {_named(name)}: {was.get(name)} then, {identity.get(name)} now" for name in differ)
        kinds, may = sorted({name.partition(".")[0] for name in differ}), accept is not None and knows("accept")
        else_ = f"pass {argument('accept', kinds)} to go on" if may else "begin anew in another folder"
        raise DataError(f"{path}: of another run:{shown}\nGive what was given then, or {else_}")


def restore_run(run, identity, loop: LoopState, steps: int, resume: bool, accept) -> tuple[LoopState, list[dict]]:
    """What the folder's newest checkpoint holds, and its history; or an error that says what differs."""
    found = run.newest()
    if found is None:
        return loop, run.history(0)
    path, said, arrays = found
    at, was = said["about"]["step"], said["about"]["run"]
    if not resume:
        raise DataError(
            f"{run.folder}: holds a run of {at} steps; go on with it ({argument('resume', True)}), or name another "
            "folder"
        )
    refuse_another(path, was, identity, accept)
    if at > steps:
        raise DataError(f"{argument('steps', steps)}: the checkpoint is at step {at} already; give at least as many")
    if was["data"] != identity["data"]:
        # Accepted: the new data stay as they are, whatever the old had become.
        tree = {place: words for place, words in said["tree"].items() if not place.startswith(".data")}
        like = LoopState(loop.state, loop.best, None)
        old = restore(path, {**said, "tree": {**tree, ".data": "None"}}, arrays, like, accept=accept)
        return LoopState(old.state, old.best, loop.data), run.history(at)
    return restore(path, said, arrays, loop, accept=accept), run.history(at)
