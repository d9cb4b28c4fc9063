"""Our adjoints, to be asked for."""

import equinox as eqx


class DiscreteAdjoint(eqx.Module):
    """The discrete adjoint by replay: each accepted step is taken again and pulled back. Exact for the steps as taken.
    It can be differentiated backwards once, and what that gives forwards as often as wanted (`grad`, `jacrev`, `jvp` of
    `grad`, `hessian`). For others (`jvp`, `jacfwd`, `grad` of `grad`) `Integrate` takes `diffrax.ForwardMode()` or
    `diffrax.DirectAdjoint()` by itself; but not inside what was under `jax.jit` or `jax.lax.scan` before it was
    differentiated: there JAX refuses `custom_vjp` under `jvp`, or fails to linearize, and these are to be given.

    `buffer`: states kept on the way, a power of two; None is for 64, or 256 small ones (`Integrate.layout`). Where a
    solve takes more steps, every second, every fourth, ... is kept and the others are computed anew: one evaluation
    more for each, and memory of `buffer + max_steps / buffer` states.
    """

    buffer: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.buffer is not None and (self.buffer < 2 or self.buffer & (self.buffer - 1)):
            raise ValueError(f"buffer={self.buffer}: must be a power of two, at least 2")

    def rows(self, by_components: bool) -> int:
        """How many states are kept."""
        if self.buffer is None:
            return 256 if by_components else 64
        return self.buffer


class ReversibleAdjoint(eqx.Module):
    """Steps that are taken back exactly in the backward pass, which keeps none of them: memory does not grow with
    their number. On the fixed grid of [`ctmodels.Substeps`][] only.

    Of SDEs, with `diffrax.ReversibleHeun()`: Kidger, Foster, Li, Lyons (2021). Of ODEs, with any explicit Runge-Kutta
    method, of which it makes a pair of states, at twice the evaluations: McCallum, Foster (2024). The solution is then
    that of the pair, of the method's order, and the gradient is that of the steps as taken, but for rounding on the way
    back, which grows where the field contracts.

    `coupling`: of a pair, at most 1 and above 0: how much of the first state a step keeps. **Good values:** 0.999;
    on the way back it is divided by.
    """

    coupling: float = eqx.field(static=True, default=0.999)

    def __check_init__(self):
        if not 0 < self.coupling <= 1:
            raise ValueError(f"coupling={self.coupling}: must be above 0 and at most 1, such as 0.999")
