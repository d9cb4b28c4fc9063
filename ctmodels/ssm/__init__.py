"""State spaces: matrices, steps over gaps, kernels, scans; nonlinear recurrences by Newton's method on all rows."""

from ctmodels.ssm._affine import affine_scan as affine_scan
from ctmodels.ssm._cells import ParaGRU as ParaGRU, ParaLSTM as ParaLSTM, TimeConstantRNN as TimeConstantRNN
from ctmodels.ssm._delay import Delay as Delay, delay_kernel as delay_kernel, recall as recall
from ctmodels.ssm._discretise import (
    bilinear as bilinear,
    bilinear_modes as bilinear_modes,
    hold_modes as hold_modes,
    zero_order_hold as zero_order_hold,
)
from ctmodels.ssm._hippo import (
    Hippo as Hippo,
    NormalPlusLowRank as NormalPlusLowRank,
    fout as fout,
    lagt as lagt,
    legs as legs,
    legt as legt,
    lmu as lmu,
    normal_plus_low_rank as normal_plus_low_rank,
)
from ctmodels.ssm._iteration import NewtonStats as NewtonStats
from ctmodels.ssm._kernels import (
    convolve as convolve,
    kernel as kernel,
    krylov as krylov,
    mode_kernel as mode_kernel,
)
from ctmodels.ssm._linearise import (
    AbstractLinearisation as AbstractLinearisation,
    BlockJacobian as BlockJacobian,
    DiagonalJacobian as DiagonalJacobian,
    FullJacobian as FullJacobian,
)
from ctmodels.ssm._low_rank import DiagonalPlusLowRank as DiagonalPlusLowRank, rotation as rotation
from ctmodels.ssm._newton import (
    NewtonScan as NewtonScan,
    newton_scan as newton_scan,
    newton_step as newton_step,
)
from ctmodels.ssm._oscillators import (
    exact_step as exact_step,
    implicit_explicit_step as implicit_explicit_step,
    implicit_step as implicit_step,
)
from ctmodels.ssm._pairs import (
    Pair as Pair,
    cosine_and_sine as cosine_and_sine,
    exponential as exponential,
    pair as pair,
)
from ctmodels.ssm._scan import linear_scan as linear_scan, scan_rows as scan_rows
from ctmodels.ssm._selective import (
    euler_rates as euler_rates,
    hold_rates as hold_rates,
    selective_scan as selective_scan,
)
from ctmodels.ssm._transitions import (
    AbstractTransition as AbstractTransition,
    Blocks as Blocks,
    Dense as Dense,
    Diagonal as Diagonal,
    RealDiagonal as RealDiagonal,
)
from ctmodels.ssm._tridiagonal import Tridiagonal as Tridiagonal, TridiagonalInverse as TridiagonalInverse
