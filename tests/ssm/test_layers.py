"""Layers: three forms that agree, the semigroup law, and the numbers of the released codes."""

import functools
import json
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import layers, ssm

FEATURES, ROWS = 3, 12
KEY = jax.random.key(0)
REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "state_spaces.json").read_text(encoding="utf-8"))
EXACT = {
    "S4D": functools.partial(layers.S4D, modes=4, steps=(0.05, 0.5)),
    "S5": functools.partial(layers.S5, modes=4, blocks=2, steps=(0.05, 0.5)),
    "LRU": functools.partial(layers.LRU, modes=4),
    "LinOSS": functools.partial(layers.LinOSS, oscillators=4),
    "damped LinOSS": functools.partial(layers.LinOSS, oscillators=4, damped=True),
    "LMU": functools.partial(layers.LMU, order=4, window=6.0, memories=2),
    "LMUFormer": functools.partial(layers.LMUFormer, order=4, window=6.0, memories=2),
    "selective": functools.partial(layers.Selective, modes=4, steps=(0.05, 0.5), gate=True),
}
each_exact = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in EXACT.items()])


def rows(seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(ROWS, FEATURES))), jnp.asarray(rng.uniform(0, 2, ROWS))


def close(a, b, tolerance, factor: float = 1.0) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **tolerance(factor))


@pytest.mark.mostly("float64")
@each_exact
def test_row_by_row_all_at_once_by_convolution_and_by_a_solver_are_the_same(make, tolerance):
    """And one step at a time; of the solver, in steps that are so short that it is as right as they are."""
    layer, (us, gaps) = make(FEATURES, key=KEY), rows()
    fine = ct.Integrate(diffrax.Tsit5(), ct.Substeps(48))

    @jax.jit
    def forms(layer, us, gaps):
        start, equal = layer.start(), jnp.full_like(gaps, 0.7)
        by_rows = layer.scan(start, us, gaps)
        parallel = ssm.linear_scan(layer.transition, layer.read, start, us, gaps, parallel=True)
        solved = layers.solve(layer, start, us, gaps, fine)
        last, y = layer.step(start, us[0], gaps[0])
        regular = layer.scan(start, us, equal)[1], layer.convolve(us, equal[0])
        return by_rows, parallel, solved[:2], (last, y), regular, layer.scan(start, us, gaps, every=False)[0]

    by_rows, parallel, solved, first, (regular, convolved), last = forms(layer, us, gaps)
    close(parallel, by_rows, tolerance)
    close(solved, by_rows, tolerance, 1e4 if us.dtype == jnp.float64 else 10)
    close(convolved, regular, tolerance)
    close(first, jax.tree.map(lambda a: a[0], by_rows), tolerance)
    close(last, jax.tree.map(lambda a: a[-1], by_rows[0]), tolerance)


@pytest.mark.only("float32")
@each_exact
def test_two_gaps_are_one_and_a_gap_of_none_is_none(make, within):
    """The semigroup law, under an input that is held; without one it is a law of the map of states alone."""
    layer, (us, gaps) = make(FEATURES, key=KEY), rows()

    @jax.jit
    def steps(u, g, h):
        x = layer.scan(layer.start(), us, gaps, every=False)[0]
        twice = layer.step(layer.step(x, u, g)[0], u, h)[0]
        return x, layer.step(x, u, g + h)[0], twice, layer.step(x, u, 0 * g)[0]

    eps = float(jnp.finfo(us.dtype).eps)  # of angles, which grow with the gap
    for u in (us[0], 0 * us[0]):
        for g, h in ((0.3, 0.9), (1e-3, 2.0), (5.0, 20.0)):
            x, once, twice, none = steps(u, jnp.asarray(g), jnp.asarray(h))
            for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
                np.testing.assert_allclose(a, b, **within(absolute=8 * eps * max(1, g + h)))
            for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(none), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.only("float64")
def test_the_steps_of_linoss_break_the_semigroup_law_and_turn_as_they_say():
    """a = 2, g = 0.3: by 0.164 and 0.212 where the exact rotation does by rounding; and what each does to volume."""
    a, defects = jnp.asarray([2.0]), {}
    for method in (ssm.exact_step, ssm.implicit_step, ssm.implicit_explicit_step):
        whole, half = (method(a, None, jnp.asarray([g]))[0] for g in (0.6, 0.3))
        twice = half @ half
        entries = lambda m: np.array([[m.zz[0], m.zy[0]], [m.yz[0], m.yy[0]]])
        defects[method.__name__] = np.abs(entries(twice) - entries(whole)).max()
        volume = np.linalg.det(entries(half))
        assert (volume < 0.95) == (method is ssm.implicit_step) and volume < 1 + 1e-12
    assert defects["exact_step"] < 1e-15 and defects["implicit_step"] > 0.1 and defects["implicit_explicit_step"] > 0.1


@pytest.mark.only("float64")
def test_an_oscillator_over_a_gap_is_the_exponential_of_its_matrix(within):
    """Whether it swings, creeps, is critical or free, over gaps from none to many periods; and gradients are finite."""
    a = np.array([2.0, 0.3, 1e-6, 0.0, 0.0, 4.0, 1.0, 1.0, 1.0 + 1e-9])
    c = np.array([0.0, 0.2, 0.0, 0.0, 3.0, 4.0, 2.0, 5.0, 2.0])

    @jax.jit
    def both(a, c, t):
        one = lambda a, c, t: jnp.stack(jax.tree.leaves(ssm.exact_step(a[None], c[None], t[None])))[:, 0]
        whole = jax.vmap(one, in_axes=(0, 0, None))(a, c, t)
        slopes = jax.vmap(jax.jacrev(one, argnums=(0, 1, 2)), in_axes=(0, 0, None))(a, c, t)
        M = jax.vmap(lambda a, c: jnp.array([[-c, -a, 1.0], [1.0, 0, 0], [0, 0, 0]]))(a, c)
        return whole, slopes, jax.vmap(jax.scipy.linalg.expm)(M * t)

    for t in (0.0, 1e-5, 0.01, 0.3, 2.0, 30.0):
        whole, slopes, wanted = both(jnp.asarray(a), jnp.asarray(c), jnp.asarray(t))
        wanted = wanted[:, [0, 0, 1, 1, 0, 1], [0, 1, 0, 1, 2, 2]]
        np.testing.assert_allclose(whole, wanted, **within(1e-8, 1e-10))
        assert all(np.isfinite(slope).all() for slope in slopes)


@pytest.mark.mostly("float32")
def test_gradients_of_poles_steps_and_gaps_are_those_of_differences(tolerance, within):
    """Of S4D by scan and by convolution, of a gap of none too."""
    layer, (us, gaps) = EXACT["S4D"](FEATURES, key=KEY), rows()
    gaps = gaps.at[3].set(0)
    direction = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), (layer, gaps))
    direction = eqx.tree_at(lambda d: d[1], direction, direction[1].at[3].set(0))  # there is no gap below none

    @jax.jit
    def along(layer, gaps):
        def total(given):
            layer, gaps = given
            return jnp.sum(jnp.sin(layer.scan(layer.start(), us, gaps)[1])) + jnp.sum(layer.convolve(us, gaps[0]) ** 2)

        gradient = jax.grad(total)((layer, gaps))
        exact = sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.vdot(a, b), gradient, direction)))
        h = jnp.finfo(us.dtype).eps ** (1 / 3)
        moved = lambda h: total(jax.tree.map(lambda a, d: a + h * d, (layer, gaps), direction))
        return exact, (moved(h) - moved(-h)) / (2 * h)

    exact, differences = along(layer, gaps)
    np.testing.assert_allclose(exact, differences, **within(1e-7 if us.dtype == jnp.float64 else 2e-2))


def of_pair(values) -> ssm.Pair:
    return ssm.Pair(*(jnp.asarray(np.asarray(values)[..., i]) for i in (0, 1)))


def s4d(saved: dict) -> layers.S4D:
    layer = layers.S4D(len(saved["D"]), len(saved["C"][0]), key=KEY)
    poles = layers.StablePoles(jnp.asarray(saved["log_A_real"]), jnp.asarray(saved["A_imag"]))
    fields = (poles, of_pair(saved["C"]), jnp.asarray(saved["D"]), jnp.asarray(saved["log_dt"]))
    return eqx.tree_at(lambda m: (m.poles, m.C, m.D, m.log_step), layer, fields)


def s5(saved: dict, method) -> layers.S5:
    layer = layers.S5(len(saved["D"]), len(saved["Lambda_re"]), method=method, key=KEY)
    poles = layers.StablePoles(jnp.log(-jnp.asarray(saved["Lambda_re"])), jnp.asarray(saved["Lambda_im"]))
    fields = (poles, of_pair(saved["B"]), of_pair(saved["C"]), jnp.asarray(saved["D"]), jnp.asarray(saved["log_step"]))
    return eqx.tree_at(lambda m: (m.poles, m.B, m.C, m.D, m.log_step), layer, fields)


def linoss(saved: dict, method) -> layers.LinOSS:
    layer = layers.LinOSS(len(saved["D"]), len(saved["A_diag"]), method=method, key=KEY)
    fields = [jnp.asarray(saved[name]) for name in ("A_diag", "steps", "D")]
    fields += [of_pair(saved[name]) for name in ("B", "C")]
    return eqx.tree_at(lambda m: (m.stiffness, m.raw_step, m.D, m.B, m.C), layer, fields)


def total(ys):
    """What the saved gradients are of: outputs by the cosine of their number."""
    return jnp.sum(ys.reshape(-1) * jnp.cos(jnp.arange(ys.size, dtype=ys.dtype)))


def compare(gradient: dict, saved: dict, within) -> None:
    for name, found in gradient.items():
        np.testing.assert_allclose(found, saved[f"g_{name}"], **within(1e-9, 1e-10), err_msg=name)


@pytest.mark.only("float64")
@pytest.mark.parametrize("name", ["s5", "s5_bilinear", "linoss_im", "linoss_imex"])
def test_s5_and_linoss_are_those_of_the_released_code(name, within):
    """Outputs and gradients."""
    saved = REFERENCE[name]
    methods = {"linoss_im": ssm.implicit_step, "linoss_imex": ssm.implicit_explicit_step}
    held = ssm.bilinear_modes if name == "s5_bilinear" else ssm.hold_modes
    layer = linoss(saved, methods[name]) if name in methods else s5(saved, held)
    us = jnp.asarray(saved["u"] if "u" in saved else REFERENCE["s5"]["u"])

    @jax.jit
    def both(layer):
        def outputs(layer):
            ys = layer.scan(layer.start(), us, jnp.ones(us.shape[0]))[1]
            return total(ys), ys

        return jax.grad(outputs, has_aux=True)(layer)

    gradient, ys = both(layer)
    np.testing.assert_allclose(ys, saved["y"], **within(1e-9, 1e-10))
    if name.startswith("s5"):
        compare({"Lambda_im": gradient.poles.frequency, "log_step": gradient.log_step, "D": gradient.D}, saved, within)
    else:
        compare({"A_diag": gradient.stiffness, "steps": gradient.raw_step}, saved, within)


@pytest.mark.only("float64")
def test_a_bilinear_kernel_is_that_of_the_released_code_and_of_the_scan(tolerance, within):
    saved = {name: np.asarray(value) for name, value in REFERENCE["s4d_bilinear"].items()}
    A, B, C = (np.squeeze(saved[name][..., 0] + 1j * saved[name][..., 1]) for name in "ABC")
    layer = layers.S4D(3, 8, method=ssm.bilinear_modes, key=KEY)
    fields = (layers.StablePoles.of(A), ssm.pair(B * C), jnp.zeros(3), jnp.log(jnp.asarray(saved["dt"][:, 0])))
    layer = eqx.tree_at(lambda m: (m.poles, m.C, m.D, m.log_step), layer, fields)
    impulse = jnp.zeros((64, 3)).at[0].set(1)
    kernel = eqx.filter_jit(lambda m: m.kernel(64, jnp.ones(())))(layer)
    scanned = eqx.filter_jit(lambda m: m.scan(m.start(), impulse, jnp.ones(64))[1])(layer)
    np.testing.assert_allclose(kernel, saved["K"][0], **within(1e-9, 1e-12))
    np.testing.assert_allclose(scanned.T, kernel, **tolerance())


@pytest.mark.only("float64")
def test_s4d_is_that_of_the_released_code(within):
    """Its kernel, and outputs and gradients of the whole layer, with its activation and its gated unit, by convolution
    and from row to row."""
    saved = REFERENCE["s4d"]
    layer, us = s4d(saved), jnp.asarray(saved["u"])
    W, b = jnp.asarray(saved["W_conv"]), jnp.asarray(saved["b_conv"])

    @jax.jit
    def all_of_it(layer):
        def outputs(layer, convolved):
            one, ones = jnp.ones(()), jnp.ones(us.shape[1])
            forward = lambda u: layer.convolve(u, one) if convolved else layer.scan(layer.start(), u, ones)[1]
            hs = jax.nn.gelu(jax.vmap(forward)(us), approximate=False)
            value, gate = jnp.split(hs @ W.T + b[None, None], 2, axis=2)
            ys = value * jax.nn.sigmoid(gate)
            return total(ys.transpose(0, 2, 1)), ys

        return layer.kernel(64, jnp.ones(())), [jax.grad(outputs, has_aux=True)(layer, way) for way in (False, True)]

    kernel, ways = all_of_it(layer)
    np.testing.assert_allclose(kernel, saved["K"], **within(1e-9, 1e-12))
    for gradient, ys in ways:
        np.testing.assert_allclose(ys, saved["y"], **within(1e-9, 1e-10))
        C = np.stack([gradient.C.re, gradient.C.im], axis=-1)
        poles = gradient.poles
        named = {"log_A_real": poles.log_decay, "A_imag": poles.frequency, "log_dt": gradient.log_step, "C": C}
        compare(named | {"D": gradient.D}, saved, within)
