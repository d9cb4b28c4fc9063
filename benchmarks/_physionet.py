"""The PhysioNet challenge of 2012 as Kelly et al. (2020) prepare it: sets a and b, 8000 records of 48 hours."""

import io
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

STATIC = {"RecordID", "Age", "Gender", "Height", "ICUType"}
HOURS = 49


class Records(NamedTuple):
    """`ts`: (hour,), from 0 to 1. `ys`: (record, hour, channel), each channel from 0 to 1 over all records; zero where
    `mask` is False."""

    ts: np.ndarray
    ys: np.ndarray
    mask: np.ndarray
    names: list[str]


def load(folder: Path) -> Records:
    """Times are rounded to the hour, observations of the same hour averaged; what describes the patient is left out."""
    records = [record for part in ("a", "b") for record in _records(folder / f"set-{part}.tar.xz")]
    names = sorted({name for _, name, _ in (row for record in records for row in record)})
    channel = {name: i for i, name in enumerate(names)}
    total = np.zeros((len(records), HOURS, len(names)))
    count = np.zeros(total.shape, np.int32)
    for i, record in enumerate(records):
        hours, channels = [row[0] for row in record], [channel[row[1]] for row in record]
        np.add.at(total[i], (hours, channels), [row[2] for row in record])
        np.add.at(count[i], (hours, channels), 1)
    mask = count > 0
    ys = total / np.maximum(count, 1)
    low = np.min(np.where(mask, ys, np.inf), axis=(0, 1))
    high = np.max(np.where(mask, ys, -np.inf), axis=(0, 1))
    scaled = (ys - low) / np.where(high > low, high - low, 1)
    ts = np.linspace(0, 1, HOURS, dtype=np.float32)
    return Records(ts, np.where(mask, scaled, 0).astype(np.float32), mask, names)


def _records(path: Path) -> list[list[tuple[int, str, float]]]:
    """(hour, name, value) of each record, in the order of their numbers."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".txt"):
                found[member.name] = _rows(io.TextIOWrapper(archive.extractfile(member), "utf-8"))  # pyright: ignore
    return [found[name] for name in sorted(found)]


def _rows(text) -> list[tuple[int, str, float]]:
    rows = []
    next(text)
    for line in text:
        time, name, value = line.strip().split(",")
        if name and name not in STATIC:
            rows.append((round(int(time[:2]) + int(time[3:]) / 60), name, float(value)))
    return rows
