"""What a reconstruction is about to do, and about how long it takes."""

from collections.abc import Sequence

from ctmodels.reconstruction._fitting import Recipe

COMPILING = 30.0  # seconds for each model, with what is done after training
ONE = 2e-6  # seconds for a step of the solver and its gradient, one member, one window: MLPField of width 64


def seconds(recipe: Recipe, samples: int, substeps: int = 1) -> float:
    """About how long one model takes, on two cores."""
    rows = samples if recipe.free else recipe.batch_size * (recipe.window - 1)
    return COMPILING + ONE * recipe.steps * recipe.members * rows * substeps


def takes(recipe: Recipe, samples: int, substeps: int = 1, models: int = 1) -> str:
    """In words."""
    whole = models * seconds(recipe, samples, substeps)
    if whole < 90:
        return f"about {max(1, round(whole / 10)) * 10} seconds"
    return f"about {round(whole / 60)} minutes" if whole < 5400 else f"about {whole / 3600:.1f} hours"


def announced(names: Sequence[str], recipe: Recipe, samples: int, held_out: int, substeps: int) -> str:
    """The first line of a run."""
    models = "1 model" if len(names) == 1 else f"{len(names)} models"
    members = "1 member" if recipe.members == 1 else f"{recipe.members} members"
    return (
        f"{models} ({', '.join(names)}), {members} of {recipe.steps} steps each, {samples} rows to train on and "
        f"{held_out} to judge by: {takes(recipe, samples, substeps, len(names))} on two cores"
    )
