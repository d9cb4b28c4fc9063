"""Which derivatives are being taken around a solve: what the discrete adjoint by replay cannot give, diffrax can."""

import functools
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp


@functools.cache
def _tracers() -> tuple[type, type, type]:
    """What JAX hands to a function under `jvp`, `grad` and `vmap`. (JAX 0.10 has no public way to ask.)"""
    seen = []
    note = lambda x: seen.append(type(x)) or x
    zero = jnp.zeros(())
    jax.jvp(note, (zero,), (zero,))
    jax.grad(note)(zero)
    jax.vmap(note)(zero[None])
    return tuple(seen)  # pyright: ignore


def adjoint_for(adjoint, *trees):
    """The adjoint that was asked for; in the place of replay one of diffrax's, where the solve is differentiated
    forwards alone (by `jvp`, `jacfwd`) or backwards more than once (`grad` of `grad`), as far as that is to be seen
    from here: what was compiled before it is differentiated hides it."""
    seen = Seen(set(), set(), set())
    for x in jax.tree.leaves(trees):
        seen.look(x)
    if seen.by_replay:
        return adjoint
    return diffrax.DirectAdjoint() if seen.reverse else diffrax.ForwardMode()


class Seen(NamedTuple):
    """The derivatives in which some arrays take part, in each direction; and which of those forwards are known to be
    of one backwards."""

    forward: set[int]
    reverse: set[int]
    of_reverse: set[int]

    @property
    def by_replay(self) -> bool:
        """Replay can be differentiated backwards once, and what that gives forwards as often as one likes."""
        return len(self.reverse) <= 1 and self.forward == self.of_reverse

    def look(self, x) -> None:
        """Through the tracers around an array, those of the innermost transformation first."""
        by_jvp, by_grad, by_vmap = _tracers()
        pulled_back = False
        while isinstance(x, by_jvp | by_grad | by_vmap):
            if isinstance(x, by_vmap):
                x = x.val  # pyright: ignore
                continue
            if isinstance(x, by_grad):
                pulled_back = True
                self.reverse.add(id(x._trace))
            else:
                self.forward.add(id(x._trace))
                if pulled_back:
                    self.of_reverse.add(id(x._trace))
            x = x.primal  # pyright: ignore
