"""What a reconstruction leaves on disk."""

import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

from ctmodels._door import DataError
from ctmodels._smoothing import Noise
from ctmodels._words import argument
from ctmodels.reconstruction._candidates import CANDIDATES, Candidate, Problem
from ctmodels.reconstruction._fitting import Trained
from ctmodels.train import load, manifest, save


def check_folder(out: str | os.PathLike) -> Path:
    """A folder that can be written to, made if need be; asked before the work and not after it."""
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise DataError(f"{argument('out', path)}: this is a file; name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(
            f"{argument('out', path)}: cannot write there ({error.strerror}); name another folder"
        ) from error
    return path


def save_model(path: str | os.PathLike, candidate: Candidate, problem: Problem, trained: Trained, about: dict) -> None:
    """The ensemble, its end state and noise; beside them the candidate's name, the problem (scaling included) and
    `about`."""
    kept = (trained.model, trained.end, trained.noise)
    save(path, kept, about={"candidate": candidate.name, "problem": problem.to_dict(), "data": about})


def load_model(path: str | os.PathLike, candidate: Candidate | None = None) -> tuple[Trained, Problem, dict]:
    """The ensemble, the problem and `about`. `candidate`: what was saved, if it is none of the table of names."""
    said = manifest(path)
    about = said["about"]
    if "candidate" not in about:
        raise DataError(f"{path}: a checkpoint, but not of a reconstruction; name a model that `reconstruct` wrote")
    candidate = candidate or CANDIDATES.get(about["candidate"])
    if candidate is None:
        raise DataError(f"{path}: holds `{about['candidate']}`, which no name stands for; give its `Candidate`")
    problem = Problem.from_dict(about["problem"])
    members = next(iter(said["arrays"].values()))["shape"][0]
    model, end, noise = load(path, _like(candidate, problem, members))
    return Trained(model, end, noise, [], "loaded"), problem, about["data"]


def _like(candidate: Candidate, problem: Problem, members: int):
    """The structure that was saved."""
    model = eqx.filter_vmap(lambda key: candidate.build(problem, key))(jax.random.split(jax.random.key(0), members))
    size, channels = model.channels + model.augment, model.channels
    end = jnp.zeros((members, size)), jnp.zeros((members, size, size))
    return model, end, Noise(jnp.zeros((members, size)), jnp.zeros((members, channels)))
