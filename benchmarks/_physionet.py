"""The PhysioNet challenge of 2012, sets a and b: 8000 records of 48 hours.

Prepared as by Kelly et al. (2020): times rounded to the hour, observations of the same hour averaged.
"""

import io
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

STATIC = ("Age", "Gender", "Height", "ICUType")
HOURS = 49


class Records(NamedTuple):
    """`ts`: (hour,), from 0 to 1. `ys`: (record, hour, channel), zero where `mask` is False. `static`: (record,
    feature) of `STATIC`, NaN where unknown. `died`: (record,), in hospital."""

    ts: np.ndarray
    ys: np.ndarray
    mask: np.ndarray
    names: list[str]
    static: np.ndarray | None = None
    died: np.ndarray | None = None


def load(folder: Path) -> Records:
    """In the papers' scaling: each channel from 0 to 1 over all records."""
    records = read(folder)
    ys, mask = records.ys, records.mask
    low = np.min(np.where(mask, ys, np.inf), axis=(0, 1))
    high = np.max(np.where(mask, ys, -np.inf), axis=(0, 1))
    scaled = (ys - low) / np.where(high > low, high - low, 1)
    return records._replace(ys=np.where(mask, scaled, 0).astype(np.float32))


def read(folder: Path) -> Records:
    """In the units of the files."""
    records = {}
    for part in ("a", "b"):
        records |= _records(folder / f"set-{part}.tar.xz")
    numbers = sorted(records, key=int)
    names = sorted({name for n in numbers for _, name, _ in records[n] if name not in (*STATIC, "RecordID", "")})
    channel = {name: i for i, name in enumerate(names)}
    total = np.zeros((len(numbers), HOURS, len(names)))
    count = np.zeros(total.shape, np.int32)
    static = np.full((len(numbers), len(STATIC)), np.nan)
    for i, number in enumerate(numbers):
        for hour, name, value in records[number]:
            if name in channel:
                total[i, hour, channel[name]] += value
                count[i, hour, channel[name]] += 1
            elif name in STATIC and value != -1:
                static[i, STATIC.index(name)] = value
    ys, ts = total / np.maximum(count, 1), np.linspace(0, 1, HOURS, dtype=np.float32)
    died = _died(folder)
    return Records(ts, ys, count > 0, names, static, np.array([died[int(n)] for n in numbers]))


def _records(path: Path) -> dict[str, list[tuple[int, str, float]]]:
    """(hour, name, value) of each record, by its number."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".txt"):
                found[Path(member.name).stem] = _rows(io.TextIOWrapper(archive.extractfile(member), "utf-8"))  # pyright: ignore
    return found


def _rows(text) -> list[tuple[int, str, float]]:
    next(text)
    cells = (line.strip().split(",") for line in text)
    return [(round(int(time[:2]) + int(time[3:]) / 60), name, float(value)) for time, name, value in cells]


def _died(folder: Path) -> dict[int, bool]:
    """In-hospital death, by the number of the record."""
    found = {}
    for part in ("a", "b"):
        head, *rows = (folder / f"Outcomes-{part}.txt").read_text(encoding="utf-8").split()
        death = head.split(",").index("In-hospital_death")
        found |= {int(row.split(",")[0]): row.split(",")[death] == "1" for row in rows}
    return found
