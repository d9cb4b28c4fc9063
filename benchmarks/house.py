"""The house in numbers: circles of files, lengths of functions and files, what is typed and documented, and what
importing costs.

Files and functions are read from the syntax trees; imports inside functions count, those for type checkers alone do
not, and a function is as long as it is without its docstring. Public is what `ctmodels` and its rooms export, with the
methods that have no underscore. `import_s`: `import ctmodels`, less what it rests on, the median of several fresh
processes.
"""

import ast
import inspect
import statistics
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

import ctmodels
from benchmarks._harness import main

ROOT = Path(__file__).parents[1] / "ctmodels"
BENEATH = "import jax, equinox, diffrax, optax, optimistix, lineax, jaxtyping, numpy, scipy"


def run(quick: bool) -> tuple[list[dict], dict]:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in trees}
    functions = {(path, f): _length(f) for path, tree in trees.items() for f in _functions(tree)}
    public = dict(_public_functions())
    arguments = [p for f in public.values() for p in inspect.signature(f).parameters.values() if p.name != "self"]
    summary = {
        "files": len(trees),
        "cycles": len(_cycles(_graph(trees))),
        "functions": len(functions),
        "median_function": statistics.median(functions.values()),
        "functions_over_60": sum(n > 60 for n in functions.values()),
        "files_over_250": sum(n > 250 for n in lengths.values()),
        "public_names": len(_names(ctmodels)),
        "public_arguments_typed": sum(p.annotation is not p.empty for p in arguments) / len(arguments),
        "public_functions_documented": sum(bool(f.__doc__) for f in public.values()) / len(public),
        "import_s": _import_seconds(1 if quick else 5),
    }
    name = lambda path: path.relative_to(ROOT).as_posix()
    long_files = [{"what": name(p), "lines": n} for p, n in lengths.items() if n > 250]
    long_functions = [{"what": f"{name(p)}: {f.name}", "lines": n} for (p, f), n in functions.items() if n > 60]
    circles = [{"what": " -> ".join(sorted(map(name, circle))), "lines": ""} for circle in _cycles(_graph(trees))]
    poor = [{"what": f"{name}: {what}", "lines": ""} for name, what in _untold(public)]
    return long_files + long_functions + circles + poor, summary


def _functions(tree) -> list:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]


def _length(function: ast.FunctionDef) -> int:
    """Lines, without those of the docstring."""
    said = function.body[0] if ast.get_docstring(function) is not None else None
    return function.end_lineno - function.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)


def _names(module: types.ModuleType) -> list[str]:
    return [name for name in dir(module) if not name.startswith("_")]


def _public_functions() -> Iterator[tuple[str, types.FunctionType]]:
    """Dotted name -> what `ctmodels` and its rooms export, and the methods of that."""
    is_ours = lambda x: getattr(x, "__module__", "").startswith("ctmodels")
    rooms = [room for name in _names(ctmodels) if inspect.ismodule(room := getattr(ctmodels, name))]
    for module in (ctmodels, *rooms):
        for name in _names(module):
            found = getattr(module, name)
            if inspect.isfunction(found) and is_ours(found):
                yield f"{module.__name__}.{name}", found
            elif inspect.isclass(found) and is_ours(found):
                yield from _methods(f"{module.__name__}.{name}", found)


def _methods(name: str, cls: type) -> Iterator[tuple[str, types.FunctionType]]:
    for of, method in vars(cls).items():
        function = method.__func__ if isinstance(method, classmethod | staticmethod) else method
        if inspect.isfunction(function) and not of.startswith("_"):
            yield f"{name}.{of}", method.__get__(None, cls) if isinstance(method, classmethod) else function


def _untold(public: dict) -> Iterator[tuple[str, str]]:
    """What lacks a docstring or a type."""
    for name, function in public.items():
        if not function.__doc__:
            yield name, "no docstring"
        untyped = [p.name for p in inspect.signature(function).parameters.values() if p.annotation is p.empty]
        if untyped != ["self"] and untyped:
            yield name, "no type for " + ", ".join(n for n in untyped if n != "self")


def _graph(trees: dict) -> dict[Path, set[Path]]:
    """file -> the files that it imports, `__init__` of a room aside: it imports all of its own."""
    return {path: {q for q in _imports(path, tree) if q in trees and q != path} for path, tree in trees.items()}


def _imports(path: Path, tree) -> set[Path]:
    package = ("ctmodels", *path.relative_to(ROOT).parts[:-1])
    found = set()
    for node in _run(tree):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            found |= {_file([*stem, alias.name]) or _file(stem) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {_file(alias.name.split(".")) for alias in node.names}
    return {f for f in found if f is not None}


def _run(node):
    """All nodes but those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield child
            yield from _run(child)


def _file(parts: list[str]) -> Path | None:
    if not parts or parts[0] != "ctmodels":
        return None
    stem = ROOT.joinpath(*parts[1:])
    if stem.with_suffix(".py").exists() and len(parts) > 1:
        return stem.with_suffix(".py")
    return stem / "__init__.py" if (stem / "__init__.py").exists() else None


def _cycles(graph: dict) -> list[list[Path]]:
    """Circles of files that import one another."""
    files = list(graph)
    arrows = csr_array([[other in graph[file] for other in files] for file in files])
    _, circle = connected_components(arrows, connection="strong")
    circles = [[f for f, c in zip(files, circle, strict=True) if c == number] for number in set(circle)]
    return [c for c in circles if len(c) > 1]


def _import_seconds(times: int) -> float:
    code = f"import time; {BENEATH}; t = time.perf_counter(); import ctmodels; print(time.perf_counter() - t)"
    once = lambda: float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    return statistics.median(once() for _ in range(times))


if __name__ == "__main__":
    main("house", run)
