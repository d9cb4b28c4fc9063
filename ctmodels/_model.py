"""The one promise that every model keeps."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._output import Output


class AbstractModel(eqx.Module):
    """A PyTree, and a pure function of one sample; a batch is made by `jax.vmap`."""

    @abc.abstractmethod
    def __call__(self, x: PyTree, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None) -> Output:
        """Turn one sample into outputs and an account of the work.

        **Arguments:**

        - `x`: what starts or drives the model: an initial state, a [`ctmodels.Driven`][], a
          [`ctmodels.Series`][], or None; each model says which.
        - `ts`: where outputs are wanted, `(out,)`; None means at the times of `x`.
        - `key`: randomness; None means the mean, without sampling.
        """
