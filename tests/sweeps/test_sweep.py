"""A sweep: each member is what it is alone, the worse half leaves, and a stop changes nothing.

This process has one device. The file itself, run as a script, has two: it prints what it found as JSON.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ctmodels as ct
from ctmodels.sweeps._groups import grouped
from ctmodels.sweeps._points import points_of

pytestmark = pytest.mark.only("float32")

RATES, SEEDS = (1e-2, 3e-2, 1e30, 3e-3), 2  # one of them is lost at once
CALL = {"steps": 16, "batch_size": 4, "seeds": SEEDS, "every": 2, "halve": 1, "at_once": 3, "progress": False}


class Decay(eqx.Module):
    """A model in closed form: of `modes` that decay, their mean."""

    rates: jax.Array
    label: str

    def __call__(self, x, ts=None, *, key=None):
        ys = jnp.outer(jnp.mean(jnp.exp(-jnp.outer(ts, self.rates)), axis=1), x)
        return ct.Output(ys, ct.Stats.none(ts[0]), ys)


def build(key, modes=3, label="decay"):
    return Decay(jax.random.uniform(key, (modes,)), label)


@functools.cache
def data(seed=0):
    rng = np.random.default_rng(seed)
    starts, ts = rng.uniform(0.5, 2.0, (12, 1)), np.tile(np.linspace(0, 1, 5), (12, 1))
    ys = starts[:, None] * np.exp(-2 * ts)[..., None]
    target = ct.collate([ct.Series.from_nan(t, y) for t, y in zip(ts, ys, strict=True)])
    return ct.ArrayDataset(ct.Example(jnp.asarray(starts, target.ys.dtype), target))


def swept(rates=RATES, build=build, **changes):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*were not finite")
        return ct.sweep(
            build, {"learning_rate": rates}, data(), ct.losses.squared, validation=data(1), **{**CALL, **changes}
        )


@functools.cache
def whole():
    return swept()


def arrays(model):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(model, eqx.is_array))]


@pytest.mark.only("float64")
def test_each_member_is_what_it_is_alone(tolerance):
    """Also those that moved to another lane at the halving."""
    step = ct.make_step(ct.objective(ct.losses.squared), optax.inject_hyperparams(optax.adam)(learning_rate=0.0))
    mean = eqx.filter_jit(ct.pooled(ct.losses.squared))
    held_out = data(1)[np.arange(12)]
    judge = lambda model, _: mean(model, held_out, jax.random.key(0))[0]
    for member, row in enumerate(whole().members):
        if row["stopped"] != "finished":
            continue
        start, train = jax.random.split(jax.random.key(row["seed"]))
        state = step.init(build(start), key=train)
        state = eqx.tree_at(lambda s: s.opt_state.hyperparams["learning_rate"], state, jnp.array(row["learning_rate"]))
        alone = ct.fit(step, state, data(), steps=16, batch_size=4, seed=row["seed"], validate=judge, every=2,
                       progress=False)  # fmt: skip
        np.testing.assert_allclose(*(arrays(m)[0] for m in (alone.model, whole().models[member])), **tolerance(5))
        of_it = [(line, line["members"].index(member)) for line in whole().history if member in line["members"]]
        for name in ("loss", "validation"):
            np.testing.assert_allclose(
                [line[name][i] for line, i in of_it], [line[name] for line in alone.history], **tolerance(50)
            )
    assert step.traces == 1


def test_the_worse_half_leaves_and_what_is_lost_is_the_worst_and_said():
    rows = whole().members
    assert [row["stopped"] for row in rows].count("finished") == 4
    assert {row["learning_rate"] for row in rows if row["stopped"] == "not finite"} == {1e30}
    assert all(row["steps"] == (16 if row["stopped"] == "finished" else 8) for row in rows if row["learning_rate"] < 1)
    left, stayed = ([row["validation"] for row in rows if (row["steps"] == 16) == there] for there in (False, True))
    assert max(stayed) < min(score for score in left if np.isfinite(score))
    assert whole().order[-2:] == [4, 5]  # NaN
    assert len(whole().history[-1]["members"]) == 4
    with pytest.warns(RuntimeWarning, match=r"2 of 4 members were not finite.*learning_rate=1e\+30, seed=0; "):
        ct.sweep(build, {"learning_rate": [1e30, 1e-2]}, data(), ct.losses.squared, validation=data(1),
                 **{**CALL, "halve": 0, "steps": 8})  # fmt: skip


def test_table_best_and_figure():
    table, best = whole().table(), whole().members[whole().order[0]]
    assert table["validation"].iloc[0] == best["validation"] == np.nanmin(table["validation"])
    assert list(table.columns[:2]) == ["learning_rate", "seed"] and table.index[0] == whole().order[0]
    assert arrays(whole().best)[0].shape == (3,)
    ax = whole().plot()
    ax.figure.canvas.draw()
    assert {"learning_rate = 0.03", "halved"} <= {t.get_text() for t in ax.get_legend().get_texts()}
    (drawn,) = [line for line in ax.lines if line.get_linewidth() > 2]
    assert drawn.get_ydata().min() == best["validation"]
    assert f"seed={best['seed']})" in repr(whole()) and "<td>halved</td>" in whole()._repr_html_()
    with pytest.raises(ValueError, match="by='width': must be one of 'learning_rate', 'seed'"):
        whole().plot(by="width")


def test_a_stop_changes_nothing(tmp_path):
    class Stop(Exception):
        pass

    def stop(line):
        if line["steps"] == 12:
            raise Stop

    given = {"folder": tmp_path, "save_every": 3}
    with pytest.raises(Stop):
        swept(callbacks=[stop], **given)
    lines = []
    resumed = swept(callbacks=[lines.append], **given)
    assert lines == resumed.history[-4:]  # of steps 10, 12, 14, 16: the checkpoint was at 9
    assert resumed.history == whole().history or json.dumps(resumed.history) == json.dumps(whole().history)  # NaN
    np.testing.assert_equal(resumed.members, whole().members)
    for a, b in zip(resumed.models, whole().models, strict=True):
        np.testing.assert_equal(arrays(a), arrays(b))
    again = swept(callbacks=[stop], **given)  # it was at its end
    np.testing.assert_equal(again.members, whole().members)
    with pytest.raises(ct.DataError, match="(?s)of another run.*every: 2 then, 4 now.*begin anew in another folder"):
        swept(every=4, **given)
    with pytest.raises(ct.DataError, match=r"(?s)of another run.*about\.models"):
        swept(build=lambda key: build(jax.random.fold_in(key, 1)), **given)


def test_an_interrupt_ends_it_after_the_step_and_returns_what_there_is():
    ends = lambda line: signal.raise_signal(signal.SIGINT) if line["steps"] == 4 else None
    found = swept(rates=(1e-2, 3e-2), seeds=1, callbacks=[ends])
    assert {(row["stopped"], row["steps"]) for row in found.members} == {("interrupted", 4)}
    assert found.members[found.order[0]]["validation"] == np.min([line["validation"] for line in found.history])


def test_groups_are_of_one_structure_and_patience_is_each_members_own(tolerance):
    apart = lambda model: jnp.mean((model.rates - 2) ** 2)
    grid = {"modes": [2, 3], "learning_rate": [1e-2, 0.0], "b1": [0.8, 0.9]}
    found = ct.sweep(build, grid, data(), ct.losses.squared, validation=apart,
                     **{**CALL, "halve": 0, "steps": 10, "patience": 1, "seeds": [7]})  # fmt: skip
    assert [row["group"] for row in found.members] == [0] * 4 + [1] * 4
    for row, model in zip(found.members, found.models, strict=True):
        assert arrays(model)[0].shape == (row["modes"],)
        still = row["learning_rate"] == 0.0
        assert (row["stopped"], row["steps"], row["at"]) == (("early", 6, 2) if still else ("finished", 10, 10))
        np.testing.assert_allclose(row["validation"], np.mean((arrays(model)[0] - 2) ** 2), **tolerance())


def test_seeds_that_fall_apart_are_said():
    labelled = lambda key: build(key, label=str(jax.random.key_data(key)))
    with pytest.warns(RuntimeWarning, match="from seed to seed.*define functions outside"):
        groups = grouped(labelled, points_of([{}], labelled, optax.sgd(0.1)), [0, 1])
    assert [group.members for group in groups] == [[0], [1]]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"grid": {"learning_rate": 0.1}}, r"`learning_rate` is 0.1, where the values to try are wanted: \[0.1\]"),
        ({"grid": {"learning_rate": []}}, "`learning_rate` has no value to try"),
        ({"grid": {"depth": [1]}}, "neither `build` nor `optimiser` takes `depth`"),
        ({"grid": {"modes": [1]}}, "adam needs `learning_rate`, which is not in the grid"),
        ({"grid": [{"learning_rate": 0.1}, {"learning_rate": 0.1, "modes": 2}]}, "each point has them all"),
        ({"seeds": [1, 1]}, "seeds that differ"),
        ({"halve": 4}, "halve=4: 8 members and 16 steps can be halved 3 times at most"),
        ({"batch_size": 0}, "batch_size=0: a whole number of at least 1"),
        ({"optimiser": "adam"}, "optimiser: 'adam': give one of optax"),
        ({"validation": lambda model, data: 0.0}, "validation"),
    ],
)
def test_what_is_refused(changes, said):
    given = {"grid": {"learning_rate": RATES}, "validation": data(1), **CALL, **changes}
    with pytest.raises((TypeError, ValueError), match=said):
        ct.sweep(build, given.pop("grid"), data(), ct.losses.squared, **given)


def test_a_mesh_shares_the_members(tolerance):
    """Three members on two devices: a lane is left over, and they move when one half leaves."""
    environment = os.environ | {
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    }
    ran = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    alone = swept(**OF_THREE)
    assert said["devices"] == 2 and said["same"] and said["stopped"] == [row["stopped"] for row in alone.members]
    np.testing.assert_allclose(said["models"], [arrays(m)[0].tolist() for m in alone.models], **tolerance(5))


OF_THREE = {"rates": (1e-2, 3e-2, 3e-3), "seeds": 1, "steps": 8}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        whole_and_again = [swept(mesh=jax.make_mesh((2,), ("member",)), folder=folder, **OF_THREE) for _ in range(2)]
    found, again = whole_and_again
    stopped = [row["stopped"] for row in found.members]
    models = [arrays(m)[0].tolist() for m in found.models]
    same = models == [arrays(m)[0].tolist() for m in again.models]
    print(json.dumps({"devices": len(jax.devices()), "stopped": stopped, "models": models, "same": same}))
