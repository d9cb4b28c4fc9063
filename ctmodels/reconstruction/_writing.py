"""A reconstruction's files: models, metrics, history, report."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._core._files import write_whole
from ctmodels.reconstruction._about import about, run_of
from ctmodels.reconstruction._files import save_model


def write(result: Any, folder: Path) -> None:
    """Of a `Reconstruction`, which writes itself by this: models, `metrics.json`, `history.jsonl` and `report.html`, in
    place of what another run wrote there."""
    from ctmodels.reconstruction.report import render

    metrics: dict = finite(result.metrics())  # pyright: ignore
    run = run_of(metrics)
    data = about(result.table, result.inputs, run, result.trials)
    models = {name: folder / f"model-{name}.safetensors" for name in result.fitted}
    for stale in set(folder.glob("model-*.safetensors")) - set(models.values()):
        stale.unlink()
    for stale in set(folder.glob("model-*.law.py")) - {path.with_suffix(".law.py") for path in models.values()}:
        stale.unlink()
    for name, fitted in result.fitted.items():
        save_model(models[name], fitted.candidate, result.problem, fitted.trained, data)
    lines = [json.dumps({"model": name, **line}) for name, f in result.fitted.items() for line in f.history]
    write_whole(folder / "history.jsonl", ("\n".join(lines) + "\n").encode())
    write_whole(folder / "metrics.json", json.dumps({"run": run, **metrics}, indent=1).encode())
    write_whole(folder / "report.html", render(result).encode())


def finite(x):
    """JSON knows no NaN or infinity: null, so that any reader can read the file."""
    if isinstance(x, dict):
        return {k: finite(v) for k, v in x.items()}
    if isinstance(x, list):
        return [finite(v) for v in x]
    return None if isinstance(x, float) and not np.isfinite(x) else x
