"""The integrator against torchdiffeq's values and gradients (tests/reference/torchdiffeq.json), and against diffrax."""

import json
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

pytestmark = pytest.mark.only("float64")

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "torchdiffeq.json").read_text(encoding="utf-8"))
TIGHT = diffrax.PIDController(rtol=1e-11, atol=1e-12)


def lv(t, y, p):
    return jnp.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[3] * y[0] * y[1] - p[2] * y[1]])


def vdp1(t, y, p):
    return jnp.stack([y[1], p[0] * (1 - y[0] ** 2) * y[1] - y[0]])


def lorenz(t, y, p):
    return jnp.stack([p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]])


def spiral(t, y, p):
    return y**3 @ p


@pytest.mark.parametrize("field", [lorenz, *(pytest.param(f, marks=pytest.mark.slow) for f in (lv, vdp1, spiral))])
def test_values_and_gradients_are_torchdiffeqs(field, within):
    known = {k: jnp.asarray(v) for k, v in REFERENCE[field.__name__].items()}
    integrate = ct.Integrate(diffrax.Dopri5(), TIGHT, max_steps=8192, adjoint=ct.DiscreteAdjoint(128))

    @jax.jit
    def loss(y0, p, ts):
        ys, stats = integrate(field, ts, y0, p)
        return jnp.sum(ys * jnp.cos(jnp.arange(ys.size, dtype=ys.dtype)).reshape(ys.shape)) / ys.shape[0], (ys, stats)

    (value, (ys, stats)), gradient = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(
        known["y0"], known["p"], known["t"]
    )
    assert stats.status == 0
    close = within(1e-8, absolute=1e-8)
    np.testing.assert_allclose(ys[-1], known["y1"], **close)
    np.testing.assert_allclose(ys[len(ys) // 2], known["y_middle"], **close)
    np.testing.assert_allclose(value, known["loss"], **close)
    for ours, theirs in zip(gradient, (known["g_y0"], known["g_p"], known["g_t"]), strict=True):
        np.testing.assert_allclose(ours, theirs, **within(1e-6, absolute=1e-7))


PI = dict(pcoeff=0.3, icoeff=0.3, dcoeff=0.1, dtmax=0.4, factormax=3.0)


LATER = [(diffrax.Bosh3(), PI), (diffrax.Tsit5(), PI), (diffrax.Dopri8(), {})]


@pytest.mark.parametrize(
    "method, pi",
    [(diffrax.Heun(), PI), (diffrax.Tsit5(), {}), *(pytest.param(*row, marks=pytest.mark.slow) for row in LATER)],
)
def test_the_same_steps_as_diffrax(method, pi, tolerance):
    """Given the same first step, the same steps, states and counts."""
    tol = 1e-6
    controller = diffrax.PIDController(rtol=tol, atol=tol, **pi)
    ts, y0, p = jnp.linspace(0.0, 4.0, 9), jnp.array([2.0, 0.0]), jnp.array([1.0])
    ours = ct.Integrate(method, controller, max_steps=4096)
    first = first_step_of(ours, ts, y0, p)
    ys, stats = ours(vdp1, ts, y0, p)
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(vdp1), method, ts[0], ts[-1], first, y0, p,
        saveat=diffrax.SaveAt(ts=ts), stepsize_controller=controller,
    )  # fmt: skip
    np.testing.assert_allclose(ys, sol.ys, **tolerance(10))
    assert abs(int(stats.accepted) - int(sol.stats["num_accepted_steps"])) <= 1  # the last one is clipped otherwise


def first_step_of(integrate, ts, y0, args) -> float:
    from ctmodels._integrate import accepted_times

    every = ct.Integrate(integrate.method, integrate.controller, max_steps=4096, adjoint=ct.DiscreteAdjoint(4096))
    return float(accepted_times(every, vdp1, ts, y0, args)[1])
