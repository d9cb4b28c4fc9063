"""What layers and their stack are not made for: refused with a remedy, or a status and NaN where it shows later."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import layers

pytestmark = pytest.mark.mostly("float32")  # what is refused is refused in either

KEY = jax.random.key(0)
WINDOWED = [functools.partial(kind, order=2, window=3.0) for kind in (layers.LMU, layers.LMUFormer)]
KINDS = [layers.S4D, layers.S5, layers.LRU, layers.LinOSS, layers.Recurrent, layers.Selective, *WINDOWED]
KINDS += [functools.partial(kind, state=2) for kind in (layers.LSSL, layers.TrainableLSSL)]
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: getattr(kind, "func", kind).__name__)


def rows(number: int) -> tuple:
    return jnp.ones((number, 2)), jnp.ones(number)


@each
def test_gaps_that_go_back_or_are_not_finite_are_refused_or_nan(kind):
    """Known ones with their place; in compiled code no state follows, and what was before stays."""
    layer, (us, gaps) = kind(2, key=KEY), rows(3)
    scan = eqx.filter_jit(lambda layer, gaps: layer.scan(layer.start(), us, gaps)[1])
    for bad in (-0.5, np.nan, np.inf):
        given = jnp.asarray(np.array([1.0, bad, 1.0], gaps.dtype))
        with pytest.raises(ValueError, match=r"gaps\[1\] is .*sort the times"):
            layer.scan(layer.start(), us, given)
        ys = np.asarray(scan(layer, given))
        assert np.isfinite(ys[0]).all() and np.isnan(ys[1:]).all()


@each
def test_sizes_that_are_none_and_rows_that_do_not_fit_are_refused(kind):
    with pytest.raises(ct.DataError, match="features=0"):
        kind(0, key=KEY)
    layer, (us, gaps) = kind(2, key=KEY), rows(3)
    with pytest.raises(ValueError, match=r"us: shape \(3, 2\), and gaps: shape \(2,\).*\(row, 2\)"):
        layer.scan(layer.start(), us, gaps[:2])
    with pytest.raises(ValueError, match="us: shape"):
        layer.scan(layer.start(), us[:, :1], gaps)


def test_settings_that_mean_nothing_are_refused():
    for make, said in (
        (lambda: layers.S4D(2, 0, key=KEY), "modes=0"),
        (lambda: layers.LinOSS(2, 0, key=KEY), "oscillators=0"),
        (lambda: layers.S5(2, 4, blocks=3, key=KEY), "blocks=3 do not divide modes=4"),
        (lambda: layers.S4D(2, steps=(0.1, 0.01), key=KEY), "steps="),
        (lambda: layers.LRU(2, radius=(0.5, 1.5), key=KEY), "radius="),
        (lambda: layers.StablePoles.of(np.array([-1.0 + 1j, 0.1 + 0j])), "a real part of 0.1.*below zero"),
        (lambda: layers.S4D(2, init=lambda modes: np.ones(modes) + 0j, key=KEY), "a real part of 1"),
        (lambda: ct.StateSpace(2, 2, scale=0.0, key=KEY), "scale=0.0"),
        (lambda: ct.StateSpace(2, 2, first=-1.0, key=KEY), "first=-1.0"),
        (lambda: ct.StateSpace(2, 2, spacing=-1.0, key=KEY), "spacing=-1.0"),
        (lambda: ct.StateSpace(2, 2, dropout=1.0, key=KEY), "dropout=1.0"),
        (lambda: ct.StateSpace(2, 2, depth=0, key=KEY), "depth=0"),
    ):
        with pytest.raises((ValueError, ct.DataError), match=said):
            make()


def model(**kwargs) -> ct.StateSpace:
    return ct.StateSpace(1, 1, features=2, depth=1, layer=layers.S5, key=KEY, **kwargs)


def series(ts) -> ct.Series:
    return ct.Series(jnp.asarray(ts), jnp.ones((len(ts), 1)), jnp.ones((len(ts), 1), bool))


def test_rows_that_are_not_so_spaced_are_refused_or_a_status():
    """Padding after them is none of them; a row that is missing within is."""
    spaced, call = model(spacing=0.5), eqx.filter_jit(lambda m, x: m(x))
    good = series([0.0, 0.5, 1.0]).pad(4)
    missing = ct.Series(good.ts, good.ys, good.mask.at[1].set(False))
    assert call(spaced, good).stats.status == 0
    for bad, said in ((series([0.0, 0.5, 1.2]), "0.7"), (missing, "is 1 after")):
        with pytest.raises(ValueError, match=f"x.ts: row .*{said}.*spacing=0.5"):
            spaced(bad)
    out = call(spaced, missing)
    assert out.stats.status == 5 and np.isnan(out.ys).all()


def test_a_memory_goes_forward_and_takes_rows_that_fit():
    reader = model()
    memory = reader.observe(reader.init(), jnp.asarray(1.0), jnp.ones(1))
    for call, said in (
        (lambda: reader.observe(memory, jnp.asarray(0.5), jnp.ones(1)), "t=0.5 after 1"),
        (lambda: reader.observe(memory, jnp.asarray(jnp.nan), jnp.ones(1)), "t=nan"),
        (lambda: reader.observe(memory, jnp.asarray(2.0), jnp.ones(2)), r"y: shape \(2,\)"),
        (lambda: reader.predict(memory, jnp.asarray([0.5, 2.0])), r"ts\[0\] is 0.5, before the last row, at 1"),
        (lambda: reader.init(jnp.ones(3)), "static: 3 features"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(TypeError, match="mask"):
        reader.observe(memory, jnp.asarray(2.0), jnp.ones(1), jnp.ones(1))

    @jax.jit
    def compiled(t):
        later = reader.observe(memory, t, jnp.ones(1))
        return reader.predict(later, jnp.asarray([3.0])), later.status

    out, status = compiled(jnp.asarray(0.5))
    assert np.isnan(out.ys).all() and status == 5 and out.stats.status == 5
    out, status = compiled(jnp.asarray(1.5))
    assert np.isfinite(out.ys).all() and status == 0


@each
def test_no_parameter_is_complex(kind):
    """So that any optimiser can take it; and those that say how fast a layer moves are told apart."""
    layer = kind(2, key=KEY)
    leaves = jax.tree.leaves(eqx.filter(layer, eqx.is_array))
    assert leaves and not any(jnp.iscomplexobj(leaf) for leaf in leaves)
    labels = set(jax.tree.leaves(layers.label(eqx.filter(layer, eqx.is_inexact_array))))
    constant = (layers.Recurrent, layers.LMU, layers.LMUFormer, layers.LSSL)
    assert labels == ({"other"} if isinstance(layer, constant) else {"slow", "other"})


def test_a_recurrence_that_is_not_solved_is_a_failed_sample_whatever_the_objective_lets_a_solver_hold():
    """One iteration is too few: dropped and counted, and not learned from."""
    solver = ct.ssm.NewtonScan(ct.ssm.BlockJacobian(), max_iterations=1)
    layer = functools.partial(layers.Recurrent, solver=solver)
    unsolved = ct.StateSpace(1, 1, features=2, depth=1, layer=layer, key=KEY)
    x = series(np.arange(6.0))
    batch = jax.tree.map(lambda a: a[None], ct.Example(x, x))
    objective = ct.objective(ct.losses.squared, failed="drop")
    value, metrics = eqx.filter_jit(lambda m, b: objective(m, b, KEY, 0))(unsolved, batch)
    assert metrics["failed"] == 1 and np.isnan(value)


def test_a_model_with_a_spacing_reads_row_by_row_as_it_convolves(tolerance):
    """Also where the spacing is not the unit of gaps."""
    layer = functools.partial(layers.S5, modes=3, steps=(0.5, 1.0))
    spaced = ct.StateSpace(1, 1, features=4, depth=1, layer=layer, spacing=0.5, key=KEY)
    x = series([0.0, 0.5, 1.0])

    @jax.jit
    def both(x):
        memory = spaced.init()
        for i in range(3):
            memory = spaced.observe(memory, x.ts[i], x.ys[i], x.mask[i])
        return spaced.predict(memory, x.ts[-1:]).ys[0], spaced(x).ys[-1]

    np.testing.assert_allclose(*both(x), **tolerance())
