"""A training step of a neural ODE: what it costs beyond its field, beside other libraries, and how it grows.

float32, on one core, which it pins, unless there is a GPU. The step is forward, backward and Adam, on the mean squared
error of 16 saved points, by Dopri5 from 0 to 1; the field is an MLP (64, 64, tanh). Weights, initial states, targets
and tolerances (rtol = atol) are the same for all. All take turns in one process, warm; medians. Compilation is not
counted.

`*_x_limit`: ours, over the cost of its field alone: evaluations forward times the bare cost of the batched field, and
(accepted steps times fresh stages, + 1) times the bare cost of the field with its vjp, each in a compiled loop of its
own. Adam, in another such loop, is taken off ours. With a step per sample, each iteration costs what its width costs;
`per_sample_x_lanes` has for its limit what the samples needed, each at its share of the whole batch's cost.
`speedup_*`: the peer's time over ours with a shared step; `per_sample_speedup_*`: over ours with a step per sample.
`own_clocks_x`: ours with save times for each sample, as `Windows` have them, over ours with common ones.
`stats_overhead`: all of ours ask for local error and stiffness; what that adds, as a fraction.

`stiff_lane_slowdown`: forward and backward of 256 samples of which one is stiff, over 255 without it and it alone.
`first_call_s`, `cached_call_s`: the first call of the training step (shared) in a fresh process, without and with JAX's
persistent cache; `per_sample_*` with a step per sample, `diffrax_*` of diffrax. `scaling_*`: growth of the time over
growth of the size, from one size to the next; the worst.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks._harness import main
from benchmarks._timing import contest, pinned
from benchmarks.ode._growth import first_calls, scaling, stiff_lane
from benchmarks.ode._limit import LOOP, adam, at_widths, bare, limit, needed
from benchmarks.ode._ours import Problem, Setting, stats_of, training, training_with_own_clocks
from benchmarks.ode._peers import Peer, peers, versions

SETTINGS = (
    Setting("D2B32", 2, 32, 1e-3),
    Setting("D2B256", 2, 256, 1e-3),
    Setting("D16B256", 16, 256, 1e-4),
    Setting("D64B1024", 64, 1024, 1e-4),
)
QUICK = (Setting("D2B40", 2, 40, 1e-2, width=8),)
SHARED, PER_SAMPLE = "ctmodels, shared step", "ctmodels, a step per sample"
UNCOUNTED, CLOCKED = "ctmodels, shared step, no measures", "ctmodels, shared step, own clocks"
SAMPLES = "what the samples needed"
LIMIT_OF = {SHARED: SHARED, PER_SAMPLE: PER_SAMPLE, UNCOUNTED: SHARED, CLOCKED: SHARED}
BATCHINGS = "shared", "per_sample"
COLUMNS = "case", "solver", "ms", "us per unit", "evaluations", "x limit", "x ours shared", "loss"


def run(quick: bool) -> tuple[list[dict], dict]:
    settings, seconds = (QUICK, 0.0) if quick else (SETTINGS, 60.0)
    small, middle = (settings[0], settings[0]) if quick else settings[1:3]
    measured = {setting.name: measure(setting, seconds) for setting in settings}
    stiff, slowdown = stiff_lane(small, 100.0 if quick else 2000.0, seconds / 2)
    first, calls = first_calls(middle, BATCHINGS[:1] if quick else (*BATCHINGS, "diffrax"), 1 if quick else 3)
    grown, growth = scaling(middle.width, BATCHINGS[: 1 if quick else 2], 2 if quick else 4, seconds / 6)
    rows = [*(row for m in measured.values() for row in m.rows()), *stiff, *first, *grown]
    summary = {
        "settings": {name: m.numbers() for name, m in measured.items()},
        "stiff_lane_slowdown": slowdown,
        "stats_overhead": measured[middle.name].ratio(SHARED, UNCOUNTED) - 1,
        **calls,
        **growth,
        "backend": jax.default_backend(),
        "peers": versions(),
    }
    return [{key: row.get(key, "") for key in COLUMNS} for row in rows], summary


class Measured(NamedTuple):
    """A setting's numbers by name. Seconds: `taken` by a training step, `cost` of an evaluation or update, `limits`."""

    setting: Setting
    taken: dict[str, float]
    cost: dict
    limits: dict[str, float]
    evaluations: dict[str, float]
    losses: dict[str, float]
    peers: dict[str, Peer | str]

    def ratio(self, name: str, to: str) -> float | None:
        return self.taken[name] / self.taken[to] if name in self.taken else None

    def over(self, name: str, limit: str) -> float:
        return (self.taken[name] - self.cost["adam"]) / self.limits[limit]

    def numbers(self) -> dict:
        return {
            "shared_x_limit": self.over(SHARED, SHARED),
            "per_sample_x_limit": self.over(PER_SAMPLE, PER_SAMPLE),
            "per_sample_x_samples": self.over(PER_SAMPLE, SAMPLES),
            **{f"speedup_{name}": self.ratio(name, SHARED) for name in self.peers},
            "per_sample_speedup_diffrax_vmap": self.ratio("diffrax_vmap", PER_SAMPLE),
            "own_clocks_x": self.ratio(CLOCKED, SHARED),
        }

    def rows(self) -> list[dict]:
        parts = [
            *(self._row(name, name) | {"x limit": self.over(name, of)} for name, of in LIMIT_OF.items()),
            *(self._row(*item) for item in self.peers.items()),
            *({"solver": f"limit: {name}", "ms": 1e3 * seconds} for name, seconds in self.limits.items()),
            {"solver": "Adam alone", "us per unit": 1e6 * self.cost["adam"]},
            *(
                {"solver": f"{kind} alone, width {width}", "us per unit": 1e6 * self.cost[kind, width]}
                for kind, width in (name for name in self.cost if name != "adam")
            ),
        ]
        return [{"case": self.setting.name, **part} for part in parts]

    def _row(self, name: str, who: Peer | str) -> dict:
        """Of a training step that was timed, or of one that was not: then `who` says why."""
        if name not in self.taken:
            return {"solver": f"{name}: {who}"}
        return {
            "solver": who.name if isinstance(who, Peer) else who,
            "ms": 1e3 * self.taken[name],
            "evaluations": self.evaluations[name],
            "x ours shared": self.ratio(name, SHARED),
            "loss": self.losses[name],
        }


def measure(setting: Setting, seconds: float) -> Measured:
    problem = Problem(setting)
    shared, per_sample = (stats_of(problem, problem.model(batching), jnp.asarray(problem.y0)) for batching in BATCHINGS)
    work = {
        SHARED: needed(setting, shared),
        PER_SAMPLE: at_widths(problem, problem.model("per_sample")),
        SAMPLES: needed(setting, per_sample),
    }
    steps = {
        SHARED: training(problem, "shared"),
        PER_SAMPLE: training(problem, "per_sample"),
        UNCOUNTED: training(problem, "shared", measures=()),
        CLOCKED: training_with_own_clocks(problem, "shared"),
    }
    others = peers(problem)
    there = {name: peer for name, peer in others.items() if isinstance(peer, Peer)}
    steps |= {name: peer.step for name, peer in there.items()}
    loops = {"adam": adam(problem)}
    for width in dict.fromkeys(width for parts in work.values() for width, _, _ in parts):
        loops |= bare(problem, width)
    taken = contest(steps | loops, seconds)
    cost = {name: taken.pop(name) / LOOP for name in loops}
    evaluations = {name: work[SAMPLES if name == PER_SAMPLE else SHARED][0][1] for name in LIMIT_OF}
    return Measured(
        setting, taken, cost, {name: limit(parts, cost) for name, parts in work.items()},
        evaluations | {name: peer.evaluations for name, peer in there.items()},
        {name: step() for name, step in steps.items()}, others,
    )  # fmt: skip


if __name__ == "__main__":
    pinned("ode")
    main("ode", run)
