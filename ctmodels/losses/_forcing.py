"""The error of predictions under teacher forcing."""

from ctmodels._core._arguments import before
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example
from ctmodels._core._words import kind_of
from ctmodels.losses._targets import series_target, squared_error
from ctmodels.ssm._newton import NewtonScan
from ctmodels.trajectories._forcing import Alpha, check_alpha, teacher_forced
from ctmodels.trajectories._forcing_strength import Forced


def _check_settings(alpha, **_) -> None:
    if alpha is not None:
        check_alpha("alpha", alpha)


@before(_check_settings)
def teacher_forcing(alpha: Alpha | None = None, *, every: int = 1, solver: NewtonScan | None = None):
    r"""Loss of a [`ctmodels.AbstractDynamics`][]: squared error of what it predicts of each row from states that were
    forced by the rows before ([`ctmodels.forcing.teacher_forced`][]); the prediction itself is not forced.

    **Arguments:**

    - `alpha`: how strongly, from 0, the free run of [`ctmodels.losses.squared`][], to 1, one-step predictions; None:
        as strongly as each example says ([`ctmodels.forcing.scheduled`][], [`ctmodels.forcing.ForcedData`][]).
    - `every`: only at each so many-th row.
    - `solver`: all rows at once, on accelerators: `ct.ssm.NewtonScan()`.

    **Good values:** 0.1 to 0.3 for windows of 200 samples; at about 1 - 1/e to the power of the largest exponent per
    step, gradients neither explode nor vanish.
    """

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        target = series_target(example, "teacher_forcing")
        x, strength = _forced(example.x, alpha)
        out = teacher_forced(model, x, target, strength, every=every, solver=solver)
        return squared_error(out, target, "teacher_forcing")

    return loss


def _forced(x, alpha) -> tuple:
    if isinstance(x, Forced):
        if alpha is not None:
            raise ValueError(f"teacher_forcing: alpha={alpha}, and the example says another: give it in one place")
        return x.x, x.alpha
    if alpha is None:
        raise ValueError(
            f"teacher_forcing: alpha=None, and the example's x is {kind_of(x)}, which does not say: give alpha, as "
            "0.2, or transform=ct.forcing.scheduled(schedule) to the objective, or ct.forcing.ForcedData(data) to fit"
        )
    return x, alpha
