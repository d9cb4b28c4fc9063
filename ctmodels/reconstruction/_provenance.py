"""How a reconstruction came about: what was called, on which data, when, and with which versions."""

import dataclasses
import hashlib
import inspect
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ctmodels._core._words import called, kind_of, plain
from ctmodels.data import Table
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.train._structure import version

UNTOLD = ("progress",)  # arguments that change nothing


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What another needs to do it again.

    - `call`: the command line, or the call in Python, its defaults left out.
    - `sha256`: of the data; `of`: "file", or "times and values" where they are not of one file that is still there:
      those of float64, little-endian, row by row, the times before the values.
    - `seed`; `precision`: "float32" or "float64"; `device`: what JAX computed on.
    - `began`: date and time of day (UTC, ISO 8601); `seconds`: how long it took, or its last part if it was resumed.
    - `versions`: by name.
    """

    call: str
    sha256: str
    of: str
    seed: int
    precision: str
    device: str
    began: str
    seconds: float
    versions: dict[str, str]

    def to_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Begun:
    """A job that is under way: its call, and when it began."""

    call: str
    seed: int
    at: datetime
    clock: float

    @classmethod
    def now(cls, function: Callable, arguments: dict[str, Any]) -> "Begun":
        """`arguments`: all of the function's, by name."""
        return cls(_call(function, arguments), int(arguments["seed"]), datetime.now(UTC), time.monotonic())

    def done(self, table: Table) -> Provenance:
        """With the time that it took."""
        sha256, of = digest(table)
        began, seconds = self.at.isoformat(timespec="seconds"), time.monotonic() - self.clock
        precision, device = str(np.dtype(jax.dtypes.canonicalize_dtype(float))), jax.devices()[0].device_kind
        return Provenance(self.call, sha256, of, self.seed, precision, device, began, seconds, versions())


def versions() -> dict[str, str]:
    """Of what has a say in the numbers."""
    packages = ("ctmodels", "jax", "jaxlib", "diffrax", "optax", "numpy")
    return {name: version(name) for name in packages} | {"python": platform.python_version()}


def digest(table: Table) -> tuple[str, str]:
    """SHA-256 of the file that a table was read from, or else of what is in it."""
    file = Path(table.source)
    try:
        if table.reading and file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest(), "file"
    except OSError:
        pass  # a file that was there, and is read no more
    arrays = (np.ascontiguousarray(a, "<f8").tobytes() for a in (table.time, table.values))
    return hashlib.sha256(b"".join(arrays)).hexdigest(), "times and values"


def _call(function: Callable, arguments: dict[str, Any]) -> str:
    usual = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    given = {n: x for n, x in arguments.items() if n not in UNTOLD and not (x is usual[n] or _same(x, usual[n]))}
    return called(function.__name__, {name: _written(x) for name, x in given.items()})


def _same(x: Any, usual: Any) -> bool:
    plain_kinds = (str, int, float, tuple, list, type(None))
    return isinstance(x, plain_kinds) and isinstance(usual, plain_kinds) and type(x) is type(usual) and x == usual


def _written(x: Any) -> str:
    """As Python has it; what has no short form, by its kind."""
    if isinstance(x, Candidate):
        return repr(x.name)
    if isinstance(x, list | tuple):
        return f"[{', '.join(map(_written, x))}]"
    if dataclasses.is_dataclass(x) and not isinstance(x, type | Table):
        return repr(x) if len(repr(x)) < 300 else f"<{kind_of(x)}>"
    if x is None or isinstance(x, str | int | float | Path | np.generic):
        return repr(plain(x))
    return getattr(x, "__qualname__", "") or (f"<{x.source}>" if isinstance(x, Table) else f"<{kind_of(x)}>")
