"""Laws of a few components, solved for many lanes: how much a gradient costs, beside other libraries.

On one core, which it pins, unless there is a GPU. Each lane has a start and parameters of its own; Tsit5 with rtol =
atol = 1e-8 in float64 and 1e-5 in float32, saved at both ends. The loss is the mean square of the ends, its gradient is
in starts and parameters, and in the weights where the field has some. All take turns in one process, warm; medians.
Compilation is not counted, but for `first_call_s`: the gradient's, in seconds of the processor.

`gradient_x_forward`: our gradient over our forward pass, with steps of its own for each lane;
`shared_gradient_x_forward`: with one step for all. `speedup_*`: the peer's gradient over ours, `shared_speedup_*`: over
ours with one step; `forward_speedup_*` likewise. gradsolve (float64 only) records its steps once, which is not counted,
and replays them; torchdiffeq has one step for all; SciPy's `solve_ivp` is a loop over lanes, forwards only, of which a
few are timed. `growth`: time per lane, at most lanes over fewest.
"""

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._harness import main
from benchmarks._timing import contest, pinned

MAX_STEPS = 512
TOLERANCE = {"float32": 1e-5, "float64": 1e-8}
CASES = [
    *(("lorenz", lanes, "float64") for lanes in (32, 128, 256, 1024, 8192)),
    *(("lorenz", lanes, "float32") for lanes in (128, 1024)),
    *(
        (law, 1024, precision)
        for law in ("lotka_volterra", "fitzhugh_nagumo", "pendulum", "lorenz96", "hybrid", "mlp")
        for precision in ("float64", "float32")
    ),
]
QUICK = [("lotka_volterra", 8, "float32"), ("mlp", 8, "float32")]


class Law(NamedTuple):
    """`f(xp, t, y, p)`: the slope's components, of the state's and parameters' components, by any array module."""

    f: Callable[..., Sequence]
    start: tuple[float, ...]
    parameters: tuple[float, ...]
    until: float
    learned: bool = False  # whether an MLP of the state is added
    known: bool = True


def lorenz(xp, t, y, p):
    a, b, c = y
    return 10.0 * (b - a), a * (p[0] - c) - b, a * b - 8 / 3 * c


def lotka_volterra(xp, t, y, p):
    prey, predator = y
    return prey * (p[0] - p[1] * predator), predator * (p[2] * prey - p[3])


def fitzhugh_nagumo(xp, t, y, p):
    v, w = y
    return v - v * v * v / 3 - w + p[0], 0.08 * (v + 0.7 - 0.8 * w)


def pendulum(xp, t, y, p):
    angle, speed = y
    return speed, -p[0] * xp.sin(angle) - 0.1 * speed + p[1] * xp.cos(2.0 * t)


def lorenz96(xp, t, y, p):
    n = len(y)
    return tuple((y[(i + 1) % n] - y[i - 2]) * y[i - 1] - y[i] + p[0] for i in range(n))


LAWS = {
    "lorenz": Law(lorenz, (0.0, 0.0, 25.0), (28.0,), 1.0),
    "lotka_volterra": Law(lotka_volterra, (2.0, 1.0), (1.1, 0.4, 0.1, 0.4), 10.0),
    "fitzhugh_nagumo": Law(fitzhugh_nagumo, (-1.0, 1.0), (0.5,), 20.0),
    "pendulum": Law(pendulum, (1.0, 0.0), (9.8, 1.0), 5.0),
    "lorenz96": Law(lorenz96, (8.0, 8.1, *(8.0,) * 8), (8.0,), 1.0),
    "hybrid": Law(lorenz, (0.0, 0.0, 25.0), (28.0,), 1.0, learned=True),
    "mlp": Law(lorenz, (0.3, -0.3, 0.1), (1.0,), 4.0, learned=True, known=False),
}


class Ensemble(NamedTuple):
    """A law with its lanes: starts, parameters of each lane, and weights, if any."""

    law: Law
    mlp: eqx.nn.MLP | None
    y0: Any
    p: Any
    tolerance: float

    @classmethod
    def of(cls, name: str, lanes: int, precision: str) -> "Ensemble":
        law, rng = LAWS[name], np.random.default_rng(0)
        y0 = np.asarray(law.start) + 0.1 * rng.normal(size=(lanes, len(law.start)))
        p = np.asarray(law.parameters) * rng.uniform(0.9, 1.1, size=(lanes, len(law.parameters)))
        size = len(law.start)
        mlp = eqx.nn.MLP(size, size, 64, 2, jax.nn.tanh, key=jax.random.key(0)) if law.learned else None
        return cls(law, mlp, jnp.asarray(y0, precision), jnp.asarray(p, precision), TOLERANCE[precision])

    def field(self, mlp, t, y, p):
        known = jnp.stack(self.law.f(jnp, t, [y[i] for i in range(y.shape[0])], p)) if self.law.known else 0 * y
        return known if mlp is None else known + p[0] * mlp(y)

    def passes(self, ends: Callable) -> dict[str, Callable]:
        """Forward and gradient, by `ends(field, y0, p)` of one lane."""

        def loss(of):
            mlp, y0, p = of
            return jnp.mean(jax.vmap(lambda y, p: ends(lambda t, y, p: self.field(mlp, t, y, p), y, p))(y0, p) ** 2)

        of = self.mlp, self.y0, self.p
        forward, gradient = eqx.filter_jit(loss), eqx.filter_jit(eqx.filter_grad(loss))
        return {
            "forward": lambda: jax.block_until_ready(forward(of)),
            "gradient": lambda: jax.block_until_ready(gradient(of)),
        }


def ours(ensemble: Ensemble, batching: str) -> dict[str, Callable]:
    tol = ensemble.tolerance
    controller = diffrax.PIDController(rtol=tol, atol=tol)
    solver = ct.Integrate(diffrax.Tsit5(), controller, max_steps=MAX_STEPS, batching=batching)
    ts = jnp.asarray([0.0, ensemble.law.until], ensemble.y0.dtype)
    return ensemble.passes(lambda field, y, p: solver(field, ts, y, p)[0][-1])


def by_diffrax(ensemble: Ensemble) -> dict[str, Callable]:
    tol = ensemble.tolerance
    controller = diffrax.PIDController(rtol=tol, atol=tol)

    def ends(field, y, p):
        until = jnp.asarray(ensemble.law.until, y.dtype)
        terms, solver = diffrax.ODETerm(field), diffrax.Tsit5()
        solve = diffrax.diffeqsolve(
            *(terms, solver, 0 * until, until, None, y, p), stepsize_controller=controller, max_steps=MAX_STEPS
        )
        return solve.ys[-1]  # pyright: ignore

    return ensemble.passes(ends)


def by_gradsolve(ensemble: Ensemble) -> dict[str, Callable]:
    import gradsolve

    class Problem:
        name, dim, t0, t1, is_stiff = "law", ensemble.y0.shape[1], 0.0, ensemble.law.until, False

        def f_jax(self, t, y, p):
            return ensemble.field(ensemble.mlp, t, y, p)

    of, tol = ("y0", "params"), ensemble.tolerance
    y0, p = np.asarray(ensemble.y0), np.asarray(ensemble.p)
    ends = gradsolve.grad_closure(Problem(), y0, p, wrt=of, rtol=tol, atol=tol)
    gradient = jax.jit(jax.grad(lambda of: jnp.mean(ends(*of) ** 2)))
    return {"gradient": lambda: jax.block_until_ready(gradient((ensemble.y0, ensemble.p)))}


def by_torchdiffeq(ensemble: Ensemble) -> dict[str, Callable]:
    import torch
    import torchdiffeq

    torch.set_num_threads(1)
    tol, until = ensemble.tolerance, ensemble.law.until
    y0, p = (torch.tensor(np.asarray(x), requires_grad=True) for x in (ensemble.y0, ensemble.p))
    ts = torch.tensor([0.0, until], dtype=y0.dtype)

    def loss():
        field = lambda t, y: torch.stack(ensemble.law.f(torch, t, y.unbind(-1), p.unbind(-1)), -1)
        return torch.mean(torchdiffeq.odeint(field, y0, ts, rtol=tol, atol=tol, method="dopri5")[-1] ** 2)

    return {"forward": lambda: loss().detach(), "gradient": lambda: torch.autograd.grad(loss(), (y0, p))}


def by_scipy(ensemble: Ensemble, lanes: int = 8) -> float:
    """Seconds of all lanes, from those of a few."""
    from scipy.integrate import solve_ivp

    y0, p = np.asarray(ensemble.y0, float), np.asarray(ensemble.p, float)
    start = time.perf_counter()
    for i in range(min(lanes, len(y0))):
        f = lambda t, y, i=i: np.stack(ensemble.law.f(np, t, y, p[i]))
        solve_ivp(f, (0.0, ensemble.law.until), y0[i], rtol=ensemble.tolerance, atol=ensemble.tolerance)
    return (time.perf_counter() - start) / min(lanes, len(y0)) * len(y0)


def contestants(ensemble: Ensemble, precision: str) -> dict[str, dict[str, Callable]]:
    """Those that can be had, by name: what each can do."""
    found = {"ctmodels": ours(ensemble, "per_sample"), "ctmodels, shared": ours(ensemble, "shared")}
    found["diffrax"] = by_diffrax(ensemble)
    if find_spec("gradsolve") and precision == "float64":
        found["gradsolve"] = by_gradsolve(ensemble)
    if find_spec("torchdiffeq") and not ensemble.law.learned and jax.default_backend() == "cpu":
        found["torchdiffeq"] = by_torchdiffeq(ensemble)
    return found


def measure(name: str, lanes: int, precision: str, seconds: float) -> tuple[list[dict], dict]:
    with jax.enable_x64(precision == "float64"):  # pyright: ignore
        ensemble = Ensemble.of(name, lanes, precision)
        found = contestants(ensemble, precision)
        start = time.process_time()
        found["ctmodels"]["gradient"]()
        first = time.process_time() - start
        steps = {(who, what): step for who, passes in found.items() for what, step in passes.items()}
        taken = contest(steps, seconds)  # pyright: ignore
        if not ensemble.law.learned and find_spec("scipy"):
            taken["SciPy", "forward"] = by_scipy(ensemble)
    ratio = lambda one, other: taken[one] / taken[other] if one in taken and other in taken else None
    peers = [who for who in (*found, "SciPy") if not who.startswith("ctmodels")]
    summary: dict[str, Any] = {"first_call_s": first}
    for who, kind in (("ctmodels", ""), ("ctmodels, shared", "shared_")):
        summary[kind + "gradient_x_forward"] = ratio((who, "gradient"), (who, "forward"))
        for peer in peers:
            summary[f"{kind}speedup_{peer.lower()}"] = ratio((peer, "gradient"), (who, "gradient"))
            summary[f"{kind}forward_speedup_{peer.lower()}"] = ratio((peer, "forward"), (who, "forward"))
    row = lambda who: {
        "law": name,
        "lanes": lanes,
        "precision": precision,
        "solver": who,
        **{f"{what} ms": 1e3 * taken[who, what] if (who, what) in taken else "" for what in ("forward", "gradient")},
        "gradient, x ours": ratio((who, "gradient"), ("ctmodels", "gradient")) or "",
    }
    return [row(who) for who in ("ctmodels", "ctmodels, shared", *peers) if any(key[0] == who for key in taken)], {
        key: value for key, value in summary.items() if value is not None
    }


def run(quick: bool) -> tuple[list[dict], dict]:
    rows: list[dict] = []
    summary: dict[str, Any] = {}
    for name, lanes, precision in QUICK if quick else CASES:
        more, numbers = measure(name, lanes, precision, 0.0 if quick else 6.0)
        rows += more
        summary.setdefault(name, {}).setdefault(str(lanes), {})[precision] = numbers
        jax.clear_caches()
    time_of = {
        row["lanes"]: row["gradient ms"] for row in rows if row["law"] == "lorenz" and row["solver"] == "ctmodels"
    }
    if len(time_of) > 1:
        few, many = min(time_of), max(time_of)
        summary["growth"] = time_of[many] / time_of[few] / (many / few)
    return rows, summary | {"backend": jax.default_backend()}


if __name__ == "__main__":
    pinned("laws")
    main("laws", run)
