"""What a model file says of the data that it was trained on, so that a forecast can go on from them."""

import hashlib
import json

import numpy as np

from ctmodels.data import Table
from ctmodels.data._timeline import Timeline


def about(table: Table, inputs: tuple[str, ...], run: str) -> dict:
    """JSON-able. `run`: of which run it is; the metrics of the same run say the same."""
    names = [n for n in table.names if n not in inputs]
    return {
        "time_name": table.time_name,
        "time_unit": table.time_unit,
        "origin": table.origin,
        "names": names,
        "inputs": list(inputs),
        "known": [_last_known(table.values[:, table.names.index(n)]) for n in inputs],
        "clock": Timeline.of(table).to_dict(),
        "reading": dict(table.reading),
        "run": run,
    }


def run_of(metrics: dict) -> str:
    """A name for a run, from what it found."""
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()[:16]


def _last_known(values: np.ndarray) -> float:
    return float(values[~np.isnan(values)][-1])
