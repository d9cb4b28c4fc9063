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
    forwards (by `jvp`, `jacfwd`) or more than once (`hessian`, `grad` of `grad`), as far as that is to be seen from
    here: what was compiled before it is differentiated hides it."""
    seen = Seen(set(), set(), set())
    for x in jax.tree.leaves(trees):
        seen.look(x)
    if not seen.forward and len(seen.reverse) < 2 or seen.is_jvp_of_grad:
        return adjoint
    return diffrax.DirectAdjoint() if seen.reverse else diffrax.ForwardMode()


class Seen(NamedTuple):
    """The derivatives in which some arrays take part: in each direction, and how the two are nested."""

    forward: set[int]
    reverse: set[int]
    nested: set[str]

    @property
    def is_jvp_of_grad(self) -> bool:
        """One product with a Hessian: replay can be differentiated forwards, along one direction at a time."""
        return len(self.forward) == len(self.reverse) == 1 and self.nested == {"forward over reverse"}

    def look(self, x) -> None:
        """Through the tracers around an array, those of the innermost transformation first."""
        by_jvp, by_grad, by_vmap = _tracers()
        before = None
        while isinstance(x, by_jvp | by_grad | by_vmap):
            if isinstance(x, by_vmap):
                x = x.val  # pyright: ignore
                continue
            now = "forward" if isinstance(x, by_jvp) else "reverse"
            (self.forward if now == "forward" else self.reverse).add(id(x._trace))
            if before is not None:
                self.nested.add(f"{now} over {before}")
            if now == "forward" and isinstance(x.tangent, by_vmap):  # pyright: ignore
                self.nested.add("many directions")
            before, x = now, x.primal  # pyright: ignore
