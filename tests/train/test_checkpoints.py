"""One file that holds a tree: what comes back, what is refused, and that nothing written is ever lost."""

import decimal
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import ctmodels as ct
from benchmarks import faults
from ctmodels.train._structure import describe

pytestmark = pytest.mark.only("float32")

ROOT = Path(__file__).parents[2]


def same(a, b):
    if isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        assert a.dtype == b.dtype
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    assert type(a) is type(b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)
    return np.array_equal(a, b) if isinstance(a, jax.Array | np.ndarray) else a == b


def identical(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(map(same, *map(jax.tree.leaves, (a, b))))


@pytest.fixture
def saved(tmp_path):
    tree, path = faults.sample(), tmp_path / "model.safetensors"
    ct.save(path, tree, about={"scaling": {"mean": [1.5]}})
    return tree, path


def resealed(path, change):
    """A file whose manifest was changed by one who knows to seal it anew."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    said = json.loads(header["ctmodels"])
    arrays = safetensors.numpy.load(content)
    change(said, arrays)
    text = json.dumps(said)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_bytes(safetensors.numpy.save(arrays, {"ctmodels": text, "sha256": digest}))


def test_all_comes_back_as_it_was(saved):
    tree, path = saved
    zeros = jax.tree.map(lambda x: 0 * x if eqx.is_inexact_array(x) else x, tree)
    assert identical(ct.load(path, zeros), tree)
    assert ct.manifest(path)["about"] == {"scaling": {"mean": [1.5]}}
    assert {"ctmodels", "jax", "python"} <= set(ct.manifest(path)["versions"])
    shapes = eqx.filter_eval_shape(lambda: tree["model"])
    ct.save(path, tree["model"])
    assert identical(jax.tree.leaves(ct.load(path, shapes)), jax.tree.leaves(tree["model"]))


def test_another_structure_is_refused_with_its_first_difference(saved):
    tree, path = saved
    wider = tree | {
        "model": ct.NeuralODE(ct.fields.MLPField(3, width=8, depth=1, key=jax.random.key(0)), 3, 0, ct.Integrate())
    }
    with pytest.raises(ct.DataError, match=r"another structure") as error:
        ct.load(path, wider)
    assert "layers[0].weight`: float" in str(error.value) and "[16,3] in the file" in str(error.value)
    with pytest.raises(ct.DataError, match=r"`\['half'\]`: bfloat16\[6\] in the file, nothing here"):
        ct.load(path, {k: v for k, v in tree.items() if k != "half"})
    with pytest.raises(ct.DataError, match=r"nothing in the file, int"):
        ct.load(path, tree | {"more": 1})
    with pytest.raises(ct.DataError, match=r"key<fry>\[\] in the file, uint32\[2\] here"):
        ct.load(path, tree | {"keys": (jax.random.PRNGKey(1), jax.random.PRNGKey(2))})


def test_another_activation_is_refused_or_accepted(saved):
    tree, path = saved
    other = ct.fields.MLPField(3, width=16, depth=1, activation=jnp.tanh, key=jax.random.key(3))
    like = eqx.tree_at(lambda t: t["model"].field, tree, other)
    with pytest.raises(ct.DataError, match=r"activation`: gelu in the file, tanh here(.|\n)*accept=\['model'\]"):
        ct.load(path, like)
    taken = ct.load(path, like, accept=["model"])["model"].field.mlp
    assert taken.activation is jnp.tanh or taken.activation.__name__ == "tanh"
    assert same(taken.layers[0].weight, tree["model"].field.mlp.layers[0].weight)


def test_another_precision_is_refused_or_cast(saved):
    tree, path = saved
    half = tree | {"model": jax.tree.map(lambda x: x.astype(jnp.float16) if eqx.is_array(x) else x, tree["model"])}
    with pytest.raises(ct.DataError, match=r"accept=\['precision'\]"):
        ct.load(path, half)
    assert ct.load(path, half, accept=["precision"])["model"].field.mlp.layers[0].weight.dtype == jnp.float16


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "damaged"),
        (b"\x10", "header of|damaged"),
        (b"PK\x03\x04 not a checkpoint at all", "header of"),
        (pickle.dumps({"a": 1}), "header of|damaged"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "header of 1099511627776 bytes"),
        ((20_000).to_bytes(8, "little") + b"[" * 20_000, "damaged"),
        (safetensors.numpy.save({"a": np.zeros(2)}), "no manifest"),
        (safetensors.numpy.save({}, {"ctmodels": "{}", "sha256": "0"}), "manifest is not the one"),
    ],
)
def test_foreign_and_hostile_files_are_refused(tmp_path, content, words):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ct.DataError, match=words):
        ct.load(path, {})


def test_sealed_forgeries_are_refused(saved):
    tree, path = saved
    whole = path.read_bytes()

    def swap(said, arrays):
        a, b = "['keys'][0]", "['keys'][1]"
        arrays[a], arrays[b] = arrays[b], arrays[a]

    forgeries = {
        "damaged: its bytes": swap,
        "upgrade": lambda said, arrays: said.update(format=2),
        "only: the file was put together": lambda said, arrays: arrays.pop("['rate']"),
        "in the data only": lambda said, arrays: arrays.update(more=np.zeros(1)),
        "where the manifest has": lambda said, arrays: arrays.update({"['host']": np.zeros(5, np.float32)}),
        "no manifest of ctmodels": lambda said, arrays: said.pop("format"),
    }
    for words, change in forgeries.items():
        path.write_bytes(whole)
        resealed(path, change)
        with pytest.raises(ct.DataError, match=words):
            ct.load(path, tree)


def test_a_manifest_of_deep_nesting_is_refused(tmp_path):
    text = "[" * 100_000
    seal = {"ctmodels": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (tmp_path / "x").write_bytes(safetensors.numpy.save({}, seal))
    with pytest.raises(ct.DataError, match="no manifest of ctmodels"):
        ct.load(tmp_path / "x", {})


def test_flipped_bits_and_truncations_are_refused(tmp_path):
    assert faults.damaged(tmp_path / "flips", faults.bit_flips(500)) == (500, 0)
    tried, taken = faults.damaged(tmp_path / "cuts", faults.truncations())
    assert tried > 10 and taken == 0


def test_a_save_killed_anywhere_loses_at_most_the_newest(tmp_path):
    # In a process of its own, which forks: this one has threads.
    code = "import sys, pathlib, benchmarks.faults as f; print(f.killed_saves(pathlib.Path(sys.argv[1]), 200))"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(200, 0)"


def test_a_save_that_fails_leaves_the_file_before(saved, monkeypatch):
    tree, path = saved
    before = path.read_bytes()
    with pytest.raises(ct.DataError):
        ct.save(path, tree, about={"a": object()})
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        ct.save(path, tree)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(ct.DataError, match="cannot be read .No such file"):
        ct.load(tmp_path / "none", {})
    with pytest.raises(ct.DataError, match="cannot be read .Is a directory"):
        ct.manifest(tmp_path)


DTYPES = ["float32", "float16", "bfloat16", "int8", "uint32", "bool", "complex64"]


@hypothesis.given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), max_size=5),
                  st.integers(0, 99))  # fmt: skip
def test_any_tree_comes_back(tmp_path_factory, kinds, seed):
    rng = np.random.default_rng(seed)
    tree = [{"ä.[0]/": np.asarray(rng.normal(size=shape) * 3).astype(jnp.dtype(dtype))} for dtype, shape in kinds]
    path = tmp_path_factory.getbasetemp() / "any"
    ct.save(path, tree)
    assert identical(ct.load(path, jax.tree.map(np.zeros_like, tree)), tree)


LEAVES = [
    *(
        np.arange(3).astype(dtype)
        for dtype in (">f4", "<f8", ">i2", ">c16", ">u8", "g", ">M8[ns]", "m8[s]", "?", "M8[D]")
    ),
    *(np.arange(3).astype(jnp.dtype(name)) for name in ("bfloat16", "int4", "uint4", "float8_e5m2", "float8_e4m3fn")),
    *(np.asarray(jnp.arange(4.0)).reshape(2, 2).T, np.arange(9)[::-2], np.zeros((0, 3), ">f2"), np.array(2.5, ">f8")),
    *(np.float64(1 / 3), np.int8(-3), np.bool_(True), np.datetime64("2020-01-01", "s"), np.complex64(1j)),
    *(True, -3, 2**63, 1 / 3, float("inf"), 1 - 2j, None, "text", b"bytes", jax.nn.relu, np.sin),
]


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_what_is_saved_is_given_back(leaf, tmp_path):
    """Of every kind: an equal value of the same type, whatever value lies in `like`."""
    path = tmp_path / "leaf"
    for tree in ({"w": leaf}, leaf):
        ct.save(path, tree)
        like = jax.tree.map(lambda x: np.zeros_like(x) if isinstance(x, np.ndarray) else x, tree)
        back = ct.load(path, like)
        assert jax.tree.structure(back) == jax.tree.structure(tree)
        for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
            assert type(one) is type(other) and getattr(one, "dtype", 0) == getattr(other, "dtype", 0)
            assert np.array_equal(one, other) if isinstance(other, np.ndarray) else one == other


def test_the_order_of_bytes_is_no_difference(tmp_path):
    big = np.arange(3, dtype=">f4")
    ct.save(tmp_path / "big", {"w": big})
    for like in (big, big.astype("<f4"), jnp.zeros(3, jnp.float32), jax.ShapeDtypeStruct((3,), "float32")):
        assert np.array_equal(ct.load(tmp_path / "big", {"w": like})["w"], big)


@pytest.mark.parametrize(
    "leaf, words",
    [
        (np.array(["a", "b"]), "an array of <U1"),
        (np.array([b"a", b"b"]), "an array of .S1"),
        (np.zeros(2, [("a", "f4"), ("b", "i4")]), r"an array of \[\('a', '<f4'\)"),
        (np.zeros(2, "V8"), "an array of .V8"),
        (np.array([{}, None], object), "an array of object"),
        (np.array(["a"], np.dtypes.StringDType()), "an array of StringDType"),
        (np.str_("a"), "an array of <U1"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "a masked array, whose mask would be lost"),
        (jax.ShapeDtypeStruct((3,), "float32"), "a shape without values"),
        (2**64, "18446744073709551616 is past 64 bits"),
        (decimal.Decimal("0.1"), "a Decimal, whose value would be lost"),
        ({1, 2}, "a set, whose value would be lost"),
        (bytearray(b"a"), "a bytearray"),
        (range(3), "a range"),
    ],
    ids=str,
)
def test_what_would_not_come_back_is_refused_with_its_place(leaf, words, tmp_path):
    path = tmp_path / "leaf"
    with pytest.raises(ct.DataError, match=rf"`\['w'\]\[1\]`: {words}.*: .*"):
        ct.save(path, {"w": [0.0, leaf]})
    with pytest.raises(ct.DataError, match=f"`the tree`: {words}"):
        ct.save(path, leaf)
    assert not path.exists()


def test_about_must_be_json(tmp_path):
    with pytest.raises(ct.DataError, match="about: not JSON .*tolist"):
        ct.save(tmp_path / "a", {}, about={"mean": np.zeros(2)})
    ct.save(tmp_path / "a", {}, about={"mean": np.zeros(2).tolist()})


def test_a_description_has_no_addresses_and_sees_static_fields():
    one, two = (describe(ct.Integrate(method, ct.Substeps(1))) for method in (ct.RK4(), ct.RK4()))
    assert one == two and "0x" not in str(one)
    assert describe(ct.Integrate(ct.RK4(), ct.Substeps(1))) != describe(ct.Integrate(ct.RK4(), ct.Substeps(2)))
