"""The four laws of the house: imports go down, a leaf never imports a leaf, the wings never meet, and losses and
regularisers name nothing of a model but what a promise has."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1] / "ctmodels"

# Within a floor, the order: a file may import those of lower floors, and of its own room.
FLOORS = {
    0: (
        "_arguments",
        "_files",
        "_validation",
        "_output",
        "_series",
        "_scaling",
        "_smoothing",
        "_times",
        "_versions",
        "_words",
        "distributions",
    ),
    1: (
        "_fields",
        "_model",
        "_paths",
        "_interpolation",
        "_promises",
        "_shooting",
        "_signatures",
        "_starts",
        "data",
        "measures",
    ),
    2: ("_integrate", "_export", "_online"),
    3: ("models", "losses", "regularisers", "metrics", "train", "systems"),
    4: ("reconstruction", "demo", "doctor", "_command_line", "cli"),
}
WEST = {"losses", "regularisers", "metrics", "train", "systems"}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}


def modules():
    return [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """Dotted names below ctmodels that a file imports, wherever in the file it does."""
    package = ["ctmodels", *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return {n.removeprefix("ctmodels.") for n in names if n.startswith("ctmodels.")}


def imported_rooms(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)} - {room(path)}


def test_every_room_has_a_floor():
    assert {room(p) for p in modules()} == set(FLOOR)


def test_imports_go_down():
    for path in modules():
        here = room(path)
        for other in imported_rooms(path):
            assert FLOOR[other] <= FLOOR[here], f"{path.name} imports up, from {other}"
            if FLOOR[here] == 3:
                assert FLOOR[other] < 3, f"{path.name} imports sideways, from {other}"


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
        assert "ctmodels" not in names or FLOOR[room(path)] == 4, path


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
    promised = set().union(*members(ROOT / "_model.py").values())
    output = members(ROOT / "_output.py")["Output"]
    asked = set()
    for name in ("losses.py", "regularisers.py", "measures/_measure.py", "train/_objective.py"):
        asked |= attributes(ROOT / name, "model")
        assert attributes(ROOT / name, "model") <= promised, name
        assert attributes(ROOT / name, "out", "outs", "output") <= output, name
    assert {"infer", "decode", "filter", "gap"} <= asked  # the test sees what it is to see
