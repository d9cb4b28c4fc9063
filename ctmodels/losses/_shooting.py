"""The error of windows that are shot from their starts, and of the gaps between them."""

from ctmodels._core._arguments import before
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example
from ctmodels.losses._targets import series_target, squared_error


def shooting(continuity: float):
    """Loss of a [`ctmodels.AbstractShooting`][], as [`ctmodels.Shooting`][]: squared error, plus `continuity` times the
    squared gap between the end of a window and the (free) start of the next (multiple shooting, Bock 1983)."""

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        target = series_target(example, "shooting")
        error, weight, out = squared_error(model(example.x, target.ts, key=key), target, "shooting")
        return error + continuity * model.gap(example.x, out.latents[-1]), weight, out

    return loss
