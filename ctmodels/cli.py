"""The `ctmodels` command, and most of what it has: the user's errors are one line each."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ctmodels._command_line import CommandLine, one_line, printable
from ctmodels._core._files import write_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, spoken
from ctmodels._file_options import add_columns, add_file, read_file, say_note, whole
from ctmodels.backtesting._command import add_backtest, run_backtest
from ctmodels.reconstruction import CANDIDATES
from ctmodels.train._structure import version


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 (a check failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser().parse_args(argv)
    try:
        with spoken(CommandLine(arguments.parser, argv)), _warnings_as_lines():
            return arguments.run(arguments) or 0
    except DataError as error:
        print(f"ctmodels: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"ctmodels: interrupted; {stop}" if stop.args else "ctmodels: interrupted", file=sys.stderr)
        return 130


@contextlib.contextmanager
def _warnings_as_lines():
    """One line each, without the place in the library's code."""

    def show(message, *_, **__):
        print(f"ctmodels: warning: {one_line(str(message))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ctmodels", description="Reconstruct dynamical systems from measurements.")
    parser.add_argument("--version", action="version", version=f"ctmodels {version('ctmodels')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add, run, purpose in (
        ("reconstruct", _add_reconstruct, _reconstruct, "from a data file to a model, its forecast and a report"),
        ("backtest", add_backtest, run_backtest, "forecasts from many rows of a file, held against what came"),
        ("forecast", _add_forecast, _forecast, "beyond the data, from a folder that `reconstruct` wrote"),
        ("export", _add_export, _export, "a trained model as one file that needs nothing but JAX"),
        ("doctor", lambda parser: None, _doctor, "versions, devices, and checks for known miscompiles"),
        ("demo", _add_demo, _demo, "lynx and hare, and a noisy Lorenz system"),
    ):
        command = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        add(command)
        command.set_defaults(run=run, parser=command)
    return parser


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    """The destinations are the names that Python has for the same arguments: messages name either."""
    from ctmodels.reconstruction import Recipe
    from ctmodels.reconstruction._announcing import duration
    from ctmodels.reconstruction._recipe import SHORT

    short, full = Recipe.default(SHORT - 1), Recipe.default(SHORT)
    parser.epilog = (
        f"Takes {duration(full, SHORT)} for each model by default, {duration(short, SHORT)} for fewer than {SHORT} "
        "rows to train on, and a tenth of that training with --quick, on two cores: the first line of a run says it "
        "for the data at hand. Ctrl-C ends it, and --resume goes on."
    )
    add = parser.add_argument
    add_file(add)
    add("--out", required=True, metavar="DIR", help="folder for models, metrics and report (required)")
    add("--id", metavar="COLUMN",
        help="the column that says to which trial a row belongs (default: all rows are one series)")  # fmt: skip
    add_columns(add)
    add("--model", dest="models", action="append", default=[], metavar="NAME",
        help=f"{', '.join(CANDIDATES)}; repeat it to compare "
        "(default: neural; for one channel that turns back, second-order and augmented too)")  # fmt: skip
    add("--law", dest="laws", action="append", default=[], metavar="FILE:NAME",
        help="a law of your own, a function def law(t, y, *, damping=0.1) in file.py, whose parameters are "
        "estimated; the file is run; repeat it to compare (default: none)")  # fmt: skip
    add("--held-out", "--test", dest="held_out", type=_fraction_or_count, default=0.2, metavar="N",
        help="the tail to judge by: a fraction, or a number of rows; with --id whole trials, at least one "
        "(default: %(default)s)")  # fmt: skip
    add("--horizon", type=whole, metavar="N",
        help="rows that a scored forecast reaches (default: an eighth of the tail, at least 10)")  # fmt: skip
    add("--season", type=whole, metavar="N", help="rows in a season (default: from the spectrum)")
    add("--log", action="store_true", help="work on logarithms: positive data of many magnitudes (default: do not)")
    add("--embed", metavar="auto|DELAY,DIMENSION",
        help="make states of delays, where the system is seen in part: delay in rows and dimension, or auto, which "
        "chooses both (default: states are what is measured)")  # fmt: skip
    _add_training(add)


def _add_training(add: Callable) -> None:
    """How long it trains, and what becomes of a run that was stopped."""
    from ctmodels.reconstruction._recipe import SHORT, Recipe

    short, full = Recipe.default(SHORT - 1), Recipe.default(SHORT)
    add("--members", type=whole, metavar="N", help=f"of the ensemble (default: {full.members})")
    add("--steps", type=whole, metavar="N",
        help=f"of training (default: {full.steps}; {short.steps} for fewer than {SHORT} rows to train on)")  # fmt: skip
    add("--quick", action="store_true",
        help="a first look: half of the members and an eighth of the steps (default: all of them)")  # fmt: skip
    add("--seed", type=whole, default=0, metavar="N", help="of random numbers, from 0 on (default: %(default)s)")
    add("--resume", action="store_true",
        help="go on with a run that was stopped, from the checkpoints in DIR/training (default: do not)")  # fmt: skip
    add("--overwrite", action="store_true",
        help="replace the reconstruction that DIR holds, once the new one is made (default: do not)")  # fmt: skip


def _fraction_or_count(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


_fraction_or_count.__name__ = "fraction or number"  # what argparse says of a bad one


def _reconstruct(arguments) -> int:
    from ctmodels.reconstruction import Recipe, law_candidate, reconstruct
    from ctmodels.reconstruction._arguments import check_arguments

    recipe = Recipe.quick if arguments.quick else Recipe.default
    how = {name: getattr(arguments, name) for name in
           ("inputs", "held_out", "horizon", "season", "log", "embed", "steps", "members", "seed", "out", "resume",
            "overwrite")}  # fmt: skip
    check_arguments(**{"models": (), "recipe": recipe} | how)  # before a long file is read
    models = [*arguments.models, *(law_candidate(place) for place in arguments.laws)]
    how |= {"models": models} if models else {}
    result = reconstruct(read_file(arguments), recipe=recipe, **how)
    print(printable(f"{result.summary()}\n\n{result.verdict}\nWhat to try next: {result.advice}"))
    print(f"report: {Path(arguments.out) / 'report.html'}")
    return 0


def _add_forecast(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="written by `ctmodels reconstruct`")
    parser.add_argument("--steps", type=whole, required=True, metavar="N", help="rows ahead of the data (required)")
    parser.add_argument("--id", metavar="TRIAL", help="the trial that goes on, where DIR is of several (default: none)")
    parser.add_argument("--model", metavar="NAME", help="(default: the one that the report selects)")
    parser.add_argument("--inputs", metavar="FILE", help="the future of the inputs (default: there are none)")
    parser.add_argument("--out", metavar="FILE", help="CSV to write (default: standard output)")


def _forecast(arguments) -> int:
    from ctmodels.reconstruction import forecast_csv

    settings = {"id": arguments.id, "model": arguments.model, "inputs": arguments.inputs, "note": say_note}
    text = forecast_csv(arguments.folder, arguments.steps, **settings)
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
        raise DataError(f"{argument('out', out)}: cannot write ({error.strerror}); name another file") from error


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="written by `ctmodels reconstruct`")
    parser.add_argument("--model", metavar="NAME", help="(default: the one that the report selects)")
    parser.add_argument("--times", type=whole, metavar="N", help="times it takes; needed with inputs (default: any)")
    parser.add_argument("--out", required=True, metavar="FILE", help="to write; docs/export.md runs it (required)")


def _export(arguments) -> int:
    from ctmodels.reconstruction import export_model

    with _writing(arguments.out):
        export_model(arguments.folder, arguments.out, model=arguments.model, times=arguments.times)
    return 0


def _doctor(arguments) -> int:
    from ctmodels.doctor import doctor

    return doctor()


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="for the reports (default: %(default)s)")


def _demo(arguments) -> int:
    from ctmodels.demo import demo

    demo(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
