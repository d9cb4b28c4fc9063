"""The 63 systems of ODEBench (d'Ascoli et al. 2024), after Strogatz's book."""

import dataclasses

import numpy as np

from ctmodels.systems._catalogue import Catalogue, facts
from ctmodels.systems._formula import Formula


@dataclasses.dataclass(frozen=True, eq=False)
class OdebenchSystem:
    """One of the benchmark's: fit on the orbit from the first start, judge on that from the second too.

    - `id`: 1 to 63. `about`, `variables`, `reference`: what it is, of what, and from where.
    - `field`: f(t, y, args), whose `equations` are text and whose `constants` are an array.
    - `starts`: `(2, state)`.
    - `ts`: the times of the benchmark's solutions, 512 of them from 0 to 10.
    """

    id: int
    field: Formula
    starts: np.ndarray
    about: str
    variables: str
    reference: str

    @property
    def dimension(self) -> int:
        return self.starts.shape[1]

    @property
    def ts(self) -> np.ndarray:
        return np.linspace(0.0, 10.0, 512)


def _read_odebench() -> dict[int, OdebenchSystem]:
    return {known["id"]: _system(**known) for known in facts("odebench.json")}


def _system(equations, constants, starts, **known) -> OdebenchSystem:
    return OdebenchSystem(field=Formula(tuple(equations), np.array(constants)), starts=np.array(starts, float), **known)


odebench: Catalogue[OdebenchSystem] = Catalogue(_read_odebench)
"""The 63 systems of ODEBench by their number, as [`ctmodels.systems.OdebenchSystem`][]."""
