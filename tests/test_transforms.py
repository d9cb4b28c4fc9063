"""Transforms of the example: what they draw, and that no gradient sees an input that it predicts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

pytestmark = pytest.mark.only("float32")

same = np.testing.assert_array_equal


def keys(n, seed=3):
    return jax.random.split(jax.random.key(seed), n)


def each(transform, example, number=500):
    """The example, transformed with so many keys."""
    return jax.jit(jax.vmap(lambda key: transform(example, key, 0)))(keys(number))


# -- steer


def test_steer_moves_the_end_by_no_more_than_it_may():
    ts = jnp.linspace(0.0, 1.5, 4)
    target = ct.Series(ts, jnp.ones((4, 2)), jnp.ones((4, 2), bool))
    example, padded = ct.Example(None, target), ct.Example(None, target.pad(6))
    moved = each(ct.transforms.steer(0.3), padded)
    ends = np.asarray(moved.target.ts)[:, 3:]
    assert np.all(ends == ends[:, :1])  # the padding goes along
    assert np.all(np.asarray(moved.target.ts)[:, :3] == np.asarray(ts[:3]))
    assert ends.min() < 1.25 and ends.max() > 1.75 and ends.min() >= 1.2 and ends.max() <= 1.8 + 1e-6
    assert abs(ends.mean() - 1.5) < 0.05
    far = each(ct.transforms.steer(9.0), example)
    assert np.all(np.diff(np.asarray(far.target.ts), axis=1) >= 0)  # never before the time in front of it
    with pytest.raises(ValueError, match="width=0"):
        ct.transforms.steer(0)


# -- coordinated dropout and sample validation

BINS, NEURONS, LATER, HELD_OUT = 6, 3, 2, 2


def spikes(batch=(), seed=0, missing=0.0):
    """Counts, of which the model is given the first bins of the first neurons."""
    rng = np.random.default_rng(seed)
    ts = np.broadcast_to(np.arange(1.0, BINS + LATER + 1), (*batch, BINS + LATER))
    ys = 1 + rng.poisson(2.0, (*ts.shape, NEURONS + HELD_OUT))
    mask = rng.uniform(size=ys.shape) >= missing
    target = ct.Series(*map(jnp.asarray, (ts.astype(np.float32), np.where(mask, ys, 0).astype(np.float32), mask)))
    x = ct.Series(target.ts[..., :BINS], *(a[..., :BINS, :NEURONS] for a in (target.ys, target.mask)))
    return ct.Example(x, target)


EXAMPLE = spikes()
GIVEN = np.s_[:, :BINS, :NEURONS]


@pytest.mark.parametrize("keep, passing", [(0.5, 0.0), (0.3, 0.4)])
def test_coordinated_dropout_by_its_chances(keep, passing, tolerance, within):
    drawn = jax.device_get(each(ct.transforms.coordinated_dropout(keep, passing), EXAMPLE, 4000))
    x, target = drawn.x, drawn.target
    kept = x.ys > 0  # counts are above zero here
    whole = np.broadcast_to(EXAMPLE.x.ys, x.ys.shape)
    np.testing.assert_allclose(x.ys[kept], whole[kept] / keep, **tolerance())
    np.testing.assert_allclose(kept.mean(0), keep, **within(absolute=0.04))
    np.testing.assert_allclose(x.ys.mean(0), EXAMPLE.x.ys, **within(0.15))  # the mean stays
    same(x.mask, True)
    in_loss = target.mask[GIVEN]
    assert in_loss[~kept].all()
    np.testing.assert_allclose(in_loss[kept].mean(), passing, **within(absolute=0.02))
    # One entry says nothing of another.
    flat = kept.reshape(len(kept), -1) - keep
    others = np.corrcoef(flat.T)[~np.eye(BINS * NEURONS, dtype=bool)]
    assert np.abs(others).max() < 0.08
    # Held-out neurons, and later bins, are always in the loss; what is aimed at is as it was.
    beyond = target.mask.copy()
    beyond[GIVEN] = True
    assert beyond.all()
    same(target.ys, np.broadcast_to(EXAMPLE.target.ys, target.ys.shape))


def test_what_was_not_observed_is_neither_given_nor_asked_for():
    example = spikes(missing=0.4)
    drawn = each(ct.transforms.coordinated_dropout(0.5, 1.0), example, 50)
    same(drawn.target.mask, np.broadcast_to(example.target.mask, drawn.target.mask.shape))
    same(drawn.x.mask, np.broadcast_to(example.x.mask, drawn.x.mask.shape))
    assert not drawn.x.ys[np.broadcast_to(~example.x.mask, drawn.x.ys.shape)].any()


class Linear(eqx.Module):
    """All entries from all inputs: its diagonal copies."""

    weights: jax.Array

    def __call__(self, x, ts, *, key=None):
        ys = (
            jnp.zeros(EXAMPLE.target.ys.shape)
            .at[:BINS, :NEURONS]
            .set((self.weights @ x.ys.ravel()).reshape(x.ys.shape))
        )
        return ct.Output(ys, ct.Stats.none(ts[0]))


def gradients(transform, number=200):
    """Of the loss, by the weights: one for each key."""
    objective = ct.objective(ct.losses.squared, transform=transform)
    batch = jax.tree.map(lambda a: a[None], EXAMPLE)
    size = BINS * NEURONS
    model = Linear(jnp.asarray(np.random.default_rng(1).normal(size=(size, size)), jnp.float32))
    loss = lambda model, key: objective(model, batch, key, 0)[0]
    return np.asarray(jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(model, keys(number)).weights)


def test_no_gradient_sees_an_input_that_it_predicts():
    found = gradients(ct.transforms.coordinated_dropout(0.5))
    diagonal = np.diagonal(found, axis1=1, axis2=2)
    same(diagonal, 0)
    off = ~np.eye(found.shape[-1], dtype=bool)
    assert (np.abs(found).max(axis=0)[off] > 0).all()  # all others are learnt from
    assert np.abs(np.diagonal(gradients(None, 1)[0])).min() > 0  # and without it, copies are
    passed = np.diagonal(gradients(ct.transforms.coordinated_dropout(0.5, 0.5)), axis1=1, axis2=2)
    assert 0.15 < (passed != 0).mean() < 0.35  # kept, and passed


def test_held_out_samples_are_the_same_each_time_and_in_one_of_the_two():
    examples = spikes((4,), missing=0.2)
    train, judge = ct.transforms.hold_out_samples(examples, 0.25, 7)
    again, other = (ct.transforms.hold_out_samples(examples, 0.25, seed)[1] for seed in (7, 8))
    same(judge.target.mask, again.target.mask)
    assert (judge.target.mask != other.target.mask).any()
    # What is judged: a quarter of what was observed of the inputs, and nothing beyond them.
    held, observed = np.asarray(judge.target.mask), np.asarray(examples.target.mask)
    assert held.sum() == round(0.25 * observed[GIVEN].sum()) == held[GIVEN].sum()
    same(np.asarray(train.target.mask) ^ held, observed)
    assert not (np.asarray(train.target.mask) & held).any()
    # Neither is given any of it, and both are given the same rest.
    jax.tree.map(same, train.x, judge.x)
    same(train.x.mask, np.asarray(examples.x.mask) & ~held[GIVEN])
    same(train.x.ys, np.where(train.x.mask, examples.x.ys, 0))
    same(train.target.ys, examples.target.ys)


def test_a_copy_is_worth_nothing_on_held_out_samples():
    """Its loss there is that of none: what is judged does not depend on how much is copied."""
    _, judge = ct.transforms.hold_out_samples(spikes((4,)), 0.25)
    copied = lambda gain: ct.pooled(ct.losses.squared)(lambda x, ts, key=None: Linear(gain * jnp.eye(18))(x, ts), judge,
                                                       jax.random.key(0))[0]  # fmt: skip
    assert copied(1.0) == copied(0.0) > 0


SERIES = EXAMPLE.target


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: ct.transforms.coordinated_dropout(1.0), "keep=1: a chance between 0 and 1"),
        (lambda: ct.transforms.coordinated_dropout(0.5, -0.1), "passing=-0.1"),
        (lambda: ct.transforms.hold_out_samples(EXAMPLE, 0.0), "part=0: a part between 0 and 1"),
        (lambda: ct.transforms.hold_out_samples(EXAMPLE, 1e-6), "0 of 18 observed entries"),
        (lambda: ct.transforms.hold_out_samples(EXAMPLE, 0.5, -1), "seed=-1"),
        (lambda: ct.transforms.hold_out_samples(ct.Example(SERIES, EXAMPLE.x), 0.5),
         r"x has shape \(8, 5\) and target \(6, 3\)"),
        (lambda: ct.transforms.coordinated_dropout(0.5)(ct.Example(SERIES.ys, SERIES), jax.random.key(0), 0),
         "x is an array of float32.* a Series of counts is wanted"),
    ],
)  # fmt: skip
def test_transforms_that_are_refused(call, told):
    with pytest.raises((ValueError, TypeError), match=told):
        call()
