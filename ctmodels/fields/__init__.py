"""Fields: right-hand sides of differential equations, f(t, y, args)."""

from ctmodels.fields._boundedness import check_bounded as check_bounded
from ctmodels.fields._diffusions import Constant as Constant, Elementwise as Elementwise, Positive as Positive
from ctmodels.fields._fields import (
    MatrixField as MatrixField,
    MLPField as MLPField,
    Rescaled as Rescaled,
    SecondOrder as SecondOrder,
    SumField as SumField,
    lipswish as lipswish,
)
from ctmodels.fields._langevin import Langevin as Langevin
from ctmodels.fields._law import Law as Law, PositiveFloat as PositiveFloat
from ctmodels.fields._library import Library as Library, SparseField as SparseField
from ctmodels.fields._piecewise_linear import AlmostLinear as AlmostLinear, ShallowPLRNN as ShallowPLRNN
from ctmodels.fields._potentials import (
    CoupledOscillators as CoupledOscillators,
    DoubleWell as DoubleWell,
    MLPPotential as MLPPotential,
    Quadratic as Quadratic,
    least_eigenvalue as least_eigenvalue,
)
from ctmodels.fields._radial import RadialBasis as RadialBasis
from ctmodels.fields._sde import SDE as SDE, AbstractSDE as AbstractSDE
