"""`ctmodels backtest`: forecasts from many rows of a file, held against what came."""

import argparse

from ctmodels._command_line import printable
from ctmodels._file_options import add_columns, add_file, read_file, whole
from ctmodels.backtesting._backtest import backtest
from ctmodels.backtesting._methods import BASELINES, NAMES, check_arguments, methods
from ctmodels.reconstruction._recipe import Recipe

PASSED = ("inputs", "models", "baselines", "horizon", "origins", "first", "refit", "level", "season", "log", "steps",
          "members", "seed")  # fmt: skip


def add_backtest(parser: argparse.ArgumentParser) -> None:
    """The destinations are the names that Python has for the same arguments."""
    add = parser.add_argument
    add_file(add)
    add("--out", metavar="DIR", help="folder for table.csv, leads.csv, backtest.json and backtest.svg (default: none)")
    add_columns(add)
    add("--models", "--model", dest="models", action="extend", nargs="+", default=[], metavar="NAME",
        help=f"what is judged: {', '.join(NAMES)} (default: the baselines alone)")  # fmt: skip
    add("--baselines", nargs="*", default=list(BASELINES), metavar="NAME",
        help=f"to compare with, of the same names (default: {' '.join(BASELINES)})")  # fmt: skip
    add("--horizon", type=whole, metavar="N", help="rows ahead (default: an eighth of the rows, at most 10)")
    add("--origins", type=whole, metavar="N", help="rows to forecast from, spread evenly (default: at most 10)")
    add("--first", type=whole, metavar="N", help="rows before the first of them (default: half)")
    add("--refit", type=whole, default=0, metavar="N",
        help="fit models anew at every so many origins; 0: at the first alone (default: %(default)s)")  # fmt: skip
    add("--level", type=float, default=0.9, metavar="SHARE", help="of intervals (default: %(default)s)")
    add("--season", type=whole, metavar="N", help="rows in a season (default: from the spectrum)")
    add("--log", action="store_true", help="work on logarithms, and judge them (default: do not)")
    add("--members", type=whole, metavar="N", help="of a model's ensemble (default: as of `reconstruct`)")
    add("--steps", type=whole, metavar="N", help="of training (default: as of `reconstruct`)")
    add("--quick", action="store_true",
        help="a first look: half of the members and an eighth of the steps (default: all of them)")  # fmt: skip
    add("--seed", type=whole, default=0, metavar="N", help="of random numbers, from 0 on (default: %(default)s)")


def run_backtest(arguments) -> int:
    """Prints the table; writes it, and the figure, where there is a folder for them."""
    how = {name: getattr(arguments, name) for name in PASSED}
    check_arguments(**how)  # before a long file is read
    methods(arguments.models, arguments.baselines)
    recipe = Recipe.quick if arguments.quick else Recipe.default
    result = backtest(read_file(arguments), recipe=recipe, progress=True, **how)
    print(printable(repr(result)))
    if arguments.out is not None:
        print(f"figure: {result.save(arguments.out) / 'backtest.svg'}")
    return 0
