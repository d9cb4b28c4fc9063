"""What neural ODEs claim beyond the laws of `test_laws.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import driven, mlp, neural_ode

import ctmodels as ct


@pytest.mark.only("float64")
def test_a_held_input_jumps_between_steps_and_not_within(within):
    """dz/dt = u - z from one held value to the next is a sum of exponentials; through the jumps, the error is 1e-2."""
    ts, us, z = np.array([0.0, 0.5, 1.1, 2.0]), np.array([1.0, -1.0, 2.0, 0.0]), [0.0]
    for gap, u in zip(np.diff(ts), us, strict=False):
        z.append(u + (z[-1] - u) * np.exp(-gap))
    model = ct.NeuralODE(lambda t, z, u: u(t) - z, 1, 0, ct.Integrate(ct.RK4(), ct.Substeps(8)))
    x = ct.Driven(jnp.zeros(1), ct.paths.HeldPath(jnp.asarray(ts), jnp.asarray(us)[:, None]))
    np.testing.assert_allclose(model(x).ys[:, 0], z, **within(absolute=2e-6))
    np.testing.assert_allclose(model(x, jnp.array([0.0, 0.8, 2.0])).ys[2, 0], z[3], **within(absolute=2e-6))


@pytest.mark.only("float32")
def test_neural_ode_takes_the_observed_or_the_whole_state():
    model, ts = neural_ode(mlp(3), augment=1)(jax.random.key(0)), jnp.array([0.0, 0.2, 0.5])
    y0 = jnp.array([0.1, 0.2])
    np.testing.assert_array_equal(model(y0, ts).latents, model(jnp.array([0.1, 0.2, 0.0]), ts).latents)
    with pytest.raises(ValueError, match=r"y0 has 4 channels.*2 \(observed\) or 3"):
        model(jnp.zeros(4), ts)


@pytest.mark.only("float32")
def test_neural_ode_without_times_answers_at_those_of_its_control():
    model = neural_ode(mlp(2, inputs=1))(jax.random.key(0))
    example = driven().alone[0]
    np.testing.assert_array_equal(model(example.x).ys, model(example.x, example.target.ts).ys)
