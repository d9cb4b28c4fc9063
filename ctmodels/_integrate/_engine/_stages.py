"""The stages of a step, pulled back one by one.

Of g_i = y + h sum_j a_ij f_j and f_i = field(t_i, g_i), the cotangent of each g_i is kept, and no other: what the
slopes get from later stages is a sum of these. XLA computes each result of a step by a loop of its own, from the
beginning (JAX 0.10, on the CPU): the fewer and the shorter, the better.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._core._loops import while_loop
from ctmodels._integrate._engine._state import State


class StepCotangents(NamedTuple):
    """Of a step's parts, as far as they are known."""

    left: Int[Array, " clock"]  # save times that are still to give theirs
    y: State
    y1: State
    slopes: tuple[State, ...]
    t: Float[Array, " lane"]
    h: Float[Array, " lane"]
    ts: Float[Array, "lane time"]


def pull_back_at_once(backward, live, moved: tuple, taken, step: StepCotangents, of_measures: dict) -> tuple:
    """Cotangents of the arrays, and of the step's time, length, state and first slope, as JAX finds them: of large
    states, whose field is what costs. `backward`: the `Backward` of these lanes; `moved`: time, length, state and slope
    of each one's step; `taken`: y1 and the slopes; `of_measures`: what is given of the step's measures."""

    def again(arrays, draws, live, *moved):
        tried = backward.plan.step(backward.field, backward.lanes.axes, arrays, draws, live, *moved)
        return tried.y1, tried.slopes, tried.measured

    given = step.y1, step.slopes, of_measures
    arrays, ct_t, ct_h, ct_y, ct_f = backward.pull(again, moved, given, (backward.draws, live))
    return arrays, ct_t + step.t, ct_h + step.h, ct_y + step.y, ct_f


def pull_back_measures(backward, live, moved: tuple, taken, step: StepCotangents, given: dict) -> tuple:
    """What the measures give to the arrays, and, added to what is known, to the step's parts."""
    t, h, y, _ = moved
    measures = functools.partial(backward.plan.measure, backward.field, backward.lanes.axes)
    arrays, ct_t, ct_h, ct_y, ct_y1, slopes = backward.pull(measures, (t, h, y, *taken), given, (backward.draws, live))
    return arrays, step._replace(
        y=step.y + ct_y,
        y1=step.y1 + ct_y1,
        slopes=tuple(map(operator.add, step.slopes, slopes)),
        t=step.t + ct_t,
        h=step.h + ct_h,
    )


def pull_back_stages(backward, live, moved: tuple, taken, step: StepCotangents, of_measures: dict) -> tuple:
    """The same, stage by stage: of small states."""
    method, wanted = backward.plan.method, backward.wanted
    arrays = None
    if of_measures:
        arrays, step = pull_back_measures(backward, live, moved, taken, step, of_measures)
    (t, h, y, _), slopes = moved, taken[1]
    h_y, tableau = h.astype(y.dtype), method.tableau
    of_points: dict[int, State] = {}  # cotangents of g_i
    ct_t, ct_h = step.t, step.h

    def of_slope(i: int) -> State:
        later = [a * of_points[j] for j in of_points if j > i and (a := method.weight(j, i)) != 0]
        if not tableau.ssal and tableau.b_sol[i] != 0:
            later.append(tableau.b_sol[i].item() * step.y1)
        return step.slopes[i] + h_y * functools.reduce(operator.add, later) if later else step.slopes[i]

    def pull(i: int):
        t_i = t + method.nodes[i] * h
        return backward.pull(backward.field, (t_i, method.point(i, h_y, y, slopes)), of_slope(i))

    last = method.stages - 1
    for i in reversed(range(method.stages)):
        # The last slope of an FSAL method is the next step's first, and pulled back there: here for what is saved only.
        of_saves_only = i == last and method.fsal and tableau.ssal and not of_measures
        more, of_t, of_points[i] = if_any(step.slopes[i], functools.partial(pull, i)) if of_saves_only else pull(i)
        if i == last and tableau.ssal:
            of_points[i] = of_points[i] + step.y1
        arrays = more if arrays is None else list(map(operator.add, arrays, more))
        if wanted.ts:
            ct_t, ct_h = ct_t + of_t, ct_h + method.nodes[i] * of_t
            if i:
                ct_h = ct_h + (of_points[i] * method.along(i, slopes)).sum().astype(ct_h.dtype)
    ct_y = functools.reduce(operator.add, of_points.values(), step.y)
    if not tableau.ssal:
        ct_y = ct_y + step.y1
        if wanted.ts:
            ct_h = ct_h + (step.y1 * method.along(None, slopes)).sum().astype(ct_h.dtype)
    return arrays, ct_t, ct_h, ct_y, step.y.nothing()


def if_any(cotangent: State, pull):
    """What is pulled back of a cotangent; nothing is done where all of it is zero."""
    some = functools.reduce(operator.or_, (jnp.any(x != 0) for x in cotangent.parts))
    none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(pull))
    return while_loop(lambda s: s[0], lambda s: (jnp.zeros_like(s[0]), pull()), (some, none), like=cotangent)[1]
