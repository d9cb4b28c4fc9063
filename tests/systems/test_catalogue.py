"""The catalogue against dysts' own right-hand sides, and what is known of its systems.

`tests/reference/dysts.npz` holds three rows for each of the 135 systems of dysts 0.96 (Apache-2.0): the time, the
state, of systems with a delay the delayed state, what dysts' `rhs` returned, and what its `_postprocessing` did where
it has one.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

CATALOGUE = ct.systems.catalogue
REFERENCE = Path(__file__).parents[1] / "reference" / "dysts.npz"


@pytest.fixture(scope="module")
def reference():
    """name -> time, state, delayed state or None, slope, and what is shown or None."""
    rows = {}
    for name, row in np.load(REFERENCE).items():
        n = CATALOGUE[name].dimension
        parts = [row[:, 1 + i * n : 1 + (i + 1) * n] for i in range((row.shape[1] - 1) // n)]
        past = parts.pop(1) if CATALOGUE[name].delay else None
        rows[name] = (row[:, 0], parts[0], past, parts[1], parts[2] if len(parts) > 2 else None)
    return rows


@pytest.mark.only("float64")
def test_right_hand_sides_are_those_of_dysts(reference, within):
    assert set(reference) == set(CATALOGUE)
    for name, (ts, ys, past, slopes, _) in reference.items():
        field = CATALOGUE[name].field
        ours = [field(ts[i], jnp.asarray(y), None if past is None else past[i]) for i, y in enumerate(ys)]
        size = np.abs(slopes).max()
        np.testing.assert_allclose(np.stack(ours) / size, slopes / size, **within(absolute=1e-12), err_msg=name)


@pytest.mark.only("float64")
def test_unbounded_states_are_shown_as_dysts_shows_them(reference, within):
    for name, (_, ys, _, _, shown) in reference.items():
        ours = CATALOGUE[name].observe(jnp.asarray(ys))
        np.testing.assert_allclose(ours, ys if shown is None else shown, **within(1e-12, 1e-14), err_msg=name)
        assert shown is not None or not CATALOGUE[name].unbounded


@pytest.mark.only("float64")
def test_fields_follow_the_precision_of_the_state():
    for system in CATALOGUE.values():
        learned = jax.tree.map(jnp.asarray, system.field)
        for field in (system.field, learned):
            y = jax.ShapeDtypeStruct(system.y0.shape, jnp.float32)
            slope = jax.eval_shape(lambda y, field=field: field(jnp.float32(0), y, y), y)
            assert slope.shape == y.shape and slope.dtype == y.dtype, system.name


def test_parameters_are_leaves_that_train_and_batch(tolerance):
    y = jnp.array([1.0, 2.0, 3.0])
    chen = jax.tree.map(jnp.asarray, CATALOGUE["Chen"].field)
    slope = jax.grad(lambda field: field(0.0, y, None)[1])(chen)
    np.testing.assert_allclose([slope.a, slope.b, slope.c], [-1.0, 0.0, 3.0], **tolerance())
    several = dataclasses.replace(chen, c=jnp.array([20.0, 28.0]))
    axes = jax.tree.map(lambda leaf: 0 if leaf.ndim else None, several)
    slopes = jax.vmap(lambda field: field(0.0, y, None), in_axes=(axes,))(several)
    np.testing.assert_allclose(slopes[:, 1], [(20 - 35) - 3 + 40, (28 - 35) - 3 + 56], **tolerance())
    with pytest.raises(TypeError, match=r"^c: .*where a number is wanted"):
        dataclasses.replace(chen, c="28")


@pytest.mark.only("float32")
def test_the_catalogue_lists_135_systems():
    assert len(CATALOGUE) == len(list(CATALOGUE)) == 135 and "Lorenz" in CATALOGUE
    sizes = {n: len(CATALOGUE.of_dimension(n)) for n in (1, 3, 4, 5, 6, 10)}
    assert sizes == {1: 6, 3: 104, 4: 19, 5: 2, 6: 3, 10: 1} and not CATALOGUE.of_dimension(2)
    assert [s.name for s in CATALOGUE.values() if s.delay] == list(CATALOGUE.of_dimension(1))
    assert "CellCycle" in CATALOGUE.where(lambda s: s.stiff) and CATALOGUE["Torus"].driven
    for name, system in CATALOGUE.items():
        assert name == system.name and system.reference and system.period > system.dt > 0
        assert system.y0.shape == system.mean.shape == system.std.shape
        assert system.delay or len(system.exponents) in (0, system.dimension)
    lorenz = CATALOGUE["Lorenz"]
    assert lorenz.field == ct.systems.Lorenz63(beta=2.667) and lorenz.period == 1.5008
    assert 2.0 < lorenz.kaplan_yorke < 2.1 and lorenz.reference.startswith("Lorenz, Edward N (1963)")


@pytest.mark.only("float32")
def test_a_name_that_is_not_there_is_told_its_neighbours():
    with pytest.raises(ct.DataError, match="no system 'lorentz': is it 'Lorenz'"):
        CATALOGUE["lorentz"]
    with pytest.raises(ct.DataError, match="there are 135, from 'Aizawa' to 'ZhouChen'"):
        CATALOGUE["?"]
    assert CATALOGUE.get("lorentz") is None and "lorentz" not in CATALOGUE
    with pytest.raises(ct.DataError, match="no system 64: is it|no system 64: there are 63, from 1 to 63"):
        ct.systems.odebench[64]
