"""Errors of a class."""

from collections.abc import Callable

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Integer, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example, Record, Series


@before(check_example)
def cross_entropy(model: Callable, example: Example, key: PRNGKeyArray | None = None) -> tuple:
    """Of a class: `example.target` is its number, from 0 on, the logits are the model's outputs at the last observation
    of `example.x`, a [`ctmodels.Series`][] or [`ctmodels.Record`][].

    Raises `ValueError` for a label that is no whole number, or not one of the classes. Where labels are not known
    before the program runs, as under `jit` and `vmap`, the loss of such a label is NaN, and its gradient too; so
    `fit` skips that step and says so. Samples that have no label are not to be in the data.
    """
    out = model(example.x, _series(example.x).end, key=key)
    logits = out.ys[-1]
    label = _label(example.target, logits.shape[0])
    known = jnp.where((label >= 0) & (label < logits.shape[0]), 1, jnp.nan).astype(logits.dtype)
    return -jax.nn.log_softmax(logits)[label] * known, jnp.ones((), logits.dtype), out


def _series(x: Series | Record) -> Series:
    return x.series if isinstance(x, Record) else x


def _label(target, classes: int) -> Integer[Array, ""]:
    """The number of a class, checked as far as it is known."""
    shape, dtype = jnp.shape(target), jnp.result_type(target)
    if classes < 2:
        raise ValueError(f"cross_entropy: the model has {classes} output(s): one for each class is needed, at least 2")
    if shape != ():
        hot = "one-hot rows are jnp.argmax(target, axis=-1)" if shape[-1:] == (classes,) else "give one sample"
        raise ValueError(f"cross_entropy: target has shape {shape}: the number of a class, from 0 on, is (); {hot}")
    if not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"cross_entropy: target has dtype {dtype}: the number of a class is an integer; .astype(int)")
    if not isinstance(target, jax.core.Tracer) and not 0 <= int(target) < classes:
        raise ValueError(
            f"cross_entropy: target is {int(target)}: with {classes} outputs, classes are numbered 0 to {classes - 1}; "
            "subtract the first number, or leave out samples without a label"
        )
    return jnp.asarray(target)
