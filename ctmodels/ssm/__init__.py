"""Linear state spaces: their matrices, steps over gaps, kernels and scans."""

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
from ctmodels.ssm._kernels import convolve as convolve, krylov as krylov, mode_kernel as mode_kernel
from ctmodels.ssm._oscillators import (
    exact as exact,
    implicit as implicit,
    implicit_explicit as implicit_explicit,
)
from ctmodels.ssm._pairs import (
    Pair as Pair,
    cosine_and_sine as cosine_and_sine,
    exponential as exponential,
    pair as pair,
)
from ctmodels.ssm._scan import linear_scan as linear_scan, scan_rows as scan_rows
from ctmodels.ssm._transitions import (
    AbstractTransition as AbstractTransition,
    Blocks as Blocks,
    Dense as Dense,
    Diagonal as Diagonal,
)
