"""Recurrences in parallel: linear ones by an associative scan, nonlinear ones by Newton's method on all rows."""

from ctmodels.ssm._affine import affine_scan as affine_scan
from ctmodels.ssm._cells import ParaGRU as ParaGRU, ParaLSTM as ParaLSTM, TimeConstantRNN as TimeConstantRNN
from ctmodels.ssm._iteration import NewtonStats as NewtonStats
from ctmodels.ssm._linearise import (
    AbstractLinearisation as AbstractLinearisation,
    BlockJacobian as BlockJacobian,
    DiagonalJacobian as DiagonalJacobian,
    FullJacobian as FullJacobian,
)
from ctmodels.ssm._newton import (
    NewtonScan as NewtonScan,
    newton_scan as newton_scan,
    newton_step as newton_step,
)
