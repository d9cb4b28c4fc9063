"""Where the gradient of a batch may be summed as it is taken: within a vmap over samples that is itself differentiated.

A rule for derivatives cannot tell `grad` of a `vmap` from a `vmap` of `grad`s. So the one who makes the vmap says so:
it has a name, by which a solve is given the number of its sample, and each vmap around the one over which that number
varies is outside. And what is differentiated while the samples' own code still runs is differentiated within it.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
from jaxtyping import Array, Int

AXIS = "ctmodels.sample"
_running = contextvars.ContextVar("ctmodels.sample", default=False)


def over_samples(one: Callable) -> Callable:
    """`one`, of one sample, for a batch: its arguments have a leading axis of samples. To be differentiated as a whole,
    as far as its solves' gradients are to be summed."""

    def all_of_them(*batch):
        with _within():
            return eqx.filter_vmap(one, axis_name=AXIS)(*batch)

    return all_of_them


@contextlib.contextmanager
def _within() -> Iterator[None]:
    token = _running.set(True)
    try:
        yield
    finally:
        _running.reset(token)


def sample_number() -> Int[Array, ""] | None:
    """Of the sample whose solve is traced, in a vmap by `over_samples`; None where there is no such vmap."""
    try:
        return jax.lax.axis_index(AXIS)
    except NameError:  # there is no such axis
        return None


def within_a_sample() -> bool:
    """Whether the samples' own code runs. In a backward pass: that it is one of a sample, and not of the batch."""
    return _running.get()
