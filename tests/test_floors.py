"""The four laws of the floors: imports go down, a leaf never imports a leaf, models and losses never meet, and losses
and regularisers name nothing of a model but what a promise has. And one of the tests: how close is close."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[1] / "ctmodels"

# A file may import those of lower floors and of its own room; on the lowest, nouns know one another.
FLOORS = {
    0: ("_core", "distributions", "noise"),
    1: ("data", "fields", "measures", "paths", "signatures", "ssm"),
    2: ("_export", "_integrate", "trajectories"),
    3: ("_online", "analysis", "layers", "losses", "metrics", "regularisers", "systems", "train", "transforms"),
    4: ("_attention", "_encoders", "_latent_start", "_memory", "_observations", "_readouts", "_stack"),
    5: ("_posteriors",),
    6: ("models",),
    7: ("plot", "regression"),
    8: ("_command_line", "_file_options", "reconstruction", "sweeps"),
    9: ("backtesting", "demo", "doctor", "symbolic", "uncertainty"),
    10: ("cli",),
}
WEST = {"losses", "regularisers", "metrics", "train", "transforms", "systems"}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}


def modules():
    return [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def runs(node):
    """All nodes, but those that type checkers alone read."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield child
            yield from runs(child)


def imported_modules(path: Path) -> set[str]:
    """Dotted names below ctmodels that a file imports, wherever in the file it does."""
    package = ["ctmodels", *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in runs(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return {n.removeprefix("ctmodels.") for n in names if n.startswith("ctmodels.")}


def imported_rooms(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)} - {room(path)}


def imported_files(path: Path) -> set[Path]:
    """Rooms' `__init__` aside, which import all that is in them."""
    names = {part for name in imported_modules(path) for part in (name, name.rpartition(".")[0]) if part}
    files = {(ROOT / name.replace(".", "/")).with_suffix(".py") for name in names}
    return {file for file in files if file.exists() and file != path}


def test_files_import_in_no_circle():
    list(graphlib.TopologicalSorter({path: imported_files(path) for path in modules()}).static_order())


def test_every_room_has_a_floor():
    assert {room(p) for p in modules()} == set(FLOOR)


def test_imports_go_down():
    for path in modules():
        here = room(path)
        for other in imported_rooms(path):
            assert FLOOR[other] < max(FLOOR[here], 1), f"{path.name} imports up or sideways, from {other}"


def test_a_leaf_never_imports_a_leaf():
    for path in (ROOT / "models").glob("_*.py"):
        if path.name != "__init__.py":
            assert not any(n.startswith("models") for n in imported_modules(path)), path.name


def test_the_wings_never_meet():
    for path in modules():
        if room(path) in WEST:
            assert "models" not in imported_rooms(path), path.name
        if room(path) == "models":
            assert not WEST & imported_rooms(path), path.name


def test_nothing_inside_imports_the_front_door():
    for path in modules():
        names = [a.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import) for a in n.names]
        assert "ctmodels" not in names or FLOOR[room(path)] >= 8, path


def attributes(path: Path, *names: str) -> set[str]:
    """Of variables of these names, what a file asks of them."""
    asked = (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Attribute))
    return {n.attr for n in asked if isinstance(n.value, ast.Name) and n.value.id in names}


def members(path: Path) -> dict[str, set[str]]:
    """class -> its methods and fields."""
    classes = (n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.ClassDef))
    named = lambda n: n.name if isinstance(n, ast.FunctionDef) else getattr(getattr(n, "target", None), "id", "")
    return {c.name: {named(n) for n in ast.walk(c) if isinstance(n, ast.FunctionDef | ast.AnnAssign)} for c in classes}


def test_losses_and_regularisers_name_only_promises():
    promised = set().union(*members(ROOT / "_core" / "_model.py").values())
    output = members(ROOT / "_core" / "_output.py")["Output"]
    asked = set()
    files = ("regularisers.py", "measures/_measure.py", "train/_objective.py")
    for path in (*(ROOT / "losses").glob("_*.py"), *(ROOT / name for name in files)):
        asked |= attributes(path, "model")
        assert attributes(path, "model") <= promised, path.name
        assert attributes(path, "out", "outs", "output") <= output, path.name
    assert {"draw", "match", "filter", "gap"} <= asked  # the test sees what it is to see


def tolerances_of(path: Path) -> set[str]:
    """What is given an `rtol` or an `atol` in a file: the names of functions, and "a dict"."""
    told = {"rtol", "atol"}
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    calls = (n for n in nodes if isinstance(n, ast.Call) and told & {k.arg for k in n.keywords})
    written = any(isinstance(n, ast.Dict) and told & {getattr(k, "value", None) for k in n.keys} for n in nodes)
    return {getattr(n.func, "attr", getattr(n.func, "id", "")) for n in calls} | ({"a dict"} if written else set())


def test_how_close_is_close_is_said_in_one_place():
    """By `tolerance` of rounding, by `within` of a method's error; a solver has tolerances of its own."""
    tests = Path(__file__).parent
    assert tolerances_of(tests / "conftest.py")  # the test sees what it is to see
    for path in tests.rglob("test_*.py"):
        assert tolerances_of(path) <= {"PIDController", "NewtonScan"}, path.name
