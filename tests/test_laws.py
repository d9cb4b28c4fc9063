"""Every law, of every model of the table in `models.py` to which it applies."""

import dataclasses
import functools
import sys

import equinox as eqx
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from models import MODELS, Row, driven, stacked, starts

import ctmodels as ct
from ctmodels.data import Table
from ctmodels.reconstruction import Candidate, Recipe

KEY = jax.random.key(0)


def each(holds=lambda row: True, at_once=None, later=()):
    """Each row of which this holds, in the precision in which it is asked. `at_once`: those that are not slow, where
    the law is a dear one; `later`: those that are slow, where another row goes the same way for less."""
    chosen = [row for row in MODELS if holds(row)]
    slow = lambda row: row.slow or row.name in later if at_once is None else row.name not in at_once
    marks = lambda row: [pytest.mark.only(row.only)] + [pytest.mark.slow] * slow(row)
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=marks(row)) for row in chosen])


reads = lambda row: bool(row.given().same)
given = functools.cache(lambda row: row.given())
made = functools.cache(lambda row: row.make(KEY))


def of_a_sample(model, example) -> tuple:
    """Value, what the model returned, and gradient; nothing is drawn."""

    def total(model):
        error, weight, out = ct.losses.squared(model, example)
        return error / weight + (0 if out.kl is None else 0.01 * out.kl), out

    (value, out), gradient = eqx.filter_value_and_grad(total, has_aux=True)(model)
    return value, out.ys, out.kl, out.stats.status, gradient


@functools.cache
def programs(row: Row) -> tuple:
    """Of one sample, and of a batch of lanes."""
    return eqx.filter_jit(of_a_sample), eqx.filter_jit(eqx.filter_vmap(of_a_sample, in_axes=(None, 0)))


@functools.cache
def answers(row: Row) -> tuple:
    """Of all lanes."""
    return jax.device_get(programs(row)[1](made(row), stacked(given(row).lanes.values())))


def lane(row: Row, name) -> tuple:
    i = list(given(row).lanes).index(name)
    return jax.tree.map(lambda a: a[i], answers(row))


@pytest.fixture
def assert_close(tolerance):
    """Leaf by leaf."""

    def compare(a, b, factor=1.0, of=""):
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_allclose(x, y, **tolerance(factor), err_msg=of)

    return compare


@each()
def test_outputs_and_gradients_are_finite_whatever_was_seen(row):
    """Of lanes of which nothing, or one value, or one channel was observed too."""
    value, ys, kl, status, gradient = answers(row)
    lanes, times = len(given(row).lanes), given(row).padded[0].target.ts.shape[0]
    assert ys.shape == (lanes, times, row.channels) and ys.dtype == jnp.zeros(()).dtype
    assert (status == 0).all() and (kl is None or kl.shape == (lanes,))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, ys, kl, gradient)))


@each()
def test_every_parameter_gets_a_gradient(row):
    """What scatters gets its own where it does: in a training step."""
    gradient = trained(row, jax.random.key(2), 1)[1] if row.stochastic else answers(row)[-1]
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.any((leaf if row.stochastic else leaf[:3]) != 0), jax.tree_util.keystr(path)


@each()
def test_vmap_of_the_gradient_is_a_loop_and_padding_changes_nothing(row, assert_close):
    """Values, outputs and gradients, of samples as they are against padded ones side by side."""
    for i, example in enumerate(given(row).alone):
        value, ys, kl, status, gradient = programs(row)[0](made(row), example)
        padded = lane(row, i)
        assert_close((value, ys, kl), (padded[0], padded[1][: ys.shape[0]], padded[2]))
        assert_close(gradient, padded[-1], 10)


@each(reads)
def test_unseen_rows_and_what_lies_under_the_mask_change_nothing(row, assert_close):
    for name in given(row).same:
        assert_close(lane(row, name), lane(row, 0), 10, name)


@each()
def test_the_order_of_the_samples_changes_nothing(row, assert_close):
    turned = programs(row)[1](made(row), stacked(list(given(row).lanes.values())[::-1]))
    assert_close(jax.tree.map(lambda a: a[::-1], jax.device_get(turned)), answers(row))


@each(reads)
def test_what_is_asked_besides_changes_no_answer(row, assert_close):
    """That is before the first row, as between rows the solver's steps are those from time to time."""
    first, *others = given(row).lanes.values()
    fewer = eqx.tree_at(lambda e: e.target.ts, first, jnp.append(first.target.ts[1:], first.target.ts[-1]))
    _, ys, *_ = programs(row)[1](made(row), stacked([fewer, *others]))
    assert_close(ys[0, :-1], lane(row, 0)[1][1:])


@each(lambda row: row.causal and row.given().future)
def test_a_causal_model_does_not_change_its_past_with_the_future(row):
    _, past = given(row).future
    ys, other = lane(row, 0)[1], lane(row, "future")[1]
    np.testing.assert_array_equal(ys[:past], other[:past])
    assert not np.allclose(ys[past], other[past])


@each(lambda row: row.causal and reads(row))
def test_before_the_first_row_a_causal_model_says_what_it_says_of_nothing(row, assert_close):
    for name in (0, "short", *given(row).same):
        assert_close(lane(row, name)[1][0], lane(row, "nothing")[1][0], of=name)


@each()
def test_times_and_values_that_are_not_to_be_answered_are_a_status_and_nan(row, assert_close):
    """Under jit. It reaches neither outputs nor gradient of another lane; nor do values what was said before them."""
    bad, lanes = given(row).bad, list(given(row).lanes.values())
    n = len(bad)
    _, ys, _, status, gradient = programs(row)[1](made(row), stacked([*bad.values(), *lanes[n:]]))
    for i, name in enumerate(bad):
        assert status[i] != 0 and np.isnan(ys[i] if "ts" in name else ys[i, -1]).all(), name
    wanted = answers(row)
    assert_close(*(jax.tree.map(lambda a: a[n:], t) for t in ((ys, gradient), (wanted[1], wanted[-1]))))


@each()
def test_times_that_are_not_to_be_answered_are_refused_where_they_are_known(row):
    """Those of `x` with `x`, the others while it is traced."""
    for name, example in ((name, example) for name, example in given(row).bad.items() if "ts" in name):
        with pytest.raises(ValueError, match="ts"):
            if name.startswith("x"):
                made(row)(example.x, example.target.ts)
            else:
                eqx.filter_eval_shape(lambda x, ts=example.target.ts: made(row)(x, ts).ys, example.x)


def kept() -> optax.GradientTransformation:
    """The gradient, in the optimiser's state."""
    return optax.GradientTransformation(lambda p: jax.tree.map(jnp.zeros_like, p), lambda g, s, p=None: (g, g))


@functools.cache
def step_of(row: Row):
    divergence = {} if answers(row)[2] is None else {"kl": (0.01, ct.regularisers.kl)}
    objective = ct.objective(ct.losses.squared, divergence)
    return ct.make_step(objective, optax.chain(kept(), optax.adam(0.03)))


def trained(row: Row, key, steps: int) -> tuple:
    """Losses, and the first gradient."""
    step, examples, losses, gradient = step_of(row), stacked(given(row).lanes.values()), [], None
    state = step.init(made(row), key=key)
    for _ in range(steps):
        state, metrics = step(state, examples)
        losses.append(float(metrics["loss"]))
        gradient = jax.device_get(state.opt_state[0]) if gradient is None else gradient
    return losses, gradient


@each(later=("neural CDE, adaptive",))  # the neural CDE trains, and so does another adaptive solve
def test_trains_in_one_trace_and_the_same_key_gives_the_same_answer(row, assert_close):
    losses, gradient = trained(row, jax.random.key(2), 15)
    assert losses[-1] < 0.9 * losses[0]
    assert trained(row, jax.random.key(2), 3)[0] == losses[:3]
    other = trained(row, jax.random.key(3), 1)[0]
    assert step_of(row).traces == 1
    assert (other[0] != losses[0]) == row.stochastic
    if not row.stochastic:  # of the batch: the mean of the lanes', by what is wanted of each
        weights = [np.sum(example.target.mask) for example in given(row).lanes.values()]
        mean = lambda a: np.average(a, axis=0, weights=weights)
        assert_close(gradient, jax.tree.map(mean, answers(row)[-1]), 10)


@each()
def test_comes_back_from_a_file(row, tmp_path):
    eqx.tree_serialise_leaves(tmp_path / "model.eqx", made(row))
    back = eqx.tree_deserialise_leaves(tmp_path / "model.eqx", row.make(jax.random.key(9)))
    example = given(row).alone[0]
    for a, b in zip(*(jax.tree.leaves(programs(row)[0](m, example)) for m in (made(row), back)), strict=True):
        np.testing.assert_array_equal(a, b)


@each(later=("neural CDE, adaptive",))
def test_exports_and_a_sample_as_short_as_can_be_is_the_same_padded(row, assert_close):
    """As a file of StableHLO, which is asked of one row, or of two times."""
    short = given(row).short
    alone = jax.jit(lambda x, ts: made(row)(x, ts).ys)
    leaves, tree = jax.tree.flatten((short.x, short.target.ts))
    flat = jax.jit(lambda *leaves: alone(*jax.tree.unflatten(tree, leaves)))
    written = jax.export.export(flat)(*leaves).serialize()
    ys = jax.export.deserialize(bytearray(written)).call(*leaves)
    assert_close(ys, lane(row, "short")[1][: ys.shape[0]])


@each()
def test_without_times_it_answers_at_those_of_its_own_or_says_that_there_are_none(row):
    x = given(row).alone[0].x
    if row.given is starts:
        with pytest.raises(ValueError, match="ts"):
            made(row)(x)
    else:
        ts = x.ts if reads(row) else x.control.ts
        assert jax.eval_shape(lambda x: made(row)(x).ys, x).shape == (ts.shape[0], row.channels)


# An encoder that solves nothing, and one that does; each engine: test_failed_solves.py.
@each(at_once=("latent ODE", "latent ODE, ODE-RNN"))
def test_samples_that_fail_leave_the_gradient_of_the_others(row, assert_close):
    """Against samples in their places that have no weight, which is the same program."""
    bad, lanes = list(given(row).bad.values()), given(row).padded
    lost = np.arange(3 + len(bad)) >= 3
    objective = ct.objective(ct.losses.squared, failed="drop")

    @eqx.filter_jit
    def slope(batch, weighed):
        batch = eqx.tree_at(lambda b: b.target.mask, batch, batch.target.mask & weighed[:, None, None])
        loss = lambda m: objective(m, batch, jax.random.key(0), 0)
        return eqx.filter_value_and_grad(loss, has_aux=True)(made(row))

    (value, metrics), gradient = slope(stacked([*lanes, *bad]), jnp.ones(lost.shape, bool))
    (wanted, unfailed), others = slope(stacked([*lanes, *lanes, *lanes][: lost.size]), jnp.asarray(~lost))
    assert metrics["failed"] == len(bad) and unfailed["failed"] == 0
    assert_close((metrics["loss"], gradient), (unfailed["loss"], others), 10)


def test_the_flags_are_those_of_what_a_model_promises():
    for row in MODELS:
        model = eqx.filter_eval_shape(row.make, KEY)
        assert row.dynamics == isinstance(model, ct.AbstractDynamics), row.name
        assert row.latent == isinstance(model, ct.AbstractLatent), row.name
        assert row.online <= isinstance(model, ct.AbstractOnline), row.name


@each(lambda row: row.dynamics)
def test_a_dynamics_is_what_flows_from_time_to_time_and_is_observed(row, assert_close):
    """`lift`, `flow` and `observe` one by one, and a flow of no length stays."""
    model, example = made(row), given(row).alone[0]
    ts, x = example.target.ts, ct.Driven(example.x) if row.given is starts else example.x

    @jax.jit
    def both(y0, control):
        z = model.lift(y0)
        out = ct.roll_out(model, ct.Driven(z, control), ts)
        return out.ys, out.latents, out.stats.status, model.observe(z), model.flow(ts[1], ts[1], z, control)[0]

    ys, latents, status, seen, stayed = both(x.y0, x.control)
    assert latents.shape == (len(ts), model.size) and seen.shape == (model.channels,) and status == 0
    assert isinstance(model.describe(), str)
    assert_close(ys, lane(row, 0)[1][: len(ts)], 1 if "adaptive" not in row.name else 1e3)
    assert_close((seen, stayed), (ys[0], latents[0]), 10)


@each(lambda row: row.online)
def test_what_is_read_row_by_row_is_said_as_of_the_whole(row, assert_close):
    """A row of which nothing is seen among them; at each time that is asked, of the rows by then."""
    model, example = made(row), given(row).same["an unseen row within"]
    rows, ts = example.x, example.target.ts

    @jax.jit
    def read(rows, ts):
        def observe(memory, row):
            memory = model.observe(memory, *row)
            return memory, memory

        memories = jax.lax.scan(observe, model.init(), (rows.ts, rows.ys, rows.mask))[1]
        memories = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), model.init(), memories)
        by_then = jax.tree.map(lambda a: a[jnp.searchsorted(rows.ts, ts, side="right")], memories)
        out = jax.vmap(lambda memory, t: model.predict(memory, t[None]))(by_then, ts)
        return out.ys[:, 0], out.stats.status

    ys, status = read(rows, ts)
    assert (status == 0).all()
    assert_close(ys, lane(row, "an unseen row within")[1], 10)


@each(lambda row: row.latent)
def test_a_latent_model_weighs_what_it_draws_as_its_divergence_says(row):
    """E_q log q/p of what is drawn is the divergence, and E_q p/q is one."""
    model, example = made(row), given(row).alone[0]

    @jax.jit
    def drawn(keys):
        out, log_weight = jax.vmap(lambda key: model.draw(example.x, example.target.ts, key=key))(keys)
        return out.ys, out.kl, log_weight, out.stats.status

    ys, kl, log_weight, status = jax.device_get(drawn(jax.random.split(KEY, 4096)))
    assert ys.shape[1:] == (example.target.ts.shape[0], row.channels) and (status == 0).all()
    for found, wanted in ((-log_weight - kl, 0), (np.exp(log_weight), 1)):
        assert abs(found.mean() - wanted) < 5 * found.std() / np.sqrt(len(found))


def table(inputs: bool) -> Table:
    ts = 0.5 * np.arange(40)
    names, values = ("x", "y", "u"), np.stack([np.cos(ts), np.sin(ts), np.sin(0.3 * ts)], axis=1)
    values = values + 0.02 * np.random.default_rng(0).normal(size=values.shape)
    return Table(ts, values[:, : 2 + inputs], names[: 2 + inputs], "t", "", "", "toy.csv")


def at_pace(model, dt):
    """A map, with the step of a table's rows."""
    is_map = any(field.name == "dt" for field in dataclasses.fields(model))
    return dataclasses.replace(model, dt=float(dt)) if is_map else model


@pytest.mark.only("float32")
@each(lambda row: row.dynamics and not row.steps, at_once=("leaky RNN",))
def test_a_dynamics_goes_through_the_main_job(row, monkeypatch):
    monkeypatch.setattr(sys.modules[ct.reconstruct.__module__], "LYAPUNOV_STEPS", 100)
    inputs = ["u"] if row.given is driven else []
    recipe = lambda n: Recipe(members=2, steps=4, window=4, batch_size=8, refreshes=1, free_starts=True)
    candidate = Candidate(row.name, lambda problem, key: at_pace(row.make(key), 0.5 / problem.scaling.time_scale))
    kwargs = dict(models=[candidate], recipe=recipe, progress=False, held_out=0.25, inputs=inputs)
    fitted = ct.reconstruct(table(bool(inputs)), **kwargs).fitted[row.name]
    assert fitted.median.shape == (10, row.channels) and np.isfinite(fitted.median).all()
