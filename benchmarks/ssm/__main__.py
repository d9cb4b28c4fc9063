"""State-space layers: what a pass costs, beside the convolution alone, the Vandermonde form and PyTorch.

On one core, which it pins; float32. A layer of 64 features and 32 complex modes reads series of 4096 rows: the sum of
squares of its outputs, and its gradient in inputs and parameters. All take turns in one process, warm; medians.
Compilation is not counted.

`x_convolution`: S4D, its kernel included, over the convolution with a kernel that is given. `speedup_vandermonde`,
`speedup_torch`: forward passes of S4D by all the exponentials, in JAX and in PyTorch, over ours.
`irregular_x_regular`: of the layer that [`ctmodels.StateSpace`][] has by default, S5, at gaps of its own, over equal
gaps; `irregular_x_regular_s4d`: of S4D, whose regular form is a convolution; `..._batch`: of eight series, of which
each has gaps of its own, where the kernel is made once. `memory_16k`: megabytes of the gradient of S4D for 16 384 rows.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks._harness import main
from benchmarks._timing import contest, pinned
from ctmodels import layers, ssm


class Setting(NamedTuple):
    length: int = 4096
    features: int = 64
    modes: int = 32
    batch: int = 8


class Given(NamedTuple):
    """Of one series, or of a batch of them."""

    us: jax.Array
    gaps: jax.Array

    @classmethod
    def of(cls, s: Setting, batch: int) -> "Given":
        a, b = jax.random.split(jax.random.key(1))
        gaps = jax.random.uniform(b, (batch, s.length), minval=0.5, maxval=1.5)
        return cls(jax.random.normal(a, (batch, s.length, s.features)), gaps)


def vandermonde(layer: layers.S4D, us, gap):
    """All exponentials of S4D's kernel."""
    poles, C = layer.poles().complex(), layer.C.complex()
    step = (gap * jnp.exp(layer.log_step))[:, None]
    weights = C * (jnp.exp(poles * step) - 1) / poles
    powers = jnp.exp((poles * step)[..., None] * jnp.arange(us.shape[0]))
    K = 2 * jnp.einsum("hn,hnl->hl", weights, powers).real
    return ssm.convolve(K, us.T).T + layer.D[None] * us


def passes(forward: Callable, layer, given: Given) -> dict[str, Callable]:
    """`forward(layer, us, gaps)` of one series."""

    def loss(differentiated, gaps):
        layer, us = differentiated
        return jnp.sum(jax.vmap(forward, in_axes=(None, 0, 0))(layer, us, gaps) ** 2)

    value, gradient = eqx.filter_jit(loss), eqx.filter_jit(eqx.filter_grad(loss))
    return {
        "forward": lambda: jax.block_until_ready(value((layer, given.us), given.gaps)),
        "gradient": lambda: jax.block_until_ready(gradient((layer, given.us), given.gaps)),
    }


REGULAR = lambda layer, us, gaps: layer.convolve(us, jnp.ones(()))
IRREGULAR = lambda layer, us, gaps: layer.scan(layer.start(), us, gaps, every=False)[1]
CONVOLUTION = lambda K, us, gaps: ssm.convolve(K, us.T).T


def by_torch(s: Setting, given: Given) -> dict[str, Callable]:
    """S4D as its authors' minimal form computes it."""
    import torch

    torch.set_num_threads(1)
    poles = (-0.5 + 1j * torch.pi * torch.arange(s.modes)).repeat(s.features, 1).to(torch.complex64)
    C = torch.randn(s.features, s.modes, dtype=torch.complex64)
    log_step = torch.empty(s.features).uniform_(-6.9, -2.3)
    u = torch.tensor(jax.device_get(given.us)).transpose(1, 2)
    parameters = [p.requires_grad_() for p in (poles, C, log_step, u)]

    def loss():
        z = poles * log_step.exp()[:, None]
        powers = (z[..., None] * torch.arange(s.length)).exp()
        K = 2 * torch.einsum("hn,hnl->hl", C * (z.exp() - 1) / poles, powers).real
        size = 2 * s.length
        product = torch.fft.rfft(K, n=size) * torch.fft.rfft(u, n=size)
        return torch.fft.irfft(product, n=size)[..., : s.length].square().sum()

    return {"forward": lambda: loss().detach(), "gradient": lambda: torch.autograd.grad(loss(), parameters)}


def contestants(s: Setting) -> dict[str, dict[str, Callable]]:
    key, one, many = jax.random.key(0), Given.of(s, 1), Given.of(s, s.batch)
    s4d = layers.S4D(s.features, s.modes, key=key)
    others = {
        "S5": layers.S5(s.features, s.modes, key=key),
        "LRU": layers.LRU(s.features, s.modes, key=key),
        "LinOSS": layers.LinOSS(s.features, s.modes, key=key),
    }
    K = s4d.kernel(s.length, jnp.ones(()))
    found = {
        "convolution alone": passes(CONVOLUTION, K, one),
        "S4D, regular": passes(REGULAR, s4d, one),
        "S4D, irregular": passes(IRREGULAR, s4d, one),
        f"S4D, regular, {s.batch} series": passes(REGULAR, s4d, many),
        f"S4D, irregular, {s.batch} series": passes(IRREGULAR, s4d, many),
        "S4D, Vandermonde": passes(lambda layer, us, gaps: vandermonde(layer, us, 1.0), s4d, one),
    }
    for name, layer in others.items():
        found[f"{name}, regular"] = passes(REGULAR, layer, one)
        found[f"{name}, irregular"] = passes(IRREGULAR, layer, one)
    if find_spec("torch"):
        found["S4D, PyTorch"] = by_torch(s, one)
    return found


def memory(s: Setting, length: int) -> list[float]:
    """Megabytes of a gradient of S4D, by its convolution and at gaps of its own."""
    layer = layers.S4D(s.features, s.modes, key=jax.random.key(0))
    found = []
    for forward in (REGULAR, IRREGULAR):
        loss = lambda us, gaps, forward=forward: jnp.sum(forward(layer, us, gaps) ** 2)
        given = Given.of(s._replace(length=length), 1)
        compiled = jax.jit(jax.grad(loss)).lower(given.us[0], given.gaps[0]).compile()
        found.append(compiled.memory_analysis().temp_size_in_bytes / 2**20)
    return found


def run(quick: bool) -> tuple[list[dict], dict]:
    s = Setting(64, 4, 2, 2) if quick else Setting()
    all_of_them = contestants(s)
    turns = {(name, part): work for name, parts in all_of_them.items() for part, work in parts.items()}
    taken = contest(turns, 0.5 if quick else 60.0)
    over = lambda a, b, part="forward": taken[a, part] / taken[b, part]
    rows = [
        {"layer": name, **{f"{part} ms": 1e3 * taken[name, part] for part in ("forward", "gradient")}}
        for name in all_of_them
    ]
    regular, irregular = memory(s, 4 * s.length)
    many = f"{s.batch} series"
    summary = {
        "x_convolution": over("S4D, regular", "convolution alone"),
        "gradient_x_convolution": over("S4D, regular", "convolution alone", "gradient"),
        "speedup_vandermonde": over("S4D, Vandermonde", "S4D, regular"),
        "speedup_torch": over("S4D, PyTorch", "S4D, regular") if "S4D, PyTorch" in all_of_them else None,
        "irregular_x_regular": over("S5, irregular", "S5, regular"),
        "gradient_irregular_x_regular": over("S5, irregular", "S5, regular", "gradient"),
        "irregular_x_regular_s4d": over("S4D, irregular", "S4D, regular"),
        "irregular_x_regular_s4d_batch": over(f"S4D, irregular, {many}", f"S4D, regular, {many}"),
        "memory_16k": regular,
        "memory_16k_irregular": irregular,
        "backend": jax.default_backend(),
    }
    return rows, summary


if __name__ == "__main__":
    pinned("ssm")
    main("ssm", run)
