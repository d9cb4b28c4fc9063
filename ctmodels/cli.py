"""The `ctmodels` command: reconstruct, forecast, export, doctor, demo. The user's errors are one line each."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from ctmodels._disk import write_whole
from ctmodels._door import DataError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 (a check failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except DataError as error:
        print(f"ctmodels: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"ctmodels: interrupted; {stop}" if stop.args else "ctmodels: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ctmodels", description="Reconstruct dynamical systems from measurements.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_reconstruct(commands.add_parser("reconstruct", help="from a data file to a model, its forecast and a report"))
    _add_forecast(commands.add_parser("forecast", help="beyond the data, from a folder that `reconstruct` wrote"))
    _add_export(commands.add_parser("export", help="a trained model as one file that needs nothing but JAX"))
    doctor = commands.add_parser("doctor", help="versions, devices, and checks for known miscompiles")
    doctor.set_defaults(run=_doctor)
    demo = commands.add_parser("demo", help="lynx and hare, and a noisy Lorenz system")
    demo.add_argument("--out", default="runs/demo", help="folder for the reports (default: %(default)s)")
    demo.set_defaults(run=_demo)
    return parser


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", help="CSV with a header, or npz, Parquet, netCDF, HDF5")
    add("--time", required=True, metavar="COLUMN", help="the column of times: numbers, dates or epochs")
    add("--out", required=True, metavar="DIR", help="folder for models, metrics and report")
    add("--input", action="append", default=[], metavar="COLUMN", help="a column that drives the system; repeat it")
    add("--column", action="append", default=[], metavar="COLUMN", help="a column to model; default: all the others")
    add("--missing", action="append", default=[], type=float, metavar="VALUE", help="means missing, as --missing=-999")
    add("--sort", action="store_true", help="the rows may stand in any order")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="neural, augmented, second-order, lotka-volterra, hybrid-lotka-volterra; repeat it to compare; default: "
        "neural, and for one channel that oscillates second-order and augmented too",
    )
    add("--test", type=_fraction_or_count, default=0.2, metavar="N", help="held-out tail: fraction or samples (0.2)")
    add("--horizon", type=_positive, metavar="N", help="samples that a scored forecast reaches")
    add("--season", type=_positive, metavar="N", help="samples in a season; default: from the spectrum")
    add("--log", action="store_true", help="work on logarithms (positive data of many magnitudes)")
    add("--members", type=_positive, metavar="N", help="of the ensemble")
    add("--steps", type=_positive, metavar="N", help="of training")
    add("--seed", type=int, default=0)
    add("--resume", action="store_true", help="go on with a run that was stopped, from its checkpoints in DIR/training")
    add(
        "--overwrite",
        action="store_true",
        help="replace the reconstruction that DIR holds; without it, that is refused",
    )
    parser.set_defaults(run=_reconstruct)


def _fraction_or_count(text: str) -> float | int:
    return float(text) if "." in text else int(text)


_fraction_or_count.__name__ = "fraction or number"  # what argparse says of a bad one


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1 is needed")
    return int(text)


def _reconstruct(arguments) -> int:
    from ctmodels.reconstruction import Recipe, reconstruct

    table = _read(arguments)
    changes = {k: v for k, v in (("members", arguments.members), ("steps", arguments.steps)) if v is not None}
    result = reconstruct(
        table,
        inputs=arguments.input,
        models=arguments.model or None,
        held_out=arguments.test,
        horizon=arguments.horizon,
        season=arguments.season,
        log=arguments.log,
        recipe=lambda samples: dataclasses.replace(Recipe.default(samples), **changes),
        seed=arguments.seed,
        out=arguments.out,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    print(result.verdict)
    print(f"report: {Path(arguments.out) / 'report.html'}")
    return 0


def _read(arguments):
    """The table, with what the reader noted on standard error."""
    from ctmodels.data import read

    columns = [*arguments.column, *arguments.input] if arguments.column else None
    table = read(
        arguments.file,
        arguments.time,
        columns,
        sentinels=arguments.missing,
        constant_ok=arguments.input,
        sort=arguments.sort,
    )
    for note in table.notes:
        print(f"ctmodels: note: {note}", file=sys.stderr)
    return table


def _add_forecast(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="written by `ctmodels reconstruct`")
    parser.add_argument("--steps", type=_positive, required=True, metavar="N", help="samples ahead of the data")
    parser.add_argument("--model", metavar="NAME", help="default: the one that the report believes")
    parser.add_argument("--inputs", metavar="FILE", help="file with the future of the inputs, if the model has any")
    parser.add_argument("--out", metavar="FILE", help="CSV to write; default: standard output")
    parser.set_defaults(run=_forecast)


def _forecast(arguments) -> int:
    from ctmodels.reconstruction import forecast_csv

    text = forecast_csv(arguments.folder, arguments.steps, model=arguments.model, inputs=arguments.inputs)
    if arguments.out is None:
        print(text, end="")
        return 0
    with _writing(arguments.out):
        write_whole(Path(arguments.out), text.encode())
    return 0


@contextlib.contextmanager
def _writing(out: str):
    try:
        yield
    except OSError as error:
        raise DataError(f"--out {out}: cannot write ({error.strerror}); name another file") from error


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="written by `ctmodels reconstruct`")
    parser.add_argument("--model", metavar="NAME", help="default: the one that the report believes")
    parser.add_argument("--times", type=_positive, metavar="N", help="times it takes; needed if the model has inputs")
    parser.add_argument("--out", required=True, metavar="FILE", help="to write; `ctmodels.export` says how to run it")
    parser.set_defaults(run=_export)


def _export(arguments) -> int:
    from ctmodels.reconstruction import export_model

    with _writing(arguments.out):
        export_model(arguments.folder, arguments.out, model=arguments.model, times=arguments.times)
    return 0


def _doctor(arguments) -> int:
    from ctmodels.doctor import doctor

    return doctor()


def _demo(arguments) -> int:
    from ctmodels.demo import demo

    demo(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
