"""From data and indices to a batch: compiled where the data are a PyTree on the device, by their own `[]` on the host
where they are anything else (NumPy, a memmap, a list of samples, a data set that reads files)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ctmodels._core._words import kind_of
from ctmodels.train._structure import is_array


class ArrayDataset(eqx.Module):
    """A PyTree of arrays with a leading axis of examples, as data: `rows[indices]` is a batch. Arrays of JAX's are
    indexed on the device; NumPy's, a memmap's stay on the host, and only the batch leaves it."""

    tree: PyTree

    def __len__(self) -> int:
        return jax.tree.leaves(self.tree)[0].shape[0]

    def __getitem__(self, index) -> PyTree:
        return jax.tree.map(lambda a: a[index], self.tree)


def check_data(data: Any, *, kept_changing: bool = False) -> None:
    """Refuse what has no rows to draw. `kept_changing`: whether checkpoints are to hold what `refresh` makes of it."""
    if isinstance(data, dict | tuple) or is_array(data) and not np.ndim(data):
        raise TypeError(
            f"data: {kind_of(data)} has no rows to draw from: give ct.ArrayDataset(tree), its arrays with a leading "
            "axis of examples, as ct.ArrayDataset(ct.Example(starts, series))"
        )
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str):
        raise TypeError(
            f"data: {kind_of(data)} has not both `len` and `data[indices]`, which draw its batches: give "
            "ct.ArrayDataset(tree) of examples that lie in arrays, ct.Windows(series, length) of one long series, a "
            "list of examples, or a data set (not its loader)"
        )
    if kept_changing and not all(map(_is_told, jax.tree.leaves(data))):
        raise TypeError(
            f"data: {kind_of(data)} is no PyTree of arrays, so that no checkpoint could hold what `refresh` makes of "
            "it: give ct.ArrayDataset(tree), or drop `refresh` or `folder`"
        )


class Source:
    """Batches of data: `source(indices)`, the indices a NumPy array, `(batch,)`, or `(member, batch)` for an
    ensemble."""

    def __init__(self, data: Any):
        self.data = data
        self._rows = _stacked(data) if isinstance(data, list) else data
        self._on_device = _is_on_device(self._rows)
        self._way: Callable | None = None  # which of `_WAYS` the data take, known once they were asked

    def __call__(self, index: np.ndarray) -> PyTree:
        if self._on_device:
            return _compiled(self._rows, jnp.asarray(index))
        return jax.tree.map(_put, self._asked(index), is_leaf=_is_list_of_numbers)

    def fingerprinted(self) -> Any:
        """What stands for the data when runs are compared: arrays themselves, or how many rows there are, with the
        first and the last of them."""
        if any(map(is_array, jax.tree.leaves(self.data))):
            return self.data
        return len(self.data), self(np.array([0, len(self.data) - 1]))

    def _asked(self, index: np.ndarray) -> PyTree:
        if self._way is not None:
            return self._way(self._rows, index)
        first = None
        for way in _WAYS:
            try:
                batch = way(self._rows, index)
                _check_rows(batch, index)
            except Exception as error:
                first = first or error
                continue
            self._way = way
            return batch
        first.add_note(  # pyright: ignore
            f"data: {kind_of(self.data)}: `data[indices]` was asked for a batch with the indices as a NumPy array "
            f"{index.shape}, as a list, and one by one; none gave arrays with a leading axis of {index.shape}"
        )
        raise first  # pyright: ignore


def shuffled(n: int, size: int, seed: tuple[int, ...], first: int) -> Iterator[np.ndarray]:
    """The rows of one batch after another, from step `first` on, in an order of each epoch's own."""
    epoch, at = divmod(first, n // size)
    while True:
        order = np.random.default_rng((*seed, epoch)).permutation(n)
        for i in range(at, n // size):
            yield order[i * size : (i + 1) * size]
        epoch, at = epoch + 1, 0


@eqx.filter_jit
def _compiled(data, index) -> PyTree:
    return data[index]


def _is_on_device(data: Any) -> bool:
    """Whether indexing may be compiled: a PyTree whose arrays are all JAX's. What holds anything else may read a file
    or draw a number each time it is asked."""
    leaves = jax.tree.leaves(data)
    return any(map(eqx.is_array, leaves)) and all(map(_is_fixed, leaves))


def _is_fixed(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, bool | int | float | complex | str) or callable(leaf)


def _is_told(leaf: Any) -> bool:
    return _is_fixed(leaf) or is_array(leaf)


def _whole(data: Any, index: np.ndarray) -> PyTree:
    return data[index]


def _listed(data: Any, index: np.ndarray) -> PyTree:
    return _folded(data[index.ravel().tolist()], index)


def _in_a_row(data: Any, index: np.ndarray) -> PyTree:
    return _folded(data[index.ravel()], index)


def _one_by_one(data: Any, index: np.ndarray) -> PyTree:
    return _folded(_stack([data[i] for i in index.ravel().tolist()]), index)


_WAYS = (_whole, _in_a_row, _listed, _one_by_one)


def _folded(batch: PyTree, index: np.ndarray) -> PyTree:
    """`(member * batch, ...)` as `(member, batch, ...)`."""
    _check_rows(batch, index.ravel())
    if index.ndim == 1:
        return batch
    fold = lambda x: np.reshape(np.asarray(x), (*index.shape, *np.shape(x)[1:]))
    return jax.tree.map(fold, batch, is_leaf=_is_list_of_numbers)


def _check_rows(batch: PyTree, index: np.ndarray) -> None:
    leaves = jax.tree.leaves(batch, is_leaf=_is_list_of_numbers)
    arrays = [leaf for leaf in leaves if not (isinstance(leaf, str) or callable(leaf))]
    wrong = [np.shape(leaf) for leaf in arrays if np.shape(leaf)[: index.ndim] != index.shape]
    if wrong or not arrays:
        found = f"an array of shape {wrong[0]}" if wrong else "no array"
        raise ValueError(f"data[indices] of shape {index.shape} gave {found}: a batch has an entry for each index")


def _is_list_of_numbers(x: Any) -> bool:
    return isinstance(x, list) and len(x) > 0 and all(isinstance(y, bool | int | float) for y in x)


def _put(x: Any) -> Any:
    """On the device, in JAX's precision; what is no array stays."""
    return x if isinstance(x, str) or callable(x) and not hasattr(x, "__array__") else jnp.asarray(x)


def _stacked(samples: Sequence) -> ArrayDataset:
    """A list of samples as rows, once: of JAX's arrays on the device, of others on the host."""
    rows = _stack(samples)
    return ArrayDataset(jax.tree.map(jnp.asarray, rows) if all(map(eqx.is_array, jax.tree.leaves(samples))) else rows)


def _stack(samples: Sequence) -> PyTree:
    first = jax.tree.structure(samples[0])
    for i, sample in enumerate(samples):
        same = jax.tree.structure(sample) == first
        shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(s)] for s in (samples[0], sample)]
        if not same or shapes[0] != shapes[1]:
            raise ValueError(
                f"data[{i}]: {kind_of(sample)} of shapes {shapes[1]}, and data[0] is {kind_of(samples[0])} of "
                f"shapes {shapes[0]}: the samples of a batch have the same shapes; pad series to one length "
                "(ct.collate), and give ct.ArrayDataset of what it makes"
            )
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *samples)
