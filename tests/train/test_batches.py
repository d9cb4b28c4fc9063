"""Data on the host: NumPy's arrays, memmaps, lists and data sets of any kind train as rows on the device do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import arrays, compiled_once, equal, first, model, series, windows

import ctmodels as ct

pytestmark = pytest.mark.only("float32")


def examples(n=8):
    return jax.tree.map(lambda x: np.array(x[:n]), first(13))


def one(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


class Taking:
    """A data set that takes its indices in one way only."""

    def __init__(self, take, n=8):
        self.tree, self.take, self.asked, self.n = examples(n), take, 0, n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.asked += 1
        return one(self.tree, self.take(index))


def only(kind):
    def take(index):
        if not isinstance(index, kind):
            raise TypeError(f"no {kind.__name__}")
        return index

    return take


def memmapped(tmp_path):
    def put(x):
        name = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
        np.save(name, x)
        return np.load(name, mmap_mode="r")

    return ct.ArrayDataset(jax.tree.map(put, examples()))


def flat_only(index):
    assert index.ndim == 1
    return index


KINDS = {
    "NumPy": lambda _: ct.ArrayDataset(examples()),
    "a memmap": memmapped,
    "a list": lambda _: [one(examples(), i) for i in range(8)],
    "a list on the device": lambda _: [jax.tree.map(jnp.asarray, one(examples(), i)) for i in range(8)],
    "an array of indices": lambda _: Taking(only(np.ndarray)),
    "one row of indices": lambda _: Taking(flat_only),
    "a list of indices": lambda _: Taking(only(list)),
    "one number at a time": lambda _: Taking(only(int)),
}


def run(data, *parts, ensemble=False, **kwargs):
    step = ensemble_step() if ensemble else compiled_once()
    for steps in parts:
        start = eqx.filter_vmap(lambda f: jax.tree.map(lambda x: f * x if eqx.is_inexact_array(x) else x, model()))
        first = start(jnp.array([1.0, 1.5])) if ensemble else model()
        state = step.init(first, key=jax.random.key(1))
        result = ct.fit(step, state, data, steps=steps, batch_size=4, progress=False, **kwargs)
    return result


STEPS = []


def ensemble_step():
    if not STEPS:
        STEPS.append(ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2), ensemble=True))
    return STEPS[0]


@pytest.mark.parametrize("ensemble", [False, True], ids=["one", "ensemble"])
@pytest.mark.parametrize("kind", KINDS)
def test_data_on_the_host_train_as_on_the_device(kind, ensemble, tmp_path):
    on_device = ct.ArrayDataset(jax.tree.map(jnp.asarray, examples()))
    wanted = run(on_device, 3, ensemble=ensemble)
    found = run(KINDS[kind](tmp_path), 3, ensemble=ensemble)
    assert equal(found.state.model, wanted.state.model) and found.history == wanted.history


@pytest.mark.parametrize("kind", ["a memmap", "a list", "one number at a time"])
def test_they_go_on_from_a_checkpoint(kind, tmp_path):
    (tmp_path / "data").mkdir()
    data = KINDS[kind](tmp_path / "data")
    broken = run(data, 2, 5, folder=tmp_path / "run", resume=True)
    assert equal(broken.state.model, run(data, 5).state.model)


@pytest.mark.parametrize("kind", ["a memmap", "a list"])
def test_refreshed_data_are_given_as_they_came_and_kept_in_checkpoints(kind, tmp_path):
    (tmp_path / "data").mkdir()
    seen = []

    def refresh(model, data):
        seen.append(type(data))
        return jax.tree.map(lambda x: x + np.ones((), x.dtype) if x.dtype.kind == "f" else x, data)

    data = KINDS[kind](tmp_path / "data")
    how = {"refresh": refresh, "refresh_every": 2}
    wanted = run(ct.ArrayDataset(jax.tree.map(jnp.asarray, examples())), 5, **how)
    broken = run(data, 3, 5, folder=tmp_path / "run", resume=True, **how)
    assert equal(broken.state.model, wanted.state.model) and set(seen[2:]) == {type(data)}
    with pytest.raises(TypeError, match="^data: a Taking is no PyTree of arrays, so that no checkpoint could hold"):
        run(Taking(only(list)), 3, folder=tmp_path / "other", **how)


def test_a_data_set_is_asked_anew_each_time_and_only_for_its_batch():
    data = Taking(only(np.ndarray))
    run(data, 5)
    assert data.asked == 5


def test_numbers_of_other_types_are_those_of_the_device():
    """Files hold float64 whatever the models compute in, and plain lists."""
    wide = jax.tree.map(lambda x: x.astype(float) if x.dtype.kind == "f" else x, examples())
    wanted = run(ct.ArrayDataset(examples()), 2)
    for a, b in zip(arrays(run(ct.ArrayDataset(wide), 2).state.model), arrays(wanted.state.model), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


BAD = {
    "a dict": ({"x": np.zeros(3)}, TypeError, "^data: a dict has no rows to draw from: give ct.ArrayDataset"),
    "a tuple": ((np.zeros(3), np.zeros(3)), TypeError, "^data: a tuple has no rows to draw from: give ct.ArrayDataset"),
    "a series": (series(), TypeError, "^data: a Series has not both `len` and `data.indices.`"),
    "an example": (examples(), TypeError, "^data: an Example has not both `len` and .* give ct.ArrayDataset"),
    "a generator": (iter([1]), TypeError, "^data: a list_iterator has not both `len` and"),
    "nothing": ([], ValueError, "^data is empty"),
    "unequal": (
        [np.zeros(3), np.zeros(3), np.zeros(4), np.zeros(3)],
        ValueError,
        r"^data\[2\]: an array of float64, shape \(4,\).*ct.collate",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_rows_is_refused(name):
    data, error, message = BAD[name]
    with pytest.raises(error, match=message):
        run(data, 1)


def test_a_data_set_that_fails_says_what_it_was_asked():
    with pytest.raises(TypeError, match="no set") as error:
        run(Taking(only(set)), 1)
    assert (
        "asked for a batch with the indices as a NumPy array (4,), as a list, and one by one"
        in error.value.__notes__[0]
    )


NUMBERS = {
    "steps": (-1, "steps=-1: a whole number of at least 0"),
    "batch_size": (0, "batch_size=0: a whole number of at least 1"),
    "every": (0, "every=0"),
    "patience": (-2, "patience=-2"),
    "refresh_every": (-1, "refresh_every=-1"),
    "save_every": (2.5, "save_every=2.5: a whole number is needed"),
    "keep_checkpoints": (True, "keep_checkpoints=True: a whole number is needed, and not a boolean"),
    "seed": (-1, "seed=-1: a whole number from 0 to 4294967295 is needed"),
    "keep": ("first", "keep='first': must be one of 'best', 'last'"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_fit_out_of_their_range(name):
    value, message = NUMBERS[name]
    given = {"steps": 1, "batch_size": 1} | {name: value}
    step = compiled_once()
    with pytest.raises(ValueError, match=f"^{message}"):
        ct.fit(step, step.init(model(), key=jax.random.key(1)), windows(), progress=False, **given)


def test_fit_given_a_model_or_an_objective_says_what_it_wants():
    step = compiled_once()
    state = step.init(model(), key=jax.random.key(1))
    with pytest.raises(TypeError, match=r"^state: a NeuralODE, where a State is wanted: step.init\(model"):
        ct.fit(step, model(), windows(), steps=1, batch_size=1)
    with pytest.raises(TypeError, match="^step: the function total, where what ct.make_step"):
        ct.fit(ct.objective(ct.losses.squared), state, windows(), steps=1, batch_size=1)
