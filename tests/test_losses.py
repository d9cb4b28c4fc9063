"""Where a loss meets a target, and a model its input: shapes, types and labels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.stats import poisson

import ctmodels as ct

pytestmark = pytest.mark.mostly("float64")


@pytest.fixture
def as_users():
    """Without the tests' own checks of shapes, which would be the first to speak."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def of(channels: int, rows: int = 5) -> ct.Series:
    return ct.Series.from_nan(np.arange(float(rows)), np.random.default_rng(0).normal(size=(rows, channels)))


class Says(eqx.Module):
    """A model that returns what it is given, at whatever times."""

    ys: jax.Array

    def __call__(self, x, ts=None, *, key=None):
        zs = jnp.zeros((2, 1))
        stats = ct.Integrate(ct.RK4(), ct.Substeps(1))(lambda t, y, args: y, jnp.arange(2.0), zs[0])[1]
        return ct.Output(self.ys, stats, zs)


LOSSES = [ct.losses.squared, ct.losses.absolute, ct.losses.gaussian(0.1), ct.losses.shooting(0.0)]


@pytest.mark.only("float32")
@pytest.mark.parametrize("loss", LOSSES, ids=["squared", "absolute", "gaussian", "shooting"])
@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (1, 2), (5, 2, 1), (4, 2)])
def test_outputs_of_another_shape_than_the_target_are_refused(loss, shape):
    with pytest.raises(
        ValueError,
        match=rf"the model returns {tuple(shape)} and target has values of shape (5, 2)".replace("(", r"\(").replace(
            ")", r"\)"
        ),
    ):
        loss(Says(jnp.zeros(shape)), ct.Example(of(2), of(2)))


@pytest.mark.only("float32")
@pytest.mark.parametrize("target, message", [(jnp.zeros((5, 2)), r"of shape \(5, 2\)"), (1, "target is a int")])
def test_a_target_that_is_no_series_is_refused(target, message):
    with pytest.raises(ValueError, match=f"squared: .*{message}"):
        ct.losses.squared(Says(jnp.zeros((5, 2))), ct.Example(of(2), target))


def logits(number=3):
    return Says(jnp.asarray(np.linspace(0, 1, number))[None])


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "label, message",
    [
        (3, "target is 3: with 3 outputs, classes are numbered 0 to 2"),
        (-1, "target is -1"),
        (-100, "target is -100"),
        (jnp.array([0, 1, 0]), r"shape \(3,\).*one-hot rows are jnp.argmax"),
        (jnp.array([1]), r"shape \(1,\)"),
        (1.0, "dtype float.*integer"),
        (True, "dtype bool"),
    ],
)
def test_a_label_that_is_no_class_is_refused(label, message):
    with pytest.raises(ValueError, match=message):
        ct.losses.cross_entropy(logits(), ct.Example(of(2), jnp.asarray(label)))
    with pytest.raises(ValueError, match="has 1 output"):
        ct.losses.cross_entropy(logits(1), ct.Example(of(2), jnp.asarray(0)))


@pytest.mark.only("float32")
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_label_that_shows_only_under_jit_is_nan_and_so_is_its_gradient(dtype, tolerance):
    labels = jnp.asarray(np.array([0, 2, 3, -1]).astype(dtype))
    value = lambda model, label: ct.losses.cross_entropy(model, ct.Example(of(2), label))[0]
    each = eqx.filter_jit(lambda model: jax.vmap(lambda label: jax.value_and_grad(value)(model, label))(labels))
    values, gradients = each(logits())
    np.testing.assert_array_equal(np.isnan(values), [False, False, True, True])
    np.testing.assert_array_equal(np.isnan(gradients.ys).all((1, 2)), [False, False, True, True])
    np.testing.assert_allclose(values[0], -jax.nn.log_softmax(logits().ys[0])[0], **tolerance())


MAKE = {
    "neural CDE": lambda key: ct.NeuralCDE(2, 3, 1, width=4, key=key),
    "log NCDE": lambda key: ct.LogNCDE(2, 3, 1, window=2, width=4, key=key),
    "ODE-RNN": lambda key: ct.ODERNN(2, 3, 1, width=4, key=key),
    "GRU-ODE-Bayes": lambda key: ct.GRUODEBayes(2, 3, prepared=2, key=key),
    "encoder": lambda key: lambda x: ct.ReverseGRUEncoder(2, 3, key=key)(x, jnp.zeros(())),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
def test_a_model_refuses_other_channels_static_features_and_batches(make, as_users):
    model = make(jax.random.key(0))
    for channels in (1, 3):
        with pytest.raises(
            ValueError, match=f"x has {channels} channels and 0 static features: .*channels=2 and static=0"
        ):
            model(of(channels))
    with pytest.raises(ValueError, match="x has 2 channels and 1 static features"):
        model(ct.Record.from_nan(of(2), [1.0]))
    with pytest.raises(ValueError, match=r"times of shape \(2, 5\): .*jax.vmap"):
        model(ct.collate([of(2), of(2)]))


@pytest.mark.only("float32")
def test_a_control_of_other_channels_than_the_field_has_inputs_is_refused(as_users):
    model = ct.NeuralODE(ct.fields.MLPField(2, inputs=1, width=4, key=jax.random.key(0)), 2)
    with pytest.raises(ValueError, match=r"inputs=1 and the control has values of shape \(2,\)"):
        model(ct.Driven(jnp.zeros(2), ct.paths.LinearPath.from_series(of(2))))
    with pytest.raises(ValueError, match="inputs=1 and no control is given"):
        model(jnp.zeros(2), jnp.arange(3.0))
    with pytest.raises(ValueError, match=r"shape \(2, 2\): .* of one sample"):
        model(ct.Driven(jnp.zeros((2, 2)), ct.paths.LinearPath.from_series(of(1))))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ct.Series(jnp.arange(3.0), jnp.zeros((3, 2)), jnp.ones((3, 1), bool)), r"mask \(3, 1\)"),
        (
            lambda: ct.Series(jnp.arange(3.0), jnp.zeros((4, 2)), jnp.ones((4, 2), bool)),
            r"ts has shape \(3,\), ys \(4, 2\)",
        ),
        (lambda: ct.paths.LinearPath(jnp.arange(3.0), jnp.zeros((4, 2))), r"ys has shape \(4, 2\) and ts \(3,\)"),
        (lambda: ct.paths.HeldPath(jnp.arange(3.0), jnp.zeros(3)), r"ys\[:, None\]"),
        (lambda: ct.Record(of(1), jnp.zeros(2), jnp.ones(1, bool)), r"static has shape \(2,\) and known \(1,\)"),
    ],
)
def test_parts_of_unequal_shape_are_refused(make, message, as_users):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.only("float64")
def test_a_likelihood_is_of_the_predictive_or_of_a_family_of_the_outputs(tolerance):
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (5, 2)).astype(float)
    counts[1, 0] = np.nan
    rates, example = rng.normal(size=(5, 2)), ct.Example(None, ct.Series.from_nan(np.arange(5.0), counts))
    value, weight, _ = ct.losses.likelihood(ct.distributions.Poisson)(Says(jnp.asarray(rates)), example)
    seen = ~np.isnan(counts)
    np.testing.assert_allclose(value, -poisson.logpmf(counts[seen], np.exp(rates)[seen]).sum(), **tolerance(10))
    assert weight == 9
    with pytest.raises(ValueError, match="likelihood: Says returns no `predictive`: give a family"):
        ct.losses.likelihood()(Says(jnp.asarray(rates)), example)
    narrow = ct.losses.likelihood(lambda ys: ct.distributions.Gaussian(ys[:, :1], 0.1))
    with pytest.raises(ValueError, match=r"entries of shape \(5, 1\).*of shape \(5, 2\)"):
        narrow(Says(jnp.asarray(rates)), example)
