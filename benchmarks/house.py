"""The house in numbers: circles of files, lengths of functions and files, what is typed and documented, and what
importing costs.

Read from the syntax trees; imports inside functions count, those for type checkers alone do not. `import_s`: `import
ctmodels`, less what it rests on, the median of several fresh processes.
"""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks._harness import main

ROOT = Path(__file__).parents[1] / "ctmodels"
BENEATH = "import jax, equinox, diffrax, optax, optimistix, lineax, jaxtyping, numpy, scipy"


def run(quick: bool) -> tuple[list[dict], dict]:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in trees}
    functions = {(path, f): f.end_lineno - f.lineno + 1 for path, tree in trees.items() for f in _functions(tree)}
    public = [f for path, tree in trees.items() for f in _public(tree)]
    arguments = [a for f in public for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg != "self"]
    summary = {
        "files": len(trees),
        "cycles": len(_cycles(_graph(trees))),
        "functions": len(functions),
        "median_function": statistics.median(functions.values()),
        "functions_over_60": sum(n > 60 for n in functions.values()),
        "files_over_250": sum(n > 250 for n in lengths.values()),
        "public_arguments_typed": sum(a.annotation is not None for a in arguments) / len(arguments),
        "public_functions_documented": sum(ast.get_docstring(f) is not None for f in public) / len(public),
        "import_s": _import_seconds(1 if quick else 5),
    }
    name = lambda path: path.relative_to(ROOT).as_posix()
    long_files = [{"what": name(p), "lines": n} for p, n in lengths.items() if n > 250]
    long_functions = [{"what": f"{name(p)}: {f.name}", "lines": n} for (p, f), n in functions.items() if n > 60]
    circles = [{"what": " -> ".join(sorted(map(name, circle))), "lines": ""} for circle in _cycles(_graph(trees))]
    return long_files + long_functions + circles, summary


def _functions(tree) -> list:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]


def _public(tree) -> list:
    """Functions and methods without an underscore, in classes without one."""
    open_ = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    methods = [m for c in open_ if isinstance(c, ast.ClassDef) for m in c.body if isinstance(m, ast.FunctionDef)]
    functions = [f for f in open_ if isinstance(f, ast.FunctionDef)]
    return functions + [m for m in methods if not m.name.startswith("_")]


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
