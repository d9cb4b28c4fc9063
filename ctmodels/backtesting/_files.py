"""What a backtest leaves on disk."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from ctmodels._core._files import write_whole


def write(result: Any, folder: Path) -> Path:
    """Tables, all scores, and the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    result.plot().figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_whole(folder / "backtest.svg", drawn.getvalue())
    write_whole(folder / "table.csv", _csv(result.table()))
    write_whole(folder / "leads.csv", _csv(result.table("lead")))
    write_whole(folder / "backtest.json", json.dumps(result.to_dict(), indent=1, allow_nan=False).encode())
    return folder


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
