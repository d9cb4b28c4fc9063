"""Seeds and hyper-parameters, trained side by side where they can be."""

import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import PyTree

from ctmodels._core._arguments import before, check_called, check_seed, check_whole
from ctmodels._core._promises import check_signature
from ctmodels._core._words import argument
from ctmodels.sweeps._course import Course, Plan, Side
from ctmodels.sweeps._groups import Group, grouped
from ctmodels.sweeps._lanes import Program, Together
from ctmodels.sweeps._points import Point, points_of
from ctmodels.sweeps._result import Sweep
from ctmodels.train._batches import Source, check_data
from ctmodels.train._checkpoint import restore
from ctmodels.train._fit import TERMINATED
from ctmodels.train._interrupts import interruptible
from ctmodels.train._objective import objective as plain_objective, pooled
from ctmodels.train._progress import Progress
from ctmodels.train._resume import refuse_another, run_identity
from ctmodels.train._run_folder import NullRun, Run
from ctmodels.train._step import make_step
from ctmodels.train._structure import fingerprint, text


def _check_sweep(build, grid, data, loss, seeds, optimiser, validation, mesh, **given) -> None:
    check_called("build", build, "(key, **hyper) -> model", "as lambda key, width: make(width, key=key)")
    check_signature("loss", loss, "model, example, key", "(sum, weight, Output)")
    check_data(data)
    for name, least in {"steps": 1, "batch_size": 1, "every": 1, "halve": 0, "save_every": 1}.items():
        check_whole(name, given[name], least)
    for name, least in {"patience": 0, "at_once": 1}.items():
        if given[name] is not None:
            check_whole(name, given[name], least)
    for seed in _seeds(seeds):
        check_seed(seed, "seeds")
    if len(set(_seeds(seeds))) < len(_seeds(seeds)) or not _seeds(seeds):
        raise ValueError(f"{argument('seeds', seeds)}: seeds that differ are wanted, one at least: range(8)")
    if not callable(optimiser) and not isinstance(optimiser, optax.GradientTransformation):
        raise TypeError(f"optimiser: {optimiser!r}: give one of optax, or a function of what the grid has of it")
    if callable(validation):
        check_signature("validation", validation, "model", "a scalar")
    else:
        check_data(validation)
    if mesh is not None and len(mesh.axis_names) != 1:
        wanted = 'jax.make_mesh((len(jax.devices()),), ("member",))'
        raise ValueError(f"mesh={mesh.axis_names}: a mesh of one axis is wanted: {wanted}")


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    return list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]


@before(_check_sweep)
def sweep(
    build: Callable[..., PyTree],
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    data: Any,
    loss: Callable,
    *,
    validation: Any,
    steps: int,
    batch_size: int,
    seeds: int | Sequence[int] = 1,
    optimiser: Any = optax.adam,
    objective: Callable = plain_objective,
    trainable: Callable[[PyTree], PyTree] | PyTree | None = None,
    every: int = 100,
    patience: int | None = None,
    halve: int = 0,
    at_once: int | None = None,
    mesh: Mesh | None = None,
    folder: str | Path | None = None,
    save_every: int = 1000,
    progress: bool = True,
    callbacks: Sequence[Callable[[dict], None]] = (),
) -> Sweep:
    r"""Train one model for each point of a grid and each seed, side by side in one compiled step where they differ in
    numbers only, and compare them.

    Members whose models have the same structure, shapes and static parts are a group: one `jit` trains it by `vmap`.
    Floats that go to the optimiser are numbers in its state, and need no group of their own. Groups are trained in
    turn. Each member is what [`ctmodels.fit`][] makes of its seed alone, but for rounding: with

        start, train = jax.random.split(jax.random.key(seed))
        state = step.init(build(start, **hyper), key=train)
        ct.fit(step, state, data, steps=steps, batch_size=batch_size, seed=seed, validate=..., every=every)

    so that members of one seed see the same batches, whatever their hyper-parameters are: their differences are the
    hyper-parameters'.

    **Arguments:**

    - `build`: (key, **hyper) -> model. It is called once for each member.
    - `grid`: name -> the values to try, all combinations of which are points; or a list of points, as a random search
      draws them: `[{"width": 16, "learning_rate": 0.01}, ...]`. What `optimiser` has as an argument goes to it, and
      the rest to `build`.
    - `data`, `loss`, `batch_size`: as of [`ctmodels.fit`][] and [`ctmodels.objective`][].
    - `validation`: held-out data, over all of which `loss` is taken; or (model) -> scalar, lower is better. It is
      compiled, and asked of each member every `every` steps and at each halving. The model that a member ends with is
      its best by it.
    - `steps`: of each member that is not stopped before.
    - `seeds`: a number of them, from 0 on, or which.
    - `optimiser`: a function that makes one of hyper-parameters, such as `optax.adam`, of one's own
      (`lambda learning_rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(learning_rate))`), or one that is
      made, the same for all.
    - `objective`: what makes the objective of the loss: `functools.partial(ct.objective, failed="drop")`.
    - `trainable`: as of [`ctmodels.make_step`][].
    - `patience`: a member stops after so many validations without a better one. It stands still from then on.
    - `halve`: how often the worse half of the members leaves: after $2^{-h}$ of the steps, $2^{1-h}$, ..., one half
      (successive halving). Members that stopped early are judged with the others. 32 members and `halve=3`
      take the steps of 10 trainings. It supposes that those that end well begin well: slow learning rates are sent
      away first.
    - `at_once`: how many members of a group are solved side by side; the others follow in the same step, so that memory
      is that of so many. Default: all of them on an accelerator; on a CPU, whose cache holds few, eight.
    - `mesh`: devices that share the members, as a mesh of one axis: `jax.make_mesh((len(jax.devices()),),
      ("member",))`. Each solves its own in a loop of its own, with all data.
    - `folder`: of checkpoints, every `save_every` steps of a group and at each halving. The same call goes on from the
      newest, bit for bit on the same machine; one with other arguments is refused.
    - `progress`, `callbacks`: a bar or plain lines; (line) at each line of history.

    **Returns:** a [`ctmodels.sweeps.Sweep`][]: `table()`, `best`, `models`, `plot()`. A member of whom five steps in a
    row are not finite stops, counts as the worst, and is named in a warning. Where at most half of the lanes of a group
    are running, they are gathered to a power of two. Ctrl-C ends it after the step in flight, and returns what there
    is.

    !!! cite "Source"
        Jamieson and Talwalkar, ["Non-stochastic best arm identification and hyperparameter
        optimization"](https://arxiv.org/abs/1502.07943), AISTATS 2016: successive halving.
    """
    points, numbers = points_of(grid, build, optimiser), _seeds(seeds)
    size = min(batch_size, len(data))
    plan = Plan(steps, size, every, patience, halve, save_every)
    _check_rungs(plan, len(points) * len(numbers))
    groups, take = grouped(build, points, numbers), Source(data)
    judge, held_out = _validation(validation, loss)
    chosen: dict[str, Any] = {} if trainable is None else {"trainable": trainable}
    how = Together.on(mesh, at_once or default_at_once())
    make = lambda optimiser: make_step(objective(loss), optimiser, **chosen)
    programs = [Program(group, make, optimiser, judge, how) for group in groups]
    course = Course(plan, [Side(program) for program in programs], take, len(data), held_out)
    told = {"loss": loss, "optimiser": optimiser, "validation": validation}
    said = {} if folder is None else _identity(groups, points, numbers, plan, how, take, told)
    total = steps * len(groups)
    run = NullRun() if folder is None else Run(folder, keep=2)
    with run, interruptible() as interrupted, Progress(total, "sweep", progress) as bar:
        history = _go_on(run, said, course)
        save = lambda course: run.save(course.done, course.arrays(), {"course": course.said(), "run": said})

        def say(line: dict) -> None:
            history.append(line)
            run.write(line)
            bar.update(line)
            for call in callbacks:
                call(line)

        course.run(save, say, interrupted)
    if interrupted() == signal.SIGTERM:
        raise SystemExit(TERMINATED)
    return _result(course, points, numbers, groups, history)


def default_at_once() -> int:
    """On a CPU more are slower: see benchmarks/sweep.py. Elsewhere, all."""
    return 8 if jax.default_backend() == "cpu" else 1 << 30


def _check_rungs(plan: Plan, members: int) -> None:
    most = min(members, plan.steps).bit_length() - 1
    if plan.halve > most:
        raise ValueError(
            f"{argument('halve', plan.halve)}: {members} members and {plan.steps} steps can be halved {most} times at "
            "most: let it be fewer, or try more seeds or points"
        )


def _validation(validation: Any, loss: Callable) -> tuple[Callable, PyTree]:
    """(model, held out) -> scalar, and what is held out."""
    if callable(validation):
        return lambda model, _: validation(model), None
    mean = pooled(loss)
    judge = lambda model, batch: mean(model, batch, jax.random.key(0))[0]
    return judge, Source(validation)(np.arange(len(validation)))


def _identity(
    groups, points: Sequence[Point], seeds: Sequence[int], plan: Plan, how: Together, data, told: dict
) -> dict:
    """What must agree for a sweep to go on."""
    about = {"points": [text(point.hyper) for point in points], "seeds": list(seeds), **plan._asdict()}
    lanes = {"at_once": how.at_once, "devices": how.devices}
    models = {"models": fingerprint([group.arrays for group in groups])}
    functions = {name: text(value) for name, value in told.items()}
    return run_identity(data.fingerprinted(), plan.batch_size, 0, {**about, **lanes, **models, **functions})


def _go_on(run, identity: dict, course: Course) -> list[dict]:
    """From the newest checkpoint, if there is one; the history until there."""
    found = run.newest()
    if found is None:
        return run.history(0)
    path, said, arrays = found
    about = said["about"]
    refuse_another(path, about["run"], identity)
    course.resumed(about["course"])
    course.take_arrays(restore(path, said, arrays, course.arrays()))
    return run.history(course.done)


def _result(course: Course, points, seeds, groups: Sequence[Group], history: list[dict]) -> Sweep:
    group_of = {member: number for number, group in enumerate(groups) for member in group.members}
    asked = [(point.hyper, seed) for point in points for seed in seeds]
    rows = []
    for member, (hyper, seed) in enumerate(asked):
        record = course.records[member]
        told = {"validation": record.rank() if np.isfinite(record.rank()) else np.nan, "at": record.at}
        end = {"steps": record.steps, "stopped": record.stopped or "interrupted"}
        rows.append({**hyper, "seed": seed, **told, **end, "group": group_of[member]})
    _say_lost(rows)
    return Sweep(tuple(points[0].hyper), rows, list(course.models().values()), history)


def _say_lost(rows: list[dict]) -> None:
    """Of members that were not finite, which."""
    lost = [row for row in rows if np.isnan(row["validation"]) and row["steps"]]
    if lost:
        names = [name for name in lost[0] if name not in ("validation", "at", "steps", "stopped", "group")]
        shown = "; ".join(", ".join(f"{name}={row[name]}" for name in names) for row in lost[:4])
        more = f"; and {len(lost) - 4} more" if len(lost) > 4 else ""
        warnings.warn(
            f"sweep: {len(lost)} of {len(rows)} members were not finite, and count as the worst: {shown}{more}",
            RuntimeWarning,
            stacklevel=4,
        )
