"""What strangers do, and what they are told: the argument first, whether types are run or not."""

import jaxtyping
import misuses
import pandas as pd
import pytest
from toys import series, windows

import ctmodels as ct

pytestmark = pytest.mark.only("float32")


@pytest.mark.parametrize("name", misuses.MISUSES)
def test_a_stranger_is_told_the_argument_and_the_remedy(name):
    message = misuses.told(name)
    assert misuses.fits(name, message), message


def test_the_message_is_the_same_where_types_are_not_run():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        told = {name: misuses.told(name) for name in misuses.MISUSES}
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    wrong = {name: said for name, said in told.items() if not misuses.fits(name, said)}
    assert not wrong


def short(x) -> str:
    text = str(x)
    assert text == repr(x) and text.count("\n") == 0 and len(text) < 300, text
    return text


def test_what_is_printed_is_short():
    table = ct.data.co2()
    assert short(table).endswith("2284 rows, date 0 to 15981 days since 1958-03-29; 'co2_ppm')")
    assert short(ct.data.Trials(("a", "b"), (table, table))).startswith(
        "Trials(2 of 2284 rows; 'co2_ppm'; ids 'a', 'b'"
    )
    step, state = misuses.step(), misuses.step().init(misuses.model(), key=misuses.KEY)
    result = ct.fit(step, state, windows(), steps=2, batch_size=4, progress=False)
    assert short(result).startswith("FitResult(NeuralODE; finished; step 2, loss 0.")


def stopped(monkeypatch):
    """The arguments with which the job would begin to train."""
    from ctmodels.reconstruction import _reconstruct

    begun = []

    def begin(candidate, problem, trials, recipe, seed, **run):
        begun.append((candidate.name, trials.series, recipe, seed))
        raise KeyboardInterrupt

    monkeypatch.setattr(_reconstruct, "train", begin)

    def run(*args, **kwargs):
        with pytest.raises(KeyboardInterrupt):
            ct.reconstruct(*args, progress=False, **kwargs)
        return begun[-1]

    return run


def test_reconstruct_takes_paths_and_frames_of_pandas(tmp_path, monkeypatch):
    run, path = stopped(monkeypatch), ct.data.bundled_path("lynx_hare")
    wanted = run(ct.data.lynx_hare(), models=["neural"])[1]
    frame = pd.read_csv(path)
    for data, how in (
        (path, {"time": "year"}),
        (str(path), {"time": "year"}),
        (path, {"time": "year", "columns": ["hare", "lynx"]}),
        (frame, {"time": "year"}),
        (frame.set_index("year"), {}),
    ):
        found = run(data, models=["neural"], **how)[1]
        assert all((a == b).all() for a, b in zip((found.ts, found.ys), (wanted.ts, wanted.ys), strict=True))
    with pytest.raises(ct.DataError, match="^`time`: which column of data holds the times must be said"):
        ct.reconstruct(frame)


def test_reconstruct_takes_steps_and_members(monkeypatch):
    run, recipe = stopped(monkeypatch), ct.reconstruction.Recipe(members=3, steps=30, window=6, free_starts=True)
    asked = lambda **how: run(series(30), models=["neural"], **how)[2]
    assert (asked(steps=7).steps, asked(steps=7).members) == (7, 4)
    assert (asked(steps=7, members=1, recipe=recipe)) == ct.reconstruction.Recipe(1, 7, 6, free_starts=True)
    assert asked(recipe=lambda samples: recipe) == recipe
    quick, full = (asked(recipe=r) for r in (ct.reconstruction.Recipe.quick, ct.reconstruction.Recipe.default))
    assert (quick.steps, quick.members) == (full.steps // 8, full.members // 2)
