"""The loop around the step, for scripts."""

import functools
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from ctmodels._core._arguments import before, check_kept, check_seed, check_whole
from ctmodels._core._words import kind_of
from ctmodels.train._batches import Source, check_data, shuffled
from ctmodels.train._interrupts import explain_out_of_memory, interruptible
from ctmodels.train._progress import Progress
from ctmodels.train._resume import Best, LoopState, restore_run, run_identity
from ctmodels.train._run_folder import NullRun, Run
from ctmodels.train._step import State, TrainStep
from ctmodels.train._watch import Watch

LEAST = {"steps": 0, "batch_size": 1, "every": 1, "patience": 0, "refresh_every": 0, "save_every": 1,
         "keep_checkpoints": 1}  # fmt: skip
TERMINATED = 128 + signal.SIGTERM


class FitResult(NamedTuple):
    """- `model`: the best by `validate`, each member of an ensemble at its own; without it, or by choice, the last.
    - `state`: where training stood at the end; give it to `fit` again to go on.
    - `history`: a dict of plain numbers (lists for an ensemble) per logged step, as in the JSON lines.
    - `stopped`: "finished", "early", "interrupted" or "not finite".
    """

    model: PyTree
    state: State
    history: list[dict]
    stopped: str

    def __repr__(self) -> str:
        """How it ended, in a line, and not every parameter."""
        last = self.history[-1] if self.history else {}
        shown = ", ".join(f"{name} {_short(last[name])}" for name in ("step", "loss", "validation") if name in last)
        return f"FitResult({type(self.model).__name__}; {self.stopped}{shown and '; '}{shown})"


def _short(value) -> str:
    """A number, or those of an ensemble from the least to the largest."""
    low, high = np.min(value), np.max(value)
    return f"{low:.4g}" if np.ndim(value) == 0 else f"{low:.4g} to {high:.4g}"


def _check_fit(step, state, data, **given) -> None:
    if not isinstance(step, TrainStep):
        raise TypeError(f"step: {kind_of(step)}, where what ct.make_step(objective, optimiser) returns is wanted")
    if not isinstance(state, State):
        raise TypeError(f"state: {kind_of(state)}, where a State is wanted: step.init(model, key=jax.random.key(0))")
    check_data(data, kept_changing=given["refresh"] is not None and given["folder"] is not None)
    if len(data) < 1:
        raise ValueError("data is empty: there is nothing to fit")
    for name, least in LEAST.items():
        if given[name] is not None:
            check_whole(name, given[name], least)
    check_seed(given["seed"])
    check_kept("keep", given["keep"], ("best", "last"))


@before(_check_fit)
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
    folder: str | Path | None = None,
    save_every: int = 1000,
    keep_checkpoints: int = 3,
    resume: bool = False,
    accept: Collection[str] = (),
    about: Mapping[str, Any] | None = None,
    progress: bool = True,
    name: str = "fit",
    callbacks: Sequence[Callable[[State, dict], None]] = (),
) -> FitResult:
    """Minibatches from `data` through `step`, until `steps`, `patience` or Ctrl-C.

    **Arguments:**

    - `step`, `state`: from [`ctmodels.make_step`][] and its `init`. The state is consumed.
    - `data`: anything with `len` and `data[indices] -> batch` (a PyTree), such as [`ctmodels.Windows`][] or
      [`ctmodels.ArrayDataset`][]. Shuffled by `seed`, epoch after epoch; an incomplete batch waits for the next epoch.
      For an ensemble, the indices are `(member, batch)`, in an order of each member's own. A PyTree of JAX's arrays is
      indexed on the device, compiled. Anything else (NumPy's arrays, a memmap, a list of examples, a data set of your
      own that reads files) is indexed on the host, each time anew, and only the batch goes to the device: the indices
      are a NumPy array, or, for what does not take that, a list, or one number at a time.
    - `validate`: (model, data) -> scalar, lower is better (one per member of an ensemble); every `every` steps
      and at the end. NaN never counts as best. `patience`: stop after so many validations without a better one.
    - `keep`: the model with the best validation, or the last one whose validation is a number: for validations that
      `refresh` makes incomparable, and learning rates that fall to zero by the last step.
    - `refresh`: (model, data) -> data of the same shapes, every `refresh_every` steps: for data that the model
      itself improves, such as smoothed starts.
    - `folder`: of checkpoints, every `save_every` steps and at the end, of which the newest `keep_checkpoints` stay,
      and of `history.jsonl`, a line per `every` steps. One writer at a time; an earlier run's is refused, unless:
    - `resume`: go on from the newest whole checkpoint in `folder`, if there is one, as if the run had not stopped: bit
      for bit on the same machine, `steps` may be more. Another model, data, batch size, seed, precision or version of
      the libraries is refused with the differences; `accept` names those to take ("data", "batch_size", "seed",
      "precision", "environment", "about", "model").
    - `about`: JSON-able, kept in each checkpoint: what the model was made with, `scaling.to_dict()`.
    - `progress`: a bar, or plain lines where there is no terminal. `callbacks`: (state, metrics), at each line.

    Nothing waits for the device between two lines. Ctrl-C ends the loop after the step in flight, saves and returns
    the best model so far; a second one interrupts as usual. SIGTERM saves and exits with status 143. Five steps in a
    row that are not finite stop the run, with a warning that names the first bad array; the model returned is one from
    before them. Arrays that no gradient reaches are named in a warning.
    """
    size = min(batch_size, len(data))
    run = NullRun() if folder is None else Run(folder, keep_checkpoints)
    take = Source(data)
    identity = {} if folder is None else run_identity(take.fingerprinted(), size, seed, about)
    state = step.local(state)  # what is read, saved and validated is on one device; the step takes it to its own
    loop = LoopState(state, Best.start(state), None if refresh is None else data)
    with run, interruptible() as interrupted, Progress(steps, name, progress) as bar:
        loop, history = restore_run(run, identity, loop, steps, resume, accept)
        state, best, take = loop.state, loop.best, take if loop.data is None else Source(loop.data)
        first = int(np.max(jax.device_get(state.step)))
        order = functools.partial(_batches, len(data), size, seed, state.step.shape)
        watch = Watch(step, steps, patience, name, lambda n: next(order(n - 1)))
        stopped = watch.early(best)
        todo = range(first + 1, steps + 1) if stopped == "finished" else ()
        for n, rows in zip(todo, order(first), strict=False):
            if refresh is not None and refresh_every and (n - 1) % refresh_every == 0 and n > 1:
                take = Source(refresh(step.local(state).model, take.data))
            with explain_out_of_memory(batch_size):
                state, metrics = step(state, take(rows))
            if n % every == 0 or n == steps:
                seen = step.local(state)
                metrics, best = _validated(validate, seen.model, take.data, metrics, best, keep)
                history.append({"step": n, **jax.tree.map(_plain, jax.device_get(metrics))})
                for say in (run.write, bar.update, *(functools.partial(call, seen) for call in callbacks)):
                    say(history[-1])
                stopped = watch.look(seen, best, history)
            stopped = "interrupted" if interrupted() else stopped
            if n % save_every == 0 or n == steps or stopped != "finished":
                loop = LoopState(step.local(state), best, take.data if refresh else None)
                run.save(n, loop, {"step": n, "run": identity})
            if stopped != "finished":
                break
    if interrupted() == signal.SIGTERM:
        raise SystemExit(TERMINATED)
    state = step.local(state)
    return FitResult(best.or_last(state.model), state, history, stopped)


def _validated(validate: Callable | None, model, data, metrics: dict, best: Best, keep: str) -> tuple[dict, Best]:
    if validate is None:
        return metrics, best
    score = validate(model, data)
    return {**metrics, "validation": score}, best.update(model, score, keep)


def _batches(n: int, size: int, seed: int, ensemble: tuple[int, ...], first: int):
    """Indices of one batch after another, `(*ensemble, size)`, from step `first` on: a function of seed and step, so
    that a run in parts sees what an unbroken one does."""
    if not ensemble:
        return shuffled(n, size, (seed,), first)
    members = [shuffled(n, size, (seed, member), first) for member in range(*ensemble)]
    return map(np.stack, zip(*members, strict=True))


def _plain(x):
    return np.asarray(x).tolist()
