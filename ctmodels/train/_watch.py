"""What the loop looks out for: steps that are not finite, a loss that rests, arrays that no gradient reaches."""

import warnings
from collections.abc import Callable

import jax
import numpy as np

from ctmodels.train._nonfinite import describe_failure, should_stop, skipped, unreached
from ctmodels.train._resume import Best
from ctmodels.train._step import State, TrainStep

STUCK = 5  # lines with one and the same loss, after which it is said


class Watch:
    """Looks at training at each line: why to stop, and, said once, what is wrong."""

    def __init__(self, step: TrainStep, steps: int, patience: int | None, name: str, rows: Callable[[int], np.ndarray]):
        self.step, self.steps, self.patience, self.name, self.rows, self.said = step, steps, patience, name, rows, set()

    def early(self, best: Best) -> str:
        return "early" if self.patience is not None and int(best.stale) > self.patience else "finished"

    def look(self, state: State, best: Best, history: list[dict]) -> str:
        faults, n, places = jax.device_get(state.faults), history[-1]["step"], self.step.places
        last = [line["loss"] for line in history[-STUCK:] if "loss" in line]
        if should_stop(faults):
            self._say("faults", f"step {n}: {describe_failure(faults, places, state.model, self.rows)}")
            return "not finite"
        if n == self.steps and (passed := skipped(faults, places, n)):
            self._say("skipped", passed)
        if n >= min(10, self.steps) and (names := unreached(faults, places)):
            self._say("unreached", f"no gradient reached {', '.join(names)} in {n} steps: does the model use it?")
        if len(last) == STUCK and all(loss == last[0] for loss in last):
            self._say("stuck", f"the loss was {last[0]} at each of the last {STUCK} lines: nothing is learnt")
        return self.early(best)

    def _say(self, kind: str, message: str) -> None:
        if kind not in self.said:
            warnings.warn(f"{self.name}: {message}", RuntimeWarning, stacklevel=5)
        self.said.add(kind)
