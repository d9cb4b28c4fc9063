"""The 63 systems of ODEBench against its own numbers, and the reader of their formulas."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "odebench.json").read_text(encoding="utf-8"))


@pytest.mark.only("float64")
def test_right_hand_sides_are_those_of_the_file(within):
    assert list(ct.systems.odebench) == list(range(1, 64))
    for key, rows in REFERENCE["slopes"].items():
        system = ct.systems.odebench[int(key)]
        for y, slope in rows:
            size = max(np.abs(slope).max(), 1e-3)
            ours = system.field(0.0, jnp.array(y, float), None)
            np.testing.assert_allclose(ours / size, np.array(slope) / size, **within(absolute=1e-12), err_msg=key)
    sizes = {n: len(ct.systems.odebench.of_dimension(n)) for n in (1, 2, 3, 4)}
    assert sizes == {1: 23, 2: 28, 3: 10, 4: 2}


@pytest.mark.parametrize("key", ["37", pytest.param("24", marks=pytest.mark.slow), "62"])
@pytest.mark.mostly("float64")
def test_orbits_are_those_of_the_file(key, within):
    system, dt = ct.systems.odebench[int(key)], 10 / 511
    starts = jnp.asarray(system.starts, float)
    orbits = jax.vmap(lambda y0: ct.systems.simulate(system.field, y0, dt=dt, steps=512, substeps=2))(starts)
    np.testing.assert_allclose(orbits[:, [0, 100, 300, 511]], REFERENCE["orbits"][key], **within(1e-3, 1e-3))
    assert system.ts[1] == pytest.approx(dt) and system.ts.shape == (512,)


def test_constants_are_leaves(tolerance):
    field = jax.tree.map(jnp.asarray, ct.systems.odebench[25].field)  # x'' = -c0 x - c1 x'
    slope = jax.grad(lambda field: field(0.0, jnp.array([2.0, 3.0]), None)[1])(field)
    np.testing.assert_allclose(slope.constants, [-2.0, -3.0], **tolerance())


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "equation, told",
    [
        ("x_1 + 1", r"'x_1' is not known: a formula is made of c_0, x_0, numbers"),
        ("open(x_0)", r"'open\(x_0\)' is not known"),
        ("x_0.real", r"'x_0.real' is not known"),
        ("x_0 +", "cannot be read, at character"),
    ],
)
def test_what_is_no_formula_is_refused(equation, told):
    with pytest.raises(ct.DataError, match=told):
        ct.systems.Formula((equation,), np.ones(1))(0.0, jnp.ones(1), None)
