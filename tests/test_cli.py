"""The command line: bad input gets one line and leaves nothing behind; good input gets a report."""

import ast
import hashlib
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from models import leaky

from ctmodels.cli import main
from ctmodels.reconstruction import CANDIDATES, Candidate, _reconstruct

pytestmark = pytest.mark.only("float32")

GOOD = "t,x\n" + "\n".join(f"{i},{np.sin(i):.4f}" for i in range(30)) + "\n"
TOY = ["--steps", "10", "--members", "1"]


def table(rows):
    return "t,x\n" + "\n".join(rows) + "\n"


def rows(change):
    lines = [f"{i},{np.sin(i):.4f}" for i in range(30)]
    return table(change(lines))


def replace(i, text):
    return rows(lambda lines: [*lines[:i], text, *lines[i + 1 :]])


BAD = {
    "empty": (b"", ["data.csv", "empty"]),
    "binary": (b"\x89PNG\x00\x01\x02" * 20, ["data.csv"]),
    "header only": (b"t,x\n", ["data.csv"]),
    "one row": (b"t,x\n1,2\n", ["data.csv"]),
    "no such column": (b"time,x\n" + GOOD.encode()[4:], ["'t'", "time"]),
    "text": (replace(4, "4,warm"), ["row 6", "'x'", "warm"]),
    "ragged": (replace(4, "4,1,2"), ["row 6", "3", "2"]),
    "decimal commas": ("t,x\n" + "\n".join(f'{i},"{i},5"' for i in range(9)), ["decimal comma"]),
    "decreasing": (replace(4, "2.5,1"), ["row 6", "2.5", "increas"]),
    "duplicate": (replace(4, "3,1"), ["row 6", "3"]),
    "NaN time": (replace(4, "nan,1"), ["row 6", "nan"]),
    "infinite time": (replace(4, "inf,1"), ["row 6", "inf"]),
    "infinite": (replace(4, "4,inf"), ["row 6", "'x'", "inf"]),
    "overflow": (replace(4, "4,1e400"), ["row 6", "1e400"]),
    "all NaN": (table([f"{i},NA" for i in range(30)]), ["'x'"]),
    "constant": (table([f"{i},7" for i in range(30)]), ["'x'", "constant"]),
    "fewer than a window": (table([f"{i},{i * i}" for i in range(4)]), ["window"]),
    "unresolved": (
        table([f"{i},{np.sin(i):.4f}" for i in range(29)] + ["1e9,0", "1000000001,1"]),
        ["row 32", "float32", "x64"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case, tmp_path, capsys):
    import jax

    if case == "unresolved" and jax.config.jax_enable_x64:
        pytest.skip("float64 resolves these times")
    content, words = BAD[case]
    path = tmp_path / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    assert main(["reconstruct", str(path), "--time", "t", "--out", str(out), *TOY]) == 2
    said = capsys.readouterr().err
    assert said.startswith("ctmodels: error: ") and said.count("\n") == 1 and "Traceback" not in said
    for word in words:
        assert word in said, said
    assert not out.exists() or not list(out.iterdir())


def test_every_format_is_read_and_what_was_noted_is_said(tmp_path, capsys, monkeypatch):
    import ctmodels.reconstruction

    tables = []

    def stop(table, **settings):
        tables.append(table)
        raise SystemExit(0)

    monkeypatch.setattr(ctmodels.reconstruction, "reconstruct", stop)
    ts, xs = np.arange(30.0)[::-1], np.sin(np.arange(30.0))
    xs[[3, 7]] = -999
    np.savez(tmp_path / "a.npz", t=ts, x=xs)
    (tmp_path / "a.csv").write_text(table(f"{t},{x}" for t, x in zip(ts, xs, strict=True)))
    for name in ("a.npz", "a.csv"):
        command = ["reconstruct", str(tmp_path / name), "--time", "t", "--out", str(tmp_path / "out")]
        assert main(command) == 2 and "must increase; sort the rows by 't'" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            main([*command, "--sort"])
        said = capsys.readouterr().err
        assert said.startswith("ctmodels: note: ") and "-999 in 2 of 30 rows" in said and "--missing=-999" in said
        with pytest.raises(SystemExit):
            main([*command, "--sort", "--missing=-999", "--missing", "-9999"])
        assert "2 values of -999 or -9999 taken as missing" in capsys.readouterr().err
        assert [np.isnan(t.values).sum() for t in tables[-2:]] == [0, 2]
        np.testing.assert_array_equal(tables[-1].time, ts[::-1])


def test_missing_file_and_unusable_folder(tmp_path, capsys):
    assert main(["reconstruct", str(tmp_path / "no.csv"), "--time", "t", "--out", str(tmp_path / "out")]) == 2
    assert "no.csv" in capsys.readouterr().err
    good = tmp_path / "good.csv"
    good.write_text(GOOD)
    assert main(["reconstruct", str(good), "--time", "t", "--out", str(good)]) == 2
    assert "this is a file; name a folder" in capsys.readouterr().err
    below = good / "out"
    assert main(["reconstruct", str(good), "--time", "t", "--out", str(below)]) == 2
    assert str(below) in capsys.readouterr().err


def test_read_only_folder(tmp_path, capsys, monkeypatch):
    # Root may write anywhere, so the refusal of the system is played.
    from pathlib import Path

    good = tmp_path / "good.csv"
    good.write_text(GOOD)

    def refuse(self, data):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert main(["reconstruct", str(good), "--time", "t", "--out", str(tmp_path / "out")]) == 2
    assert "cannot write there (Permission denied)" in capsys.readouterr().err


def test_calendar_times_are_read_and_forecast_as_dates(tmp_path, capsys, monkeypatch):
    # Epoch milliseconds and ISO dates give one and the same table: test_csv.py.
    days = np.datetime64("2024-02-20") + np.arange(30)
    stamps = days.astype("datetime64[ms]").astype(int)
    path, out = tmp_path / "data.csv", tmp_path / "out"
    monkeypatch.setitem(CANDIDATES, "neural", Candidate("neural", lambda problem, key: leaky(key, problem.channels)))
    monkeypatch.setattr(_reconstruct, "LYAPUNOV_STEPS", 100)
    path.write_text("when,x\n" + "\n".join(f"{s},{np.sin(i):.4f}" for i, s in enumerate(stamps)))
    assert main(["reconstruct", str(path), "--time", "when", "--out", str(out), "--model", "neural", *TOY]) == 0
    said = capsys.readouterr().out
    assert "report: " in said and (out / "report.html").stat().st_size > 1000
    assert "Valid time [" in said and "Lower is better." in said
    made = json.loads((out / "metrics.json").read_text())["provenance"]
    assert made["call"].startswith(f"ctmodels reconstruct {path} --time when --out {out} --model neural")
    assert made["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and made["of"] == "file"
    assert main(["forecast", str(out), "--steps", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "when,x,x_lower,x_upper" and lines[1].startswith("2024-03-21")
    assert main(["forecast", str(out), "--steps", "2", "--out", str(tmp_path / "ahead.csv")]) == 0
    assert (tmp_path / "ahead.csv").read_text().splitlines() == lines


def test_forecast_of_a_folder_that_holds_none(tmp_path, capsys):
    assert main(["forecast", str(tmp_path), "--steps", "2"]) == 2
    assert "metrics.json" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
    (tmp_path / "metrics.json").write_text('{"best": "neural"}')
    assert main(["forecast", str(tmp_path), "--steps", "2"]) == 2
    assert "of an older version; run `reconstruct` again" in capsys.readouterr().err


def test_doctor_and_help(capsys):
    assert main(["doctor"]) == 0
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "reconstruct" in capsys.readouterr().out


@pytest.mark.parametrize("command, job", [(["export"], "export_model"), (["forecast", "--steps", "1"], "forecast_csv")])
def test_a_result_that_cannot_be_written_is_one_line(command, job, tmp_path, monkeypatch, capsys):
    from ctmodels import reconstruction
    from ctmodels._core import _files

    there = tmp_path / "no" / "such"
    monkeypatch.setattr(
        reconstruction, job, lambda *a, **k: _files.write_whole(there, b"") if job == "export_model" else "t,x\n"
    )
    assert main([*command, str(tmp_path), "--out", str(there)]) == 2
    assert f"--out {there}: cannot write (No such file or directory)" in capsys.readouterr().err


# What Python calls it, what was typed, and what is said: the option as typed, and never Python's word.
ARGUMENTS = {
    "held_out": (["--held-out", "0"], "--held-out 0: "),
    "held_out by another name": (["--test", "0.0"], "--test 0: "),
    "held_out, too much": (["--test=29"], "--test 29: leaves 1 of 30"),
    "held_out, negative": (["--held-out", "-4"], "--held-out -4: "),
    "horizon": (["--horizon", "0"], "--horizon 0: "),
    "season": (["--season=-2"], "--season=-2: "),
    "members": (["--members", "0"], "--members 0: "),
    "steps": (["--steps", "-1"], "--steps -1: "),
    "seed": (["--seed", "-1"], "--seed -1: a whole number from 0 to"),
    "seed, large": (["--seed", "4294967296"], "--seed 4294967296: "),
    "log": (["--log"], "data.csv, row 2, column 'x': 0: logarithms need positive values; leave out --log"),
    "models": (["--model", "foo"], "--model foo: not known"),
    "inputs": (["--input", "x"], "--input x: no column is left"),
    "columns": (["--column", "z"], "no column 'z'"),
    "out": (["--out", "data.csv"], "--out data.csv: this is a file"),
}
PYTHONS = ("=True", "=False", "in Python", "`", "[]", "['", "ys[", "ts[", "held_out", "constant_ok", "sentinels", "()")


@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_argument_is_told_as_it_was_typed(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed, told = ARGUMENTS[case]
    (tmp_path / "data.csv").write_text(GOOD)
    assert main(["reconstruct", "data.csv", "--time", "t", "--out", "out", *TOY, *typed]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1, said
    assert not [word for word in PYTHONS if word in said], said


@pytest.mark.parametrize(
    "command, told",
    [
        (["forecast", "--steps", "0"], "--steps 0: a whole number of at least 1"),
        (["forecast", "--steps", "-2"], "--steps -2: a whole number of at least 1"),
        (["forecast", "--steps", "1", "--model", "foo"], "--model foo: no such model in .: there is none"),
        (["export", "--out", "e", "--times", "0"], "--times 0: a whole number of at least 2"),
        (["export", "--out", "e", "--model", "foo"], "--model foo: no such model in .: there is none"),
    ],
)
def test_the_other_commands_tell_arguments_as_typed(command, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([command[0], ".", *command[1:]]) == 2
    assert capsys.readouterr().err.startswith(f"ctmodels: error: {told}")


def test_what_differs_from_the_run_before_is_told_by_its_options(tmp_path, capsys):
    from ctmodels._command_line import CommandLine
    from ctmodels._core._words import spoken
    from ctmodels.cli import _parser
    from ctmodels.train._resume import LoopState, restore_run

    class Before:
        folder = tmp_path

        def newest(self):
            return tmp_path / "c", {"about": {"step": 5, "run": {"seed": 0, "about.recipe.members": 4}}}, {}

    command = _parser()._subparsers._group_actions[0].choices["reconstruct"]
    now, kept = {"seed": 1, "about.recipe.members": 2}, object.__new__(LoopState)
    with spoken(CommandLine(command, [])), pytest.raises(Exception) as error:
        restore_run(Before(), now, kept, 10, True, ())
    assert "--seed: 0 then, 1 now" in str(error.value) and "--members: 4 then, 2 now" in str(error.value)
    assert "accept" not in str(error.value)
    with spoken(CommandLine(command, [])), pytest.raises(Exception, match="--steps 3: the checkpoint is at step 5"):
        restore_run(Before(), Before().newest()[1]["about"]["run"], kept, 3, True, ())


PLACES = {
    "a cell under a blank line": ("t,x\n\n0,1\n1,3\n2,-5\n3,2\n4,1\n5,1\n", ["--log"], "row 5, column 'x': -5"),
    "a cell of a sorted file": ("t,x\n3,1\n1,3\n2,-5\n0,2\n4,1\n5,1\n", ["--log", "--sort"], "row 4, column 'x': -5"),
    "an input that is never seen": (
        "t,x,u\n" + "".join(f"{i},{np.sin(i):.4f},{i if i > 28 else ''}\n" for i in range(30)),
        ["--input", "u"],
        "data.csv, column 'u': all 24 values are missing",
    ),
    "a remedy": ("t,x\n0,1\n1,warm\n", [], "choose other columns (--column COLUMN)"),
    "a flag": ("t,x\n1,1\n0,2\n", [], "ask for it (--sort)"),
    "a constant": ("t,x\n0,1\n1,1\n", [], "declare it an input (--input COLUMN)"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_is_that_of_the_file_and_a_remedy_can_be_typed(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, typed, told = PLACES[case]
    (tmp_path / "data.csv").write_text(content)
    command = ["reconstruct", "data.csv", "--time", "t", "--out", "out", "--held-out", "1", *TOY, *typed]
    if "never" in case:
        command += ["--held-out", "0.2"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert told in said and not [word for word in PYTHONS if word in said], said


def test_every_default_is_in_the_help_and_how_long_it_takes(capsys):
    from ctmodels.cli import _parser

    commands = _parser()._subparsers._group_actions[0].choices
    for name, command in commands.items():
        for action in command._actions:
            words = action.help if action.option_strings and "--help" not in action.option_strings else "default"
            assert "default" in words or "required" in words, (name, action.option_strings)
    with pytest.raises(SystemExit):
        main(["reconstruct", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for words in ("--quick", "--held-out", "(default: 0.2)", "(default: 4000; 2000 for fewer than 200", "Takes about"):
        assert words in said


def test_a_terminal_that_lacks_a_character_gets_the_rest(monkeypatch):
    from ctmodels._command_line import printable

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert printable("λ_max 0.9") == "?_max 0.9"


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("ctmodels 0.")


def test_the_first_line_says_what_is_done_and_how_long_it_takes(tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_reconstruct, "train", stop)
    path = tmp_path / "data.csv"
    path.write_text(GOOD)
    command = ["reconstruct", str(path), "--time", "t", "--out", str(tmp_path / "out"), "--model", "neural"]
    for more, told in (
        ([], "1 model (neural), 4 members of 2000 steps each, 24 rows to train on and 6 to judge by: about 30 seconds"),
        (["--quick"], "2 members of 250 steps each"),
        (["--quick", "--members", "1", "--model", "augmented"], "2 models (neural, augmented), 1 member of 250 steps"),
    ):
        assert main([*command, *more]) == 130
        assert told in capsys.readouterr().err.splitlines()[0]


def test_a_warning_is_one_line_without_its_place_in_the_code(tmp_path, capsys, monkeypatch):
    import warnings

    import ctmodels.reconstruction

    def warn(*_, **__):
        warnings.warn("lower the\nlearning rate", RuntimeWarning, stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr(ctmodels.reconstruction, "forecast_csv", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["forecast", str(tmp_path), "--steps", "1"]) == 130
    assert capsys.readouterr().err.splitlines()[0] == "ctmodels: warning: lower the; learning rate"


def documented(tree) -> list:
    """The docstrings."""
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    return [body[0].value for body in bodies if body and isinstance(body[0], ast.Expr)]


def test_no_message_of_the_library_writes_an_argument_by_itself():
    """Text that is not a docstring names no option, and says nothing twice for Python: `argument(name)` does."""
    root = Path(__file__).parents[1] / "ctmodels"
    for path in root.rglob("*.py"):
        if (
            path.name in ("cli.py", "_command.py", "_command_line.py", "_file_options.py")
            or path.parent.name == "report"
        ):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        for node in texts:
            found = re.search(r"(^|[ (])--[a-z]|in Python", node.value) and node not in documented(tree)
            assert not found, f"{path.name}:{node.lineno}: {node.value!r}"
