"""What a reconstruction is about to do, and about how long it takes."""

from collections.abc import Sequence

from ctmodels.data._cells import listed
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._preparing import Task
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._rows import held_out_ids

COMPILATION = 30.0  # seconds for each model, with what is done after training
STEP = 2e-6  # seconds for a step of the solver and its gradient, one member, one window: MLPField of width 64
DRAWN = 3.0  # times as long for a model that is trained on draws too, and forecasts by them


def estimated_seconds(recipe: Recipe, samples: int, substeps: int = 1) -> float:
    """About how long one model takes, on two cores."""
    rows = samples if recipe.free_starts else recipe.batch_size * (recipe.window - 1)
    return COMPILATION + STEP * recipe.steps * recipe.members * rows * substeps


def duration(recipe: Recipe, samples: int, substeps: int = 1, models: float = 1.0) -> str:
    """In words."""
    total = models * estimated_seconds(recipe, samples, substeps)
    if total < 90:
        return f"about {max(1, round(total / 10)) * 10} seconds"
    return f"about {round(total / 60)} minutes" if total < 5400 else f"about {total / 3600:.1f} hours"


def announcement(candidates: Sequence[Candidate], recipe: Recipe, task: Task) -> str:
    """The first line of a run."""
    names, trained = [c.name for c in candidates], [c for c in candidates if c.fit is None]
    work = sum(1.0 if c.draws == 1 else DRAWN for c in trained)
    samples, held_out = task.split.n_train, len(task.table.time) - task.split.n_train
    here, there = ("", "") if task.trials is None else _of_trials(task)
    models = "1 model" if len(names) == 1 else f"{len(names)} models"
    members = "1 member" if recipe.members == 1 else f"{recipe.members} members"
    rows = f"{samples} rows{here} to train on and {held_out}{there} to judge by"
    if not trained:
        return f"{models} ({', '.join(names)}) by least squares, {rows}: about {round(COMPILATION)} seconds each"
    return (
        f"{models} ({', '.join(names)}), {members} of {recipe.steps} steps each, {rows}: "
        f"{duration(recipe, samples, task.problem.substeps, work)} on two cores"
    )


def _of_trials(task: Task) -> tuple[str, str]:
    """How many trials the rows are of, and which are held out."""
    train, test = task.split.train().lengths.size, held_out_ids(task.trials, task.split.n_train)
    return f" of {train} trial{'s' * (train != 1)}", f" of {len(test)} ({listed(test, 8)})"
