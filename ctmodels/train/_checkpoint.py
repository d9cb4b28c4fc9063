"""One safetensors file that holds a PyTree, and refuses to be read if anything in it has changed.

Its metadata is a manifest: format, versions, what the tree is made of (paths, types, static fields), and shape, dtype
and sha256 of each array, under a sha256 of its own. Nothing in a file is executed, and nothing in it names code to
run: `load` takes the structure from the caller.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import PyTree

from ctmodels._core._files import write_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, knows
from ctmodels.train._structure import GENERATORS, describe, is_array, is_kept, is_key, loss, on_host, sha256, version

FORMAT = 1
LARGEST_HEADER = 1 << 26  # bytes; a manifest of a hundred thousand leaves is a tenth of this
NATIVE = "bool float16 float32 float64 complex64 int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
PACKAGES = ("ctmodels", "jax", "jaxlib", "equinox", "optax", "numpy")


def save(path: str | os.PathLike, tree: PyTree, *, about: Mapping[str, Any] | None = None) -> None:
    """Save any PyTree: a model, a [`ctmodels.State`][], data.

    Arrays (JAX's and NumPy's, in this machine's order of bytes), random keys (typed and raw) and Python's numbers are
    written; functions, strings and static fields are described, so that `load` can tell another model. What would not
    come back (text and records in arrays, masks, values of other types) is a `DataError` with its path. Written
    beside `path` and moved there whole: whatever happens, `path` holds what it held before, or all of this.

    **Arguments:**

    - `about`: what else belongs to it, JSON-able: `scaling.to_dict()`, the arguments that the model was made with. Read
      it back by [`ctmodels.manifest`][].
    """
    write_whole(path, encode(tree, about or {}))


def load(path: str | os.PathLike, like: PyTree, *, accept: Collection[str] = ()) -> PyTree:
    """The tree that was saved, in the structure of `like`.

    **Arguments:**

    - `like`: a tree of the same structure, such as a freshly made model, or its `eqx.filter_eval_shape`.
    - `accept`: differences to take: "precision" (arrays are cast to the types in `like`), "model" (other static
      fields, types or functions; the arrays' paths and shapes must still agree).

    Raises `DataError` if the file is damaged, foreign or newer than this library, naming the place; or if it holds
    another structure, with the differences.
    """
    return restore(path, *read(path), like, accept=accept)


def manifest(path: str | os.PathLike) -> dict:
    """What a file says of itself: `about`, `versions`, `tree` (path -> what is there), `arrays`. All of it checked."""
    return read(path)[0]


def encode(tree: PyTree, about: Mapping[str, Any]) -> bytes:
    """The file's bytes. Raises `DataError` at what would not come back."""
    arrays = _arrays(tree)
    said = {
        "format": FORMAT,
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "about": dict(about),
        "tree": describe(tree),
        "arrays": {k: {"dtype": a.dtype.name, "shape": list(a.shape), "sha256": sha256(a)} for k, a in arrays.items()},
    }
    try:
        text = json.dumps(said)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"about: not JSON ({error}); pass text, numbers, lists and dicts, such as `array.tolist()`"
        ) from None
    metadata = {"ctmodels": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return safetensors.numpy.save({name: _plain(a) for name, a in arrays.items()}, metadata)


def read(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """The manifest and the arrays of a file in which all is as it was written."""
    content = _content(path)
    length = int.from_bytes(content[:8], "little")
    if length > min(LARGEST_HEADER, len(content)):
        raise DataError(f"{path}: a header of {length} bytes in a file of {len(content)}: {_REMEDY}")
    try:
        stored = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: damaged, or no checkpoint ({error}); {_REMEDY}") from None
    said = _manifest(path, header)
    for name in [*said["arrays"], *stored]:
        if name not in stored or name not in said["arrays"]:
            where = "the manifest" if name in said["arrays"] else "the data"
            raise DataError(f"{path}: `{name}`: is in {where} only: the file was put together from parts; {_REMEDY}")
    return said, {name: _checked(path, name, stored[name], entry) for name, entry in said["arrays"].items()}


def restore(path, said: dict, arrays: dict[str, np.ndarray], like: PyTree, *, accept: Collection[str] = ()) -> PyTree:
    """`like` with the arrays of a file that was read."""
    wanted = describe(like)
    differences = [d for d in _differences(said["tree"], wanted) if not _accepted(d[1], d[2], accept)]
    if differences:
        most = 8 if knows("like") else 1
        shown = "".join(
            f"\n  `{at or 'the tree'}`: {was} in the file, {now} here" for at, was, now in differences[:most]
        )
        more = f"\n  and {len(differences) - most} more" if len(differences) > most else ""
        other = "another structure than `like`" if knows("like") else "another model"
        raise DataError(f"{path}: holds {other}:{shown}{more}\n{_advice(differences)}")
    leaves = [_as(leaf, arrays.get(name), said["tree"].get(name, "")) for name, leaf in _leaves(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


_REMEDY = "use an older one, or a file that was written whole"


def _leaves(tree: PyTree) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(at), leaf) for at, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _arrays(tree: PyTree) -> dict[str, np.ndarray]:
    """The arrays of a tree by path, if all in it can be told again."""
    arrays = {}
    for name, leaf in _leaves(tree):
        lost = "a path that is there twice: give its keys other names" if name in arrays else loss(leaf)
        if lost:
            raise DataError(f"`{name or 'the tree'}`: {lost}")
        if is_kept(leaf):
            arrays[name] = on_host(leaf)
    return arrays


def _plain(array: np.ndarray) -> np.ndarray:
    """An array of a type that the container knows: of the others (bfloat16), the bytes."""
    array = np.asarray(array, order="C")
    return array if array.dtype.name in NATIVE else array.reshape(-1).view(np.uint8)


def _content(path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path and your permissions") from None


def _manifest(path, header: dict) -> dict:
    if "ctmodels" not in header:
        raise DataError(f"{path}: a safetensors file, but not of ctmodels: it has no manifest; {_REMEDY}")
    text = header["ctmodels"]
    if hashlib.sha256(text.encode()).hexdigest() != header.get("sha256"):
        raise DataError(f"{path}: damaged: the manifest is not the one that was written; {_REMEDY}")
    try:
        said = json.loads(text)
        newer = said["format"] > FORMAT
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no manifest of ctmodels ({error}); {_REMEDY}") from None
    if newer:
        raise DataError(
            f"{path}: format {said['format']}, of ctmodels {said.get('versions', {}).get('ctmodels')}: this version "
            f"reads formats up to {FORMAT}; upgrade: pip install -U ctmodels"
        )
    return said


def _checked(path, name: str, array: np.ndarray, entry: dict) -> np.ndarray:
    dtype, shape = jnp.dtype(entry["dtype"]), tuple(entry["shape"])
    if dtype.name not in NATIVE and array.dtype == np.uint8:
        array = array.view(dtype).reshape(shape)
    if array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype}{list(array.shape)}"
        raise DataError(f"{path}: `{name}`: {found} where the manifest has {dtype}{list(shape)}; {_REMEDY}")
    if sha256(array) != entry["sha256"]:
        raise DataError(f"{path}: `{name}`: damaged: its bytes are not those that were written; {_REMEDY}")
    return array


def _differences(was: dict[str, str], now: dict[str, str]) -> list[tuple[str, str, str]]:
    places = [*now, *(at for at in was if at not in now)]
    pairs = [(at, was.get(at, "nothing"), now.get(at, "nothing")) for at in places]
    return [(at, a, b) for at, a, b in pairs if a != b]


def _accepted(was: str, now: str, accept: Collection[str]) -> bool:
    (was_type, was_shape), (now_type, now_shape) = (_array_words(s) for s in (was, now))
    if was_shape is None and now_shape is None:
        return "model" in accept
    same_kind = was_type.rstrip("0123456789") == now_type.rstrip("0123456789")
    return "precision" in accept and was_shape == now_shape and same_kind


def _array_words(said: str) -> tuple[str, str | None]:
    """dtype and shape of a description; no shape where it is not that of an array."""
    kind, bracket, shape = said.partition("[")
    return (kind, shape) if bracket and shape.endswith("]") and re.fullmatch(r"[\w<>]+", kind) else (said, None)


def _advice(differences) -> str:
    if all(_accepted(was, now, ["precision"]) for _, was, now in differences):
        cast = f", or pass {argument('accept', ['precision'])} to cast" if knows("accept") else ""
        return f"Another precision: set JAX_ENABLE_X64 as it was{cast}."
    if not knows("like"):
        return "Written by another version, or for another model: make it anew."
    if all(_accepted(was, now, ["model"]) for _, was, now in differences):
        return "The arrays agree: make the model as it was made, or pass accept=['model'] to take them anyway."
    return "Make `like` with the arguments that the saved one was made with (ctmodels.manifest(path)['about'])."


def _as(leaf: Any, array: np.ndarray | None, said: str) -> Any:
    """A saved array as a leaf of the kind of `leaf`."""
    if array is None or not is_kept(leaf):
        return leaf
    if not is_array(leaf):
        return type(leaf)(array.item())
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=GENERATORS[said.partition("[")[0]])
    if isinstance(leaf, np.generic):
        return array.astype(leaf.dtype)[()]
    if isinstance(leaf, np.ndarray):
        return array.astype(leaf.dtype)
    return jnp.asarray(array, leaf.dtype)
