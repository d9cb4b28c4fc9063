"""What a message tells to do, done as it is told: then the data are read."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ctmodels as ct
from ctmodels import cli
from ctmodels._command_line import CommandLine
from ctmodels._core._words import spoken
from ctmodels.data import from_pandas, from_xarray, read

pytestmark = pytest.mark.only("float32")

TS = np.arange(4.0)


def swap(old, new):
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    "text, message, mended, how",
    [
        ("", "export it again", lambda _: "t,x\n0,1\n1,2\n", {}),
        ("0,1\n1,2\n", "add a row of names", lambda text: "t,x\n" + text, {}),
        ("t,x\n", "at least 2 rows are needed", lambda text: text + "0,1\n1,2\n", {}),
        ("t,x\n0,1\n", "give more rows", lambda text: text + "1,2\n", {}),
        ("t,x,x\n0,1,2\n1,2,3\n", "rename one of them", swap("x,x", "x,y"), {}),
        ("T,x\n0,1\n1,2\n", "the closest is 'T'", None, {"time": "T"}),
        ("t,x,\n0,1,a\n1,2,b\n", "name it", None, {"columns": ["x"]}),
        ("t,x,\n0,1,\n1,2,\n", "drop a trailing delimiter", swap(",\n", "\n"), {}),
        ("t\n0\n1\n", "a column of values is needed too; add one", lambda _: "t,x\n0,1\n1,2\n", {}),
        ("t,x,y\n0,high,1\n1,2,2\n", "write a number", swap("high", "3"), {}),
        ("t,x,y\n0,high,1\n1,2,2\n2,3,3\n", "leave the cell empty", swap("high", ""), {}),
        ("t,x,y\n0,high,1\n1,2,2\n", r"choose other columns \(.*columns=", None, {"columns": ["y"]}),
        ("t,x\n0,1\n1\n2,3\n", "add or remove cells", swap("1\n2", "1,2\n2"), {}),
        ("t,x\n0,1,5\n1,2,5\n", "if these are decimal commas, write 1.5 for 1,5", swap(",5", ".5"), {}),
        ('t,x\n0,"1,5"\n1,2\n', "write 1.5 for 1,5", swap('"1,5"', "1.5"), {}),
        ("t;x\n0;1,5\n1;2.5\n", "write 1.5 for 1,5", swap("1,5", "1.5"), {}),
        ("t;x\n0;1,500\n1;2,250\n", "or 1500 for 1,500", swap(",", ""), {}),
        ("t;x\n0;1,500\n1;2,250\n", "write 1.5 for 1,5", swap(",", "."), {}),
        ("t,x\n0,1e400\n1,2\n2,3\n", "rescale or empty it", swap("1e400", ""), {}),
        ("t,x\n0,inf\n1,2\n2,3\n", r"make the value missing \(NaN, or an empty cell", swap("inf", ""), {}),
        ("t,x\n0,inf\n1,2\n2,3\n", "make the value missing", None, {"sentinels": [np.inf]}),
        ("t,x,y\n0,,1\n1,,2\n", "leave it out", None, {"columns": ["y"]}),
        ("t,x,y\n0,5,1\n1,5,2\n", r"declare it an input \(constant_ok", None, {"constant_ok": ["x"]}),
        ("t,x\n,1\n1,2\n2,3\n", "drop the row", swap(",1\n1", "1"), {}),
        ("t,x\n0,1\n2,2\n1,3\n", r"ask for it \(sort=True\)", None, {"sort": True}),
        ("t,x\n0,1\n1,2\n1,3\n", "keep one row for each time", swap("1,3\n", ""), {}),
        ('t,x\n0,1\n1,"2\n', "close each quote", swap('"2', '"2"'), {}),
        ("t,i,x\n0,a,1\n0,b,2\n1,a,3\n1,b,4\n0,a,3\n", "keep one of them", swap("0,a,3\n", ""), {"id": "i"}),
        ("t,i,x\n1,a,1\n0,b,2\n0,a,3\n1,b,4\n", r"ask for it \(sort=True\)", None, {"id": "i", "sort": True}),
        ("t,i,x\n0,a,1\n0,,2\n1,a,3\n", "drop the row", swap("0,,2\n", ""), {"id": "i"}),
        ("t,n,x\ns,1,%\n0,5,1\n1,6,2\n", r"\(units_row=True\)", None, {"units_row": True}),
        ("t,x\nnoon,1\n0,1\n1,2\n", "put in its time", swap("noon", "-1"), {}),
        ("t,u,x\n0,2,1\n1,3,2\n", "drop one", None, {"columns": ["x"], "asked": ["t", "x"]}),
    ],
)  # fmt: skip
def test_what_a_message_tells_is_enough(tmp_path, text, message, mended, how):
    path, how = tmp_path / "a.csv", dict(how)
    asked = how.pop("asked", None)
    path.write_text(text)
    with pytest.raises(ct.DataError, match=message):
        read(path, "t", asked, id=how.get("id"))
    path.write_text(mended(text) if mended else text)
    read(path, how.pop("time", "t"), **how)


@pytest.mark.parametrize(
    "options, message, remedy",
    [
        (["--time", "t"], "--column", ["--column=y"]),
        (["--time", "t", "--column=u", "--column=y"], "--input", ["--column=y", "--input=u"]),
        (["--time", "s", "--column=y"], "--sort", ["--sort"]),
    ],
)
def test_the_options_that_a_message_names_are_there(tmp_path, options, message, remedy):
    (tmp_path / "a.csv").write_text("t,s,x,y,u\n0,2,warm,1,7\n1,0,cold,2,7\n2,1,warm,4,7\n")

    def given(options):
        line = ["reconstruct", str(tmp_path / "a.csv"), "--out=o", *options]
        arguments = cli._parser().parse_args(line)
        with spoken(CommandLine(arguments.parser, line)):
            return cli.read_file(arguments)

    with pytest.raises(ct.DataError, match=message):
        given(options)
    kept = [o for o in options if "u" not in o.partition("=")[2]]
    assert len(given([*kept, *(o for o in remedy if o not in kept)]).time) == 3


def test_skip_and_units_row_are_options(tmp_path):
    (tmp_path / "a.csv").write_text("t,x\n9,9\nt,x\ns,1\n0,1\n1,2\n")
    given = cli._parser().parse_args(
        ["reconstruct", str(tmp_path / "a.csv"), "--time=t", "--out=o", "--skip=2", "--units-row"]
    )
    table = cli.read_file(given)
    assert table.units == ("1",) and table.values.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    "call, message, mended",
    [
        (lambda x: ct.Series.from_nan(TS, x), r"pass (ys\.T)", np.ones((2, 4)) * TS),
        (lambda x: ct.Series.from_nan(TS, x), r"pass (ys\[:, None\])", TS**2),
        (lambda x: ct.Series.from_nan(TS, x), r"pass (ys\.filled\(np\.nan\))", np.ma.masked_equal(TS[:, None], 2)),
        (lambda x: ct.Series.from_nan(TS, x), r"convert with (ys\.astype\(float\))", (TS > 1)[:, None]),
        (lambda x: ct.Series.from_nan(x, TS[:, None]), r"pass (ts\.ravel\(\))", TS[:, None]),
        (lambda x: ct.Series.from_nan(x, TS[:, None]), r"pass (\(ts.*'s'\))", np.arange(4).astype("M8[D]")),
    ],
)  # fmt: skip
def test_an_expression_that_a_message_gives_is_enough(call, message, mended):
    with pytest.raises(ct.DataError, match=message) as e:
        call(mended)
    given = re.search(message, str(e.value))
    assert given and call(eval(given[1], {"np": np, "ys": mended, "ts": mended})).ts.shape == (4,)


def test_remedies_of_frames_and_datasets():
    frame = pd.DataFrame({"a": [0, 0, 1, 1], "t": TS, "x": TS**2}).set_index(["a", "t"])
    with pytest.raises(ct.DataError, match="name it by `time`"):
        from_pandas(frame)
    assert from_pandas(frame, "t").names == ("x",)
    frame = pd.DataFrame({"t": TS, "x": TS > 1, "y": TS**2})
    with pytest.raises(ct.DataError, match="convert it, or choose other columns"):
        from_pandas(frame, "t")
    assert from_pandas(frame.astype({"x": float}), "t").names == ("x", "y") and from_pandas(frame, "t", ["y"])
    data = xr.Dataset({"x": ("t", TS**2), "depth": ("d", [1.0, 2.0]), "t": TS})
    with pytest.raises(ct.DataError, match="choose columns that fit"):
        from_xarray(data, "t", ["x", "depth"])
    assert from_xarray(data, "t", ["x"]).names == ("x",)
