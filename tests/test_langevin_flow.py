"""The Langevin flow: what it says of bins, what its divergence sees, what it generates."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ctmodels as ct

pytestmark = pytest.mark.only("float32")  # test_laws.py asks the flow in float64

TS = np.array([0.2, 0.4, 0.7, 1.0, 1.2, 1.6])
COUNTS = np.random.default_rng(0).poisson(0.8, size=(6, 3)).astype(float)
KEY = jax.random.key(0)
WEAK = ct.fields.Langevin(ct.fields.Quadratic(2.0), gamma=1.5, temperature=0.5)


def bins(counts=COUNTS, ts=TS):
    return ct.Series.from_nan(ts, counts, one_of_many=True)


def gaussian(size, deviation=1.0):
    return ct.distributions.Gaussian(jnp.zeros(size), log_deviation=jnp.full(size, np.log(deviation)))


def flow(encoder=ct.ReverseGRUEncoder, control=True, channels=3, **kwargs):
    """Of two positions; bins are those of the data."""
    a, b, c, d = jax.random.split(KEY, 4)
    reads = encoder(3, 4, key=a)
    force = ct.fields.MLPField((4, 2), inputs=reads.size, width=4, depth=1, key=b)
    posterior = ct.ControlPosterior(reads, eqx.nn.Linear(reads.size, 8, key=c), force if control else None)
    told = {"dynamics": WEAK, "start": gaussian(4), "decoder": eqx.nn.Linear(4, channels, key=d), **kwargs}
    return ct.LangevinFlow(posterior, at_observations=False, **told)


def test_what_is_expected_of_a_bin_is_its_rate_times_its_width(tolerance):
    """A decoder that says the same of all; bins whose ends are beyond the data, one that begins at t0, and one of no
    width, of which nothing is expected."""
    model = flow(decoder=lambda s: jnp.log(jnp.array([1.0, 2.0, 4.0])) + 0 * s[0])
    ts = jnp.asarray([0.2, 0.4, 0.7, 0.7, 1.7, 2.0])
    ys, log_prob = jax.jit(lambda x, ts: (model(x, ts).ys, model(x, ts).predictive.log_prob(COUNTS)))(bins(), ts)
    widths = np.diff(ts, prepend=0.0)
    np.testing.assert_allclose(ys, widths[:, None] * [1.0, 2.0, 4.0], **tolerance())
    wanted = stats.poisson.logpmf(COUNTS, np.maximum(np.asarray(ys, np.float64), 1e-12))
    np.testing.assert_allclose(log_prob, wanted, **tolerance(10))


def test_each_observation_is_learned_by_its_likelihood():
    """All that is there gets a gradient, counts are drawn about what is expected, and of a bin of no width none is."""
    families = ct.PoissonCounts(), ct.NegativeBinomialCounts(3), ct.GaussianValues(3)
    said, widths = (
        jnp.asarray(np.random.default_rng(1).normal(size=(6, 3))),
        jnp.asarray([1.0, 0.5, 0.2, 2.0, 0.0, 1.0]),
    )

    counts = np.where(np.arange(6)[:, None] == 4, 0, COUNTS)

    @eqx.filter_jit
    def asked(families):
        total = lambda family: -jnp.sum(family(said, widths).log_prob(counts))
        drawn = lambda family: jax.vmap(family(said, widths).sample)(jax.random.split(KEY, 4000))
        return [(eqx.filter_grad(total)(family), family(said, widths).mean, drawn(family)) for family in families]

    for gradient, mean, drawn in jax.device_get(asked(families)):
        assert all(np.all(leaf != 0) and np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
        assert (np.abs(drawn.mean(0) - mean) < 5 * drawn.std(0) / np.sqrt(4000) + 1e-6).all()
        assert isinstance(gradient, ct.GaussianValues) or np.max(mean[4]) < 1e-6


def test_without_a_force_the_path_is_the_prior_s():
    """So the divergence is that of the starts alone, whatever the solver, the released one too."""
    same = lambda code: jnp.concatenate([jnp.zeros(4), jnp.zeros(4)]) + 0 * code[0]
    for integrate in (ct.Integrate(ct.BAOAB(), ct.Substeps(2)), ct.Integrate(ct.Released(), ct.Substeps(1))):
        model = flow(control=False, integrate=integrate)
        model = eqx.tree_at(lambda m: m.posterior.start, model, same)
        out, weight = jax.jit(lambda key, model=model: model.draw(bins(), key=key))(KEY)
        assert out.kl == 0 and weight == 0 and out.stats.status == 0
        assert np.ptp(out.ys) > 0


def test_beyond_the_last_bin_nothing_is_told(tolerance):
    """The divergence of two paths grows no more, and the force is none: so its end does not depend on the data."""
    model, more = flow(), np.append(TS, [1.9, 2.5, 4.0])
    kl = jax.jit(lambda ts: model(bins(), ts, key=KEY).kl)
    np.testing.assert_allclose(kl(more), kl(np.append(TS, [1.6, 1.6, 1.6])), **tolerance())
    far = jax.jit(lambda x: model(x, jnp.append(jnp.asarray(TS), 60.0 + jnp.arange(40.0))).latents[-1])
    np.testing.assert_allclose(far(bins()), far(bins(3 * COUNTS)), **tolerance(1e3))


def test_a_causal_flow_knows_no_later_bins():
    """By its encoder and its attention; not where one of them reads both ways."""
    later = np.where(np.arange(6)[:, None] > 3, COUNTS + 5, COUNTS)
    layer = lambda causal: ct.TransformerLayer(4, width=4, causal=causal, key=KEY)

    def changed(**kwargs):
        model = flow(**kwargs)
        a, b = jax.jit(jax.vmap(lambda x: model(x).ys))(jax.tree.map(lambda *x: jnp.stack(x), bins(), bins(later)))
        return np.any(a != b, axis=1).tolist()

    causal, whole = 4 * [False] + 2 * [True], 6 * [True]
    assert changed(encoder=ct.GRUEncoder, attention=layer(True)) == causal
    assert changed(encoder=ct.GRUEncoder, attention=layer(False)) == whole
    assert changed(encoder=ct.BidirectionalGRUEncoder) == whole


def test_what_it_generates_has_the_stationary_distribution(within):
    """Of z, v under a spring: variances T / k and T, from a start that is far from it."""
    model = flow(start=gaussian(4, 3.0), decoder=lambda s: s, observation=ct.GaussianValues(4))
    ts = jnp.asarray(np.arange(1, 61) * 0.25)
    paths = jax.jit(jax.vmap(lambda key: model.prior(ts, key=key).ys[-1]))(jax.random.split(KEY, 20000))
    np.testing.assert_allclose(np.var(paths, axis=0), [0.25, 0.25, 0.5, 0.5], **within(0.05))
    still = model.prior(ts)
    np.testing.assert_allclose(still.ys, 0, **within(absolute=1e-6))


def test_what_is_not_read_may_be_wanted():
    """Held-out neurons: more channels than are read."""
    model = flow(channels=5)
    wanted = bins(np.concatenate([COUNTS, COUNTS[:, :2]], axis=1))
    total, weight, out = eqx.filter_jit(ct.losses.likelihood())(model, ct.Example(bins(), wanted), KEY)
    assert out.ys.shape == (6, 5) and weight == 30 and np.isfinite(total)


def test_the_decoder_is_told_of_the_encoder_s_state(tolerance):
    model = flow(encoder=ct.GRUEncoder, decoder=lambda s: s, observation=ct.GaussianValues(8), reads_context=True)
    ys, hs = jax.jit(lambda x: (model(x).ys, model.posterior.encoder.states(x).hs))(bins())
    np.testing.assert_allclose(ys[:, 4:], hs, **tolerance())


def test_an_empty_trial_and_a_silent_neuron_are_none_the_worse():
    silent = COUNTS * [1, 0, 1]
    value = eqx.filter_jit(eqx.filter_value_and_grad(lambda m, e: ct.losses.likelihood()(m, e, KEY)[0]))
    for counts in (0 * COUNTS, silent, np.where(np.arange(6)[:, None] == 2, np.nan, COUNTS)):
        loss, gradient = value(flow(), ct.Example(bins(counts), bins(counts)))
        assert np.isfinite(loss) and all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_what_it_cannot_do_is_refused():
    told = dataclasses.replace(WEAK, control=lambda t, state, args: state[:2])
    with pytest.raises(ValueError, match="dynamics: the prior has no control"):
        flow(dynamics=told)
    with pytest.raises(TypeError, match="dynamics: a SDE|dynamics: an SDE|dynamics: SDE"):
        flow(dynamics=ct.fields.SDE(lambda t, y, args: y, lambda t, y, args: y))
    with pytest.raises(ValueError, match=r"start: of shape \(2,\)"):
        flow(start=gaussian(2))(bins())
    with pytest.raises(ValueError, match="gamma: 0 with weighed"):
        flow(dynamics=ct.fields.Langevin(ct.fields.Quadratic(1.0), gamma=0.0))(bins(), key=KEY)
    with pytest.raises(ValueError, match="control"):
        flow(integrate=ct.Integrate(ct.Released(), ct.Substeps(1)))(bins(), key=KEY)
    with pytest.raises(ValueError, match="eigenvalue"):
        flow(dynamics=ct.fields.Langevin(ct.fields.Quadratic(-0.5))).prior(jnp.asarray(TS), key=KEY)
    with pytest.raises(ValueError, match="reads_context"):
        flow(reads_context=True).prior(jnp.asarray(TS), key=KEY)
    with pytest.raises(ValueError, match="heads=3"):
        ct.TransformerLayer(4, heads=3, key=KEY)
    with pytest.raises(ValueError, match="deviation=0"):
        ct.GaussianValues(2, 0)
    with pytest.raises(ValueError, match="shape=-1"):
        ct.NegativeBinomialCounts(2, -1)
