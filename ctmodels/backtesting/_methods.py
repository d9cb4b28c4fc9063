"""What is compared: names of the main job's candidates and baselines, candidates and functions of one's own."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._arguments import check_seed, check_whole
from ctmodels._core._model import AbstractModel
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.backtesting._baselines import simple, smoothing
from ctmodels.backtesting._history import Block, Plan
from ctmodels.backtesting._quantiles import of_answer, of_normal
from ctmodels.reconstruction import _evaluation as evaluation
from ctmodels.reconstruction._arguments import choose_recipe
from ctmodels.reconstruction._baselines import CALENDAR
from ctmodels.reconstruction._calibration import calibrate
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._candidates import CANDIDATES
from ctmodels.reconstruction._fitting import train
from ctmodels.reconstruction._preparing import Task, check_candidates, prepare
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._rows import check_length

SIMPLE = ("persistence", "drift", "mean", "seasonal", *(f"last {name}" for name in CALENDAR), "autoregression")
BASELINES = ("persistence", "drift", "seasonal", "autoregression", "ets", "linear", "sparse-law")  # the usual ones
NAMES = (*SIMPLE, "ets", *CANDIDATES)


class Settings(NamedTuple):
    """How candidates and baselines see the data, and how candidates are trained."""

    season: int | None
    log: bool
    embed: str | tuple[int, int] | None
    recipe: Recipe | Callable[[int], Recipe]
    steps: int | None
    members: int | None
    seed: int

    def prepare(self, plan: Plan, block: Block) -> Task:
        """From what is known at the block's origins, scaled by what is known at the first."""
        task = prepare(plan.rows(block), plan.inputs, plan.horizon, self.season, self.log, self.embed)
        return task._replace(split=task.split._replace(origins=np.asarray(block.origins), horizon=plan.horizon))


def methods(models: Any, baselines: Sequence[str]) -> dict[str, Any]:
    """Name -> name, candidate or function, checked."""
    named = models.items() if isinstance(models, Mapping) else [(_name(model), model) for model in models]
    found: dict[str, Any] = {}
    for name, model in named:
        _check(name, model, "models")
        if name in found:
            raise DataError(f"{argument('models')}: {name} is there twice; give a dict of names instead of a list")
        found[name] = model
    for name in baselines:
        _check(name, name, "baselines")
        found.setdefault(name, name)
    if not found:
        raise DataError(f"{argument('models')}: nothing is left to be judged; name one: {', '.join(NAMES)}")
    return found


def _name(model: Any) -> str:
    return model if isinstance(model, str) else getattr(model, "name", None) or getattr(model, "__name__", "model")


def _check(name: str, model: Any, where: str) -> None:
    if isinstance(model, str) and model not in NAMES:
        raise DataError(f"{argument(where, [model])}: not known; there are {', '.join(NAMES)}")
    known = isinstance(model, str | Candidate) or (callable(model) and not isinstance(model, AbstractModel))
    if not known:
        raise DataError(
            f"{argument(where)}: {name} is {kind_of(model)}, where a name, a candidate, or a function (history, n) -> "
            "draws is wanted; of a fitted model make one that asks it at history.ahead"
        )


def check_arguments(
    models: Any, baselines: Any, horizon: Any, origins: Any, first: Any, refit: Any, level: Any, seed: Any, **_: Any
) -> None:
    """Those of `backtest`, but for the data."""
    for name, value in (("models", models), ("baselines", baselines)):
        if isinstance(value, str):
            raise DataError(f"{argument(name, value)}: a list of names is wanted: {argument(name, [value])}")
    for name, value in (("horizon", horizon), ("origins", origins), ("first", first)):
        if value is not None:
            check_whole(name, value, 1)
    check_whole("refit", refit, 0)
    check_seed(seed)
    if not (isinstance(level, float | int) and 0 < level <= 0.99):
        raise DataError(
            f"{argument('level', level)}: a share above 0, up to 0.99, is needed; as {argument('level', 0.9)}"
        )


Answers = dict[str, dict[int, Any]]  # of each method at each origin quantiles, or the error that says why none


def ask(wanted: Mapping[str, Any], plan: Plan, settings: Settings, refit: int, note: Callable) -> Answers:
    """All of them. No method sees what comes after an origin, nor what became of another method."""
    kinds = {name: CANDIDATES.get(x, x) if isinstance(x, str) else x for name, x in wanted.items()}
    names = [x for x in kinds.values() if isinstance(x, str)]
    simple_ones = [of_baselines(plan, origin, settings, names) for origin in plan.origins.tolist()] if names else []
    answers: Answers = {}
    for name, kind in kinds.items():
        if isinstance(kind, str):
            answers[name] = {o: x[kind] for o, x in zip(plan.origins.tolist(), simple_ones, strict=True)}
        elif isinstance(kind, Candidate):
            answers[name] = _of_blocks(kind, plan, settings, refit, note)
        else:
            answers[name] = {o: _or_error(_of_function, kind, plan, o, settings.log) for o in plan.origins.tolist()}
    return answers


def _or_error(function: Callable, *arguments: Any) -> Any:
    """What a function finds, or why it does not: nobody else's forecasts fail by it."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def _of_function(function: Callable, plan: Plan, origin: int, log: bool) -> np.ndarray:
    """Quantiles `(level, lead, channel)` that a function of the user's answers; of logarithms, with `log`."""
    quantiles = of_answer(function(plan.history(origin), plan.horizon), plan.horizon, len(plan.names))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(quantiles) if log else quantiles


def of_baselines(plan: Plan, origin: int, settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Of each baseline quantiles, or an error."""
    task = _or_error(settings.prepare, plan, Block(origin + 1, (origin,)))
    if isinstance(task, Exception):
        return dict.fromkeys(names, task)
    missing = DataError("no such season was seen twice before the origin")
    found: dict[str, Any] = dict.fromkeys(names, missing) | simple(task)
    found |= {"ets": _or_error(smoothing, task)} if "ets" in names else {}
    return {name: x if isinstance(x, Exception) else _unscaled(x, task) for name, x in found.items()}


def _of_blocks(candidate: Candidate, plan: Plan, settings: Settings, refit: int, note: Callable) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for block in plan.blocks(refit):
        start = time.monotonic()
        answer = _or_error(of_candidate, candidate, plan, block, settings)
        note(f"{candidate.name}, {block.stop} rows: {time.monotonic() - start:.1f} seconds")
        each = [answer] * len(block.origins) if isinstance(answer, Exception) else answer
        found |= dict(zip(block.origins, each, strict=True))
    return found


def of_candidate(candidate: Candidate, plan: Plan, block: Block, settings: Settings) -> np.ndarray:
    """`(origin, level, lead, channel)`, fitted once: bands are as wide as its own errors before each origin ask for."""
    task, rows = settings.prepare(plan, block), plan.rows(block)
    recipe = check_length(rows, choose_recipe(settings.recipe, rows.n_train, settings.steps, settings.members))
    check_candidates([candidate], task, rows)
    trained = train(candidate, task.problem, task.split.train(), recipe, settings.seed, progress=False)
    if trained.stopped == "interrupted":
        raise KeyboardInterrupt
    known = evaluation.known_states(trained, task.split)
    spread = evaluation.forecast(trained, task.split, known)
    spread = spread.widened(calibrate(trained, task.split, known, spread).origins)
    quantiles = of_normal(*(np.asarray(part, np.float64) for part in spread))
    return _unscaled(quantiles.swapaxes(0, 1), task)


def _unscaled(quantiles: np.ndarray, task: Task) -> np.ndarray:
    """In the units of the data, or their logarithms: another block has another scale."""
    return np.asarray(task.problem.scaling.mean) + np.asarray(task.problem.scaling.std) * quantiles
