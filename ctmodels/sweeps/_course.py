"""The course of a sweep: group after group to each rung, where the worse half leaves."""

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ctmodels.sweeps._lanes import Program, padded, take
from ctmodels.train._batches import Source, shuffled
from ctmodels.train._interrupts import explain_out_of_memory
from ctmodels.train._nonfinite import IN_A_ROW


class Plan(NamedTuple):
    """What every group does alike."""

    steps: int
    batch_size: int
    every: int
    patience: int | None
    halve: int
    save_every: int

    def rungs(self) -> list[int]:
        """The steps after which the worse half leaves, and the last one."""
        return [max(1, self.steps // 2 ** (self.halve - i)) for i in range(self.halve + 1)]


@dataclasses.dataclass
class Record:
    """Of one member: how good its best model is and at which step it was, how far it went, and why not farther."""

    validation: float = math.inf
    at: int = 0
    steps: int = 0
    stopped: str = ""

    def rank(self) -> float:
        """To be small; what was not finite is the worst, whatever it was before."""
        return math.inf if self.stopped == "not finite" else self.validation


class Side:
    """One group on its way: which member is in which lane, and which lanes are on."""

    def __init__(self, program: Program):
        self.program, self.done = program, 0
        self.states, self.best = program.start()
        members = program.group.members
        self.lanes = [members[i] for i in padded(range(len(members)), program.lanes).tolist()]
        self.on = np.arange(program.lanes) < len(members)

    def said(self) -> dict:
        """JSON-able: all but the arrays."""
        return {"done": self.done, "lanes": list(self.lanes), "on": self.on.tolist()}

    def resumed(self, said: dict) -> None:
        """As it was then, and shapes where its arrays are to come."""
        self.done, self.lanes, self.on = said["done"], said["lanes"], np.array(said["on"], bool)
        lanes = np.arange(len(self.lanes))
        shapes = lambda tree: eqx.filter_eval_shape(lambda tree: take(tree, jnp.asarray(lanes * 0)), tree)
        self.states, self.best = shapes(self.program.home((self.states, self.best)))

    def off(self, members: Sequence[int]) -> None:
        """These go no farther."""
        self.on &= ~np.isin(self.lanes, members)


class Course:
    """`run()` goes from where it stands to the end, and stops where `halted` says so. `save(course)` is called where it
    might go on from, `say(line)` at each judgement."""

    def __init__(self, plan: Plan, sides: list[Side], data: Source, rows: int, held_out: PyTree):
        self.plan, self.sides, self.data, self.rows, self.held_out = plan, sides, data, rows, held_out
        self.records = {member: Record() for side in sides for member in side.program.group.members}
        self.shelf: dict[int, PyTree] = {}  # the best models of those that have left
        self.rung, self.contenders = 0, list(self.records)

    @property
    def done(self) -> int:
        """Steps so far, of all groups."""
        return sum(side.done for side in self.sides)

    def said(self) -> dict:
        """JSON-able: all but the arrays."""
        records = {str(member): dataclasses.asdict(record) for member, record in self.records.items()}
        sides = [side.said() for side in self.sides]
        left = {"shelf": list(self.shelf), "contenders": self.contenders}
        return {"rung": self.rung, "sides": sides, "records": records, **left}

    def resumed(self, said: dict) -> None:
        """As it was then, and shapes where its arrays are to come."""
        self.rung, self.contenders = said["rung"], said["contenders"]
        self.records = {int(member): Record(**record) for member, record in said["records"].items()}
        programs = {member: side.program for side in self.sides for member in side.program.group.members}
        of_one = lambda arrays: take(arrays, jnp.asarray(0))
        self.shelf = {m: eqx.filter_eval_shape(of_one, programs[m].group.arrays) for m in said["shelf"]}
        for side, was in zip(self.sides, said["sides"], strict=True):
            side.resumed(was)

    def take_arrays(self, arrays: PyTree) -> None:
        """Those of a checkpoint."""
        self.shelf = {int(member): model for member, model in arrays["shelf"].items()}
        for side, found in zip(self.sides, arrays["sides"], strict=True):
            side.states, side.best = side.program.put(found)

    def arrays(self) -> PyTree:
        """The rest, as a checkpoint holds it."""
        sides = [side.program.home((side.states, side.best)) for side in self.sides]
        return {"sides": sides, "shelf": {str(member): model for member, model in self.shelf.items()}}

    def run(self, save: Callable, say: Callable, halted: Callable) -> None:
        """See above."""
        rungs = self.plan.rungs()
        while self.rung < len(rungs):
            for number, side in enumerate(self.sides):
                self._climb(number, side, rungs[self.rung], save, say, halted)
                if halted():
                    return
            self._leave()
            self.rung += 1
            save(self)

    def _climb(self, number: int, side: Side, target: int, save: Callable, say: Callable, halted: Callable) -> None:
        orders = self._orders(side)
        while side.done < target and side.on.any():
            rows = {seed: next(order) for seed, order in orders.items()}
            index = np.stack([rows[self._seed(side, member)] for member in side.lanes])
            with explain_out_of_memory(self.plan.batch_size):
                side.states, losses = side.program.advance(self.data(index), side.on, side.states)
            side.done += 1
            if side.done % self.plan.every == 0 or side.done == target:
                say(self._judge(number, side, losses))
                self._compact(side)
            stop = bool(halted())
            if stop or side.done % self.plan.save_every == 0:
                save(self)
            if stop:
                return

    def _orders(self, side: Side) -> dict:
        seeds = {self._seed(side, member) for member in side.lanes}
        return {seed: shuffled(self.rows, self.plan.batch_size, (seed,), side.done) for seed in seeds}

    def _seed(self, side: Side, member: int) -> int:
        group = side.program.group
        return group.seeds[group.members.index(member)]

    def _judge(self, number: int, side: Side, losses) -> dict:
        """One line of history, after which those that are stuck or lost are off."""
        found, side.best = side.program.judge(self.held_out, side.on, side.done, side.states, side.best)
        told = (found, losses, side.best.score, side.best.step, side.best.stale, side.states.faults.longest_streak)
        found, losses, score, at, stale, streak = (np.asarray(x) for x in jax.device_get(told))
        patience = math.inf if self.plan.patience is None else self.plan.patience
        running = np.flatnonzero(side.on).tolist()
        for lane in running:
            record = self.records[side.lanes[lane]]
            record.validation, record.at, record.steps = float(score[lane]), int(at[lane]), side.done
            if streak[lane] >= IN_A_ROW:
                record.stopped = "not finite"
            elif stale[lane] > patience:
                record.stopped = "early"
        members = [side.lanes[lane] for lane in running]
        side.off([member for member in members if self.records[member].stopped])
        numbers = {"loss": losses[running].tolist(), "validation": found[running].tolist()}
        return {"step": self.done, "group": number, "steps": side.done, "members": members, **numbers}

    def _leave(self) -> None:
        """The worse half of the contenders goes no farther; after the last rung, none does. Those that stopped by
        themselves stand by what they have reached."""
        ranked = sorted(self.contenders, key=lambda member: (self.records[member].rank(), member))
        last = self.rung == self.plan.halve
        staying = 0 if last else math.ceil(len(ranked) / 2)
        for member in ranked[staying:]:
            self.records[member].stopped = self.records[member].stopped or ("finished" if last else "halved")
        self.contenders = ranked[:staying]
        for side in self.sides:
            side.off(ranked[staying:])
            self._compact(side)

    def _compact(self, side: Side) -> None:
        """Where at most half of the lanes are on, they move to half as many, or fewer: a power of two, so that few
        programs are compiled."""
        on = np.flatnonzero(side.on).tolist()
        lanes = side.program.how.lanes(2 ** math.ceil(math.log2(len(on)))) if on else 0
        if not on or 2 * lanes > len(side.lanes):
            return
        staying = [side.lanes[lane] for lane in on]
        self._shelve(side, [member for member in set(side.lanes) if member not in staying])
        index = padded(on, lanes).tolist()
        side.states, side.best = side.program.gather((side.states, side.best), index)
        side.lanes, side.on = [side.lanes[lane] for lane in index], np.arange(lanes) < len(on)

    def _shelve(self, side: Side, members: Collection[int]) -> None:
        best = side.program.home(side.best.model)
        for member in sorted(members):
            self.shelf[member] = take(best, jnp.asarray(side.lanes.index(member)))

    def models(self) -> dict[int, PyTree]:
        """The best model of each member."""
        for side in self.sides:
            self._shelve(side, set(side.lanes) - set(self.shelf))
        programs = {member: side.program for side in self.sides for member in side.program.group.members}
        return {member: program.model(self.shelf[member]) for member, program in sorted(programs.items())}
