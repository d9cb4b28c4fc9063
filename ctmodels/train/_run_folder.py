"""The folder of one run: its checkpoints, its lines of history, and its only writer."""

import contextlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ctmodels._core._files import Lock, leftovers, write_whole
from ctmodels._core._validation import DataError
from ctmodels.train._checkpoint import encode, read


class Run:
    """`with Run(folder, keep) as run:` holds the folder's lock.

    `failure`: why the last save did not succeed, or None.
    """

    def __init__(self, folder: str | os.PathLike, keep: int):
        if keep < 1:
            raise ValueError(f"keep_checkpoints={keep}: at least 1 is needed")
        self.folder, self.keep = Path(folder), keep
        self.failure: str | None = None
        self._saving: threading.Thread | None = None
        self._lines = self.folder / "history.jsonl"

    def __enter__(self) -> "Run":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder).__enter__()
            for path in leftovers(self.folder):
                path.unlink()
        except OSError as error:
            raise DataError(f"{self.folder}: cannot write there ({error.strerror}); name another folder") from None
        return self

    def __exit__(self, *error) -> None:
        self.wait()
        self._lock.__exit__(*error)
        if self.failure:
            warnings.warn(self.failure, RuntimeWarning, stacklevel=3)

    def newest(self) -> tuple[Path, dict, dict] | None:
        """The newest checkpoint that is whole, found by reading; those that are not are named in a warning."""
        for path in self._checkpoints():
            try:
                return path, *read(path)
            except DataError as error:
                warnings.warn(f"passed over: {error}", RuntimeWarning, stacklevel=2)
        if self._checkpoints():
            raise DataError(f"{self.folder}: none of its checkpoints is whole; move them away to begin anew")
        return None

    def save(self, step: int, tree: PyTree, about: Mapping[str, Any]) -> None:
        """Save in the background. Training waits only if the save before is not done yet."""
        self.wait()
        # Copied on the device, in its queue, since the next step reuses the buffers.
        copy = jax.tree.map(lambda x: jnp.copy(x) if isinstance(x, jax.Array) else x, tree)
        self._saving = threading.Thread(target=self._save, args=(step, copy, dict(about)))
        self._saving.start()

    def wait(self) -> None:
        if self._saving is not None:
            self._saving.join()
            self._saving = None

    def _save(self, step: int, tree: PyTree, about: dict) -> None:
        path = self.folder / f"checkpoint-{step:010d}.safetensors"
        try:
            write_whole(path, encode(tree, about))
            for old in self._checkpoints()[self.keep :]:
                old.unlink()
            self.failure = None
        except OSError as error:
            self.failure = (
                f"{path}: not saved ({error.strerror or error}); training goes on, and the next save is tried"
            )
            print(self.failure, file=sys.stderr)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.safetensors"), reverse=True)

    def history(self, until: int) -> list[dict]:
        """The lines up to a step, to which the file is cut; a torn last line is left out."""
        lines = [line for line in read_lines(self._lines) if line["step"] <= until]
        write_whole(self._lines, "".join(json.dumps(line) + "\n" for line in lines).encode())
        return lines

    def write(self, line: dict) -> None:
        try:
            with open(self._lines, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            print(f"{self._lines}: line not written ({error.strerror})", file=sys.stderr)


class NullRun(contextlib.nullcontext):
    """Stands for a run that keeps nothing."""

    def newest(self):
        return None

    def history(self, until: int) -> list[dict]:
        return []

    def save(self, *_) -> None:
        pass

    def write(self, line: dict) -> None:
        pass


def read_lines(path: str | os.PathLike) -> list[dict]:
    """The lines of a `history.jsonl`; one that a crash tore is left out."""
    lines = []
    for text in Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and "step" in line:
            lines.append(line)
    return lines
