"""An ensemble that was trained, its flow, and the smoother under it."""

from typing import NamedTuple

from jaxtyping import Array, Float

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._series import Series
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._widths import Widths
from ctmodels.trajectories._smoothing import Flow, Noise, Smoothed, smooth


class Trained(NamedTuple):
    """An ensemble, every array with a leading axis of members. `end`: the state at the last training time, mean and
    covariance; `noise`: to filter with from there on; `samples`: the first so many were trained on;
    `widths`: of the bands of forecasts from there on; `draws`: paths of each member in a forecast."""

    model: AbstractDynamics
    end: tuple[Float[Array, "member state"], Float[Array, "member state state"]]
    noise: Noise
    history: list[dict]
    stopped: str
    samples: int = 0
    widths: Widths | None = None
    draws: int = 1

    def __repr__(self) -> str:
        return f"Trained({type(self.model).__name__}, {self.end[0].shape[0]} members; {self.stopped})"


def smooth_with(
    model: AbstractDynamics,
    series: Series,
    control: Series | None,
    noise: Noise,
    prior: tuple[Array, Array] | None = None,
) -> Smoothed:
    """The smoother under one model's own flow."""
    return smooth(flow_of(model, control), series, noise, prior=prior, observe=model.observe)


def flow_of(model: AbstractDynamics, control: Series | None) -> Flow:
    """z at t0 -> z at t1, driven by these inputs."""
    path = None if control is None else LinearPath.from_series(control)
    return lambda t0, t1, z: model.flow(t0, t1, z, path)[0]
