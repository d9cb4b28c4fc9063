"""A law from a file of the user's, `file.py:function`; or from the copy in a folder that a reconstruction wrote."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.fields import Law


class LawSource(NamedTuple):
    """The text of a file and the name in it; `states`: how many it was said that the law has."""

    text: str
    name: str
    states: int | None = None

    @property
    def digest(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def about(self) -> dict:
        """For a model's file."""
        return {"name": self.name, "sha256": self.digest, "states": self.states}


def read_law(place: str) -> tuple[Law, LawSource]:
    """The law at `file.py:name`, a function or a module of equinox, and what it was read from. The file is run."""
    file, _, name = place.rpartition(":")
    if not file or not name.isidentifier():
        raise DataError(
            f"{argument('laws', place)}: a file and a name in it are wanted, as {argument('laws', 'file.py:field')}"
        )
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"{argument('laws', place)}: cannot read {file} ({reason}); name another file") from error
    return made(_run(Path(file), text, argument("laws", place)), name, argument("laws", place)), LawSource(text, name)


def law_of_copy(path: Path, about: dict) -> Law:
    """The law whose copy lies beside a model, if it is still the one that was fitted."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: the law's file is not there ({error.strerror}); put it back beside the model"
        ) from error
    source = LawSource(text, about["name"])
    if source.digest != about["sha256"]:
        raise DataError(
            f"{path}: was changed since its parameters were estimated; put the old one back, or fit it anew"
        )
    return made(_run(path, text, str(path)), source.name, str(path))


def made(module: Any, name: str, said: str) -> Law:
    """The law of that name in a module."""
    if name not in vars(module):
        own = [n for n, x in vars(module).items() if getattr(x, "__module__", None) == module.__name__ and callable(x)]
        raise DataError(f"{said}: the file has no {name!r}; it has {', '.join(own) or 'no function'}")
    found = vars(module)[name]
    if isinstance(found, Law):
        return found
    if isinstance(found, type) and issubclass(found, eqx.Module):
        raise DataError(f"{said}: {name} is a class; give an instance of it, made in the file with first guesses")
    if isinstance(found, type) or not callable(found):
        raise DataError(f"{said}: {name} is {type(found).__name__}; a function f(t, y, *, ...) is wanted")
    return Law(found)


def _run(path: Path, text: str, said: str) -> Any:
    """A module of its own, with what lies beside the file in reach."""
    name = f"_law_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_loader(name, None, origin=str(path))
    module = importlib.util.module_from_spec(spec)  # pyright: ignore
    module.__file__ = str(path)
    sys.modules[name] = module  # where dataclasses look
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(text, str(path), "exec"), vars(module))
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        line = getattr(error, "lineno", None) or _line(error, str(path))
        at = f", line {line}" if line else ""
        raise DataError(f"{said}: the file cannot be run{at}: {type(error).__name__}: {error}; mend it") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _line(error: BaseException, file: str) -> int | None:
    """The last one of this file that the error went through."""
    found, trace = None, error.__traceback__
    while trace is not None:
        found = trace.tb_lineno if trace.tb_frame.f_code.co_filename == file else found
        trace = trace.tb_next
    return found
