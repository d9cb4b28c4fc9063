"""What the reproductions of a paper's table share: rows of a method and a seed, each kept as soon as it is there."""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from benchmarks._harness import FOLDER, keep, table


class Part(NamedTuple):
    """`one(method, seed, data, quick)` -> a row; `compared({method: means}) -> the numbers to judge by`;
    `data(quick)` -> what `one` is given."""

    name: str
    one: Callable[..., dict]
    methods: Sequence[str]
    compared: Callable[[dict[str, dict]], dict]
    data: Callable[[bool], object] = lambda quick: None


def main(
    name: str,
    one: Callable[..., dict],
    methods: Sequence[str],
    compared: Callable[[dict[str, dict]], dict],
    *,
    load: Callable[[Path], object] | None = None,
    toy: Callable[[], object] | None = None,
    quick: Sequence[str] | None = None,
) -> None:
    """`one(method, seed, data, quick)` -> a row; `compared({method: means}) -> the numbers to judge by.

    `load` reads the data from the path that is given; `toy` makes such for `--quick`, which takes the methods `quick`,
    or all.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    if load is not None:
        parser.add_argument("data", nargs="?", type=Path, help="the folder of the data (benchmarks/README.md)")
    parser.add_argument("--quick", action="store_true", help="toy size: shows the direction, measures nothing")
    parser.add_argument("--methods", help=f"some of {','.join(methods)}; all of them unless --quick takes fewer")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--save", action="store_true", help=f"keep each row in {FOLDER.name}/{name}.json")
    parser.add_argument("--resume", action="store_true", help="go on with the rows that are kept, and keep more")
    arguments = parser.parse_args()
    if load is not None and arguments.data is None and not arguments.quick:
        parser.error("the folder of the data is needed (benchmarks/README.md says where to get them), or --quick")
    part = Part(name, one, methods, compared, lambda quick: _data(arguments, load, toy))
    unless = quick if arguments.quick and quick is not None else methods
    chosen = part._replace(methods=arguments.methods.split(",") if arguments.methods else unless)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    rows = collected(chosen, seeds, arguments.quick, arguments.save, arguments.resume)
    print(table(with_means(rows)))
    print(json.dumps(found(part, rows)))


def main_of_parts(name: str, parts: dict[str, Part], quick: Sequence[str]) -> None:
    """Several parts with three seeds each; with `--quick` the first method of those in `quick`, with one."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--only", choices=parts, action="append", help="a part; may be given again")
    parser.add_argument("--quick", action="store_true", help="toy size: shows that it runs, measures nothing")
    parser.add_argument("--save", action="store_true", help=f"keep each row in results/{name}.PART.json")
    parser.add_argument("--resume", action="store_true", help="go on with the rows that are kept, and keep more")
    arguments = parser.parse_args()
    summary = {}
    for part_name in arguments.only or (quick if arguments.quick else parts):
        part, seeds = parts[part_name], [0, 1, 2]
        if arguments.quick:
            part, seeds = part._replace(methods=part.methods[:1]), [0]
        rows = collected(part, seeds, arguments.quick, arguments.save, arguments.resume)
        print(f"\n{part_name}\n\n{table(with_means(rows))}\n")
        summary[part_name] = found(part, rows)
    print(json.dumps(summary))


def collected(part: Part, seeds: Sequence[int], quick: bool, save: bool, resume: bool) -> list[dict]:
    """A row of each method and seed, kept as it is there with `save` or `resume`."""
    data = part.data(quick)
    rows = kept_rows(part.name) if resume else []
    for seed in seeds:
        for method in part.methods:
            if any(row["method"] == method and row["seed"] == seed for row in rows):
                continue
            rows.append({"method": method, "seed": seed, **part.one(method, seed, data, quick)})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            if save or resume:
                keep(part.name, with_means(rows), part.compared(means(rows)), quick)
    return rows


def found(part: Part, rows: Sequence[dict]) -> dict:
    """The rows with their means, and the numbers to judge by."""
    return {"rows": with_means(rows), **part.compared(means(rows))}


def as_in_flux(model, key):
    """The model with the initial weights of the papers' framework: Glorot's uniform ones, and biases of zero. Through
    eight layers of tanh, equinox's own let a hundredth of a signal pass, these two thirds."""
    glorot = jax.nn.initializers.glorot_uniform(in_axis=1, out_axis=0)
    leaves, tree = jax.tree.flatten(model)
    keys = iter(jax.random.split(key, len(leaves)))

    def drawn(x):
        if not eqx.is_inexact_array(x) or x.ndim == 0:
            return x
        return glorot(next(keys), x.shape, x.dtype) if x.ndim == 2 else jnp.zeros_like(x)

    return jax.tree.unflatten(tree, [drawn(x) for x in leaves])


def punished(regulariser: tuple | None, steps: int) -> tuple[tuple, dict]:
    """What the solver measures and the objective's terms, of (measure, first weight, last weight): the weight falls
    exponentially."""
    if regulariser is None:
        return (), {}
    measure, first, last = regulariser
    return (measure,), {"regulariser": (optax.exponential_decay(first, steps, last / first), measure)}


def _data(arguments, load, toy):
    if arguments.quick:
        return None if toy is None else toy()
    return None if load is None else load(arguments.data)


def kept_rows(name: str) -> list[dict]:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return []
    return [row for row in json.loads(path.read_text(encoding="utf-8"))["rows"] if isinstance(row["seed"], int)]


def means(rows: Sequence[dict]) -> dict[str, dict]:
    """Of each method, the mean over its seeds of each number, and its deviation as `deviation_of_...`."""
    found = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        of = [row for row in rows if row["method"] == method]
        numbers = [key for key, value in of[0].items() if key != "seed" and isinstance(value, int | float)]
        mean = {key: statistics.fmean(row[key] for row in of) for key in numbers}
        if len(of) > 1:
            mean |= {f"deviation_of_{key}": statistics.stdev(row[key] for row in of) for key in numbers}
        found[method] = {**mean, "seeds": len(of)}
    return found


def with_means(rows: Sequence[dict]) -> list[dict]:
    """The rows, and of methods with several seeds their mean and deviation."""
    rows = list(rows)
    for method, mean in means(rows).items():
        first = next(row for row in rows if row["method"] == method)
        if mean["seeds"] > 1:
            rows.append({k: mean.get(k, v) for k, v in first.items()} | {"seed": "mean"})
            rows.append({k: mean.get(f"deviation_of_{k}", v) for k, v in first.items()} | {"seed": "deviation"})
    return rows


def ratio(methods: dict[str, dict], method: str, to: str, what: str) -> float | None:
    if method not in methods or to not in methods:
        return None
    return methods[method][what] / methods[to][what] if methods[to][what] else math.inf
