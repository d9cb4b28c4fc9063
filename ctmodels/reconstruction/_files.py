"""What a reconstruction leaves on disk."""

import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

from ctmodels._core._files import write_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.reconstruction._candidate import Candidate, Problem, built
from ctmodels.reconstruction._candidates import CANDIDATES
from ctmodels.reconstruction._law import law_candidate
from ctmodels.reconstruction._law_files import law_of_copy
from ctmodels.reconstruction._trained import Trained
from ctmodels.reconstruction._widths import Widths
from ctmodels.train import load, manifest, save
from ctmodels.trajectories._smoothing import Noise

WRITTEN = ("metrics.json", "history.jsonl", "report.html", "model-*.safetensors", "model-*.law.py")


def check_folder(out: str | os.PathLike, overwrite: bool = False) -> Path:
    """A folder that can be written to, made if need be; asked before the work and not after it. Another reconstruction
    in it is refused, unless it is to be replaced: two runs in one folder would mix in a forecast."""
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
    there = sorted(file for pattern in WRITTEN for file in path.glob(pattern))
    if there and not overwrite:
        raise DataError(
            f"{argument('out', path)}: holds a reconstruction already ({', '.join(file.name for file in there)}); name "
            f"another folder, or replace that one: {argument('overwrite', True)}"
        )
    return path


def save_model(path: str | os.PathLike, candidate: Candidate, problem: Problem, trained: Trained, about: dict) -> None:
    """The ensemble, its end state (of several trials, that of each) and noise; beside them the candidate's name, the
    problem (scaling included), the widths of its bands and `about`. A law's file is copied beside it."""
    kept = (trained.model, trained.ends or trained.end, trained.noise)
    widths = trained.widths and trained.widths.to_dict()
    about = {"candidate": candidate.name, "problem": problem.to_dict(), "data": about, "widths": widths}
    about |= {"settings": trained.settings, "listens": trained.listens}
    if candidate.source is not None:
        about |= {"law": candidate.source.about()}
        write_whole(_copy_of_law(path), candidate.source.text.encode())
    save(path, kept, about=about)


def _copy_of_law(path: str | os.PathLike) -> Path:
    """Where the law's file lies, beside a model's."""
    return Path(path).with_suffix(".law.py")


def _candidate_of(path: str | os.PathLike, about: dict) -> Candidate | None:
    """By what a model's file says: of the library's names, or the law beside it, whose file is run."""
    if "law" not in about:
        return CANDIDATES.get(about["candidate"])
    law = law_of_copy(_copy_of_law(path), about["law"])
    return law_candidate(law, states=about["law"]["states"])


def load_model(path: str | os.PathLike, candidate: Candidate | None = None) -> tuple[Trained, Problem, dict]:
    """The ensemble, the problem and `about`. `candidate`: what was saved, if it is none of the table of names. Of
    several trials the end state is that of the last; those of all are `Trained.ends`, in the order of
    `about["trials"]`. The copy of a law's file that lies beside the model is run: load no folder that you do not
    trust."""
    header = manifest(path)
    about = header["about"]
    if "candidate" not in about:
        raise DataError(f"{path}: a checkpoint, but not of a reconstruction; name a model that `reconstruct` wrote")
    candidate = candidate or _candidate_of(path, about)
    if candidate is None:
        raise DataError(f"{path}: holds `{about['candidate']}`, which no name stands for; give its `Candidate`")
    problem = Problem.from_dict(about["problem"])
    members = next(iter(header["arrays"].values()))["shape"][0]
    trials = len(about["data"].get("trials", ()))
    settings, listens = about.get("settings"), about.get("listens", False)
    like = _structure(candidate, problem, members, (trials,) if trials else (), settings, listens)
    model, end, noise = load(path, like)
    ends = end if trials else None
    end = (end[0][:, -1], end[1][:, -1]) if trials else end
    widths = about.get("widths") and Widths.from_dict(about["widths"])  # files of older versions have none
    trained = Trained(model, end, noise, [], "loaded", widths=widths, draws=candidate.draws, ends=ends)
    trained = trained._replace(settings=settings, listens=listens)
    return trained, problem, about["data"]


def _structure(
    candidate: Candidate,
    problem: Problem,
    members: int,
    trials: tuple[int, ...],
    settings: dict | None,
    listens: bool,
):
    """The structure that was saved."""
    build = lambda key: built(candidate, problem, key, settings)
    model = eqx.filter_vmap(build)(jax.random.split(jax.random.key(0), members))
    size = model.size
    known = 0 if listens else size
    end = jnp.zeros((members, *trials, size)), jnp.zeros((members, *trials, known, known))
    return model, end, Noise(jnp.zeros((members, size)), jnp.zeros((members, model.channels)))
