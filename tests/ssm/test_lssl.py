"""LSSL: numbers of the released code, three forms that agree, orders of its steps, gradients, what is refused."""

import functools
import json
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import ctmodels as ct
from ctmodels import layers, ssm
from ctmodels._core._arguments import replaced

FEATURES, ROWS = 3, 13
KEY = jax.random.key(0)
REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "ssm_lssl.json").read_text(encoding="utf-8"))
STEPS = dict(state=4, steps=(0.05, 0.5))
MAKE = {
    "LSSL": functools.partial(layers.LSSL, **STEPS),
    "LSSL, LegT, two channels": functools.partial(layers.LSSL, measure=ssm.legt, channels=2, **STEPS),
    "trainable": functools.partial(layers.TrainableLSSL, **STEPS),
    "trainable, LegT, each its own": functools.partial(
        layers.TrainableLSSL, measure=ssm.legt, per_feature=True, channels=2, **STEPS
    ),
}
SLOW = ("LSSL, LegT, two channels", "trainable")  # what the other two have together
slowly = lambda name: [pytest.mark.slow] * (name in SLOW)
each = pytest.mark.parametrize("make", [pytest.param(MAKE[name], id=name, marks=slowly(name)) for name in MAKE])


def rows(seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(ROWS, FEATURES))), jnp.asarray(rng.uniform(0, 2, ROWS))


def twice_legt(N: int) -> ssm.Hippo:
    A, B, P = ssm.legt(N)
    return ssm.Hippo(2 * A, 2 * B, np.sqrt(2) * P)


def released(saved: dict, make) -> layers.LSSL | layers.TrainableLSSL:
    """With the numbers of the released code; C in the coordinates of the layer."""
    layer = make(len(saved["D"]), saved["state"], channels=len(saved["C"][0]), measure=twice_legt, key=KEY)
    C = np.asarray(saved["C"])
    if make is layers.LSSL:
        C = C @ ssm.rotation(ssm.normal_plus_low_rank(twice_legt(saved["state"]))).T
        layer = replaced(layer, steps=tuple(saved["steps"]))
    else:
        layer = eqx.tree_at(lambda m: m.log_step, layer, jnp.log(jnp.asarray(saved["steps"])))
    layer = eqx.tree_at(lambda m: (m.channels.C, m.channels.D), layer, (jnp.asarray(C), jnp.asarray(saved["D"])))
    if layer.channels.mix is None:
        return layer
    mix = eqx.tree_at(
        lambda m: (m.weight, m.bias), layer.channels.mix, (jnp.asarray(saved["W"]), jnp.asarray(saved["b"]))
    )
    return eqx.tree_at(lambda m: m.channels.mix, layer, mix)


@pytest.mark.only("float64")
@pytest.mark.parametrize("make", [layers.LSSL, layers.TrainableLSSL])
@pytest.mark.parametrize("name", ["one_channel", "two_channels"])
def test_it_is_that_of_the_released_code(name, make, tolerance):
    """What is read of the states, and what the layer makes of it, from row to row and by convolution. Of one channel
    it is the block around the layer that does the latter."""
    saved = REFERENCE[name]
    layer, us = released(saved, make), jnp.asarray(saved["u"])

    @jax.jit
    def all_of_it(layer):
        ones = jnp.ones(us.shape[0])
        xs, ys = layer.scan(layer.start(), us, ones)
        read = jnp.einsum("fcn,lfn->lfc", layer.channels.C, xs) + layer.channels.D[None] * us[:, :, None]
        return read, layer.kernel(len(us), ones[0]), (ys, layer.convolve(us, ones[0]))

    read, kernel, ways = all_of_it(layer)
    np.testing.assert_allclose(read, saved["y_ssm"], **tolerance(10))
    if name == "one_channel":
        np.testing.assert_allclose(kernel, saved["kernel"], **tolerance(10))
        ways = [jax.nn.gelu(ys, approximate=False) @ np.asarray(saved["W"]).T + np.asarray([saved["b"]]) for ys in ways]
    for ys in ways:
        np.testing.assert_allclose(ys, saved["y"], **tolerance(10))


@pytest.mark.mostly("float32")
@each
def test_row_by_row_all_at_once_and_by_convolution_are_the_same(make, tolerance):
    """And one step at a time; and a gap of none leaves the state as it is, to the last bit."""
    layer, (us, gaps) = make(FEATURES, key=KEY), rows()

    @jax.jit
    def forms(layer, us, gaps):
        start, equal = layer.start(), jnp.full_like(gaps, 0.7)
        xs, ys = layer.scan(start, us, gaps)
        parallel = ssm.linear_scan(layer.transition, layer.read, start, us, gaps, parallel=True)
        last, y = layer.step(xs[-2], us[-1], gaps[-1])
        regular = layer.scan(start, us, equal)[1], layer.convolve(us, equal[0])
        return (xs, ys), parallel, (last, y), regular, layer.step(last, us[0], 0 * gaps[0])[0]

    (xs, ys), parallel, (last, y), (regular, convolved), none = forms(layer, us, gaps)
    for a, b in ((parallel[0], xs), (parallel[1], ys), (convolved, regular), (last, xs[-1]), (y, ys[-1])):
        np.testing.assert_allclose(a, b, **tolerance())
    np.testing.assert_array_equal(none, last)


@functools.cache
def held(kind) -> np.ndarray:
    """States after three rows of gaps of one, by a solver at small steps."""
    layer, fine = kind(FEATURES, **STEPS, key=KEY), ct.Integrate(diffrax.Tsit5(), ct.Substeps(48))
    return np.asarray(layers.solve(layer, layer.start(), rows()[0][:3], jnp.ones(3), fine)[0][-1])


@pytest.mark.only("float64")
def test_the_held_solution_is_that_of_the_exponential_of_the_matrix(within):
    """In the coordinates of either layer, whose steps differ."""
    system, into = ssm.legs(4), ssm.rotation(ssm.normal_plus_low_rank(ssm.legs(4)))
    step = jax.jit(lambda step: ssm.zero_order_hold(jnp.asarray(system.A), jnp.asarray(system.B), step))
    fixed, learned = (kind(FEATURES, **STEPS, key=KEY) for kind in (layers.LSSL, layers.TrainableLSSL))
    for layer, steps, turn in ((fixed, fixed.steps, into), (learned, np.exp(learned.log_step), np.eye(4))):
        wanted = np.zeros((FEATURES, 4))
        for f, (A, b) in enumerate(step(jnp.asarray(s)) for s in steps):
            for u in rows()[0][:3, f]:
                wanted[f] = A @ wanted[f] + b * u
        np.testing.assert_allclose(held(type(layer)), wanted @ turn.T, **within(1e-8))


@pytest.mark.only("float64")
@pytest.mark.parametrize("kind", [layers.LSSL, layers.TrainableLSSL])
@pytest.mark.parametrize("alpha, order", [(0.0, 1), (0.5, 2), (1.0, 1)])
def test_refined_rows_approach_the_held_solution_with_the_order_of_the_transform(kind, alpha, order, within):
    """How far the law of two gaps is broken is of one order more."""
    layer, us, most = kind(FEATURES, alpha=alpha, **STEPS, key=KEY), rows()[0][:3], 64

    @jax.jit
    def of(layer, gaps):
        x = layer.scan(layer.start(), jnp.repeat(us, most, axis=0), gaps, every=False)[0]
        moved = layer.step(x, us[0], gaps[0])[0]
        return x, moved - layer.step(layer.step(x, us[0], gaps[0] / 2)[0], us[0], gaps[0] / 2)[0]

    errors, defects = [], []
    for parts in (16, 32, 64):  # rows that are left over have gaps of none
        x, defect = of(layer, jnp.tile(jnp.where(jnp.arange(most) < parts, 1 / parts, 0), 3))
        errors.append(np.abs(x - held(kind)).max())
        defects.append(np.abs(defect).max())
    for found, wanted in ((errors, order), (defects, order + 1)):
        np.testing.assert_allclose(np.log2(found[1] / found[2]), wanted, **within(absolute=0.15))
        assert found[0] > found[1] > found[2] > 0


@pytest.mark.only("float64")
@each
def test_gradients_are_those_of_differences(make, within):
    """Of everything that is learned, of the inputs and of the gaps' roots (one is none, and none is below), by scan and
    by convolution."""
    layer, (us, gaps) = make(FEATURES, key=KEY), rows()
    us, roots = us[:5], jnp.sqrt(gaps[:5]).at[2].set(0)

    @jax.jit
    def total(layer, us, roots):
        gaps = roots**2
        scanned = layer.scan(layer.start(), us, gaps)[1]
        return jnp.sum(jnp.sin(scanned)) + jnp.sum(layer.convolve(us, gaps[0] + 0.1) ** 2)

    check_grads(total, (layer, us, roots), order=1, modes=("rev",), **within(1e-6, 1e-6))


def test_what_is_learned_and_what_is_not():
    """LSSL: C and D alone, in one program whatever the key; the other: A, B and the steps too, shared or not."""
    size = lambda layer: sum(a.size for a in jax.tree.leaves(layer))
    fixed = layers.LSSL(FEATURES, 4, key=KEY)
    assert size(fixed) == FEATURES * (4 + 1)
    other = layers.LSSL(FEATURES, 4, key=jax.random.key(1))
    assert jax.tree.structure(fixed) == jax.tree.structure(other)
    np.testing.assert_allclose(np.diff(np.log(fixed.steps)), np.log(100) / FEATURES)
    for per_feature, copies in ((False, 1), (True, FEATURES)):
        layer = layers.TrainableLSSL(FEATURES, 4, per_feature=per_feature, key=KEY)
        assert size(layer) == size(fixed) + FEATURES + copies * (5 * 4 + 2 * 3)
    assert layers.LSSL(FEATURES, 4, channels=2, key=KEY).channels.mix.weight.shape == (FEATURES, 2 * FEATURES)


@pytest.mark.parametrize("kind", [layers.LSSL, layers.TrainableLSSL])
def test_a_rate_of_sampling_that_is_halved_is_a_gap_that_is_doubled(kind, within):
    """A held input, seen at each row or at each other one: nearer by far than where gaps are left out."""
    layer, (us, _) = kind(FEATURES, 4, steps=(0.01, 0.02), key=KEY), rows()
    one = jnp.ones((), us.dtype)
    forms = lambda layer: (
        layer.convolve(jnp.repeat(us, 2, axis=0), one)[1::2],
        [layer.convolve(us, g) for g in (2 * one, one)],
    )
    wanted, (doubled, ignored) = jax.jit(forms)(layer)
    np.testing.assert_allclose(doubled, wanted, **within(absolute=5e-3))
    assert np.abs(ignored - wanted).max() > 0.1


GROWS = lambda N: ssm.Hippo(np.eye(N), np.ones(N), np.zeros((N, 1)))
WRONG = {
    "state=0": (layers.LSSL, dict(state=0), "state=0"),
    "an odd state": (layers.LSSL, dict(state=3), "measure, for state=3: .*N=3 is odd"),
    "an odd state of sines and cosines": (layers.LSSL, dict(state=3, measure=ssm.fout), "N=3: an even number"),
    "an alpha": (layers.LSSL, dict(alpha=1.5), "alpha=1.5: from 0"),
    "another alpha": (layers.TrainableLSSL, dict(alpha=-0.1), "alpha=-0.1: from 0"),
    "steps": (layers.LSSL, dict(steps=(0.1, 0.01)), r"steps=\(0.1, 0.01\): the shortest"),
    "steps of none": (layers.TrainableLSSL, dict(steps=(0.0, 0.01)), r"steps=\(0.0, 0.01\): the shortest"),
    "no channel": (layers.LSSL, dict(channels=0), "channels=0"),
    "no P": (layers.LSSL, dict(measure=ssm.lmu), "measure, for state=4: .*no P is known"),
    "another's P": (
        layers.LSSL,
        dict(measure=lambda N: ssm.legs(N)._replace(P=ssm.legt(N).P)),
        "P is not that of this A",
    ),
    "no such form": (layers.TrainableLSSL, dict(measure=ssm.fout), "measure, for state=4: .*A is not -P"),
    "another shape": (layers.LSSL, dict(measure=lambda N: ssm.legs(N + 1)), r"measure: A and B of shapes .*state=4"),
    "one that grows": (layers.LSSL, dict(measure=GROWS), "measure: an A with an eigenvalue of real part 1"),
    "another that grows": (
        layers.TrainableLSSL,
        dict(measure=GROWS),
        "measure: an A with an eigenvalue of real part 1",
    ),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name):
    kind, given, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        kind(FEATURES, **{"state": 4, **given}, key=KEY)
