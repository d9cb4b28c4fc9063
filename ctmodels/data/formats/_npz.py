"""npz files: headers are read and judged before anything is allocated, and nothing in them is run."""

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import listed, short
from ctmodels.data._files import readable
from ctmodels.data._memory import NUMBER, check_memory, size
from ctmodels.data._raw import RawTable
from ctmodels.data._table import ReadOptions, check_distinct
from ctmodels.data.formats._arrays import from_arrays, spread, spread_out

LIMIT = 10_000  # characters of a header, as numpy has it
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError, OverflowError)


class Head(NamedTuple):
    """An array as it is declared."""

    shape: tuple[int, ...]
    dtype: np.dtype


def find_npz(source: str, options: ReadOptions) -> RawTable:
    """What an npz file has of what is wanted. Arrays of two axes or more become columns `x[0]`, `x[1]`, ..."""
    with readable(source), _whole(source), zipfile.ZipFile(source) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        check_distinct([info.filename for info in archive.infolist()], source)
        heads = {name: _head(archive, info, source) for name, info in members.items()}
        names = [name for name in heads if _needed(name, options)]
        count = sum(math.prod(heads[name].shape) for name in names)
        found = f"{listed(names)} hold {count} numbers"
        check_memory(source, found, NUMBER * count, f"choose columns ({argument('columns', ...)}), or cut it")
        arrays = {name: _array(archive, members[name]) for name in names}
    columns = {}
    for name, array in arrays.items():
        columns |= spread(name, array) if array.ndim else {name: array}
    absent = {name: np.zeros(0) for name in heads if name not in arrays}  # so that a message can list them
    return from_arrays({**columns, **absent}, spread_out(options, columns), source)


def names_in(source: str) -> list[str]:
    """What the arrays of an npz file are called."""
    with readable(source), _whole(source), zipfile.ZipFile(source) as archive:
        return [info.filename.removesuffix(".npy") for info in archive.infolist()]


def arrays_in(source: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Some of the arrays, as they are."""
    with readable(source), _whole(source), zipfile.ZipFile(source) as archive:
        members = {name: archive.getinfo(f"{name}.npy") for name in names}
        count = sum(math.prod(_head(archive, info, source).shape) for info in members.values())
        check_memory(source, f"{count} numbers", NUMBER * count, "cut it")
        return {name: _array(archive, info) for name, info in members.items()}


def _needed(name: str, options: ReadOptions) -> bool:
    asked = {a for a in (options.time, options.id, *(options.columns or ())) if a}
    return options.columns is None or name in asked | {a.partition("[")[0] for a in asked}


@contextlib.contextmanager
def _whole(source: str) -> Iterator[None]:
    """Say of a damaged archive that it is one."""
    try:
        yield
    except DataError:
        raise
    except DAMAGED as e:
        raise DataError(
            f"{source}: not a whole npz file ({short(str(e), 80)}): arrays written by numpy.savez are read; "
            "copy or save it again"
        ) from None


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> Head:
    """The header of one array, if it tells the truth."""
    place = f"{source}, array {info.filename.removesuffix('.npy')!r}"
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file, max_header_size=LIMIT)
        held = info.file_size - file.tell()
    if dtype.hasobject:
        raise DataError(f"{place}: holds pickled objects, which could run code: never read; save it as numbers")
    declared = math.prod(shape) * dtype.itemsize
    if declared != held:
        raise DataError(
            f"{place}: declares shape {shape}, {size(declared)}, and holds {size(held)}: "
            "damaged, or made to harm; save it again"
        )
    return Head(shape, dtype)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False, max_header_size=LIMIT)
