"""What a PyTree is made of, in words to keep and compare: path by path, its arrays, types and static fields."""

import dataclasses
import enum
import functools
import hashlib
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

NUMBER = (bool, int, float, complex)
GENERATORS = {"key<fry>": "threefry2x32", "key<rbg>": "rbg", "key<urbg>": "unsafe_rbg"}


def describe(tree: PyTree) -> dict[str, str]:
    """Path -> what is there: `float32[3,64]`, `key<fry>[]`, `float` for a number of Python's, the name of a type or
    function, the text of a static field. Two trees with the same description can take each other's arrays."""
    return dict(_walk(tree, ""))


def is_array(x) -> bool:
    return isinstance(x, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def native(dtype: np.dtype) -> np.dtype:
    """The type in this machine's order of bytes."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def is_key(x) -> bool:
    return is_array(x) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def is_kept(x) -> bool:
    """Whether a leaf's value goes into a file: arrays, keys and numbers do, functions and text are described only."""
    return is_array(x) or isinstance(x, NUMBER)


def loss(leaf: Any) -> str:
    """Why a leaf would not come back from a file as it is, with the remedy; "" if it would."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return "a shape without values: save what has them"
    if isinstance(leaf, np.ma.MaskedArray):
        return "a masked array, whose mask would be lost: pass `.filled(...)`, or values and mask as two arrays"
    if is_key(leaf):
        return (
            "" if str(leaf.dtype) in GENERATORS else f"{leaf.dtype}, keys of a generator of your own: save their data"
        )
    if is_kept(leaf):
        return _loss_of_type(leaf.dtype if is_array(leaf) else np.asarray(leaf).dtype, leaf)
    told = callable(leaf) or isinstance(leaf, str | bytes | enum.Enum | type) or dataclasses.is_dataclass(leaf)
    if told or type(leaf).__eq__ is object.__eq__:
        return ""
    return f"a {type(leaf).__qualname__}, whose value would be lost: make it an array or a number, or put it in `about`"


def _loss_of_type(dtype: Any, leaf: Any) -> str:
    if not is_array(leaf) and dtype.hasobject:
        return f"{short(leaf)} is past 64 bits: split it, or put it as text in `about`"
    try:
        known = not dtype.hasobject and jnp.dtype(dtype.name) == native(dtype)
    except TypeError:  # types without a name to find them by: text, records, raw bytes
        known = False
    kinds = "numbers, booleans, dates and keys are written"
    return "" if known else f"an array of {dtype}: {kinds}; encode it as numbers, or put it in `about`"


def short(x: Any) -> str:
    """A value as a message quotes it."""
    said = repr(x)
    return said if len(said) <= 40 else f"{said[:40]}..."


def _walk(x: Any, at: str) -> Iterator[tuple[str, str]]:
    if is_array(x):
        dtype = native(x.dtype) if isinstance(x.dtype, np.dtype) else x.dtype  # the bytes' order is no difference
        yield at, f"{dtype}[{','.join(map(str, x.shape))}]"
    elif isinstance(x, NUMBER):
        yield at, type(x).__name__
    elif isinstance(x, eqx.Module):
        yield at, type(x).__qualname__
        for field in dataclasses.fields(x):
            value, place = getattr(x, field.name, None), f"{at}.{field.name}"
            yield from [(place, text(value))] if field.metadata.get("static") else _walk(value, place)
    else:
        yield from _node(x, at)


def _node(x: Any, at: str) -> Iterator[tuple[str, str]]:
    children, structure = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)
    if x is None or any(not path for path, _ in children):  # a leaf that is no array: a function, a string
        yield at, text(x)
        return
    _, fixed = structure.node_data()
    known = isinstance(x, tuple | list | dict)  # whose paths say all
    yield at, type(x).__qualname__ + ("" if known else f"({text(fixed)})")
    for path, child in children:
        yield from _walk(child, at + jax.tree_util.keystr(path))


def text(x: Any) -> str:
    """A value in words that are the same in every process: no addresses."""
    if x is None or isinstance(x, (*NUMBER, str, bytes)):
        return repr(x)
    if is_array(x):
        return f"{x.dtype}{list(x.shape)} {sha256(np.asarray(x))[:12]}"
    if isinstance(x, enum.Enum):
        return f"{type(x).__qualname__}.{x.name}"
    if isinstance(x, functools.partial):
        return f"partial({text(x.func)}, {text(x.args)}, {text(x.keywords)})"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{text(k)}: {text(v)}" for k, v in x.items()) + "}"
    if isinstance(x, tuple | list):
        return "(" + ", ".join(map(text, x)) + ")"
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = ((f.name, getattr(x, f.name, None)) for f in dataclasses.fields(x))
        return f"{type(x).__qualname__}({', '.join(f'{name}={text(value)}' for name, value in fields)})"
    return getattr(x, "__qualname__", None) or getattr(x, "__name__", None) or type(x).__qualname__


def sha256(array: np.ndarray) -> str:
    """Of an array's bytes; its shape and type are told elsewhere."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def fingerprint(data: Any) -> str:
    """One number for a PyTree: of its structure and arrays."""
    digest = hashlib.sha256(repr(sorted(describe(data).items())).encode())
    for leaf in filter(is_array, jax.tree.leaves(data)):
        digest.update(sha256(on_host(leaf)).encode())
    return digest.hexdigest()[:16]


def version(package: str) -> str:
    """Of an installed package; of one that only lies on the path, "unknown"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def on_host(leaf) -> np.ndarray:
    """A kept leaf as a NumPy array in this machine's order of bytes; of a key, its raw data."""
    array = np.asarray(jax.device_get(jax.random.key_data(leaf) if is_key(leaf) else leaf))
    return array.astype(native(array.dtype), copy=False)
