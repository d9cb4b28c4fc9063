"""Writing so that a crash loses nothing: files that are there whole or not at all, and one writer in a folder."""

import os
from pathlib import Path

from ctmodels._core._validation import DataError

CHUNK = 1 << 20


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the process or the machine stops.

    Written beside its place, flushed to the disk, moved there, and the folder's entry flushed too.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write(beside, content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    _flush_folder(path.parent)


def leftovers(folder: Path) -> list[Path]:
    """What writers that were killed left beside their files."""
    return [p for p in folder.glob(".*") if p.suffix[1:].isdigit()]


def _write(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest[:CHUNK]) :]
        os.fsync(file)
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Lock:
    """One writer in a folder. The system frees it when the process ends, however that ends."""

    def __init__(self, folder: Path):
        self.path = folder / ".lock"

    def __enter__(self):
        self.file = open(self.path, "a+", encoding="utf-8")
        try:
            _lock(self.file)
        except OSError:
            self.file.seek(0)
            holder = self.file.read().strip() or "unknown"
            self.file.close()
            raise DataError(
                f"{self.path.parent}: process {holder} is writing there: a folder has one writer; "
                "wait for it, or name another folder"
            ) from None
        self.file.truncate(0)
        self.file.write(str(os.getpid()))
        self.file.flush()
        return self

    def __exit__(self, *_):
        self.file.close()


def _lock(file) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
