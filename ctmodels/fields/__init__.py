"""Fields: right-hand sides of differential equations, f(t, y, args)."""

from ctmodels.fields._diffusions import Constant as Constant, Elementwise as Elementwise, Positive as Positive
from ctmodels.fields._fields import (
    MatrixField as MatrixField,
    MLPField as MLPField,
    Rescaled as Rescaled,
    SecondOrder as SecondOrder,
    SumField as SumField,
    lipswish as lipswish,
)
from ctmodels.fields._sde import SDE as SDE
