"""What all files have in common: paths that cannot be read, and the libraries that read them."""

import contextlib
import difflib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctmodels._core._validation import DataError


@contextlib.contextmanager
def readable(source: str) -> Iterator[None]:
    """Say of a file that cannot be opened or read why, and the remedy."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{source}: no such file (looked from {Path.cwd()}); {_nearest(Path(source))}") from None
    except IsADirectoryError:
        raise DataError(f"{source}: is a directory: one file is needed; name a file in it") from None
    except (OSError, ValueError) as e:  # a path may hold a NUL
        raise DataError(f"{source}: cannot be read ({e}); check the path and your permissions") from None


def head(source: str, length: int = 8) -> bytes:
    """The first bytes, which tell the format."""
    with readable(source), open(source, "rb") as file:
        return file.read(length)


def import_extra(module: str, source: str) -> Any:
    """A library of the extra `data`, or the line that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise DataError(
            f"{source}: {name} reads this and is not installed: it comes with an extra; pip install 'ctmodels[data]'"
        ) from None


def _nearest(path: Path) -> str:
    there = [p.name for p in path.parent.glob("*")]  # nothing, if there is no such folder
    near = difflib.get_close_matches(path.name, there, n=1)
    return f"did you mean {near[0]!r}?" if near else "check the path"
