"""What every benchmark shares: the arguments, the table, the last line of JSON, and the kept results."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
REPORT = Path(__file__).parent / "RESULTS.md"
PACKAGES = ("ctmodels", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy")


def main(name: str, run: Callable[[bool], tuple[list[dict], dict]]) -> None:
    """Run one benchmark from the command line.

    `run(quick) -> (rows, summary)`: rows of a table, all with the same keys, and the numbers to judge by.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="toy size: shows that it runs, measures nothing")
    parser.add_argument("--save", action="store_true", help=f"keep the result in {FOLDER.name}/{name}.json")
    arguments = parser.parse_args()
    rows, summary = run(arguments.quick)
    print(table(rows))
    if arguments.save:
        keep(name, rows, summary, arguments.quick)
    print(json.dumps(summary))


def keep(name: str, rows: Sequence[dict], summary: dict, quick: bool) -> None:
    FOLDER.mkdir(exist_ok=True)
    kept = {"summary": summary, "rows": rows, **_circumstances(name, quick)}
    (FOLDER / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    REPORT.write_text(report(), encoding="utf-8")


def table(rows: Sequence[dict]) -> str:
    """Rows as a Markdown table: what is a list of its own is for the file."""
    if not rows:
        return "Nothing to list."
    keys = dict.fromkeys(key for row in rows for key in row)
    head = [key for key in keys if not any(isinstance(row.get(key), list) for row in rows)]
    body = [[_cell(row.get(key)) for key in head] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report() -> str:
    """`RESULTS.md`, from the kept results."""
    parts = ["# Results\n\nWritten by `python -m benchmarks.NAME --save` from `results/*.json`; not to be edited."]
    for path in sorted(FOLDER.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        where = f"{kept['cores']} cores, {kept['machine']}, Python {kept['python']}"
        versions = ", ".join(f"{k} {v}" for k, v in kept["versions"].items())
        summary = "\n".join(f"- `{key}`: {_cell(value)}" for key, value in _flat(kept["summary"]))
        parts.append(
            f"## {path.stem}\n\n`{kept['command']}` ({where}; {versions})\n\n{table(kept['rows'])}\n\n{summary}"
        )
    return "\n\n".join(parts) + "\n"


def _flat(summary: dict, within: str = "") -> Iterator[tuple[str, object]]:
    """Entries of nested dictionaries, as (outer.inner, value)."""
    for key, value in summary.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield within + key, value


def _circumstances(name: str, quick: bool) -> dict:
    return {
        "command": f"python -m benchmarks.{name}" + (" --quick" if quick else ""),
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
    }


def _cell(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
