"""A method and its steps, in words for a report."""

import diffrax

from ctmodels._integrate._fixed import RK4, Substeps


def describe(method: diffrax.AbstractSolver, controller) -> str:
    name = "Runge–Kutta of order 4" if isinstance(method, RK4) else type(method).__name__
    return f"{name}, {_steps(controller)}"


def _steps(controller) -> str:
    if isinstance(controller, Substeps):
        fixed = f"{controller.n} fixed step{'s' * (controller.n != 1)} from sample to sample"
        if controller.longest is None:
            return fixed
        return f"{fixed}, and as many more over longer gaps that none exceeds {controller.longest:g} units of time"
    if isinstance(controller, diffrax.StepTo):
        return f"{controller.ts.shape[-1] - 1} given steps"
    if isinstance(controller, diffrax.PIDController):
        return f"steps as a relative tolerance of {controller.rtol} and an absolute one of {controller.atol} allow"
    return f"steps of {type(controller).__name__}"
