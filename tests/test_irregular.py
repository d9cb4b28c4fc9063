"""What models of irregular, partly observed series claim beyond the laws of `test_laws.py`."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import HEUN, array, cde, latent_ode, stacked

import ctmodels as ct

CHANNELS = 2


def series(seed: int, length: int = 6) -> ct.Series:
    """Times of its own, values missing here and there, one row in the middle not seen at all."""
    rng = np.random.default_rng(seed)
    ts, mask = np.cumsum(rng.uniform(0.1, 0.4, length)), rng.random((length, CHANNELS)) < 0.6
    mask[[0, -1], 0], mask[2] = True, False
    return ct.Series(array(ts), array(np.where(mask, rng.normal(size=mask.shape), 0)), array(mask))


@pytest.mark.slow
@pytest.mark.only("float32")
def test_the_adaptive_neural_cde_of_a_batch_is_that_of_each_series_on_the_other_engine(within):
    """A step that the one takes and the other refuses moves the result by its error, which must be within the solver's
    tolerance. On our engine it is a law, of all models."""
    xs = stacked([series(i) for i in range(8)])

    def answer(model, x):
        def square(trained):
            ys = eqx.combine(trained, static)(x, x.end).ys[-1]
            return jnp.sum(ys**2), ys

        trained, static = eqx.partition(model, eqx.is_inexact_array)
        gradient, ys = jax.grad(square, has_aux=True)(trained)
        return ys, gradient

    model = cde(solver=ct.Integrate(max_steps=64))(jax.random.key(0))
    adjoint = diffrax.RecursiveCheckpointAdjoint()
    other = cde(solver=ct.Integrate(max_steps=64, adjoint=adjoint))(jax.random.key(0))
    side_by_side = eqx.filter_jit(lambda model: jax.vmap(lambda x: answer(model, x))(xs))
    in_turn = eqx.filter_jit(lambda model: jax.lax.map(lambda x: answer(model, x), xs))
    for a, b in zip(jax.tree.leaves(side_by_side(other)), jax.tree.leaves(in_turn(model)), strict=True):
        np.testing.assert_allclose(a, b, **within(absolute=1e-4 * max(1, float(jnp.max(jnp.abs(b))))))


def smooth_series(rows: int) -> ct.Series:
    ts = jnp.linspace(0.0, 1.0, rows)
    ys = jnp.stack([jnp.sin(3 * ts), jnp.cos(2 * ts)], axis=1)
    return ct.Series(ts, ys, jnp.ones(ys.shape, bool))


@pytest.mark.only("float64")
def test_increments_come_to_the_solution_along_the_cubic_with_their_order(within):
    """That is solved from knot to knot, as at the knots the control has kinks: by steps of order four, four a knot."""
    key = jax.random.key(0)
    smooth = ct.fields.MatrixField(3, 3, width=6, activation=jnp.tanh, key=key)
    sizes = dict(width=6, intensity=False, forecast_solver=HEUN)
    plain = lambda scheme: ct.NeuralCDE(2, 3, 1, solver=scheme, key=key, **sizes)
    make = lambda scheme: eqx.tree_at(lambda model: model.field, plain(scheme), smooth)
    tight = make(ct.Integrate(ct.RK4(), ct.Substeps(4)))
    schemes = [make(ct.IncrementScheme(heun=heun)) for heun in (False, True)]
    end = lambda model, x: model(x, x.end).latents
    errors = jax.jit(lambda x: jnp.stack([jnp.max(jnp.abs(end(model, x) - end(tight, x))) for model in schemes]))
    coarse, fine = (errors(smooth_series(rows).pad(65)) for rows in (33, 65))
    np.testing.assert_allclose(np.log2(coarse / fine), [1, 2], **within(absolute=0.2))


@pytest.mark.only("float64")
def test_log_ncde_of_depth_one_is_heun_from_row_to_row(tolerance):
    x = series(3)
    sizes = dict(width=6, forecast_solver=HEUN, key=jax.random.key(0))
    one = ct.LogNCDE(2, 3, 1, window=1, depth=1, **sizes)
    other = ct.NeuralCDE(2, 3, 1, solver=ct.IncrementScheme(heun=True), **sizes)
    other = eqx.tree_at(lambda m: m.field, other, one.field)
    np.testing.assert_allclose(*jax.jit(lambda x: (one(x).latents, other(x).latents))(x), **tolerance())


@pytest.mark.only("float64")
def test_log_ncde_of_depth_two_follows_a_window_better_than_its_increment():
    """Small loops, over windows of eight steps, against every step: what counts there is their area."""
    ts = jnp.linspace(0.0, 1.0, 65)
    ys = 0.3 * jnp.stack([jnp.sin(50 * ts), jnp.cos(50 * ts)], axis=1)
    x = ct.Series(ts, ys, jnp.ones(ys.shape, bool))
    sizes = dict(width=6, intensity=False, forecast_solver=HEUN, key=jax.random.key(0))
    make = lambda window, depth: ct.LogNCDE(2, 3, 1, window=window, depth=depth, **sizes)
    end = lambda window, depth: make(window, depth)(x, x.end).latents
    exact, one, two = jax.jit(lambda: (end(1, 1), end(8, 1), end(8, 2)))()
    assert np.max(np.abs(two - exact)) < 0.3 * np.max(np.abs(one - exact))


@pytest.mark.only("float32")
def test_a_static_feature_that_is_not_known_is_not_zero():
    x = series(1)
    known, unknown = ct.Record.from_nan(x, [0.0, 1.0]), ct.Record.from_nan(x, [np.nan, 1.0])
    model = ct.NeuralCDE(2, 3, 1, static=2, width=6, key=jax.random.key(0))
    call = eqx.filter_jit(lambda x: model(x).ys)
    assert np.isfinite(call(unknown)).all() and not np.allclose(call(known), call(unknown))
    with pytest.raises(ct.DataError, match=r"static: shape \(2,\), 1 infinite.*NaN where one is not known"):
        ct.Record.from_nan(x, [np.inf, 1.0])


@pytest.mark.only("float32")
def test_one_record_of_many_may_lack_a_channel():
    ts, ys = np.arange(3.0), np.array([[1.0, np.nan], [np.nan, np.nan], [1.0, np.nan]])
    with pytest.raises(ct.DataError, match="constant"):
        ct.Series.from_nan(ts, ys)
    x = ct.Series.from_nan(ts, ys, one_of_many=True)
    np.testing.assert_array_equal(x.to_nan(), ys)
    with pytest.raises(ct.DataError, match="inf"):
        ct.Series.from_nan(ts, np.where(np.isnan(ys), np.inf, ys), one_of_many=True)


@pytest.mark.only("float32")
def test_buckets_are_powers_of_two_and_lose_nothing():
    xs = [series(i, length) for i, length in enumerate((3, 9, 4, 16, 5))]
    found = ct.bucket_by_length(xs)
    assert {length: list(at) for length, (at, _) in found.items()} == {4: [0, 2], 8: [4], 16: [1, 3]}
    for length, (at, batch_of) in found.items():
        assert batch_of.ts.shape == (len(at), length)
        for row, i in enumerate(at):
            n = len(xs[i].ts)
            np.testing.assert_array_equal(batch_of.ys[row, :n], xs[i].ys)
            assert not batch_of.mask[row, n:].any()


@pytest.mark.only("float32")
def test_the_end_is_the_last_observation():
    x = series(1)
    np.testing.assert_array_equal(x.pad(9).end, x.ts[-1:])
    np.testing.assert_array_equal(ct.Series(x.ts, x.ys, x.mask.at[4:].set(False)).end, x.ts[3:4])


@pytest.mark.only("float32")
def test_cross_entropy_is_of_the_last_answer(tolerance):
    x, model = series(1), cde()(jax.random.key(0))
    value, weight, out = eqx.filter_jit(ct.losses.cross_entropy)(model, ct.Example(x, jnp.asarray(1)))
    logits = eqx.filter_jit(model)(x, x.end).ys[-1]
    np.testing.assert_allclose(value, jnp.log(jnp.sum(jnp.exp(logits))) - logits[1], **tolerance())
    assert weight == 1


@pytest.mark.only("float64")
def test_gru_ode_bayes_is_bounded_and_its_divergence_is_the_closed_form(tolerance):
    model, x = ct.GRUODEBayes(2, 4, prepared=3, noise=0.5, integrate=HEUN, key=jax.random.key(0)), series(1)
    value, weight, out = eqx.filter_jit(ct.losses.one_step_likelihood)(model, ct.Example(x, x))
    assert np.all(np.abs(out.latents) < 1)
    mean, log_variance = out.predictive.mean, 2 * out.predictive.log_deviation  # at its own times: after each row
    kl = 0.5 * ((np.exp(log_variance) + (mean - x.ys) ** 2) / 0.25 - 1 - log_variance + np.log(0.25))
    np.testing.assert_allclose(out.kl, np.sum(np.where(x.mask, kl, 0)), **tolerance(10))
    seen = np.flatnonzero(np.any(x.mask, axis=1))
    _, expected, rows = jax.jit(lambda x: model.filter(x))(x)
    mean, log_variance = (a[: len(seen)] for a in (expected.mean, 2 * expected.log_deviation))
    judged = 0.5 * ((x.ys[seen] - mean) ** 2 * np.exp(-log_variance) + log_variance + np.log(2 * np.pi))
    np.testing.assert_allclose(value, np.sum(np.where(x.mask[seen], judged, 0)), **tolerance(10))


def constant_latent_ode(mean, deviation):
    """z0 ~ N(0, 1), y = 2 z0 at all times; q is the same whatever was seen."""
    q = jnp.array([mean, jnp.log(deviation)])
    field = lambda t, z, args: jnp.zeros_like(z)
    fixed = ct.Integrate(ct.RK4(), ct.Substeps(1))
    return ct.LatentODE(lambda x, t0: q, lambda code: code, field, lambda z: 2 * z, fixed)


def evidence(ys, noise) -> tuple[float, float, float]:
    """Of independent looks at 2 z0: log p(y) without the constant of the noise; mean and deviation of p(z0 | y)."""
    n, total = len(ys), np.sum(ys)
    variance = 1 / (1 + 4 * n / noise**2)
    mean = variance * 2 * total / noise**2
    return 0.5 * (mean**2 / variance + np.log(variance) - np.sum(ys**2) / noise**2), mean, variance**0.5


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("samples", [1, 3])
def test_iwae_is_the_likelihood_whatever_is_drawn_if_the_posterior_is_exact(samples, tolerance):
    ys = np.array([0.5, 0.9, 1.4])
    exact, mean, deviation = evidence(ys, 0.7)
    x = ct.Series.from_nan(np.arange(4.0), np.append(ys, np.nan)[:, None])
    loss, model = ct.losses.iwae(0.7, samples), constant_latent_ode(mean, deviation)
    value, weight, _ = eqx.filter_jit(loss)(model, ct.Example(x, x), jax.random.key(samples))
    np.testing.assert_allclose(value, -exact, **tolerance(10))
    assert weight == 3


@pytest.mark.only("float32")
def test_iwae_lies_between_the_evidence_bound_and_the_likelihood(within):
    ys = np.array([0.5, 0.9, 1.4])
    exact, mean, deviation = evidence(ys, 0.7)
    model = constant_latent_ode(mean + 0.3, 2 * deviation)
    x = ct.Series.from_nan(np.arange(3.0), ys[:, None])
    keys = jax.random.split(jax.random.key(0), 20_000)

    @jax.jit
    def bounds():
        example = ct.Example(x, x)
        bound = lambda n: jnp.mean(jax.vmap(lambda k: ct.losses.iwae(0.7, n)(model, example, k)[0])(keys))
        value, _, out = jax.vmap(lambda k: ct.losses.gaussian(0.7)(model, example, k))(keys)
        return jnp.mean(value + out.kl), bound(1), bound(10)

    elbo, one, ten = bounds()
    np.testing.assert_allclose(one, elbo, **within(0.05))
    assert -exact < ten < 0.9 * one - 0.1 * exact


@pytest.mark.only("float64")
@pytest.mark.parametrize("t0", [None, 0.0])
def test_a_latent_ode_begins_where_it_is_told_whatever_is_asked(t0, tolerance):
    model, x = latent_ode(ct.ReverseGRUEncoder)(jax.random.key(0)), series(1)
    fine = ct.Integrate(ct.RK4(), ct.Substeps(64))
    model = ct.LatentODE(model.encoder, model.posterior, model.field, model.decoder, fine, t0)
    x = eqx.tree_at(lambda x: x.mask, x, x.mask.at[0].set(False))
    ts = jnp.concatenate([x.ts, x.ts[-1:] + 1])
    wanted, last = jax.jit(lambda x, ts: (model(x, ts).ys, model(x, ts[-2:]).ys))(x, ts)
    np.testing.assert_allclose(last, wanted[-2:], **tolerance())
    assert x.start == x.ts[1]
    assert np.allclose(wanted[0], wanted[1]) == (t0 is None)  # held until the first observation, or on the way there


@pytest.mark.only("float32")
def test_static_features_reach_the_start_of_a_latent_ode():
    x = series(1)
    record = ct.Record.from_nan(x, [1.0, np.nan])
    for encoder in (ct.ReverseGRUEncoder, ct.ReverseODERNNEncoder):
        reads = encoder(CHANNELS, 3, static=2, key=jax.random.key(0))
        code = eqx.filter_jit(reads)(record, x.ts[0])
        assert code.shape == (reads.size,)
        np.testing.assert_array_equal(code[-4:], [1, 0, 1, 0])


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda key: ct.losses.iwae(0.0, 2), "iwae: deviation=0.0 must be a positive number"),
        (lambda key: ct.losses.iwae(0.1, 0), "iwae: samples=0 must be at least 1"),
        (lambda key: ct.LogNCDE(2, 3, 1, window=0, key=key), "window=0 must be at least 1 step"),
        (lambda key: ct.LogNCDE(2, 3, 1, window=2, depth=4, key=key), "depth=4 must be 1, 2 or 3"),
        (lambda key: ct.GRUODEBayes(2, 3, noise=0.0, key=key), "noise=0.0 must be a positive deviation"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(jax.random.key(0))
