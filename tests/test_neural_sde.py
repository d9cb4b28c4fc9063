"""What the neural SDE claims beyond the laws of `test_laws.py`, and what its diffusion is made of."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import mlp, neural_sde

import ctmodels as ct

pytestmark = pytest.mark.only("float32")
TS = jnp.array([0.0, 0.2, 0.5, 0.9])


def generator():
    """Three hidden numbers, of which one is read."""
    make, net = neural_sde(augment=1), lambda key: eqx.nn.MLP(2, 3, 4, 1, key=key)
    model = make(jax.random.key(0))
    readout = eqx.nn.Linear(3, 1, key=jax.random.key(1))
    return ct.NeuralSDE(model.sde, 1, 2, model.integrate, readout, net(jax.random.key(2)))


def test_a_generator_draws_a_start_and_a_path():
    model = generator()
    ys = jax.jit(jax.vmap(lambda key: model(None, TS, key=key).ys))(jax.random.split(jax.random.key(3), 64))
    assert ys.shape == (64, 4, 1)
    assert (np.asarray(ys[:, 0]).std(), np.asarray(ys[:, 3] - ys[:, 0]).std()) > (0.01, 0.01)
    still = model(None, TS)
    np.testing.assert_array_equal(still.latents[0], model.initial(jnp.zeros(2)))
    with pytest.raises(ValueError, match="ts=None"):
        model(None)
    with pytest.raises(ValueError, match="x: None, and the model has no `initial`"):
        neural_sde()(jax.random.key(0))(None, TS)


def test_what_is_lifted_is_read_again(tolerance):
    model, y = generator(), jnp.array([0.7])
    np.testing.assert_allclose(model.observe(model.lift(y)), y, **tolerance())
    np.testing.assert_allclose(model(y, TS).ys[0], y, **tolerance())


def test_without_a_key_it_is_the_neural_ode_of_its_drift(tolerance):
    model = neural_sde(integrate=ct.Integrate(ct.SRI(), ct.Substeps(2)))(jax.random.key(0))
    ode = ct.NeuralODE(model.sde.drift, 2, 0, ct.Integrate(diffrax.Heun(), ct.Substeps(2)))
    y0 = jnp.array([0.1, -0.4])
    np.testing.assert_allclose(model(y0, TS).ys, ode(y0, TS).ys, **tolerance())
    assert "SRI" in model.describe()


def test_a_field_is_refused_which_would_have_no_noise():
    with pytest.raises(TypeError, match=r"sde: .*where an SDE is wanted: ct.fields.SDE\(drift, diffusion\)"):
        ct.NeuralSDE(mlp(2)(jax.random.key(0)), 2)


def test_adaptive_steps_draw_too():
    controller = diffrax.PIDController(rtol=0.1, atol=0.1, dtmin=1e-3, force_dtmin=True)
    solver = ct.Integrate(diffrax.HalfSolver(diffrax.ItoMilstein()), controller)
    model = neural_sde(integrate=solver)(jax.random.key(0))
    drawn = eqx.filter_jit(lambda key: model(jnp.zeros(2), TS, key=key))
    a, b, again = (drawn(jax.random.key(i)) for i in (0, 1, 0))
    assert a.stats.status == 0 and np.isfinite(a.ys).all()
    assert not np.allclose(a.ys, b.ys)
    np.testing.assert_array_equal(a.ys, again.ys)


def test_a_diffusion_by_element_depends_on_its_own_entry_alone():
    f = ct.fields.Elementwise(3, width=4, key=jax.random.key(0))
    slopes = jax.jacobian(lambda y: f(0.0, y, None))(jnp.array([0.3, -1.0, 2.0]))
    off = ~np.eye(3, dtype=bool)
    assert (slopes[off] == 0).all() and (np.diagonal(slopes) != 0).all()
    assert f(0.0, jnp.full(3, 0.5), None).std() > 0  # networks of their own


@pytest.mark.parametrize("by", (jax.nn.softplus, jax.nn.sigmoid, jnp.exp), ids=("softplus", "sigmoid", "exp"))
def test_a_positive_diffusion_stays_above_its_floor(by):
    g = ct.fields.Positive(lambda t, y, args: 100 * y, by, floor=0.25)
    values = g(0.0, jnp.linspace(-1, 0.5, 7), None)
    assert (values >= 0.25).all() and values[0] == 0.25


def test_what_would_not_be_positive_is_refused():
    field = mlp(2)(jax.random.key(0))
    with pytest.raises(ValueError, match=r"by: tanh\(-20\) is -1.*jax.nn.softplus"):
        ct.fields.Positive(field, jnp.tanh)
    with pytest.raises(ValueError, match="floor=0: must be a positive number"):
        ct.fields.Positive(field, floor=0)
    with pytest.raises(TypeError, match="by: .*where a function"):
        ct.fields.Positive(field, 3)
