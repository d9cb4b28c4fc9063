"""Whether the memory is there for what is to be read, asked before it is read."""

import math
import os

from ctmodels._core._validation import DataError

TEXT = 16  # bytes of memory for each byte of a CSV file: the text, its cells, their numbers
NUMBER = 40  # and for each number of an array: packed, as read, as float64, and in the table


def available() -> float:
    """Bytes that can still be had; infinite where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return _installed()


def _installed() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return math.inf


def check_memory(place: str, found: str, needed: float | int, remedy: str) -> None:
    """Refuse what would not fit, with its size, what is free, and the remedy."""
    free = available()
    if needed > free:
        raise DataError(
            f"{place}: {found}: reading takes about {size(needed)} of memory and {size(free)} are free; {remedy}"
        )


def size(count: float | int) -> str:
    """Bytes as a message gives them."""
    power = min(5, max(0, int(math.log10(max(count, 1)) // 3)))
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"
