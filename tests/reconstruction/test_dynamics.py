"""What is no neural ODE goes through the main job: a map that is observed through weights, the drift of an SDE."""

import equinox as eqx
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from models import leaky
from toys import equal

import ctmodels as ct
from ctmodels.demo import noisy_lorenz63
from ctmodels.reconstruction import Candidate, Recipe, export_model, forecast_csv, load_model

pytestmark = pytest.mark.only("float32")


class Langevin(eqx.Module):
    """dy = drift dt + diffusion dW."""

    force: ct.fields.MLPField

    def drift(self, t, y, args):
        return self.force(t, y, args) - y

    def diffusion(self, t, y, args):
        return jnp.ones_like(y)


def langevin(problem, key):
    sde = Langevin(ct.fields.MLPField(problem.channels, width=8, key=key))
    return ct.NeuralODE(sde.drift, problem.channels, integrate=problem.integrate())


OWN = Candidate("leaky RNN", lambda problem, key: leaky(key, problem.channels, size=8)), Candidate("drift", langevin)


@pytest.mark.slow  # a candidate of one's own goes through the job in test_reconstruction.py too
@pytest.mark.parametrize("candidate", OWN, ids=lambda candidate: candidate.name)
def test_any_dynamics_goes_through_the_main_job(candidate, tmp_path, tolerance):
    recipe = lambda n: Recipe(members=2, steps=20, window=4, batch_size=16, refreshes=1)
    out = tmp_path / "run"
    result = ct.reconstruct(noisy_lorenz63(600), models=[candidate], recipe=recipe, out=out, progress=False)
    fitted = result.fitted[candidate.name]
    assert fitted.median.shape == (120, 3) and np.isfinite(fitted.median).all()
    assert fitted.exponents.shape == (2, fitted.trained.model.size)
    assert fitted.trained.model.describe() in (out / "report.html").read_text(encoding="utf-8").replace("&#x27;", "'")
    trained, problem, _ = load_model(out / f"model-{candidate.name}.safetensors", candidate)
    assert equal(trained.model, fitted.trained.model)
    assert len(forecast_csv(out, 5, model=candidate).splitlines()) == 6
    with pytest.raises(ct.DataError, match="give its `Candidate`"):
        forecast_csv(out, 5)
    export_model(out, tmp_path / "model.bin", model=candidate)
    solve = jax.export.deserialize(bytearray((tmp_path / "model.bin").read_bytes())).call
    y0, ts = np.asarray(result.table.values[:2], np.float32), np.tile(np.float32([0, 0.02, 0.04]), (2, 1))
    inside, taus = problem.scaling.scale(y0[0]), jnp.asarray(ts[0] / problem.scaling.time_scale)
    ours = eqx.filter_vmap(lambda member, y: member(member.lift(y), taus).ys, in_axes=(eqx.if_array(0), None))
    np.testing.assert_allclose(
        solve(y0, ts)[:, 0], problem.scaling.unscale(ours(trained.model, jnp.asarray(inside))), **tolerance(10)
    )


def test_the_smoother_observes_through_weights(tolerance):
    """As it does where the state is turned so that its first channel is what was observed."""
    rng = np.random.default_rng(0)
    R = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    s = ct.Series.from_nan(np.arange(20.0), rng.normal(size=(20, 1)))
    noise = ct.smoothing.Noise(jnp.full(2, 0.1), jnp.array([0.2]))
    plain = lambda t0, t1, z: jnp.array([0.9 * z[0] + 0.3 * z[1], -0.3 * z[0] + 0.9 * z[1]])
    turned = lambda t0, t1, z: R @ plain(t0, t1, R.T @ z)
    one = jax.jit(lambda: ct.smoothing.smooth(plain, s, noise))()
    other = jax.jit(lambda: ct.smoothing.smooth(turned, s, noise, observe=lambda z: (R.T @ z)[:1]))()
    np.testing.assert_allclose(other.log_likelihood, one.log_likelihood, **tolerance(10))
    np.testing.assert_allclose(other.mean @ R, one.mean, **tolerance(100))
    np.testing.assert_allclose(other.noise.observation, one.noise.observation, **tolerance(10))
