"""Distributions: densities against SciPy's, draws against their means, and gradients where a rate vanishes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from ctmodels import distributions as D

HERE, SPREAD = np.array([0.3, -0.7, 1.1]), np.array([0.2, -0.5, 0.4])
COUNTS = np.array([0, 2, 7])
LOGITS = np.array([[0.1, 0.5, -1.0], [0.0, 0.0, 0.0], [2.0, -1.0, 0.3]])
MIXTURE = LOGITS, np.tile(HERE, (3, 1)), np.tile(SPREAD, (3, 1))


def mixture_of(y):
    weights = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    parts = scipy.stats.lognorm.pdf(y[:, None], np.exp(SPREAD)[None], scale=np.exp(HERE)[None])
    return np.log((weights * parts).sum(-1))


MADE = {  # from parameters
    "Gaussian": (lambda m, s: D.Gaussian(m, log_deviation=s), (HERE, SPREAD)),
    "Poisson": (D.Poisson, (HERE,)),
    "NegativeBinomial": (D.NegativeBinomial, (HERE, SPREAD)),
    "Categorical": (D.Categorical, (LOGITS,)),
    "LogNormalMixture": (D.LogNormalMixture, MIXTURE),
}
KNOWN = {  # at values, the logarithms of the densities
    "Gaussian": (np.array([0.0, 1.0, -2.0]), lambda y: scipy.stats.norm.logpdf(y, HERE, np.exp(SPREAD))),
    "Poisson": (COUNTS, lambda y: scipy.stats.poisson.logpmf(y, np.exp(HERE))),
    "NegativeBinomial": (
        COUNTS,
        lambda y: scipy.stats.nbinom.logpmf(y, np.exp(SPREAD), 1 / (1 + np.exp(HERE - SPREAD))),
    ),
    "Categorical": (np.array([2, 0, 1]), lambda y: scipy.special.log_softmax(LOGITS, axis=-1)[np.arange(3), y]),
    "LogNormalMixture": (np.array([0.3, 1.0, 4.0]), mixture_of),
}
FLOAT = jnp.zeros(()).dtype
PARAMETERS = {name: tuple(x.astype(FLOAT) for x in given) for name, (_, given) in MADE.items()}


def test_densities_are_scipys(tolerance):
    ys = {name: jnp.asarray(y) for name, (y, _) in KNOWN.items()}
    found = jax.jit(lambda given, ys: {n: MADE[n][0](*given[n]).log_prob(ys[n]) for n in MADE})(PARAMETERS, ys)
    for name, (y, exact) in KNOWN.items():
        np.testing.assert_allclose(found[name], exact(y), **tolerance(10), err_msg=name)


@pytest.mark.only("float32")
def test_draws_have_the_mean():
    @jax.jit
    def run(given, keys):
        made = {name: MADE[name][0](*given[name]) for name in MADE}
        return {n: (jax.vmap(made[n].sample)(keys), made[n].mean) for n in made}

    for name, (draws, mean) in run(PARAMETERS, jax.random.split(jax.random.key(0), 20_000)).items():
        draws = np.asarray(draws, float)
        draws = draws[..., None] == np.arange(3) if name == "Categorical" else draws
        assert np.all(np.abs(draws.mean(0) - mean) < 5 * draws.std(0) / np.sqrt(len(draws)) + 1e-6), name


def test_what_is_no_count_no_class_or_not_positive_has_no_probability():
    @jax.jit
    def run(given, bad, number, time):
        at = {"Poisson": bad, "NegativeBinomial": bad, "Categorical": number, "LogNormalMixture": time}
        return {name: MADE[name][0](*given[name]).log_prob(y) for name, y in at.items()}

    bad = jnp.array([-1.0, 2.5, 1.0]), jnp.array([-1, 3, 2]), jnp.array([0.0, -1.0, 1.0])
    for name, found in run(PARAMETERS, *bad).items():
        nothing = np.isnan if name == "Categorical" else np.isneginf
        assert nothing(found).tolist() == [True, True, False], name


def test_gradients_are_finite_where_a_rate_or_a_deviation_vanishes():
    at, tiny = jnp.array([0, 3]), jnp.array([-200.0, -1000.0])

    def total(x, little):
        counts = D.Poisson(x).log_prob(at), D.NegativeBinomial(x, jnp.zeros(2)).log_prob(at)
        return sum(map(jnp.sum, (*counts, D.Gaussian(jnp.zeros(2), log_deviation=little).log_prob(jnp.zeros(2)))))

    for slope in jax.jit(jax.grad(total, argnums=(0, 1)))(tiny, tiny / 20):
        assert np.isfinite(slope).all()


def test_the_divergence_of_gaussians_is_the_mean_of_their_log_ratio(tolerance):
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)

    @jax.jit
    def run(z):
        q = D.Gaussian(jnp.asarray(HERE, FLOAT), log_deviation=SPREAD)
        p = D.Gaussian(jnp.array([0.0, 0.5, 1.0]), 0.7)
        return q.kl(p), q.kl(q), jax.vmap(lambda z: q.log_prob(z) - p.log_prob(z))(z)

    kl, none, ratio = run(jnp.asarray(HERE + np.exp(SPREAD) * nodes[:, None]))
    np.testing.assert_allclose(kl, weights @ np.asarray(ratio) / weights.sum(), **tolerance(100))
    np.testing.assert_array_equal(none, 0)


def test_a_gaussian_wants_one_spread():
    for given in ({}, {"deviation": 1.0, "log_deviation": 0.0}):
        with pytest.raises(ValueError, match="give either `deviation` or `log_deviation`"):
            D.Gaussian(jnp.zeros(3), **given)
