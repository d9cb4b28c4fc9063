"""What a reconstruction leaves on disk. Each file is written beside its place and moved there whole."""

import json
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import safetensors
import safetensors.numpy

from ctmodels._door import DataError
from ctmodels._smoothing import Noise
from ctmodels.reconstruction._candidates import CANDIDATES, Candidate, Problem
from ctmodels.reconstruction._fitting import Trained


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either there whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def check_folder(out: str | os.PathLike) -> Path:
    """A folder that can be written to, made if need be; asked before the work and not after it."""
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise DataError(f"--out {path}: this is a file; name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(f"--out {path}: cannot write there ({error.strerror}); name another folder") from error
    return path


def save_model(path: str | os.PathLike, candidate: Candidate, problem: Problem, trained: Trained, about: dict) -> None:
    """One safetensors file: every array of the ensemble, its end state and noise under its path in the tree; in the
    metadata the candidate's name, the problem (scaling included) and `about`."""
    kept = (trained.model, trained.end, trained.noise)
    arrays = {jax.tree_util.keystr(at): jax.device_get(leaf) for at, leaf in _leaves(kept)}
    header = {"candidate": candidate.name, "problem": problem.to_dict(), "about": about}
    write_whole(Path(path), safetensors.numpy.save(arrays, {"ctmodels": json.dumps(header)}))


def load_model(path: str | os.PathLike, candidate: Candidate | None = None) -> tuple[Trained, Problem, dict]:
    """The ensemble, the problem and `about`. `candidate`: what was saved, if it is none of the table of names."""
    try:
        with safetensors.safe_open(os.fspath(path), "numpy") as file:
            header = json.loads((file.metadata() or {})["ctmodels"])
            arrays = {name: jnp.asarray(file.get_tensor(name)) for name in file.keys()}
    except (safetensors.SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise DataError(f"{path}: not a model file of ctmodels ({error}); name one that `reconstruct` wrote") from error
    candidate = candidate or CANDIDATES.get(header["candidate"])
    if candidate is None:
        raise DataError(f"{path}: holds `{header['candidate']}`, which no name stands for; give its `Candidate`")
    problem = Problem.from_dict(header["problem"])
    like = _like(candidate, problem, arrays)
    leaves = [_take(arrays, jax.tree_util.keystr(at), leaf, path) for at, leaf in _leaves(like)]
    dynamic, static = eqx.partition(like, eqx.is_array_like)
    model, end, noise = eqx.combine(jax.tree.unflatten(jax.tree.structure(dynamic), leaves), static)
    return Trained(model, end, noise, [], "loaded"), problem, header["about"]


def _leaves(tree):
    return jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array_like))


def _like(candidate: Candidate, problem: Problem, arrays: dict):
    """The structure that was saved, of as many members, with the shapes to expect."""
    members = next(iter(arrays.values())).shape[0]
    model = eqx.filter_vmap(lambda key: candidate.build(problem, key))(jax.random.split(jax.random.key(0), members))
    size, channels = model.channels + model.augment, model.channels
    end = jnp.zeros((members, size)), jnp.zeros((members, size, size))
    return model, end, Noise(jnp.zeros((members, size)), jnp.zeros((members, channels)))


def _take(arrays: dict, name: str, like, path):
    if name not in arrays:
        raise DataError(f"{path}: `{name}` is missing; the file is of another model")
    if arrays[name].shape != like.shape:
        raise DataError(
            f"{path}: `{name}` has shape {arrays[name].shape}, not {like.shape}; the file is of another model"
        )
    return arrays[name]
