"""The loop around the step, for scripts."""

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ctmodels.train._progress import Progress
from ctmodels.train._step import State, TrainStep


class FitResult(NamedTuple):
    """- `model`: the best by `validate`, each member of an ensemble at its own; without it, or by choice, the last.
    - `state`: where training stood at the end; give it to `fit` again to go on.
    - `history`: a dict of plain numbers (lists for an ensemble) per logged step, as in the JSON lines.
    - `stopped`: "finished", "early" or "interrupted".
    """

    model: PyTree
    state: State
    history: list[dict]
    stopped: str


class Rows(eqx.Module):
    """A PyTree of arrays with a leading axis of examples, as data: `rows[indices]` is a batch."""

    tree: PyTree

    def __len__(self) -> int:
        return jax.tree.leaves(self.tree)[0].shape[0]

    def __getitem__(self, index) -> PyTree:
        return jax.tree.map(lambda a: a[index], self.tree)


def fit(
    step: TrainStep,
    state: State,
    data: Any,
    *,
    steps: int,
    batch_size: int,
    seed: int = 0,
    validate: Callable[[PyTree, Any], Any] | None = None,
    every: int = 100,
    patience: int | None = None,
    keep: Literal["best", "last"] = "best",
    refresh: Callable[[PyTree, Any], Any] | None = None,
    refresh_every: int = 0,
    log: str | Path | None = None,
    progress: bool = True,
    name: str = "fit",
    callbacks: Sequence[Callable[[State, dict], None]] = (),
) -> FitResult:
    """Minibatches from `data` through `step`, until `steps`, `patience` or Ctrl-C.

    **Arguments:**

    - `step`, `state`: from [`ctmodels.make_step`][] and its `init`. The state is consumed.
    - `data`: anything with `len` and `data[indices] -> batch` (a PyTree), such as [`ctmodels.Windows`][] or
      [`ctmodels.Rows`][]. Shuffled by `seed`, epoch after epoch; an incomplete batch waits for the next epoch.
      For an ensemble, the indices are `(member, batch)`, in an order of each member's own.
    - `validate`: (model, data) -> scalar, lower is better (one per member of an ensemble); every `every` steps
      and at the end. NaN never counts as best. `patience`: stop after so many validations without a better one.
    - `keep`: the model with the best validation, or the last one whose validation is a number: for validations that
      `refresh` makes incomparable, and learning rates that fall to zero by the last step.
    - `refresh`: (model, data) -> data of the same shapes, every `refresh_every` steps: for data that the model
      itself improves, such as smoothed starts.
    - `log`: a file of JSON lines, one per `every` steps. `progress`: a bar, or plain lines where there is no
      terminal. `callbacks`: (state, metrics), at each line.

    Nothing waits for the device between two lines. Ctrl-C ends the loop after the step in flight and returns
    the best model so far; a second one interrupts as usual.
    """
    if len(data) < 1:
        raise ValueError("data is empty: there is nothing to fit")
    batches = _batches(len(data), min(batch_size, len(data)), seed, state.step.shape)
    take = eqx.filter_jit(lambda data, index: data[index])
    best, history = _Best(keep), []
    stopped = "finished"
    with _interruptible() as interrupted, _writer(log) as write, Progress(steps, name, progress) as bar:
        first = int(np.max(jax.device_get(state.step)))
        for n in range(first, steps):
            if refresh is not None and refresh_every and n % refresh_every == 0 and n > first:
                data = refresh(state.model, data)
            state, metrics = step(state, take(data, jnp.asarray(next(batches))))
            if (n + 1) % every and n + 1 < steps and not interrupted():
                continue
            if validate is not None:
                metrics = {**metrics, "validation": validate(state.model, data)}
                best.update(state.model, metrics["validation"])
            line = {"step": n + 1, **jax.tree.map(_plain, jax.device_get(metrics))}
            history.append(line)
            write(line)
            bar.update(n + 1, line)
            for callback in callbacks:
                callback(state, line)
            if interrupted() or (patience is not None and best.stale > patience):
                stopped = "interrupted" if interrupted() else "early"
                break
    return FitResult(best.model if validate is not None else state.model, state, history, stopped)


class _Best:
    """The best model so far, or the last good one, kept on the device; each member of an ensemble for itself."""

    def __init__(self, keep: str):
        self.keep, self.model, self.score, self.stale = keep, None, jnp.inf, 0

    def update(self, model, score) -> None:
        score = jnp.where(jnp.isnan(score), jnp.inf, score)
        if self.model is None:
            # Copied, since the next step reuses the buffers.
            self.model = jax.tree.map(lambda x: jnp.array(x) if eqx.is_array(x) else x, model)
            self.score = score
            return
        better = score < self.score
        chosen = better if self.keep == "best" else jnp.isfinite(score)
        self.model, self.score = _choose(chosen, model, self.model), jnp.where(better, score, self.score)
        self.stale = 0 if bool(jnp.any(better)) else self.stale + 1


@eqx.filter_jit
def _choose(better, new, old):
    def leaf(a, b):
        if not eqx.is_array(a):
            return b
        return jnp.where(better.reshape(better.shape + (1,) * (a.ndim - better.ndim)), a, b)

    return jax.tree.map(leaf, new, old)


def _batches(n: int, size: int, seed: int, ensemble: tuple[int, ...]):
    """Indices of one batch after another, `(*ensemble, size)`."""
    if not ensemble:
        return _shuffled(n, size, np.random.default_rng(seed))
    members = [_shuffled(n, size, rng) for rng in np.random.default_rng(seed).spawn(*ensemble)]
    return map(np.stack, zip(*members, strict=True))


def _shuffled(n: int, size: int, rng: np.random.Generator):
    while True:
        order = rng.permutation(n)
        for i in range(0, n - size + 1, size):
            yield order[i : i + size]


def _plain(x):
    return np.asarray(x).tolist()


@contextlib.contextmanager
def _writer(path):
    if path is None:
        yield lambda line: None
        return
    with open(path, "a", encoding="utf-8") as file:

        def write(line):
            file.write(json.dumps(line) + "\n")
            file.flush()

        yield write


@contextlib.contextmanager
def _interruptible():
    """Ctrl-C sets a flag, so that a step is never cut in two while its buffers are being reused."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = []
    previous = signal.getsignal(signal.SIGINT)

    def ask(signum, frame):
        asked.append(True)
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, previous)
