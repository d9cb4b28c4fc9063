"""Paths: a series as a function of time, to be the control of a field."""

from ctmodels.paths._channels import with_intensity as with_intensity, with_time as with_time
from ctmodels.paths._paths import (
    CubicPath as CubicPath,
    HeldPath as HeldPath,
    LinearPath as LinearPath,
    RectilinearPath as RectilinearPath,
)
