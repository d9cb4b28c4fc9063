"""The objective, the step and the loop: pooling, masks, schedules, one compilation, repeatability."""

import json
import os
import signal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import arrays, compiled_once, equal, first, model, series, step_and_state, windows

import ctmodels as ct

pytestmark = pytest.mark.only("float32")


def begun():
    return compiled_once().init(model(), key=jax.random.key(1))


def test_the_loss_is_a_pooled_mean_and_not_a_mean_of_means(tolerance):
    batch = first(4)
    mask = batch.target.mask.at[0, 1:].set(False).at[0, 1, 0].set(True)
    batch = eqx.tree_at(lambda b: b.target.mask, batch, mask)
    value, metrics = eqx.filter_jit(ct.objective(ct.losses.squared))(model(), batch, jax.random.key(0), 0)
    ys = jax.jit(jax.vmap(lambda e: model()(e.x, e.target.ts).ys))(batch)
    wanted = np.mean(np.square(ys - batch.target.ys)[np.asarray(mask)])
    np.testing.assert_allclose(value, wanted, **tolerance())
    assert metrics["evaluations"] == 6 and metrics["failed"] == 0


def test_nan_under_the_mask_never_reaches_value_or_gradient():
    batch = first(4)
    batch = eqx.tree_at(lambda b: b.target.mask, batch, batch.target.mask.at[:, 2].set(False))
    bad = eqx.tree_at(lambda b: b.target.ys, batch, batch.target.ys.at[:, 2].set(jnp.nan))
    total = lambda m, b: ct.objective(ct.losses.squared)(m, b, jax.random.key(0), 0)[0]
    gradient = eqx.filter_jit(eqx.filter_grad(total))
    assert equal(gradient(model(), bad), gradient(model(), batch))


def test_a_weight_is_a_number_or_a_schedule():
    batch, m = first(4), model()
    size = lambda model, output: jnp.sum(output.ys**2)
    value = lambda weight, step: ct.objective(ct.losses.squared, {"size": (weight, size)})(
        m, batch, jax.random.key(0), step
    )

    @jax.jit
    def values():
        half = optax.linear_schedule(0.0, 1.0, 10)
        plain, metrics = value(0.0, 0)
        return plain + 0.5 * metrics["size"], value(0.5, 0)[0], value(half, 5)[0]

    wanted, number, schedule = map(float, values())
    assert number == pytest.approx(wanted, rel=1e-5) and schedule == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="`size`: weight -1"):
        value(-1, 0)


def test_measures_are_read_or_say_what_to_ask_for():
    batch = first(4)
    asked = eqx.tree_at(
        lambda m: m.integrate, model(), ct.Integrate(measures=(ct.measures.local_error, ct.measures.stiffness))
    )
    terms = {"error": (1.0, ct.measures.local_error), "stiffness": (0.1, ct.measures.stiffness)}
    value, metrics = eqx.filter_jit(ct.objective(ct.losses.squared, terms))(asked, batch, jax.random.key(0), 0)
    assert float(value) == pytest.approx(
        float(metrics["loss"] + metrics["error"] + 0.1 * metrics["stiffness"]), rel=1e-5
    )
    with pytest.raises(ValueError, match="local_error.*measures"):
        eqx.filter_eval_shape(ct.objective(ct.losses.squared, terms), model(), batch, jax.random.key(0), 0)


def test_the_horizon_grows_by_mask_with_one_compilation(tolerance):
    horizon = optax.linear_schedule(1, 3, 3)
    step = ct.make_step(ct.objective(ct.losses.squared, transform=ct.growing_horizon(horizon)), optax.adam(1e-2))
    state = step.init(model(), key=jax.random.key(0))
    batch, losses = first(4), []
    for _ in range(4):
        state, metrics = step(state, batch)
        losses.append(metrics["loss"])
    assert step.traces == 1
    two = ct.Windows(series(), 2, starts=series().ys)[jnp.arange(4)]
    short = eqx.filter_jit(ct.objective(ct.losses.squared))(model(), two, jax.random.key(0), 0)[0]
    np.testing.assert_allclose(losses[0], short, **tolerance())


def test_same_seed_same_run_and_a_run_in_two_parts_is_the_same_run():
    def run(*parts):
        step, state = compiled_once(), begun()
        for steps in parts:
            state = ct.fit(step, state, windows(), steps=steps, batch_size=4, progress=False).state
        return state

    assert equal(run(6), run(6))
    assert equal(run(6), run(3, 6))


def test_an_ensemble_is_its_members_trained_alone(tolerance):
    models = eqx.filter_vmap(lambda k: model())(jnp.arange(2))
    twice = lambda x: x * np.array([1, 1.5], x.dtype).reshape(2, *[1] * (x.ndim - 1))
    models = jax.tree.map(lambda x: jnp.asarray(twice(np.asarray(x))) if eqx.is_inexact_array(x) else x, models)
    together = ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2), ensemble=True)
    state = together.init(models, key=jax.random.key(0))
    batch, other = first(13), windows()[jnp.arange(13) // 2]  # each member has its own
    batches = jax.tree.map(lambda a, b: jnp.asarray(np.stack([a, b])), other, batch)
    for _ in range(3):
        state, metrics = together(state, batches)
    assert metrics["loss"].shape == (2,)
    alone = compiled_once()
    single = alone.init(jax.tree.map(lambda x: x[1] if eqx.is_array(x) else x, models), key=jax.random.key(0))
    for _ in range(3):
        single, _ = alone(single, batch)
    for a, b in zip(arrays(state.model), arrays(single.model), strict=True):
        np.testing.assert_allclose(a[1], b, **tolerance())


def test_only_what_is_trainable_moves():
    trainable = lambda m: jax.tree.map(lambda x: x is m.field.mlp.layers[-1].bias, m)
    before = model()
    step, state = step_and_state(trainable=trainable)
    state, _ = step(state, first(4))
    moved = [not np.array_equal(a, b) for a, b in zip(arrays(before), arrays(state.model), strict=True)]
    assert sum(moved) == 1 and moved[-1]


def test_the_callers_model_survives_donation():
    m, step = model(), compiled_once()
    step(step.init(m, key=jax.random.key(0)), first(13))
    assert np.isfinite(arrays(m)[0]).all()


def test_fit_keeps_the_best_and_stops_early(tmp_path):
    step, state = step_and_state()
    scores = iter([3.0, 1.0, jnp.nan, 2.0, 5.0, 0.0])
    seen = []
    result = ct.fit(
        step, state, windows(), steps=100, batch_size=13, every=5, patience=2, progress=False,
        validate=lambda model, data: seen.append(model) or jnp.asarray(next(scores)), folder=tmp_path,
        callbacks=[lambda state, line: seen.append(line["step"])],
    )  # fmt: skip
    assert result.stopped == "early" and [s for s in seen if isinstance(s, int)] == [5, 10, 15, 20, 25]
    assert step.traces == 1
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25] and lines[-1]["loss"] < lines[0]["loss"] * 1.5
    at_ten = ct.fit(compiled_once(), begun(), windows(), steps=10, batch_size=13, progress=False)
    assert equal(result.model, at_ten.model)


def test_keep_last_is_the_last_with_a_finite_validation():
    def run(scores):
        step, state = compiled_once(), begun()
        scores = iter(scores)
        validate = lambda model, data: jnp.asarray(next(scores))
        return ct.fit(
            step, state, windows(), steps=3, batch_size=13, every=1, keep="last", validate=validate, progress=False
        )

    last, second = run([1.0, 2.0, 3.0]), run([1.0, 2.0, jnp.nan])
    assert equal(last.model, last.state.model)
    assert equal(last.state.model, second.state.model) and not equal(second.model, second.state.model)


def test_refresh_replaces_the_data():
    step = compiled_once()
    ct.fit(step, begun(), windows(), steps=1, batch_size=13, progress=False)
    state, calls, before = begun(), [], step.traces

    def refresh(model, data):
        calls.append(1)
        return eqx.tree_at(lambda d: d.starts, data, data.starts + 1)

    result = ct.fit(
        step, state, windows(), steps=6, batch_size=13, every=1, refresh=refresh, refresh_every=2, progress=False
    )
    assert len(calls) == 2 and step.traces == before
    losses = [line["loss"] for line in result.history]
    assert losses[2] > 3 * losses[1]


def test_ctrl_c_returns_the_best_so_far():
    step, state = compiled_once(), begun()
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs the tests in the background

    def interrupt(state, line):
        if line["step"] == 4:
            os.kill(os.getpid(), signal.SIGINT)

    result = ct.fit(step, state, windows(), steps=1000, batch_size=13, every=2, progress=False, callbacks=[interrupt],
                    validate=lambda m, d: jnp.asarray(1.0))  # fmt: skip
    assert result.stopped == "interrupted" and result.history[-1]["step"] < 10
    assert np.isfinite(arrays(result.model)[0]).all()
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_without_a_terminal_is_plain_lines(capsys):
    step, state = compiled_once(), begun()
    ct.fit(step, state, windows(), steps=2, batch_size=13, name="toy")
    said = capsys.readouterr().err
    assert said.startswith("toy: step 2/2, 0 s left, loss ") and said.count("\n") == 1


def test_rows_and_empty_data():
    rows = ct.ArrayDataset({"a": jnp.arange(5.0)})
    assert len(rows) == 5 and rows[jnp.array([1, 3])]["a"].tolist() == [1, 3]
    step, state = compiled_once(), begun()
    with pytest.raises(ValueError, match="data is empty"):
        ct.fit(step, state, ct.ArrayDataset(jnp.zeros((0, 1))), steps=1, batch_size=1)


def test_integers_and_booleans_are_not_trained():
    class Counted(eqx.Module):
        field: eqx.Module
        count: jax.Array
        on: jax.Array

        def __call__(self, t, y, args):
            return jnp.where(self.on, self.field(t, y, args), 0) * self.count.astype(y.dtype)

    m = eqx.tree_at(lambda m: m.field, model(), Counted(model().field, jnp.asarray(2), jnp.asarray(True)))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2))
    state, _ = step(step.init(m, key=jax.random.key(0)), first(4))
    assert int(state.model.field.count) == 2 and bool(state.model.field.on)
    assert not equal(state.model.field.field, m.field.field)


def test_a_grid_of_steps_is_not_trained():
    fixed = ct.Integrate(controller=diffrax.StepTo(jnp.linspace(0.0, 1.0, 5)))
    m = eqx.tree_at(lambda m: m.integrate, model(), fixed)
    trained, rest = compiled_once().split(m)
    assert trained.integrate.controller.ts is None and rest.integrate.controller.ts is not None
    assert len(arrays(trained)) == len(arrays(model()))


def test_options_of_the_compiler_are_the_steps_own(tolerance):
    batch, state = first(4), begun()
    plain, _ = compiled_once()(state, batch)
    draft = ct.make_step(
        ct.objective(ct.losses.squared), optax.adam(1e-2), compiler_options={"xla_backend_optimization_level": 0}
    )
    drafted, _ = draft(draft.init(model(), key=jax.random.key(1)), batch)
    leaves = lambda state: jax.tree.leaves(eqx.filter(state.model, eqx.is_array))
    for one, other in zip(leaves(drafted), leaves(plain), strict=True):
        np.testing.assert_allclose(one, other, **tolerance(10))
    with pytest.raises(TypeError, match="compiler_options: .*where a dictionary of XLA's options is wanted"):
        ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2), compiler_options="fast")
    size = lambda model, *_: (jnp.sum(model.field.mlp.layers[0].weight ** 2), {})
    unknown = ct.make_step(size, optax.adam(1e-2), compiler_options={"no_such_option": 1})
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option: 'no_such_option'"):
        unknown(unknown.init(model(), key=jax.random.key(1)), batch)
