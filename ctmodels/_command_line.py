"""The language of the command line: what a message says of an argument is what was typed, or what there is to type."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ctmodels._core._words import UNSAID, plain

SAME = {"constant_ok": "inputs"}  # Python's readers have two names where the command line has one option


class CommandLine:
    """Arguments by Python's names as options of one command: `held_out=0` is `--held-out 0`, or `--test 0` where that
    is what was typed. The parser itself knows which option fills which argument.
    """

    def __init__(self, parser: argparse.ArgumentParser, argv: Sequence[str]):
        self._actions = {action.dest: action for action in parser._actions}  # argparse shows them nowhere else
        self._argv = list(argv)
        self._typed = [word.partition("=")[0] for word in argv if word.startswith("-")]

    def knows(self, name: str) -> bool:
        """Whether the command has an option for the argument."""
        return SAME.get(name, name) in self._actions

    def called(self, function: str, arguments: Mapping[str, str]) -> str:
        """What was typed, whatever it calls."""
        return shlex.join(["ctmodels", *self._argv])

    def argument(self, name: str, value: Any = UNSAID) -> str:
        """The option and its value, as typed or to be typed."""
        action = self._actions.get(SAME.get(name, name))
        if action is None:  # nothing to be typed: in plain words
            return name.replace("_", " ") if value in (UNSAID, ...) else f"{name.replace('_', ' ')} {plain(value)}"
        if not action.option_strings:
            return str(action.metavar or action.dest).upper() if value in (UNSAID, ...) else str(plain(value))
        option = self._option(action, value)
        if value is UNSAID or action.nargs == 0:
            return option
        if value is ...:
            return f"{option} {action.metavar}"
        values = plain(value) if isinstance(value, list | tuple) else [plain(value)]
        return " ".join(self._with_value(option, x) for x in values) or option

    def _with_value(self, option: str, value: Any) -> str:
        text = str(value)
        apart = (option, text) in zip(self._argv, self._argv[1:], strict=False)
        return (
            f"{option}={shlex.quote(text)}" if text.startswith("-") and not apart else f"{option} {shlex.quote(text)}"
        )

    def _option(self, action: argparse.Action, value: Any) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return action.option_strings[value is False]
        typed = [option for option in action.option_strings if option in self._typed]
        return typed[0] if typed else action.option_strings[0]


def one_line(text: str) -> str:
    """A message of several lines as one."""
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line if line.endswith((":", ";", ".", ",")) else f"{line};" for line in lines).rstrip(";")


def printable(text: str) -> str:
    """As far as the terminal has the characters: one that it lacks must not cost a run its last lines."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
