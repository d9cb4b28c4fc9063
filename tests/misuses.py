"""What strangers do to the library, and what each is told: the same with and without the types that the tests run."""

import re

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from toys import first, model, series, step_and_state, windows

import ctmodels as ct

TS = np.linspace(0, 1, 5).astype(np.float32)
KEY = jax.random.key(0)


def values(*shape):
    return np.ones(shape, np.float32)


def cde():
    return ct.NeuralCDE(2, 4, 2, width=4, key=KEY)


def batch():
    return ct.collate([series(6), series(8)])


def step():
    return step_and_state()[0]


def objective(loss, *more, **kwargs):
    def run():
        return ct.objective(loss, *more, **kwargs)(model(), first(2), KEY, 0)

    return run


def fitted(data, **kwargs):
    return lambda: ct.fit(step(), step().init(model(), key=KEY), data, steps=1, batch_size=2, **kwargs)


def latent():
    encoder = ct.ReverseGRUEncoder(2, 4, key=KEY)
    make = lambda inside, out: eqx.nn.Linear(inside, out, key=KEY)
    return ct.LatentODE(encoder, make(5, 4), ct.fields.MLPField(2, key=KEY), make(2, 2))


READERS = {
    "NeuralCDE": cde,
    "LogNCDE": lambda: ct.LogNCDE(2, 4, 2, window=2, width=4, key=KEY),
    "ODERNN": lambda: ct.ODERNN(2, 4, 2, width=4, key=KEY),
    "GRUODEBayes": lambda: ct.GRUODEBayes(2, 4, key=KEY),
    "LatentODE": latent,
}

MISUSES = {
    # Integrate
    "RK4 without a grid": (
        lambda: ct.Integrate(ct.RK4()),
        r"controller: RK4 estimates no error, .* ct.Integrate\(RK4\(\), ct.Substeps\(1\)\)",
    ),
    "Euler without a grid": (lambda: ct.Integrate(diffrax.Euler()), "controller: Euler estimates no error"),
    "a class as method": (lambda: ct.Integrate(ct.RK4), r"method: the class RK4: call it, method=RK4\(...\)"),
    "a word as method": (lambda: ct.Integrate("Tsit5"), r"method: 'Tsit5', where a method .* diffrax.Tsit5\(\)"),
    "a number as controller": (
        lambda: ct.Integrate(ct.RK4(), 0.1),
        r"controller: 0.1, where a controller is wanted, as ct.Substeps\(4\)",
    ),
    "a class as controller": (lambda: ct.Integrate(ct.RK4(), ct.Substeps), "controller: the class Substeps: call it"),
    "a word as adjoint": (lambda: ct.Integrate(adjoint="backsolve"), "adjoint: 'backsolve', where an? adjoint"),
    "a function as measure": (
        lambda: ct.Integrate(measures=(lambda step: step.h,)),
        r"measures: the function <lambda>, where a measure is wanted, .* ct.measures.measure\(function\)",
    ),
    "one measure by itself": (
        lambda: ct.Integrate(measures=ct.measures.kinetic),
        r"measures: a Measure, where a tuple of measures is wanted, measures=\(ct.measures.local_error,\)",
    ),
    "the largest of a function": (
        lambda: ct.measures.maximum_over_steps(lambda step: step.h),
        r"maximum_over_steps: the function <lambda>, .* ctmodels.measures.measure\(function\)",
    ),
    "the largest of one step": (
        lambda: ct.measures.maximum_over_steps(ct.measures.local_measure()),
        "maximum_over_steps: `local_error_unbiased` is of one step",
    ),
    "a measure of a measure": (
        lambda: ct.measures.measure(ct.measures.kinetic),
        "measure: a Measure, where a function of one ctmodels.measures.Step",
    ),
    "no function as field": (lambda: ct.Integrate()(0.5, jnp.asarray(TS), jnp.ones(2)), "field: 0.5, where a function"),
    "a list of save times": (
        lambda: ct.Integrate()(lambda t, y, args: y, [0.0, 1.0], jnp.ones(2)),
        r"ts: a list, where an array of times \(time,\) is wanted: jnp.asarray\(ts\)",
    ),
    "a batch of save times": (
        lambda: ct.Integrate()(lambda t, y, args: y, jnp.ones((3, 5)), jnp.ones(2)),
        r"ts: shape \(3, 5\): a solve is of one sample.*jax.vmap",
    ),
    "a seed as a solve's key": (
        lambda: ct.Integrate()(lambda t, y, args: y, jnp.asarray(TS), jnp.ones(2), key=0),
        r"key: 0 is no key of random numbers: give key=jax.random.key\(0\)",
    ),
    # models that start from a state
    "a batch of starts": (
        lambda: model()(values(8, 2), TS),
        r"x: shape \(8, 2\): NeuralODE starts from the state of one sample, .*jax.vmap\(model\)",
    ),
    "a batch of driven starts": (lambda: model()(ct.Driven(jnp.ones((8, 2))), TS), r"x: shape \(8, 2\): .*jax.vmap"),
    "a batch of times": (lambda: model()(values(2), values(8, 5)), r"ts: shape \(8, 5\): .*jax.vmap"),
    "one time": (lambda: model()(values(2), np.float32(1)), r"ts: 1.0, where an array of times"),
    "a series given to a neural ODE": (lambda: model()(series(), TS), r"x: a Series, where NeuralODE starts .*ys\[0\]"),
    "a list as start": (lambda: model()([1.0, 2.0], TS), r"x: a list, .*jnp.asarray\(x\)"),
    "a number as start": (lambda: model()(1.0, TS), r"x: 1.0, where NeuralODE starts from a state"),
    "a list of times": (lambda: model()(values(2), [0.0, 1.0]), r"ts: a list, where an array of times \(time,\)"),
    "windows given to a model": (lambda: model()(windows(), TS), "x: a Windows, .*these are data to draw batches from"),
    "windows without starts": (
        lambda: model()(ct.Windows(series(), 4)[jnp.arange(2)].x, TS),
        r"x: a FreeStart, .*these windows have no starts: .*ct.Shooting\(model, starts\)",
    ),
    "an example given to a model": (
        lambda: model()(ct.Example(values(2), series()), TS),
        r"x: an Example, .*model\(example.x, example.target.ts\)",
    ),
    "a seed as a model's key": (lambda: model()(values(2), TS, key=0), r"key: 0 is no key .*jax.random.key\(0\)"),
    "starts given to Shooting": (
        lambda: ct.Shooting(model(), jnp.ones((3, 2)))(ct.Driven(jnp.ones(2)), TS),
        "x: a Driven, where Shooting takes the FreeStart of windows without starts",
    ),
    # models that read a series
    **{
        f"{name}: {what}": (lambda make=make, x=x: make()(x() if callable(x) else x), f"x: {told}")
        for name, make in READERS.items()
        for what, x, told in (
            ("an array", values(5, 2), f"an array of float32, shape .5, 2., where {name} reads a Series"),
            ("a list", [1.0, 2.0], f"a list, where {name} reads a Series"),
            ("a batch", batch, rf"a Series with times of shape \(2, 8\): {name} reads one series.*jax.vmap"),
        )
    },
    "a seed as a reader's key": (lambda: cde()(series(), key=1), r"key: 1 is no key .*jax.random.key\(1\)"),
    "a list of times for a reader": (lambda: cde()(series(), [0.5]), "ts: a list, where an array of times"),
    "a seed as the key of a new model": (
        lambda: ct.NeuralCDE(2, 4, 2, key=0),
        r"key: 0 is no key .*jax.random.key\(0\)",
    ),
    "a seed as the key of a new field": (
        lambda: ct.fields.MLPField(2, key=3),
        r"key: 3 is no key .*jax.random.key\(3\)",
    ),
    # data
    "collate of one series": (
        lambda: ct.collate(series()),
        r"series: a Series of shape \(16, 2\) is one: .*collate\(\[series\]\)",
    ),
    "collate of a batch": (lambda: ct.collate(batch()), "series: a Series of shape .* is a batch already"),
    "collate of unequal channels": (
        lambda: ct.collate([series(), series()[:4], ct.paths.with_time(series())]),
        r"series\[2\]: 3 channels, and series\[0\] has 2",
    ),
    "collate of arrays": (
        lambda: ct.collate([values(5, 2)]),
        r"series\[0\]: an array of float32, shape \(5, 2\), where a Series",
    ),
    "buckets of one series": (lambda: ct.bucket_by_length(series()), "series: a Series of shape"),
    "windows of an array": (lambda: ct.Windows(values(9, 2), 3), "series: an array of float32, .*Series.from_nan"),
    "windows of a batch": (lambda: ct.Windows(batch(), 3), "series: a Series of shape .* is a batch"),
    "windows of half a sample": (lambda: ct.Windows(series(), 2.5), "length=2.5: a whole number is needed"),
    # losses and objectives
    "the name of a loss": (
        objective("squared"),
        r"loss: 'squared', a text: .*\(model, example, key\).*ct.losses.squared",
    ),
    "a loss that has to be made": (
        objective(ct.losses.gaussian),
        r"loss: gaussian\(deviation.*\): loss is called as \(model, example, key\) .*call it first",
    ),
    "a loss of other arguments": (
        objective(lambda predicted, wanted: 0.0),
        r"loss: <lambda>\(predicted, wanted\): loss is called as \(model, example, key\)",
    ),
    "a loss that returns a number": (
        objective(lambda model, example, key: jnp.zeros(())),
        r"loss: .*lambda> returned an array of float.*, shape \(\): a loss returns \(sum, weight, Output\)",
    ),
    "a loss that returns two things": (
        objective(lambda model, example, key: (jnp.zeros(()), jnp.ones(()))),
        r"loss: .*returned 2 things",
    ),
    "a loss that is no scalar": (
        objective(lambda model, example, key: (jnp.zeros(3), jnp.ones(()), model(example.x, example.target.ts))),
        r"loss: .*returned a sum of shape \(3,\)",
    ),
    "a regulariser of other arguments": (
        objective(ct.losses.squared, {"small": (1.0, lambda model: 0.0)}),
        r"regulariser `small`: .*called as \(model, output\)",
    ),
    "a regulariser without a weight": (
        objective(ct.losses.squared, {"small": ct.regularisers.kl}),
        "regularisers: `small` is the function kl, where a pair",
    ),
    "a divergence of a model that has none": (
        objective(ct.losses.squared, {"kl": (1.0, ct.regularisers.kl)}),
        "kl: NeuralODE returns no divergence",
    ),
    "regularisers in a list": (
        objective(ct.losses.squared, [ct.regularisers.kl]),
        "regularisers: a list, where a dict",
    ),
    "a transform of other arguments": (
        objective(ct.losses.squared, None, lambda example: example),
        r"transform: .*called as \(example, key, step\)",
    ),
    "rows without an example": (
        lambda: ct.fit(
            step(), step().init(model(), key=KEY), ct.ArrayDataset((values(4, 2), values(4, 2))), steps=1, batch_size=2
        ),
        r"example: a tuple, where a loss takes a ct.Example.*ct.ArrayDataset\(ct.Example\(xs, targets\)\)",
    ),
    "rows of arrays": (
        fitted(ct.ArrayDataset(values(4, 2))),
        r"example: an array of float32, shape \(2,\), where a loss takes a ct.Example",
    ),
    # training
    "fit given a model": (
        lambda: ct.fit(step(), model(), windows(), steps=1, batch_size=1),
        r"state: a NeuralODE, where a State is wanted: step.init\(model, key=",
    ),
    "fit given an objective": (
        lambda: ct.fit(ct.objective(ct.losses.squared), model(), windows(), steps=1, batch_size=1),
        "step: the function total, where what ct.make_step",
    ),
    "fit of an array of one number": (
        fitted(np.float32(1)),
        "data: .* has no rows to draw from",
    ),
    "the class of an optimiser": (
        lambda: ct.make_step(ct.objective(ct.losses.squared), optax.adam),
        "optimiser: the function adam has no `init` and `update`; call it",
    ),
    "no objective": (lambda: ct.make_step("squared", optax.adam(1e-3)), "objective: 'squared', where a function"),
    "a seed as a step's key": (lambda: step().init(model(), key=0), r"key: 0 is no key .*jax.random.key\(0\)"),
    "a negative seed": (
        fitted(windows(), seed=-1),
        "seed=-1: a whole number from 0 to",
    ),
    # the main job
    "reconstruct of an array": (lambda: ct.reconstruct(values(9, 2)), r"data: an array .*ct.Series.from_nan\(ts, ys\)"),
    "reconstruct of a batch": (lambda: ct.reconstruct(batch()), "data: a Series of shape .* is a batch"),
    "reconstruct without the time": (
        lambda: ct.reconstruct(ct.data.bundled_path("lynx_hare")),
        r"`time`: which column of .*lynx_hare.csv holds the times must be said: time=...; there are 'year', 'hare'",
    ),
    "reconstruct of a series with times": (lambda: ct.reconstruct(series(), time="t"), "`time`: a Series has its own"),
    **{
        f"reconstruct({name}={value!r})": (
            lambda name=name, value=value: ct.reconstruct(series(), **{name: value}),
            told,
        )
        for name, value, told in (
            ("seed", -1, "seed=-1: a whole number from 0 to 4294967295 is needed"),
            ("steps", 0, "steps=0: a whole number of at least 1"),
            ("members", 2.5, "members=2.5: a whole number is needed"),
            ("horizon", -3, "horizon=-3: a whole number of at least 1"),
            ("season", 0, "season=0: a whole number of at least 1"),
            ("season", "year", "season='year': a whole number is needed"),
            ("held_out", 0, "held_out=0: a fraction between 0 and 1, or"),
            ("held_out", -5, "held_out=-5: a fraction between 0 and 1, or"),
            ("held_out", 1.5, "held_out=1.5: a fraction between 0 and 1, or"),
            ("held_out", True, "held_out=True: a fraction such as 0.2, or"),
            ("inputs", "u", r"inputs='u': a list of names is wanted: inputs=\['u'\]"),
            ("models", "neural", r"models='neural': a list of names is wanted: models=\['neural'\]"),
            ("recipe", 100, "recipe: 100, where a Recipe"),
        )
    },
    "a recipe of no members": (lambda: ct.reconstruction.Recipe(members=0), "members=0: a whole number of at least 1"),
    "a negative seed of a split": (
        lambda: ct.data.Trials(("a", "b"), (ct.data.lynx_hare(),) * 2).split_by_trial(1, seed=-2),
        "seed=-2: a whole number from 0 to",
    ),
}


def told(name: str) -> str:
    """What is said, or what happened instead."""
    try:
        MISUSES[name][0]()
    except Exception as error:
        kind = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
        return kind + str(error)
    return "nothing was said"


def fits(name: str, message: str) -> bool:
    return re.match(MISUSES[name][1], message, re.DOTALL) is not None and len(message) < 500
