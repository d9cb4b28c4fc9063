"""The catalogues of known systems: their facts, read from the package when first asked for, and their fields."""

import dataclasses
import difflib
import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._validation import DataError
from ctmodels.systems._law import KnownLaw

KINDS = (
    "butterflies",
    "chemistry",
    "delays",
    "ecology",
    "fluids",
    "hyperchaos",
    "mechanics",
    "neurons",
    "oscillators",
    "sprott",
)


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """A known system and what is known of it. The facts are those of dysts (Gilpin 2021), its numbers of chaos are
    its own estimates, not ours: many Lyapunov exponents are off by factors (`python -m benchmarks.systems`).

    - `name`, `kind` (of the laws), `about`, `reference`.
    - `field`: f(t, y, args), whose attributes are its parameters; of a system with a `delay`, `args` is the state
      `field.tau` earlier.
    - `y0`: a state on the attractor or near it, `(state,)`; with a delay, the state at all times before, too.
    - `period`: of the strongest frequency; `dt`: the step with which dysts integrates by default.
    - `mean`, `std`: of what is observed.
    - `exponents`: the Lyapunov spectrum (empty where dysts has none); `largest_exponent`: another estimate of the
      largest one; `kaplan_yorke`, `correlation_dimension`: NaN where dysts has none.
    - `stiff`: measured by us: at a tolerance of 1e-3, stability makes an explicit solver take more steps than an
      implicit one. `driven`: the time matters, or a component is a clock.
      `conservative`: a Hamiltonian, by dysts. `unbounded`: components that grow for ever, such as phases, which
      `observe` shows as dysts does.
    """

    name: str
    kind: str
    field: Callable
    y0: np.ndarray
    dt: float
    period: float
    mean: np.ndarray
    std: np.ndarray
    exponents: tuple[float, ...]
    largest_exponent: float
    kaplan_yorke: float
    correlation_dimension: float
    stiff: bool
    delay: bool
    driven: bool
    conservative: bool
    unbounded: tuple[int, ...]
    about: str
    reference: str

    @property
    def dimension(self) -> int:
        """Of the state; one of a scalar equation with a delay, though its states are functions."""
        return len(self.y0)

    def observe(self, ys: Float[Array, "time state"]) -> Float[Array, "time state"]:
        """States as dysts shows them: of `unbounded` components their sines and cosines, of polar coordinates Cartesian
        ones; of other systems what they are."""
        return jax.vmap(self.field.observe)(ys) if isinstance(self.field, KnownLaw) else ys


Entry = TypeVar("Entry")


class Catalogue(Mapping[Any, Entry], Generic[Entry]):
    """Systems by name, in order: `catalogue["Lorenz"]`, `for name in catalogue`, `catalogue.values()`. What is in it is
    read when it is first asked for."""

    def __init__(self, read: Callable[[], dict[Any, Entry]]):
        self._read = functools.cache(read)

    def __getitem__(self, name: Any) -> Entry:
        there = self._read()
        if name not in there:
            raise DataError(f"no system {name!r}: {_nearest(name, list(there))}")
        return there[name]

    def __iter__(self) -> Iterator:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __contains__(self, name: object) -> bool:
        return name in self._read()

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default

    def of_dimension(self, dimension: int) -> "Catalogue[Entry]":
        """Those whose state has so many components."""
        return self.where(lambda system: system.dimension == dimension)  # pyright: ignore

    def where(self, holds: Callable[[Entry], bool]) -> "Catalogue[Entry]":
        """Those of which `holds(system)` is true: `catalogue.where(lambda s: not s.stiff and not s.delay)`."""
        return Catalogue(lambda: {name: system for name, system in self.items() if holds(system)})


def _nearest(name: Any, there: list) -> str:
    folded = {str(one).lower(): one for one in there}
    near = [folded[key] for key in difflib.get_close_matches(str(name).lower(), folded, 5, 0.5)]
    near = near or [one for key, one in folded.items() if str(name).lower() in key][:5]
    if near:
        return f"is it {', '.join(map(repr, near))}?"
    there = list(there) or ["none"]
    return f"there are {len(there)}, from {there[0]!r} to {there[-1]!r}: list(catalogue) names them"


def facts(name: str) -> Any:
    """A file of facts that comes with the package."""
    return json.loads((files("ctmodels.systems") / "facts" / name).read_text(encoding="utf-8"))


def _read_dysts() -> dict[str, System]:
    kinds = {kind: importlib.import_module(f"ctmodels.systems.laws.{kind}") for kind in KINDS}
    home = {name: kind for kind, module in kinds.items() for name in vars(module)}
    return {
        name: _system(name, home[name], getattr(kinds[home[name]], name)(), known)
        for name, known in facts("dysts.json").items()
    }


def _system(name: str, kind: str, field: Callable, known: dict[str, Any]) -> System:
    marks, number = known.pop("marks"), lambda key: float("nan") if known[key] is None else known[key]
    return System(
        name=name,
        kind=kind,
        field=field,
        **{mark: mark in marks for mark in ("stiff", "driven", "conservative")},
        **{key: np.array(known[key]) for key in ("y0", "mean", "std")},
        **{key: tuple(known[key]) for key in ("exponents", "unbounded")},
        **{key: number(key) for key in ("largest_exponent", "kaplan_yorke", "correlation_dimension")},
        **{key: known[key] for key in ("dt", "period", "about", "reference")},
        delay=kind == "delays",
    )


catalogue: Catalogue[System] = Catalogue(_read_dysts)
"""The 135 systems of dysts (Gilpin 2021), as [`ctmodels.systems.System`][]."""
